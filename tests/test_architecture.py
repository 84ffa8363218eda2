"""The house rules that a reader relies on, kept by reading the source."""

import ast
import re
from configparser import ConfigParser
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import llmedge

SOURCE = Path(llmedge.__file__).parent
TESTS = Path(__file__).parent
LAYERS = {
    "tap": {
        "graph",
        "guards",
        "pipeline",
        "descriptors",
        "signals",
        "service",
        "banner",
        "web",
        "observe",
        "endpoints",
        "providers",
        "asking",
        "store",
    },
    "signals": {"service"},
    "service": {"graph", "banner", "web", "observe", "endpoints", "secret_files"},
    "asking": {"providers", "upstream"},
    "secret_files": set(),
    "graph": {
        "guards",
        "cache",
        "web",
        "identity",
        "pipeline",
        "providers",
        "dialects",
        "upstream",
        "state",
        "observe",
        "store",
        "admin",
        "redis",
    },
    "banner": {"identity"},
    "descriptors": set(),
    "cli": {"cache", "guards"},
    "admin": {"cache", "web", "identity", "store", "state"},
    "web": {"driver", "pipeline", "call", "streams", "dialects", "state", "identity"},
    "identity": set(),
    "pipeline": {"guards", "cache", "providers", "call", "streams", "dialects", "upstream", "state", "driver"},
    "guards": {"providers", "call", "dialects", "upstream", "state", "plugins"},
    "cache": {"call", "streams", "dialects", "driver", "redis", "state"},
    "driver": set(),
    "providers": {"call", "streams", "dialects", "upstream", "plugins"},
    "call": {"dialects"},
    "streams": set(),
    "plugins": set(),
    "dialects": set(),
    "upstream": set(),
    "redis": {"upstream"},
    "state": set(),
    "store": {"state", "identity"},
    "observe": set(),
    "endpoints": set(),
    "sockets": set(),
    "deadlines": set(),
    "threads": set(),
    "tls": set(),
    "files": set(),
    "config": set(),
    "model": set(),
    "record": set(),
    "entities": set(),
    "operations": set(),
    "errors": set(),
    "money": set(),
    "_version": set(),
    "body": set(),
    "backpressure": set(),
}
EVERYONE_MAY = {
    *(
        *("body", "backpressure"),
        "deadlines",
        "threads",
        "tls",
        "files",
        "config",
        "sockets",
        "model",
        "record",
        "operations",
        "errors",
        "entities",
        "money",
        "_version",
    ),
}
GROUND = {
    "config": {"_version", "operations"},
    "model": {"errors", "config"},
    "entities": set(),
    "operations": set(),
    "errors": set(),
    "money": set(),
    "_version": set(),
}


def imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return names


