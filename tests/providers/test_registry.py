"""All vendors are one kind of thing: the catalogue's, those with a module of their own, and plugins."""

import subprocess
import sys
from typing import Any

import attrs
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from llmedge.config import ConfigError
from llmedge.config.catalogue import VENDORS
from llmedge.config.sections.providers import Provider
from llmedge.config.sections.upstream import Upstream
from llmedge.providers.interfaces import IVendor
from llmedge.providers.registry import OURS, Vendors, provider_of, vendor_behind
from llmedge.upstream.client import Client
from tests.fakes import settings


class Registry(SynchronousTestCase):
    def test_each_is_what_plugins_are(self) -> None:
        for name, vendor in OURS.items():
            verifyObject(IVendor, vendor)
            self.assertEqual(vendor.name, name)
            self.assertTrue(issubclass(vendor.settings, Provider))
            self.assertEqual(name in VENDORS, vendor.otel_name != "", name)
        self.assertLess(set(VENDORS), set(OURS))

    def test_no_option_is_two_vendors(self) -> None:
        """Whoever writes one in the wrong table is told whose it is."""
        names = [field.name for each in OURS.values() for field in attrs.fields(each.settings) if not field.inherited]
        own = [name for name in names if name not in attrs.fields_dict(Provider)]
        self.assertEqual(len(own), len(set(own)))

    def test_a_vendor_that_is_not_there(self) -> None:
        """A plugin that was there when the file was read."""
        gone = Provider(vendor="gone")
        error = self.assertRaises(ConfigError, vendor_behind, "p", gone)
        self.assertEqual(str(error), "providers.p.vendor is not in the catalogue, and no plugin: 'gone'")
        self.assertIn("groq", list(Vendors()))
        self.assertEqual(len(Vendors()), len(list(Vendors())))

    def test_a_provider_that_cannot_be_made(self) -> None:
        """A vendor's own words, as a mistake of the configuration."""

        class Broken:
            def provider(self, *args: Any) -> Any:
                raise ValueError("has no greeting")

        self.patch(sys.modules[provider_of.__module__], "OURS", OURS | {"broken": Broken()})
        client = Client(Clock(), Upstream())
        error = self.assertRaises(ConfigError, provider_of, "p", Provider(vendor="broken"), client, None, None)
        self.assertEqual(str(error), "providers.p has no greeting")

    def test_mock_by_either_name(self) -> None:
        """``dialect`` and ``vendor`` both choose it, and it has its options."""
        for line in ('dialect = "mock"', 'vendor = "mock"'):
            found: Any = settings(f"[providers.p]\n{line}\nlatency = 2\n").providers["p"]
            self.assertEqual((found.vendor, found.latency, found.fault), ("mock", 2.0, "none"))

    def test_what_only_some_need_is_not_imported(self) -> None:
        """Nobody configured Bedrock or Vertex."""
        code = (
            "import sys, llmedge.tap\n"
            "print([name for name in ('botocore', 'treq', 'llmedge.providers.google_token', 'llmedge.providers.sigv4',"
            " 'llmedge.config.schema', 'genai_prices') if name in sys.modules])"
        )
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        self.assertEqual(out, "[]\n")
