"""Who may do what, and where."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from llmedge.errors import PermissionDenied
from llmedge.identity.roles import PERMISSIONS, ROLES, Reach, grants_of, permit, scopes_of
from llmedge.model import Account, Caller, Grant


def caller(*roles: str, team: str = "") -> Caller:
    grants = grants_of(roles, Account("k", team))
    return Caller("k", scopes=scopes_of(grants), grants=grants)


class Roles(SynchronousTestCase):
    def test_the_table(self) -> None:
        """Every role has permissions that there are; only callers ask models."""
        for name, permissions in ROLES.items():
            self.assertLessEqual(permissions, set(PERMISSIONS), name)
            self.assertEqual("inference" in permissions, name == "caller")

    def test_where(self) -> None:
        for roles, team, covered in (
            (["admin"], "", {"red", "blue", ""}),
            (["team_admin"], "red", {"red"}),
            (["team_admin"], "", set()),
            (["viewer:team/blue"], "red", {"blue"}),
            (["viewer:team/blue", "team_admin"], "red", {"red", "blue"}),
        ):
            asker = caller(*roles, team=team)
            if not covered:
                self.assertRaises(PermissionDenied, permit, asker, "keys:read")
                continue
            reach = permit(asker, "keys:read")
            self.assertEqual({each for each in ("red", "blue", "") if reach.covers(each)}, covered, roles)

    def test_a_condition(self) -> None:
        """Says the same in SQL."""
        self.assertEqual(Reach([Grant(frozenset())]).where(), ("", []))
        self.assertEqual(Reach([]).where(), ("1 = 0", []))
        mixed = Reach([Grant(frozenset(), team="red"), Grant(frozenset(), project="p")])
        self.assertEqual(mixed.where(), ("team IN (?) OR project IN (?)", ["red", "p"]))
        self.assertEqual(mixed.where(team="id", project=""), ("id IN (?)", ["red"]))

    def test_what_is_no_role_grants_nothing(self) -> None:
        self.assertEqual(grants_of(["nobody", "admin:team", ":x"], Account("k")), ())
        own = grants_of(["clerk"], Account("k"), {"clerk": frozenset({"keys:read"})}.get)
        self.assertEqual(scopes_of(own), {"keys:read"})
