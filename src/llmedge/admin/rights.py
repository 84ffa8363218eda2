"""What whoever makes or changes something needs a right to besides: where it belongs, the roles and the budgets that it
has. Nobody gives what they have not, nor spends what is another team's."""

from __future__ import annotations

from llmedge.admin.asked import Asked
from llmedge.entities import Entity, replace
from llmedge.errors import NotFound, PermissionDenied, ValidationError
from llmedge.identity.roles import PERMISSIONS, ROLE, ROLES, Reach, grants_of, permit
from llmedge.model import Account
from llmedge.store import entities
from llmedge.store.database import Connection

PLACES = {
    "organization": (),
    "team": ("organization",),
    "project": ("team",),
    "user": ("organization",),
    "key": ("team", "project", "user"),
    "role": (),
    "plan": (),
}
"""What each may belong to."""


def reaches(reach: Reach, entity: Entity) -> bool:
    """Whether ``entity`` is within it."""
    match entity.kind:
        case "team":
            return reach.covers(entity.id)
        case "project":
            return reach.covers(entity.team, entity.id)
        case "key":
            return reach.covers(entity.team, entity.project)
        case _:
            return reach.everywhere


def allowed(asked: Asked, connection: Connection, entity: Entity, before: Entity | None) -> Entity:
    """``entity``, which is to stand in the place of ``before``, with the ids of what it belongs to where names were
    given.

    :raises ValidationError: it names what is not there. :raises PermissionDenied: it is beyond the caller's reach, or
        would be more than the caller may.
    """
    placed = _placed(asked, connection, entity, before)
    if not reaches(asked.reach, placed):
        raise PermissionDenied(f"This key may do that within its own team only, not here: {_whereabouts(placed)}.")
    _check_budgets(asked, placed, before)
    if placed.kind == "role":
        _check_role(asked, placed)
    elif placed.kind == "key":
        check_roles(asked, connection, placed)
        if before is None or placed.data.get("roles") != before.data.get("roles"):
            _check_names(connection, placed.data.get("roles", ()))
    return placed


def _placed(asked: Asked, connection: Connection, entity: Entity, before: Entity | None) -> Entity:
    places = {place: getattr(entity, place) for place in PLACES[entity.kind]}
    changed = {place for place, id in places.items() if id != ("" if before is None else getattr(before, place))}
    found = {place: _named(asked, connection, place, places[place]) for place in changed if places[place]}
    if not asked.reach.everywhere and (beyond := changed & {"user", "organization"}):
        raise PermissionDenied(f"This key may not say whose {entity.kind} it is: the field '{beyond.pop()}'.")
    places |= {place: each.id for place, each in found.items()}
    if entity.kind == "key" and changed & {"team", "project"} and places["project"]:
        project = found.get("project") or entities.get(connection, "project", places["project"])
        if not places["team"] and ("team" not in changed or before is None):
            places["team"] = project.team
        if project.team and places["team"] != project.team:
            raise ValidationError(
                f"The project '{project.name}' is another team's: give a project of the team, or none.",
                param="project",
            )
        if places["team"] and not asked.reach.covers(places["team"]) and not project.team:
            raise PermissionDenied("This key may not spend what is that team's.")
    return replace(entity, **places)


def _named(asked: Asked, connection: Connection, kind: str, given: str) -> Entity:
    """The one of that name, or id, within reach. What is beyond it does not show."""
    found = entities.named(connection, kind, given)
    if found is None:
        try:
            found = entities.get(connection, kind, given)
        except NotFound:
            found = None
    bounded = kind in ("team", "project") and not asked.reach.everywhere
    if bounded and (found is None or not reaches(asked.reach, found)):
        raise PermissionDenied(f"This key may do that within its own team only; the {kind} '{given}' is not of it.")
    if found is None:
        raise ValidationError(f"There is no {kind} '{given}'.", param=kind)
    return found


def _whereabouts(entity: Entity) -> str:
    named = {place: getattr(entity, place) for place in PLACES[entity.kind]}
    return ", ".join(f"{place} {id or 'none'}" for place, id in named.items()) or entity.kind


def _check_budgets(asked: Asked, entity: Entity, before: Entity | None) -> None:
    """Who may not set budgets does not do so by the way; those of a team are not its own to change."""
    if entity.kind == "plan" or entity.data.get("budgets") == (None if before is None else before.data.get("budgets")):
        return
    reach = permit(asked.caller, "budgets:write")
    if not reach.everywhere and not (entity.kind == "key" and reaches(reach, entity)):
        raise PermissionDenied(f"This key may not set the budgets of this {entity.kind}.")


def _check_role(asked: Asked, role: Entity) -> None:
    for permission in sorted({*role.data.get("permissions", ())} - {"inference"}):
        if not permit(asked.caller, permission).everywhere:
            raise PermissionDenied(f"This key may not give the permission {permission} beyond its own team.")


def _check_names(connection: Connection, roles: object) -> None:
    """A name that is no role grants nothing today, and whatever somebody makes of it tomorrow."""
    for role in roles if isinstance(roles, list | tuple) else ():
        match = ROLE.fullmatch(role)
        name, kind, id = match.groups() if match is not None else (role, None, None)
        if name not in ROLES and entities.named(connection, "role", name) is None:
            raise ValidationError(
                f"There is no role '{name}'; there are {', '.join(ROLES)} and those of /admin/v1/roles.", param="roles"
            )
        if kind is not None:
            try:
                entities.get(connection, kind, id or "")
            except NotFound as error:
                raise ValidationError(str(error), param="roles") from None


def check_roles(asked: Asked, connection: Connection, key: Entity) -> None:
    """Nobody gives what they have not: neither with a role, nor with the secret of a key that has it.

    :raises PermissionDenied: ``key`` may do more than the caller.
    """

    def own(name: str) -> frozenset[str] | None:
        role = entities.named(connection, "role", name)
        return None if role is None else frozenset(role.data["permissions"]) & frozenset(PERMISSIONS)

    account = Account(key.id, key.team, key.project)
    for grant in grants_of(key.data.get("roles", ("caller",)), account, own):
        for permission in grant.permissions - {"inference"}:
            reach = permit(asked.caller, permission)
            if not reach.everywhere and not reach.covers(grant.team, grant.project):
                raise PermissionDenied(f"This key may not give the permission {permission} beyond its own team.")


def known_permissions(permissions: object) -> bool:
    """Whether that is a list of some of those there are."""
    if not isinstance(permissions, list) or not permissions:
        return False
    return all(isinstance(each, str) and each in PERMISSIONS for each in permissions)
