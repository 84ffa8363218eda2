"""What a path is, before Klein has looked at it: for exemptions, for labels that clients cannot invent, for errors in
the client's dialect, and for clients that were made for elsewhere and ask nearly right."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote_to_bytes

import attrs

from llmedge.errors import NotFound
from llmedge.operations import ENDPOINTS, Endpoint, Operation

CHAT = b"/v1/chat/completions"
SLASHED = ("model", "id")
"""Parameters that may have slashes in them: names of models have."""
PARAMETER = re.compile(r"\{(\w+)\}")
VERSION = b"/v1"
_SLASHES = re.compile(rb"//+")
_PREFIXES = (b"/openai/v1", b"/openai", b"")
"""What stands before an operation where the version does not: Azure's two forms, and nothing."""
_LONGEST_HINTED = 200
_ABSOLUTE = re.compile(rb"https?://([^/?]+)(.*)", re.IGNORECASE | re.DOTALL)


class Paths:
    """Finds the endpoints at a path: at a fixed one in a dict, at one with parameters by regular expressions.

    :ivar fixed: path without parameters → its endpoints by method.
    """

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        found: dict[str, dict[bytes, Endpoint]] = {}
        for endpoint in endpoints:
            found.setdefault(endpoint.path, {})[endpoint.method.encode()] = endpoint
        self.fixed = {path.encode(): methods for path, methods in found.items() if "{" not in path}
        templates = [path for path in found if "{" in path]
        templates.sort(key=lambda path: len(PARAMETER.sub("", path)), reverse=True)  # what says the most comes first
        self._prefixes = tuple({path.partition("{")[0].encode() for path in templates})
        self._templates = [(_pattern(path), found[path]) for path in templates]
        below = b"|".join(re.escape(path.removeprefix(VERSION)) for path in self.fixed if path.startswith(VERSION))
        self._deployments = re.compile(rb"/openai/deployments/(.+?)(%b)" % below, re.DOTALL)
        admin = {
            path: of for path, of in found.items() if any(each.operation is Operation.ADMIN for each in of.values())
        }
        self._admin = frozenset(path.encode() for path in admin if "{" not in path)
        self._admin_prefixes = tuple({path.partition("{")[0].encode() for path in admin if "{" in path})
        self._everybodys = frozenset(
            path.encode() for path, of in admin.items() if not any(each.permission for each in of.values())
        )
        self.streamed = {
            path for path, methods in self.fixed.items() if any(each.body == "multipart" for each in methods.values())
        }

    def find(self, path: bytes) -> dict[bytes, Endpoint]:
        """The endpoints at ``path`` by method, with the model that stands in it."""
        methods = self.fixed.get(path)
        if methods is not None:
            return methods
        if path.startswith(self._prefixes):
            for pattern, methods in self._templates:
                if (match := pattern.fullmatch(path)) is None:
                    continue
                parameters = match.groupdict()
                if "model" not in parameters:
                    return methods
                parts = [parameters[name] for name in ("provider", "model") if name in parameters]
                named = b"/".join(parts).decode(errors="replace")
                return {method: attrs.evolve(endpoint, model=named) for method, endpoint in methods.items()}
        return {}

    def meant(self, path: bytes) -> tuple[bytes, str]:
        """The path of ours that ``path`` stands for, and the model that it names and ours does not, if it does: slashes
        doubled or at the end do not count, ``/v1`` may be missing, and Azure's clients ask below ``/openai`` and for a
        deployment (learn.microsoft.com/azure/ai-services/openai/reference). What means nothing here stays as it is, and
        so do health and metrics: a proxy's rule for one path of theirs is to hold for all.
        """
        if path in self.fixed:
            return path, ""
        bare = path.rstrip(b"/")
        if self._locked(bare):
            return bare, ""
        bare = _SLASHES.sub(b"/", bare)
        if self._locked(bare):
            return bare, ""
        if match := self._deployments.fullmatch(bare):
            return VERSION + match[2], match[1].decode(errors="replace")
        for prefix in _PREFIXES:
            known = VERSION + bare.removeprefix(prefix)
            if bare.startswith(prefix) and "{provider}" not in self.route_of(known) != "other":
                return known, ""
        return path, ""

    def _locked(self, path: bytes) -> bool:
        """Whether something is at ``path`` that always asks for a key."""
        return any(endpoint.key == "always" for endpoint in self.find(path).values())

    def hint(self, path: bytes) -> str:
        """Which path may have been meant by one that is nearly right; ``""`` where none is near."""
        if len(path) > _LONGEST_HINTED:
            return ""
        asked = _SLASHES.sub(b"/", path.lower()).rstrip(b"/").decode("latin-1")
        known = sorted((path.decode() for path in self.fixed if path != b"/"), key=len, reverse=True)
        for near in known:
            if asked.endswith((near, near.removeprefix("/v1"))) or asked.startswith(near + "/"):
                return near
        begun = [near for near in known[::-1] if asked and near.startswith(asked + "/")]
        return next(iter(begun or difflib.get_close_matches(asked, known, 1, 0.75)), "")

    def endpoint_of(self, path: bytes, method: bytes = b"POST") -> Endpoint | None:
        """The inference endpoint for ``method`` at ``path``, if one is."""
        endpoint = self.find(path).get(method)
        return endpoint if endpoint is not None and endpoint.dialect else None

    def route_of(self, path: bytes) -> str:
        """The path's template, ``"other"`` for one we do not serve."""
        return next((endpoint.path for endpoint in self.find(path).values()), "other")

    def is_admin(self, path: bytes) -> bool:
        """Whether the admin API is there."""
        return path in self._admin or (
            path.startswith(self._admin_prefixes)
            and any(endpoint.operation is Operation.ADMIN for endpoint in self.find(path).values())
        )

    def is_everybodys(self, path: bytes) -> bool:
        """Whether what it has there asks for no permission."""
        return path in self._everybodys

    def streams_body(self, path: bytes) -> bool:
        """Whether the onion runs as soon as the head of a request is here, with ``request.body`` to read from."""
        return path in self.streamed


