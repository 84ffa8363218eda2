"""Where URLs lead."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from llmedge.config import kinds
from llmedge.config.origins import Origin, host_header, origin_of, shown


class Origins(SynchronousTestCase):
    def test_hosts(self) -> None:
        for url, origin, authority in (
            ("https://A.example/v1", Origin("https", "a.example", 443), "a.example:443"),
            ("http://my_vllm:8000/v1", Origin("http", "my_vllm", 8000), "my_vllm:8000"),
            ("http://unix:8000/v1", Origin("http", "unix", 8000), "unix:8000"),
            ("http://[::1]/v1", Origin("http", "::1", 80), "[::1]:80"),
        ):
            self.assertEqual(origin_of(kinds.base_url.from_toml(url, {})), origin)
            self.assertEqual(origin.authority, authority)

    def test_sockets(self) -> None:
        """As nginx, requests-unixsocket and Twisted write them."""
        for text, socket, path in (
            ("unix:/run/vllm.sock:/v1", "/run/vllm.sock", "/v1"),
            ("http://unix:/run/vllm.sock:/v1/", "/run/vllm.sock", "/v1"),
            ("unix:///run/vllm.sock", "/run/vllm.sock", ""),
            ("http+unix://%2Frun%2FvLLM.sock/v1", "/run/vLLM.sock", "/v1"),
            ("unix:/run/a%20b.sock", "/run/a%20b.sock", ""),
        ):
            url = kinds.base_url.from_toml(text, {})
            self.assertEqual(origin_of(url), Origin("http+unix", "localhost", 0, socket))
            self.assertEqual(host_header(url), "localhost")
            self.assertEqual(shown(url), f"unix:{socket}:{path}" if path else f"unix:{socket}")

    def test_what_is_none(self) -> None:
        for text, words in (
            ("unix:run/x.sock", "absolute path"),
            ("http+unix://run/x", "absolute path"),
            ("unix:/run/x.sock:/v1?a=b", "absolute path"),
            ("http://a..b/v1", "no resolver takes"),
            (f"https://{'a' * 64}.example", "no resolver takes"),
            ("https://a b/", "visible ASCII"),
        ):
            error = self.assertRaises(ValueError, kinds.base_url.from_toml, text, {})
            self.assertIn(words, str(error))
