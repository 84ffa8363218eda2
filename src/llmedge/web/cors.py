"""Which web pages may call the gateway (WHATWG Fetch, section 3.2)."""

from __future__ import annotations

from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET

from llmedge.config import Settings
from llmedge.errors import PermissionDenied
from llmedge.web.answer import shown_as
from llmedge.web.layer import Layer, WebDeps
from llmedge.web.request import EdgeRequest


class Cors(Layer):
    """Cross-origin requests (WHATWG Fetch, section 3.2). Preflights are answered without a key."""

    def __init__(self, inner: IResource, settings: Settings, deps: WebDeps) -> None:
        super().__init__(inner, settings, deps)
        cors = settings.cors
        self._any = "*" in cors.origins
        self._origins = {origin.encode() for origin in cors.origins}
        self._methods = ", ".join(cors.methods).encode()
        self._method_set = {method.encode() for method in cors.methods}
        self._headers = {header.lower() for header in cors.headers if not header.endswith("*")}
        self._prefixes = tuple(header.lower()[:-1] for header in cors.headers if header.endswith("*"))
        self._credentials = cors.credentials
        shown = {name for each in settings.providers.values() for name in each.show_headers if not name.endswith("*")}
        self._exposed = b", ".join([_EXPOSED, *(shown_as(name.encode()) for name in sorted(shown))])
        self._max_age = b"%d" % cors.max_age

    def render(self, request: EdgeRequest) -> int:
        origin = request.getHeader(b"origin")
        headers = request.responseHeaders
        if not self._any:
            headers.addRawHeader(b"vary", b"Origin")
        if origin is None:
            return self.proceed(request)
        allowed = self._any or origin in self._origins
        asked = request.getHeader(b"access-control-request-method")
        preflight = request.method == b"OPTIONS" and asked is not None
        if allowed:
            headers.setRawHeaders(b"access-control-allow-origin", [b"*" if self._any else origin])
            if self._credentials:
                headers.setRawHeaders(b"access-control-allow-credentials", [b"true"])
            if not preflight:
                headers.setRawHeaders(b"access-control-expose-headers", [self._exposed])
        if not preflight:
            return self.proceed(request)
        wanted = (request.getHeader(b"access-control-request-headers") or b"").decode("latin-1").lower()
        names = [name for name in map(str.strip, wanted.split(",")) if name]
        if not allowed:
            raise PermissionDenied("This origin may not call the gateway from a browser (cors.origins).")
        if asked not in self._method_set:
            raise PermissionDenied("This method is not allowed from a browser (cors.methods).")
        if not all(name in self._headers or name.startswith(self._prefixes or ("\0",)) for name in names):
            raise PermissionDenied("A request header is not allowed from a browser (cors.headers).")
        headers.setRawHeaders(b"access-control-allow-methods", [self._methods])
        headers.setRawHeaders(b"access-control-allow-headers", [", ".join(names).encode("latin-1")])
        headers.setRawHeaders(b"access-control-max-age", [self._max_age])
        request.setResponseCode(204)
        request.write(b"")
        request.finish()
        return NOT_DONE_YET


_CALL = (
    "provider",
    "model",
    "attempts",
    "fallback",
    "overhead-ms",
    "cost-usd",
    "dropped",
    "estimated",
    "causes",
    "cache",
    "guardrails",
    "routed-to",
    "cache-saved-usd",
)
_EXPOSED = (
    b"x-request-id, retry-after, x-should-retry, age, cache-status, "
    + b"".join(b"x-llmedge-%b, " % name.encode() for name in _CALL)
    + b", ".join(b"x-ratelimit-%b-requests" % name for name in (b"limit", b"remaining", b"reset"))
)