def _pattern(template: str) -> re.Pattern[bytes]:
    """``template`` as a regular expression with its parameters as groups."""
    escaped = re.escape(template).replace(r"\{", "{").replace(r"\}", "}")
    pattern = PARAMETER.sub(lambda name: f"(?P<{name[1]}>{'.+' if name[1] in SLASHED else '[^/]+'})", escaped)
    return re.compile(pattern.encode(), re.DOTALL)


PATHS = Paths(ENDPOINTS)
endpoint_of, route_of, streams_body = PATHS.endpoint_of, PATHS.route_of, PATHS.streams_body
is_admin, is_everybodys = PATHS.is_admin, PATHS.is_everybodys
KEYS = {endpoint.path.encode(): endpoint.key for endpoint in ENDPOINTS if endpoint.key != "always"}
"""The paths that do not always ask for an API key: the setting that says so, or ``never``."""


def path_of(target: bytes) -> tuple[bytes, str]:
    """The path of a target, decoded and as :meth:`Paths.meant`, and what that says besides."""
    path = target.partition(b"?")[0]
    return PATHS.meant(unquote_to_bytes(path) if b"%" in path else path)


def dialect_of(request: Any) -> str:
    """The dialect of whoever sent ``request``: of the endpoint, else by the headers its SDK sends."""
    known: Endpoint | None = request.context.head.endpoint
    if known is not None:
        return known.dialect
    for endpoint in PATHS.find(request.path).values():
        if endpoint.dialect:
            return endpoint.dialect
    if request.path.startswith(b"/v1beta/") or is_googles(request):
        return "gemini"
    if request.getHeader(b"anthropic-version") is not None or request.path.startswith(b"/v1/messages"):
        return "anthropic"
    return "openai_chat"


def nothing_at(path: bytes) -> NotFound:
    """What to say where there is nothing."""
    near = PATHS.hint(path)
    return NotFound(
        f"There is nothing at this path. {f'Did you mean {near}? ' if near else ''}GET / says what there is."
    )


def is_googles(request: Any) -> bool:
    """Whether an SDK of Google's sent ``request``, which may also ask below ``/v1/``."""
    return request.getHeader(b"x-goog-api-key") is not None or request.getHeader(b"x-goog-api-client") is not None


def split_target(target: bytes) -> tuple[bytes | None, bytes] | None:
    """A request target as ``(authority, path and query)``, ``None`` for one that no server of ours has.

    The authority is only there in the absolute form, which every server must take (RFC 9112 section 3.2.2). Also
    good is the asterisk form. The authority form belongs to CONNECT, which is not served.
    """
    if target.startswith(b"/") or target == b"*":
        return None, target
    if (match := _ABSOLUTE.fullmatch(target)) is None:
        return None
    authority, path = match.groups()
    return authority, path if path.startswith(b"/") else b"/" + path
