"""What callers may do: roles are sets of permissions, granted everywhere or within one team or project."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from llmedge.errors import PermissionDenied
from llmedge.model import Account, Caller, Grant

PERMISSIONS = {
    "inference": "ask models",
    "keys:read": "see keys, without their secrets",
    "keys:write": "make, change, rotate and delete keys",
    "teams:read": "see organizations, teams, projects and users",
    "teams:write": "make and change them",
    "budgets:read": "see budgets, and what is left of them",
    "budgets:write": "set, reset and raise budgets",
    "roles:read": "see roles",
    "roles:write": "make and change roles",
    "audit:read": "see who changed what",
    "spend:read": "see what was spent",
    "calls:read": "see calls, and why each went where it went",
    "content:read": "see what was said in them, where that is kept",
    "config:read": "see the state of targets",
    "config:write": "check configurations, and have one read again",
}
"""All there are, and what each allows."""
_READS = frozenset({"keys:read", "teams:read", "budgets:read", "spend:read"})
ROLES: Mapping[str, frozenset[str]] = {
    "admin": frozenset(PERMISSIONS) - {"inference"},
    "operator": frozenset({"config:read", "config:write", "calls:read", "keys:read", "teams:read"}),
    "finance": _READS | {"calls:read"},
    "team_admin": _READS | {"keys:write", "budgets:write", "calls:read"},
    "viewer": _READS | {"config:read"},
    "caller": frozenset({"inference"}),
}
"""Those that are always there."""
_WITHIN = {"team_admin"}
"""Those that are for the caller's own team, where nothing else is said."""
NO_ADMIN = (
    "The admin API needs a key that may use it. Set LLMEDGE_ADMIN_KEY and send it as 'Authorization: Bearer KEY', or "
    'give a key of the configuration roles = ["admin"].'
)
"""What to say where nobody may."""
ROLE = re.compile(r"([A-Za-z0-9_.\-]+)(?::(team|project)/(.+))?")
"""``ROLE``, or ``ROLE:team/ID``."""


def grants_of(
    roles: Iterable[str], account: Account, own: Callable[[str], frozenset[str] | None] = lambda name: None
) -> tuple[Grant, ...]:
    """What ``roles`` grant. A name that is no role grants nothing.

    :param own: the permissions of a role that is not one of :data:`ROLES`.
    """
    found = []
    for role in roles:
        if (match := ROLE.fullmatch(role)) is None:
            continue
        name, kind, id = match.groups()
        permissions = ROLES.get(name) or own(name)
        if not permissions:
            continue
        if kind is None and name in _WITHIN:
            if not account.team:
                continue
            kind, id = "team", account.team
        found.append(Grant(permissions, id if kind == "team" else "", id if kind == "project" else ""))
    return tuple(found)


def scopes_of(grants: Iterable[Grant]) -> frozenset[str]:
    """What they allow, wherever."""
    return frozenset[str]().union(*(grant.permissions for grant in grants))


class Reach:
    """Where a caller may do something. Checked in one place (:func:`permit`), and in the WHERE of every query.

    :ivar everywhere: without any bound; else in ``teams`` and ``projects``.
    """

    def __init__(self, grants: Iterable[Grant]) -> None:
        grants = list(grants)
        self.everywhere = any(not grant.team and not grant.project for grant in grants)
        self.teams = tuple(sorted({grant.team for grant in grants if grant.team}))
        self.projects = tuple(sorted({grant.project for grant in grants if grant.project}))

    def covers(self, team: str, project: str = "") -> bool:
        """Whether something of that team and project is within it."""
        return self.everywhere or (bool(team) and team in self.teams) or (bool(project) and project in self.projects)

    def where(self, team: str = "team", project: str = "project") -> tuple[str, list[str]]:
        """The same as a condition on these columns, with its parameters; ``""``: none."""
        if self.everywhere:
            return "", []
        conditions = []
        for column, values in ((team, self.teams), (project, self.projects)):
            if values and column:
                conditions.append(f"{column} IN ({', '.join('?' * len(values))})")
        return " OR ".join(conditions) or "1 = 0", [*(self.teams if team else ()), *(self.projects if project else ())]


def permit(caller: Caller, permission: str) -> Reach:
    """Where ``caller`` may do what ``permission`` says.

    :raises PermissionDenied: nowhere.
    """
    grants = [grant for grant in caller.grants if permission in grant.permissions]
    if not grants:
        raise PermissionDenied(f"This key may not {PERMISSIONS[permission]} (permission {permission}).")
    return Reach(grants)
