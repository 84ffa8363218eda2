"""twisted.web's own tests of its HTTP/1.1 channel, on ours.

Left out is what speaks of twisted's internals (``_optimisticEagerReadSize``, ``TimeoutMixin``, ``_networkProducer``,
the log lines of a timeout), of errors in plain text where ours are JSON, of ``ParsingTests``' folded and bare lines,
which we refuse on purpose, and of forms, cookies and arguments, which no request of ours looks at.
"""

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from llmedge.config.sections.server import Server
from llmedge.web.edge import Edge
from llmedge.web.head import RequestHead
from llmedge.web.http1_llhttp import LlhttpChannel
from llmedge.web.http1_states import State

try:
    from twisted.web import http
    from twisted.web.test import test_http
except ImportError:  # PyHamcrest is not here
    test_http = None


class Channel(LlhttpChannel):
    """Made without a site, for requests that know nothing of refusals and streamed bodies."""

    def __init__(self) -> None:
        super().__init__(Edge(Clock(), None, Server(), lambda request, path: None, lambda request, error: None), None)
        self.site = self.factory = self

    def log(self, request: Any) -> None: ...

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Any) -> None:
        """As twisted's requests say it; they frame the body themselves."""
        self.write_head(version, int(code), reason, headers, [], False)

    def write(self, data: bytes) -> None:
        self.write_body(data, False)

    def writeSequence(self, chunks: Any) -> None:
        self.write(b"".join(chunks))

    def requestDone(self, request: Any) -> None:
        if self._state == State.IDLE:
            self._become(State.ANSWERING)  # a request that a test has made by hand
        super().requestDone(request)

    def _make_request(self, head: RequestHead, table: Any) -> Any:
        factory = self.requestFactory

        def plain(channel: Any, queued: bool, head: RequestHead) -> Any:
            request = factory(channel)
            request = getattr(request, "original", request)
            request.original = request
            request.refused = False
            request.refuse = lambda error: None if request.content else request.gotLength(0)
            request.judge = lambda target: None
            request.announce = lambda length: None
            request.wants_stream = lambda target, pause, resume: False
            return request

        self.requestFactory = plain
        try:
            return super()._make_request(head, table)
        finally:
            self.requestFactory = factory


class OnOurs:
    """Goes before one of twisted's test cases."""

    def setUp(self) -> None:
        super().setUp()  # type: ignore[misc]
        self.patch(http, "HTTPChannel", Channel)  # type: ignore[attr-defined]


_CASES = (
    "HTTP1_0Tests",
    "HTTP1_1Tests",
    "HTTP1_1_close_Tests",
    "PipeliningBodyTests",
    "ShutdownTests",
    "SecurityTests",
    "ChunkingTests",
    "Expect100ContinueServerTests",
)
_LEFT_OUT = {
    "test_requestBodyTimeout",
    "test_requestBodyDefaultTimeout",
    "test_transportForciblyClosed",
    "test_transportNotAbortedAfterConnectionLost",
    "test_transportNotAbortedWithZeroAbortTimeout",
    "test_connectionLostAfterForceClose",
    "test_noPipeliningApi",
    "test_immediateABiggerTruck",
    "test_pipeliningReadLimit",
    "test_multipartFormData",  # chunked in HTTP/1.0
    "test_HTTP10",  # is answered in HTTP/1.1; ``test_framing`` has the same
}


def _on_ours() -> dict[str, Any]:
    """In a function, for trial takes any test case it finds in a module, twisted's own too."""
    cases: dict[str, Any] = {}
    for name in _CASES:
        body: dict[str, Any] = {}
        for base in reversed(getattr(test_http, name).__mro__):  # copied, since an inherited test cannot be left out
            if base.__module__ == test_http.__name__:
                body |= {attribute: value for attribute, value in vars(base).items() if attribute not in _LEFT_OUT}
        if name == "HTTP1_0Tests":  # answered in our version (RFC 9110 section 2.5); twisted's has the client's
            body["expected_response"] = [(b"HTTP/1.1 200 OK", b"Connection: close", *body["expected_response"][0][1:])]
        cases[name] = type(name, (OnOurs, TestCase), body | {"__module__": __name__})
    return cases


class Borrowed(TestCase):
    def test_all_that_is_meant(self) -> None:
        """Each of twisted's cases has tests here, on our channel; what is left out is there to be left out."""
        if test_http is None:
            self.skipTest("twisted.web's tests need PyHamcrest")
        theirs: set[str] = set()
        for name in _CASES:
            case = globals()[name]
            tests = [attribute for attribute in vars(case) if attribute.startswith("test")]
            self.assertTrue(issubclass(case, OnOurs) and tests, name)
            theirs |= {attribute for base in getattr(test_http, name).__mro__ for attribute in vars(base)}
        self.assertEqual(_LEFT_OUT - theirs, set())


if test_http is not None:
    globals().update(_on_ours())
