"""Asks the admin API of a gateway that runs. Blocking: there is nothing else to do meanwhile."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

TIMEOUT = 60.0
"""Seconds for one answer."""
DEFAULT_URL = "http://127.0.0.1:8080"


class Problem(Exception):
    """What was asked for could not be done; the message says why, in one line.

    :ivar status: of the answer, 0 without one.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class _StayHere(HTTPRedirectHandler):
    """urllib would take the key along to wherever it is sent."""

    def redirect_request(self, *args: Any, **kw: Any) -> None:
        return None


class Client:
    """:param url: of the gateway's admin endpoint. :param key: that may do what is asked, from ``variable``."""

    def __init__(self, url: str, key: str, variable: str = "LLMEDGE_ADMIN_KEY") -> None:
        if urlsplit(url).scheme not in ("http", "https"):
            raise Problem(f"--url must be such as {DEFAULT_URL}, not {url!r}")
        self._url = url.rstrip("/")
        self._key, self._variable = key, variable
        loopback = urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")
        self._opener = build_opener(_StayHere, *([ProxyHandler({})] if loopback else []))

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        version: int | None = None,
    ) -> Any:
        """The document of the answer.

        :param query: those that are empty are left out.
        :param version: of what is changed, where nobody else may have changed it meanwhile.
        :raises Problem: there is none.
        """
        raw = self.read(method, path, body, query, version)
        try:
            return json.loads(raw)
        except ValueError:
            raise Problem(f"{self._url} answered with something that is not JSON: is it a gateway?") from None

    def read(
        self,
        method: str,
        path: str,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        version: int | None = None,
    ) -> bytes:
        """The answer, whatever it is; as :meth:`ask`."""
        asked = urlencode({name: value for name, value in (query or {}).items() if value})
        request = Request(f"{self._url}{quote(path)}{'?' if asked else ''}{asked}", method=method)  # noqa: S310 - http, as seen above
        request.add_header("authorization", f"Bearer {self._key}")
        if version is not None:
            request.add_header("if-match", f'"{version}"')
        if body is not None:
            request.add_header("content-type", "application/json")
            request.data = json.dumps(body).encode()
        try:
            with self._opener.open(request, timeout=TIMEOUT) as answer:
                return bytes(answer.read())
        except HTTPError as error:
            whose = f" ({self._variable} at {self._url})" if error.code == 401 else ""
            raise Problem(_message(error) + whose, error.code) from None
        except (URLError, OSError) as error:
            reason = getattr(error, "reason", error)
            raise Problem(
                f"{self._url} cannot be reached: {reason}. Is the gateway running? (--url, LLMEDGE_URL)"
            ) from None

    def pages(self, path: str, query: Mapping[str, str] | None = None) -> Iterator[dict[str, Any]]:
        """All of a list, page after page."""
        after = ""
        while True:
            page = self.ask("GET", path, query={**(query or {}), "limit": "1000", "after": after})
            yield from page["data"]
            if not (after := page.get("next") or ""):
                return


def _message(error: HTTPError) -> str:
    try:
        message = json.load(error)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        message = f"the gateway answered with status {error.code}"
    return str(message)
