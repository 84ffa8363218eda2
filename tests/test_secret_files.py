"""Keys in files are read again when they change: every few seconds, and at once where a vendor refuses one."""

import os
from typing import Any

from twisted.logger import LogLevel, formatEvent, globalLogPublisher

from llmedge.files import state_of
from llmedge.service import FILE_CHECK
from tests.fakes import CHAT
from tests.folders import new_folder
from tests.web.through import TOML, Through

ANSWER = {"object": "chat.completion", "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}}]}
CLIENT = '[[auth.keys]]\nname = "team"\nkey = "file:{0}"\n'


class Renewed(Through):
    def setUp(self) -> None:
        self.folder = new_folder()
        self.key = self.folder / "key"
        self.key.write_text("first-key\n")

    def start(self, toml: str = "") -> None:
        self.begin(toml=TOML.replace('"vendor-key"', f'"file:{self.key}"') + toml)
        self.edge.service.startService()

    def shown(self, status: int = 200) -> str:
        """The key that the next call is made with, which is answered with ``status``."""
        wire = self.ask("/v1/chat/completions", CHAT)
        vendor = self.vendor()
        _, fields = vendor.head
        vendor.answer(status, ANSWER if status == 200 else {"error": {"message": "no"}})
        self.assertEqual(wire.response().status, 200 if status == 200 else 502)
        return fields["authorization"].removeprefix("Bearer ")

    def test_within_seconds(self) -> None:
        """As certificates are; nothing else of the configuration is read."""
        self.start()
        self.assertEqual(self.shown(), "first-key")
        self.key.write_text("second-key\n")
        self.assertEqual(self.shown(), "first-key")
        self.edge.reactor.advance(FILE_CHECK)
        self.assertEqual(self.shown(), "second-key")

    def test_at_once_after_a_refusal(self) -> None:
        """The next call has the new key."""
        self.start()
        self.key.write_text("second-key\n")
        self.assertEqual(self.shown(401), "first-key")
        self.assertEqual(self.shown(), "second-key")

    def test_a_reload_beside_it(self) -> None:
        """What a look has seen, and a reload came before with the old key: the next look has it."""
        self.start()
        before = self.edge.service.graph.settings
        self.key.write_text("second-key\n")
        self.edge.service._secrets.renewed(before)
        self.edge.service._enter(self.edge.service._build(before))
        self.assertEqual(self.shown(), "first-key")
        self.edge.reactor.advance(FILE_CHECK)
        self.assertEqual(self.shown(), "second-key")

    def test_a_link_that_leads_elsewhere(self) -> None:
        """As Kubernetes renews a secret: a directory behind a link is changed for another."""
        for name, value in (("one", "first-key"), ("two", "second-key")):
            (self.folder / name).mkdir()
            (self.folder / name / "key").write_text(value)
        link = self.folder / "..data"
        link.symlink_to("one")
        self.key.unlink()
        self.key.symlink_to("..data/key")
        self.start()
        self.assertEqual(self.shown(), "first-key")
        new = self.folder / "..tmp"
        new.symlink_to("two")
        os.replace(new, link)
        self.edge.reactor.advance(FILE_CHECK)
        self.assertEqual(self.shown(), "second-key")

    def test_what_cannot_be_used(self) -> None:
        """The old one stays, and the log says why, once for each change."""
        said: list[str] = []
        observe: Any = lambda event: said.append(formatEvent(event)) if event["log_level"] is LogLevel.error else None  # noqa: E731
        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        self.start()
        for bad in ("", "two words", "${NOT_FILLED_IN}"):
            self.key.write_text(bad)
            self.edge.reactor.advance(FILE_CHECK)
            self.edge.reactor.advance(FILE_CHECK)
            self.assertEqual(self.shown(), "first-key", bad)
        self.key.unlink()
        self.edge.reactor.advance(FILE_CHECK)
        self.assertEqual(self.shown(), "first-key")
        self.assertEqual(len(said), 4, said)
        self.assertIn(f"the old one stays: refers to the file {self.key}, which is empty", said[0])
        self.assertNotIn("two words", "".join(said))
        self.key.write_text("second-key")
        self.edge.reactor.advance(FILE_CHECK)
        self.assertEqual(self.shown(), "second-key")

    def test_clients_keys_and_headers(self) -> None:
        """Whatever is from a file."""
        team = self.folder / "team"
        team.write_text("team-key-0123456789")
        self.start(f'headers = {{x-more = "file:{self.key}"}}\n{CLIENT.format(team)}')
        asked: Any = lambda key: self.edge.ask("GET", "/v1/models/none", headers={"x-api-key": key}).status  # noqa: E731
        self.assertEqual((asked("team-key-0123456789"), asked("other-key-012345678")), (200, 401))
        team.write_text("other-key-012345678")
        self.key.write_text("second key")
        self.edge.reactor.advance(FILE_CHECK)
        self.assertEqual((asked("team-key-0123456789"), asked("other-key-012345678")), (200, 401))  # all or none
        self.key.write_text("second-key")
        self.edge.reactor.advance(FILE_CHECK)
        self.assertEqual((asked("team-key-0123456789"), asked("other-key-012345678")), (401, 200))

    def test_nothing_to_watch(self) -> None:
        """No timer, and nobody is told of calls."""
        self.begin()
        before = len(self.edge.service._process.observers)
        self.edge.service.startService()
        self.assertFalse(self.edge.service._files.running)
        self.assertEqual(before, 2)


class States(Through):
    def test_of_files(self) -> None:
        """What is not there has one, too; a file of the same size and another inode is another."""
        file, other = new_folder() / "a", new_folder() / "b"
        file.write_text("x")
        before = state_of([str(file), str(other), ""])
        self.assertEqual(before[1:], (None, None))
        other.write_text("y")
        os.utime(other, ns=(0, file.stat().st_mtime_ns))
        os.replace(other, file)
        self.assertNotEqual(state_of([str(file), str(other), ""]), before)
