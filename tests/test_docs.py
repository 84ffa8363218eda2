"""The documentation says what the code does: settings, variables, errors, metrics, and examples that load."""

import ast
import importlib.util
import json
import re
import runpy
import textwrap
import tomllib
from pathlib import Path
from random import Random
from typing import Any

import attrs
from jsonschema import Draft202012Validator
from prometheus_client import CollectorRegistry
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge import errors
from llmedge.cache.semantic.state import SemanticState
from llmedge.cache.state import CacheState
from llmedge.config import settings, vendors
from llmedge.config.capabilities import Capabilities
from llmedge.config.catalogue import VENDORS
from llmedge.config.schema import schema
from llmedge.config.sections.guardrails import Guardrail
from llmedge.config.sections.providers import Provider
from llmedge.config.sections.routing import Routing
from llmedge.config.sections.semantic import Semantic
from llmedge.config.sections.server import Server
from llmedge.config.settings import Settings
from llmedge.guards.registry import GuardTypes
from llmedge.guards.stats import GuardStats
from llmedge.identity.jwks import Fetches
from llmedge.observe.metrics import Metrics
from llmedge.operations import ENDPOINTS
from llmedge.pipeline.verdicts import VERDICTS, Next
from llmedge.providers.registry import OURS
from llmedge.record import FACTS
from llmedge.redis.connect import connect
from llmedge.store.store import Store
from tests.e2e.certificates import Authority
from tests.fakes import load, write_service_account
from tests.folders import new_folder
from tests.pipeline.meaning import Aside

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
SOURCE = Path(settings.__file__).parent.parent