def module(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")


def room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


class Architecture(SynchronousTestCase):
    def test_imports_go_downward_only(self) -> None:
        """Each room imports only what lies below it."""
        for path in SOURCE.rglob("*.py"):
            here = room(path)
            if here == "__init__":
                continue
            self.assertIn(here, LAYERS, f"{path} is in no layer: add it to the map, and to docs/architecture.rst")
            allowed = LAYERS[here] | (GROUND.get(here, EVERYONE_MAY)) | {here}
            for name in imports(path):
                parts = name.split(".")
                if parts[0] == "llmedge" and len(parts) > 1:
                    self.assertIn(parts[1], allowed, f"{path.relative_to(SOURCE)} imports {name}")

    def test_no_circles(self) -> None:
        """Neither between files, in whatever room, nor between rooms: each can be read knowing only what is below it.
        What is imported for its types counts."""
        modules = {module(path): path for path in SOURCE.rglob("*.py")}
        files: dict[str, set[str]] = {}
        for name, path in modules.items():
            found = imports(path) & (modules.keys() - {name})
            packages = {other.rpartition(".")[0] for other in found}  # of what is imported from them
            files[name] = {other for other in found if other not in packages}
        rooms: dict[str, set[str]] = {room(path): set() for path in modules.values()}
        for name, path in modules.items():
            rooms[room(path)] |= {room(modules[other]) for other in files[name]} - {room(path), "__init__"}
        for graph in (files, rooms):
            try:
                TopologicalSorter(graph).prepare()
            except CycleError as circle:
                self.fail(" imports ".join(reversed(circle.args[1])))

    def test_only_tap_touches_the_global_reactor(self) -> None:
        """Reactor and clock are given, not found."""
        for path in SOURCE.rglob("*.py"):
            if room(path) != "tap":
                self.assertNotIn("twisted.internet.reactor", imports(path), str(path))

    def test_no_file_is_about_two_things(self) -> None:
        """Past 450 lines a file has a second subject; one of tests, which has more of the same, past 500."""
        for folder, most in ((SOURCE, 450), (TESTS, 500)):
            for path in folder.rglob("*.py"):
                self.assertLess(len(path.read_text().splitlines()), most, str(path))

    def test_tests_write_into_folders_of_their_own(self) -> None:
        """No path of a test begins in the current folder."""
        for path in TESTS.rglob("*.py"):
            self.assertEqual(re.findall(r'(?<![.\w])(?:Path|open)\("(?!/)[^"]+"', path.read_text()), [], str(path))

    def test_the_map_of_the_tests_names_what_is_there(self) -> None:
        """Whoever looks for a source file's tests in tests/README.rst finds them."""
        page = (TESTS / "README.rst").read_text()
        names = set(re.findall(r"\b((?:\w+/)*test_[a-z0-9_]+)``", page))
        self.assertGreater(len(names), 50)
        there = [path.relative_to(TESTS).with_suffix("") for path in TESTS.rglob("test_*.py")]
        self.assertEqual(names - {path.as_posix() for path in there} - {path.name for path in there}, set())

    def test_every_source_file_has_tests(self) -> None:
        """In a module of its name, or in those that tests/README.rst names; and it names no file that is not there."""
        table = (TESTS / "README.rst").read_text().partition("\nSource  ")[2].partition("\n\n")[0]
        elsewhere = set()
        for row in re.findall(r"^((?:``[\w/]+``(?:, )?)+) +\S", table, re.MULTILINE):
            folder, _, first = re.findall(r"``([\w/]+)``", row)[0].rpartition("/")
            elsewhere |= {Path(folder, first), *(Path(folder, name) for name in re.findall(r", ``(\w+)``", row))}
        for name in elsewhere:
            self.assertTrue((SOURCE / name).is_dir() or (SOURCE / f"{name}.py").exists(), str(name))
        for path in SOURCE.rglob("*.py"):
            name = path.relative_to(SOURCE).with_suffix("")
            if path.stem != "__init__" and not elsewhere & {name, *name.parents}:
                self.assertTrue((TESTS / name.parent / f"test_{path.name}").exists(), str(name))

    def test_pages_name_files_that_are_there(self) -> None:
        """``room/file`` on a page is a file of that room."""
        root = Path(__file__).parent.parent
        rooms = "|".join(path.name for path in SOURCE.iterdir() if path.is_dir())
        for page in (root / "CONTRIBUTING.rst", *(root / "docs").rglob("*.rst")):
            for name in re.findall(rf"``(?:src/llmedge/)?((?:{rooms})/\w+)(?:\.py)?``", page.read_text()):
                self.assertTrue((SOURCE / name).is_dir() or (SOURCE / f"{name}.py").exists(), f"{page}: {name}")

    def test_every_package_is_installed(self) -> None:
        """``setup.cfg`` names them one by one; a wheel has those only."""
        config = ConfigParser()
        config.read(SOURCE.parent.parent / "setup.cfg")
        named = {each for each in config["options"]["packages"].split() if each.startswith("llmedge")}
        found = {".".join(path.parent.relative_to(SOURCE.parent).parts) for path in SOURCE.rglob("__init__.py")}
        self.assertEqual(named, found)

    def test_the_plugin_imports_nothing_of_ours(self) -> None:
        """klein imports the reactor: whoever loads the plugin must still be free to choose one."""
        plugin = Path(__file__).parent.parent / "twisted" / "plugins" / "llmedge_plugin.py"
        self.assertFalse([name for name in imports(plugin) if name.startswith(("llmedge", "klein"))])
