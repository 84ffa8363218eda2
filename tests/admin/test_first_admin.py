"""Who may use the admin API before anybody was given that right, and what an admin changes for calls."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from llmedge.entities import Entity
from llmedge.state.wrong_keys import AT_ONCE
from tests.fakes import CHAT, Edge, request
from tests.identity.issuer import AUDIENCE, URL

JWT = f'[[auth.jwt]]\nissuer = "{URL}"\naudience = "{AUDIENCE}"\n'
TEAMS = "/admin/v1/teams"


class FirstAdmin(SynchronousTestCase):
    def edge(self, toml: str = "", **environ: str) -> Edge:
        """With a store that was read."""
        edge = Edge(toml, {"LLMEDGE_STORE": f"sqlite:{Path(self.mktemp()) / 'llmedge.db'}"} | environ)
        edge.service._process.store.directory.apply(1, [], [])
        return edge

    def give_a_key(self, edge: Edge) -> None:
        """To somebody, in its store."""
        edge.service._process.store.directory.apply(2, [Entity("key", "k", "app")], [])

    def asked(self, edge: Edge, **headers: str) -> str:
        """What is said to who may not use the admin API."""
        response = edge.ask("GET", TEAMS, headers={name.replace("_", "-"): value for name, value in headers.items()})
        self.assertEqual(response.status, 401)
        message: str = response.error["message"]
        return message

    def test_there_is_none(self) -> None:
        """401, and what to do about it: with and without a key, on this machine, and once there are other callers."""
        edge = self.edge()
        self.assertIn("LLMEDGE_ADMIN_KEY", self.asked(edge))
        self.assertEqual(edge.chat().status, 200)
        self.give_a_key(edge)
        self.assertIn("LLMEDGE_ADMIN_KEY", self.asked(edge))
        self.assertIn("LLMEDGE_ADMIN_KEY", self.asked(edge, x_api_key="wrong"))
        for _ in range(AT_ONCE - 1):
            edge.ask("GET", TEAMS, headers={"x-api-key": "wrong"})
        wire = edge.wire()
        wire.send(request("GET", TEAMS, headers={"x-api-key": "wrong"}))
        self.assertEqual(wire.received(), b"", "a wrong key waits here, too")
        with_tokens = self.edge(JWT)
        self.assertIn("LLMEDGE_ADMIN_KEY", self.asked(with_tokens))
        self.assertNotIn("LLMEDGE_ADMIN_KEY", with_tokens.chat().error["message"])

    def test_there_is_one(self) -> None:
        """By the variable, or a key of the file: what is wrong is the key then."""
        root = '[[auth.keys]]\nname = "root"\nkey = "root-key"\nroles = ["admin"]\n'
        for edge in (self.edge(LLMEDGE_ADMIN_KEY="root-key"), self.edge(root)):
            self.give_a_key(edge)
            self.assertIn("Missing API key", self.asked(edge))
            self.assertEqual(self.asked(edge, x_api_key="wrong"), "Invalid API key")

    def test_its_key_is_not_guessed(self) -> None:
        """Wrong ones wait where nobody else is known, too: from elsewhere, and through a proxy."""
        for peer, proxy in (("203.0.113.9", {}), ("127.0.0.1", {"x-forwarded-for": "203.0.113.9"})):
            edge = self.edge(LLMEDGE_ADMIN_KEY="root-key")
            asking = request("GET", TEAMS, headers={"x-api-key": "wrong"} | proxy)
            for _ in range(AT_ONCE):
                self.assertEqual(edge.ask("GET", TEAMS, headers={"x-api-key": "wrong"} | proxy, peer=peer).status, 401)
            wire = edge.wire(peer)
            wire.send(asking)
            self.assertEqual(wire.received(), b"", peer)

    def test_an_admin_changes_nothing_for_calls(self) -> None:
        """This machine goes on until file, store or an issuer know a caller; the admin's own key asks no models."""
        root = '[[auth.keys]]\nname = "root"\nkey = "root-key"\nroles = ["admin"]\n'
        for edge in (self.edge(LLMEDGE_ADMIN_KEY="root-key"), self.edge(root)):
            self.assertEqual(edge.chat().status, 200)
            self.assertEqual(edge.ask(body=CHAT, headers={"x-api-key": "root-key"}).status, 403)
            self.give_a_key(edge)
            self.assertEqual(edge.chat().status, 401)
        by_store = self.edge()
        directory = by_store.service._process.store.directory
        directory.apply(2, [Entity("key", "r", "root", data={"roles": ["admin"]})], [])
        self.assertEqual(by_store.chat().status, 200)
        self.give_a_key(by_store)
        self.assertEqual(by_store.chat().status, 401)
        app = '[[auth.keys]]\nname = "app"\nkey = "app-key"\n'
        for toml in (app, JWT):
            self.assertEqual(self.edge(toml, LLMEDGE_ADMIN_KEY="root-key").chat().status, 401)