def extension(name: str = "settings_reference") -> Any:
    """A Sphinx extension of ours, which needs no Sphinx for this."""
    spec = importlib.util.spec_from_file_location(name, DOCS / "_ext" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows(page: str) -> list[str]:
    """The rows of the list-tables of ``page``."""
    return re.split(r"\n +\* - ", (DOCS / page).read_text())[1:]


def stray_asterisks(text: str) -> list[str]:
    """What has an asterisk in ``text`` (reST) that is neither in a literal nor around words that it stresses.

    ``gpt-*, o1-*`` is not even an error: the page shows ``gpt-`` and a stressed comma.
    """
    text = re.sub(r"(?m)^( *)(?:.*::\n|\.\. .*::.*\n)(?:(?:\1 +.*)?\n)+", "\n", text)  # blocks of code, and directives
    text = re.sub(r"(?s)``.+?``", "", text)
    text = re.sub(r"(?<![\w*/-])(\*{1,2})(?=\S)[^*,]+(?<=\S)\1(?![\w*])", "", text)
    return [line for line in re.sub(r"(?m)^ *\* ", "", text).splitlines() if "*" in line]


def plugin_example() -> Any:
    """The vendor that plugins.rst teaches."""
    code = re.search(r"code-block:: python\n\n((?: {4}.*\n|\n)+)", (DOCS / "plugins.rst").read_text())
    assert code is not None
    module: dict[str, Any] = {"__name__": "acme"}
    exec(textwrap.dedent(code[1]), module)
    return module["acme"]


def guard_example() -> Any:
    """The type of guardrail that guardrails.rst teaches."""
    code = re.search(r"code-block:: python\n\n((?: {4}.*\n|\n)+)", (DOCS / "guardrails.rst").read_text())
    assert code is not None
    module: dict[str, Any] = {"__name__": "contracts"}
    exec(textwrap.dedent(code[1]), module)
    return module["contracts"]


def reads() -> tuple[set[str], set[str]]:
    """The attributes that code reads of anything, and those it reads of a :class:`Capabilities`.

    Such a one is what another object has as ``capabilities``, what a function gives that says so, and what has got a
    name in the same function. What merely has the name of a capability does not count.
    """
    capable: set[str] = set()
    nodes = [node for path in SOURCE.rglob("*.py") for node in ast.walk(ast.parse(path.read_text()))]
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    makers = {each.name for each in functions if getattr(each.returns, "id", None) == "Capabilities"}

    def is_one(node: ast.expr, names: set[str]) -> bool:
        if isinstance(node, ast.Call):
            called = node.func
            return getattr(called, "attr", None) in makers or getattr(called, "id", None) in makers
        return getattr(node, "attr", None) == "capabilities" or getattr(node, "id", None) in names

    for function in functions:
        names: set[str] = set()
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and is_one(node.value, set()):
                names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        for node in ast.walk(function):
            if isinstance(node, ast.Attribute) and is_one(node.value, names):
                capable.add(node.attr)
    return {node.attr for node in nodes if isinstance(node, ast.Attribute)}, capable


def vendor_variables() -> set[str]:
    return set(vendors.variables())


class Reference(SynchronousTestCase):
    def setUp(self) -> None:
        self.extension = extension()
        self.text = self.extension.reference()

    def part(self, header: str) -> str:
        """What the reference says under ``header``."""
        return self.text.partition(f"\n``{header}``\n")[2].partition("\n.. _settings-")[0]

    def test_every_setting(self) -> None:
        """Each setting is under its section's header, with kind, meaning and variables."""
        seen = set()
        for header, cls, env in self.extension.sections(Settings):
            part = self.part(header)
            for variable in env:
                self.assertIn(f"``{variable}``", part)
            for field in attrs.fields(cls):
                option = field.metadata.get("option")
                if option is None or (field.inherited and issubclass(cls, (Provider, Guardrail))):
                    continue
                owner = next(each for each in cls.__mro__ if field.name in vars(each).get("__annotations__", {}))
                seen.add((owner, field.name))
                entry = part.partition(f"\n``{field.name}``\n")[2].partition("\n.. _setting-")[0].replace("\\", "")
                self.assertIn(option.doc, entry, f"{header} {field.name}")
                self.assertIn(option.kind.name, entry, f"{header} {field.name}")
                for variable in option.env:
                    self.assertIn(f"``{variable}``", entry)
        defined = sum(module.read_text().count(" = option(") for module in SOURCE.rglob("*.py"))
        self.assertEqual(len(seen), defined, "a section that the reference does not reach")

    def test_nested_sections(self) -> None:
        for header in (
            "[server]",
            "[[auth.keys]]",
            "[providers.NAME]",
            "[providers.bedrock]",
            "[models.NAME]",
            "[models.NAME.capabilities]",
            '[[guardrails]] type = "webhook"',
        ):
            self.assertTrue(self.part(header), header)

    def test_defaults_are_toml(self) -> None:
        part = self.part("[server]") + self.part("[cors]") + self.part("[auth]")
        for words in ('default ``"0.0.0.0:8080"``', "default ``30.0``", "default ``true``", "default ``600``"):
            self.assertIn(words, part)
        self.assertIn('default ``["GET", "POST", "OPTIONS"]``', part)
        self.assertIn("not set by default", self.part("[tls]"))

    def test_what_nothing_heeds_is_named(self) -> None:
        """What the definitions call not heeded is what nobody reads, and what the page lists."""
        read, capable = reads()
        self.assertIn("system", read - capable)  # of other things
        unread = {
            f"{header.strip('[]')}.{field.name}"
            for header, cls, _ in self.extension.sections(Settings)
            for field in attrs.fields(cls)
            if "option" in field.metadata and field.name not in (capable if cls is Capabilities else read)
        }
        declared = {
            f"{header.strip('[]')}.{field.name}"
            for header, cls, _ in self.extension.sections(Settings)
            for field in attrs.fields(cls)
            if "option" in field.metadata and not field.metadata["option"].heeded
        }
        self.assertEqual(declared, unread)
        page = (DOCS / "configuration.rst").read_text()
        listed = page.partition("\nNot heeded yet\n")[2].partition("\nReference\n")[0]
        named = set(re.findall(r"``([a-zA-Z_.]+\.[a-z_]+)``", listed))
        self.assertEqual(named, declared)


class Pages(SynchronousTestCase):
    def test_every_error(self) -> None:
        """Code, status and type of each error are in one row of the table."""
        table = rows("http-api.rst")
        family = [errors.EdgeError]
        for cls in family:
            family += cls.__subclasses__()
        for cls in family:
            if not cls.__module__.startswith("llmedge."):
                continue
            row = [row for row in table if row.startswith(f"``{cls.code}``")]
            self.assertEqual(len(row), 1, cls.code)
            self.assertIn(f"- {cls.status}\n", row[0], cls.__name__)
            self.assertIn(f"- ``{cls.type}``\n", row[0], cls.__name__)

    def test_every_endpoint(self) -> None:
        """The table has a row for each endpoint, but for those at a second path, which the text below it names."""
        page = (DOCS / "http-api.rst").read_text()
        self.assertIn("\n.. operations-table::\n", page)
        table = extension("operations_table").table()
        found = re.findall(r"\* - ``(.+) (.+)``\n +- (.+)\n +- (.+)", table)
        listed = [each for each in ENDPOINTS if each.summary]
        self.assertEqual([row[:2] for row in found], [(each.method, each.path) for each in listed])
        for row, each in zip(found, listed, strict=True):
            self.assertEqual(row[2].partition("; ")[0], each.summary.partition("; ")[0])
        self.assertIn(("POST", "/v1/images/edits", "pictures from pictures; multipart; passed through", "yes"), found)
        self.assertIn(("GET", "/metrics", "Prometheus metrics; 404 if off", "with ``auth.metrics``"), found)
        self.assertIn("Gemini's paths work below ``/v1/models/`` too", page)

    def test_every_fact(self) -> None:
        """A row each, with what it says and where."""
        page = (DOCS / "operations.rst").read_text()
        found = re.findall(r"    \* - ``(\w+)``\n      - (.*)\n      -(?: (.*))?\n", page)
        rows = {name: (doc, elsewhere) for name, doc, elsewhere in found}
        for fact in FACTS:
            metric = "" if fact.metric is None else "{}{{{}}}".format(*fact.metric)
            elsewhere = ", ".join(f"``{each}``" for each in (fact.attribute, fact.header, metric) if each)
            self.assertEqual(rows.get(fact.name), (fact.doc, elsewhere))

    def test_every_metric(self) -> None:
        """Each llm_* metric is in one row of the table, with its type and labels, and no other is."""
        registry = CollectorRegistry()
        metrics = Metrics(registry)
        metrics.show(GuardStats())
        metrics.show(Store(Clock(), load({"LLMEDGE_STORE": f"sqlite:{new_folder()}/llmedge.db"})))
        cache = CacheState(Clock(), 1)
        cache.semantic = SemanticState(Semantic(), Aside())
        metrics.show(cache)
        metrics.show(Fetches())
        metrics.show(connect(Clock(), load({"LLMEDGE_REDIS": "redis://r"}), Random()))
        table = {row.partition("``\n")[0].strip("`"): row for row in rows("operations.rst") if row.startswith("``llm_")}
        names = set()
        for family in registry.collect():
            if not family.name.startswith("llm_"):
                continue
            name = family.name + ("_total" if family.type == "counter" else "")
            names.add(name)
            self.assertIn(name, table)
            self.assertIn(f"- {family.type}\n", table[name])
            labels = getattr(family, "_labelnames", None)
            if labels is None:
                labels = getattr(registry._names_to_collectors.get(name), "_labelnames", ())
            self.assertEqual(re.findall(r"``(\w+)``", table[name].split("\n")[2]), list(labels), name)
        self.assertEqual(set(table), names)

    def test_examples_load(self) -> None:
        """Each TOML example, README's too, loads with the variables it names set and the files it names there."""
        count = 0
        authority = Authority()
        cert, key = authority.issue("gateway", "gateway.example", client=True)
        files = {
            "service-account.json": str(write_service_account()),
            "/etc/llmedge/corp.pem": authority.path,
            "/etc/llmedge/gateway.pem": cert,
            "/etc/llmedge/gateway-key.pem": key,
        }
        file = new_folder() / "example.toml"
        secret = file.with_name("secret")
        secret.write_text("a-secret")
        known = OURS | {"acme": plugin_example()}
        guards = {**GuardTypes(), "contracts": guard_example()}
        validator = Draft202012Validator(json.loads(schema(known, guards)))
        for page in (ROOT / "README.rst", *DOCS.glob("*.rst")):
            for block in re.findall(r"(?<=::|ml)\n\n((?: {4}.*\n|\n)+)", page.read_text()):
                example = textwrap.dedent(block)
                if not example.startswith("["):
                    continue
                count += 1
                text = example
                for name, path in files.items():
                    text = text.replace(name, path)
                file.write_text(text := re.sub(r'"file:/[^"]+"', f'"file:{secret}"', text))
                names = set(re.findall(r'"env:(\w+)"', example))
                environ = {name: f"value-of-{name}" for name in names}
                found = load(environ, str(file), vendors=known, guards=guards)
                self.assertTrue(found.providers)
                self.assertEqual([error.message for error in validator.iter_errors(tomllib.loads(example))], [])
        self.assertGreater(count, 3)

    def test_asterisks_are_shown(self) -> None:
        """Names with a star are literals, on every page that is built or shown by a git host."""
        for text, stray in (
            ("gpt-*, chatgpt-*", True),
            ("models are *, or none", True),
            ("a *mock* vendor, **never** ``gpt-*``\n\n* and so on", False),
            ("so::\n\n    models = gpt-*\n\nand *on*", False),
            ("so::\n\n    models = gpt-*\n\nand on-*", True),
        ):
            self.assertEqual(bool(stray_asterisks(text)), stray, text)
        pages = [*ROOT.glob("*.rst"), *DOCS.rglob("*.rst"), *(ROOT / "tests").glob("*.rst")]
        self.assertEqual({str(page): found for page in pages if (found := stray_asterisks(page.read_text()))}, {})
        self.assertEqual(stray_asterisks(extension().reference().replace("\\*", "")), [])
        for fragment in (ROOT / "newsfragments").glob("*.rst"):
            self.assertEqual(stray_asterisks(fragment.read_text()), [], fragment)

    def test_readme_configures_what_it_says(self) -> None:
        block = re.search(r"\n\n( {4}\[server\]\n(?: {4}.*\n)+)", (ROOT / "README.rst").read_text())
        assert block is not None
        file = new_folder() / "readme.toml"
        file.write_text(textwrap.dedent(block[1]))
        found = load({"TEAM_A_KEY": "a-key", "OPENAI_API_KEY": "another"}, str(file))
        self.assertEqual([key.name for key in found.auth.keys], ["team-a"])
        self.assertEqual(found.providers["openai"].base_url, "https://api.openai.com/v1")
        self.assertEqual([str(each) for each in found.models["gpt-4"].targets], ["local/tiny", "openai/gpt-4o"])

    def test_env_example(self) -> None:
        """Every variable there is, and no other, each once, with its default; as it stands it sets nothing, since
        what it sets would stand over a file."""
        text = (ROOT / ".env.example").read_text()
        lines = re.findall(r"(?m)^#?([A-Z0-9_]+)=(.*)$", text)
        names = [name for name, _ in lines]
        self.assertEqual(len(names), len(set(names)))
        self.assertEqual(set(names), set(extension().variables()) | vendor_variables() | {"LLMEDGE_CONFIG"})
        self.assertEqual(load(dict(lines)), load({}))
        self.assertEqual(re.findall(r"(?m)^[A-Z0-9_]+=.+$", text), [])

    def test_every_vendor(self) -> None:
        """The table of vendors is the catalogue's, row by row, and each has a two-line example where two lines do."""
        table = rows("vendors.rst")[1:]
        self.assertEqual(len(table), len(VENDORS))
        page = (DOCS / "vendors.rst").read_text()
        for row, vendor in zip(table, VENDORS.values(), strict=True):
            variable = ", else ".join(f"``{name}``" for name in vendor.env)
            if not variable:
                variable = "``OLLAMA_HOST``" if vendor.name == "ollama" else "none"
            cells = [
                f"``{vendor.name}``",
                variable,
                f"``{vendor.base_url}``" if vendor.base_url else "yours",
                *(
                    ", ".join(f"``{name}``" for name in paths) or "none"
                    for paths in (vendor.dialects, vendor.passthrough)
                ),
            ]
            self.assertEqual(re.split(r"\n +- ", row.partition("\n\n")[0].strip()), cells)
            self.assertIn(f"\n    [providers.{vendor.name}]\n", page)

    def test_every_verdict(self) -> None:
        """The table of what went wrong is the code's, row by row."""
        then = {
            Next.RETRY: "elsewhere, else here again",
            Next.ELSEWHERE: "elsewhere",
            Next.LARGER: "a larger window",
            Next.ANSWER: "the client is told",
        }
        found = [re.split(r"\n +- ", row.partition("\n\n")[0].strip()) for row in rows("routing.rst")[1:]]
        expected = [
            [
                f"``{cause}``",
                then[verdict.next],
                *("yes" if each else "no" for each in (verdict.unhealthy, verdict.billed)),
            ]
            for cause, verdict in VERDICTS.items()
        ]
        self.assertEqual([[cause, *more] for cause, _, *more in found], expected)

    def test_routing_defaults(self) -> None:
        """The numbers the page names are the defaults."""
        page = " ".join((DOCS / "routing.rst").read_text().split())
        for name, value in re.findall(r"``(\w+)`` \(([\d.]+)(?: s)?\)", page):
            section = next(s for s in (Routing, Server) if hasattr(s(), name))
            self.assertEqual(float(value), getattr(section(), name), name)
        self.assertIn("``routing.retries`` (2)", page)
        self.assertIn("``server.timeout`` (30 s)", page)
        self.assertEqual((Routing().retries, Server().timeout), (2, 30.0))
        self.assertEqual((Routing().hedge_ratio, Routing().breaker_failures), (0.05, 5))

    def test_news_that_wait(self) -> None:
        """Every fragment is on the page of news, under its kind; of each kind that towncrier knows there is a list."""
        news = extension("waiting_news")
        text = news.waiting()
        fragments = [*(ROOT / "newsfragments").glob("*.rst")]
        self.assertEqual(text.count("\n- ") + text.startswith("- "), len(fragments))
        for fragment in fragments:
            self.assertIn(fragment.read_text().split("\n")[0], text)
        kinds = {fragment.name.split(".")[1] for fragment in fragments}
        self.assertEqual(kinds - set(news.KINDS), set())

    def test_pictures(self) -> None:
        """What their script draws is what the page shows."""
        drawn = runpy.run_path(str(DOCS / "pictures" / "call.py"))["picture"]()
        self.assertEqual((DOCS / "pictures" / "call.svg").read_text(), drawn)

    def test_ways_in(self) -> None:
        """Nine wishes on the first page, each with a page."""
        _, _, wishes = (DOCS / "index.rst").read_text().partition("\nI want to …\n")
        self.assertEqual(len(re.findall(r"(?m)^- :doc:`[^`<]+ <[a-z-]+>`", wishes)), 9)

    def test_units_are_alike(self) -> None:
        """The one for several gateways has the rights, limits and times of the one for one."""
        one, several = (
            [
                line
                for line in (DOCS / f"llmedge{sign}.service").read_text().splitlines()
                if line and not line.startswith(("#", "ExecStart=", "Description=", "RuntimeDirectory="))
            ]
            for sign in ("", "@")
        )
        self.assertEqual(one, several)
        self.assertGreater(len(one), 30)

    def test_pages_are_reached(self) -> None:
        """Each page is in the table of contents."""
        pages = {page.stem for page in DOCS.glob("*.rst")} - {"index"}
        self.assertEqual(set(re.findall(r"(?m)^    ([a-z-]+)$", (DOCS / "index.rst").read_text())), pages)
