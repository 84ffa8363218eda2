"""How the exporters are told to go the same way as everything else."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from llmedge.config import ConfigError
from llmedge.config.pem import read_certificates
from llmedge.config.proxy import parse_proxy
from llmedge.config.sections.upstream import Upstream
from llmedge.observe.collector_way import grpc_way, http_way
from tests.e2e.certificates import Authority

PLAIN, SECURE = "http://collector.example:4317", "https://collector.example:4317"
PROXY = "http://us%40er:pa%3Ass@proxy.example:3128"


class Ways(SynchronousTestCase):
    def setUp(self) -> None:
        self.upstream = Upstream(https_proxy=parse_proxy(PROXY), no_proxy=("collector.inside",))

    def test_grpc(self) -> None:
        """Told what to do, it does not go by variables of its own."""
        for endpoint, option in (
            (SECURE, ("grpc.http_proxy", PROXY)),
            (PLAIN, ("grpc.enable_http_proxy", 0)),
            ("https://collector.inside:4317", ("grpc.enable_http_proxy", 0)),
        ):
            self.assertEqual(grpc_way(endpoint, self.upstream), {"channel_options": (option,)})

    def test_http(self) -> None:
        for endpoint, proxies in (
            (SECURE, {"http": PROXY, "https": PROXY}),
            (PLAIN, {}),
            ("https://collector.inside:4317", {}),
        ):
            way = http_way(endpoint, self.upstream)
            self.assertEqual(dict(way["session"].proxies), proxies)
            self.assertFalse(way["session"].trust_env)
            self.assertNotIn("certificate_file", way)

    def test_trust(self) -> None:
        """Whom all vendors are held against, the collector is, too, unless its own variable says otherwise."""
        upstream = Upstream(ca_file=read_certificates(Authority().path))
        assert upstream.ca_file is not None
        self.assertEqual(http_way(SECURE, upstream)["certificate_file"], upstream.ca_file.path)
        self.assertIn("credentials", grpc_way(SECURE, upstream))
        self.assertNotIn("credentials", grpc_way(PLAIN, upstream))
        self.patch_variable("OTEL_EXPORTER_OTLP_CERTIFICATE", "/own.pem")
        self.assertNotIn("certificate_file", http_way(SECURE, upstream))
        self.assertNotIn("credentials", grpc_way(SECURE, upstream))

    def patch_variable(self, name: str, value: str) -> None:
        self.addCleanup(os.environ.pop, name)
        os.environ[name] = value

    def test_what_grpc_cannot(self) -> None:
        """TLS to the proxy itself: it would go straight there instead, and say nothing."""
        upstream = Upstream(http_proxy=parse_proxy("https://u:canary@proxy.example"))
        error = str(self.assertRaises(ConfigError, grpc_way, PLAIN, upstream))
        self.assertIn("https://proxy.example:443", error)
        self.assertNotIn("canary", error)
        self.assertEqual(http_way(PLAIN, upstream)["session"].proxies["http"], "https://u:canary@proxy.example:443")
