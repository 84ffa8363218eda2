"""``twist llmedge`` and ``twistd llmedge``: reads the configuration and builds everything, once.

The only module that touches the global reactor.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any, NoReturn

from twisted.internet.defer import Deferred
from twisted.logger import FilteringLogObserver, Logger, LogLevel, jsonFileLogObserver, textFileLogObserver
from twisted.python.usage import Options as UsageOptions
from twisted.python.usage import UsageError

from llmedge import graph, signals
from llmedge._version import __version__
from llmedge.banner import banner, keys
from llmedge.config import ConfigError, Settings, load
from llmedge.config.address import endpoint_of
from llmedge.config.whole import EndpointCheck
from llmedge.descriptors import raise_limit, shortage
from llmedge.endpoints import problem
from llmedge.guards.registry import GuardTypes
from llmedge.observe import logs
from llmedge.observe.terminal import text_observer
from llmedge.pipeline.build import stages
from llmedge.pipeline.route import Route
from llmedge.providers.registry import Vendors
from llmedge.service import EdgeService, StartError
from llmedge.web.build import layers

log = Logger()
_WORD = re.compile(r"(?<!^)(?=[A-Z])")
"""Between two words of a class's name."""
_ADDRESS = re.compile(r"(?:\d+\.\d+\.\d+\.\d+|localhost|\[[0-9a-fA-F:.%\w]+\]|):\d+")
"""What cannot be an endpoint string; a name before a port might be a kind of endpoint."""


class Options(UsageOptions):
    """Command line of ``twist llmedge``."""

    synopsis = "[--port ENDPOINT]... [--admin-port ENDPOINT]... [--config FILE] [--check [--ask] | --migrate]"
    longdesc = (
        "An LLM edge gateway. Without any configuration it listens on 0.0.0.0:8080, serves the vendors whose key "
        "is in the environment (OPENAI_API_KEY, ANTHROPIC_API_KEY, GEMINI_API_KEY and others), or a mock vendor, "
        "and lets in callers on this machine only. --schema lists every setting; README.rst and docs/ of the "
        "source tell the rest."
    )
    optFlags = [
        ["check", None, "Say whether the configuration is good and what would run; do not listen."],
        ["ask", None, "With --check: ask each vendor for its models, and say what it answers."],
        ["migrate", None, "Bring the store's database up to this release, say what was done, and end."],
    ]
    settings: Settings
    doubts: list[str]

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # twisted has no types here
        self["ports"] = []
        self["admin-ports"] = []
        self["config"] = None

    def parseOptions(self, options: Any = None) -> None:
        try:
            super().parseOptions(options)  # type: ignore[no-untyped-call]  # twisted has no types here
        except UsageError as error:  # twist would print all its usage behind it
            _stop(f"{error}; twist llmedge --help says what there is")

    def opt_port(self, endpoint: str) -> None:
        """Endpoint to listen on, such as tcp:8080 or ssl:8443. May be given several times."""
        self["ports"].append(_endpoint(endpoint))

    opt_p = opt_port

    def opt_admin_port(self, endpoint: str) -> None:
        """Endpoint for operators only: takes /health and /metrics off the others. May be given several times."""
        self["admin-ports"].append(_endpoint(endpoint))

    def opt_config(self, path: str) -> None:
        """TOML file with the configuration (default: the variable LLMEDGE_CONFIG, else none)."""
        self["config"] = path

    opt_c = opt_config

    def opt_schema(self) -> NoReturn:
        """Print the JSON Schema of the configuration file, options of installed plugins included, and exit."""
        from llmedge.config.schema import schema

        print(schema(Vendors(), GuardTypes()), end="")
        raise SystemExit(0)

    def opt_version(self) -> NoReturn:
        """Print the version and exit."""
        print(f"llmedge {__version__}")
        raise SystemExit(0)

    def parseArgs(self, *rest: str) -> None:
        if rest:
            _stop(f"there is no argument {rest[0]!r}; twist llmedge --help says what there is")

    def postOptions(self) -> None:
        if self["ask"] and not self["check"]:
            _stop("--ask goes with --check")
        self.doubts = []
        try:
            self.settings = self._load(self.doubts.append, problem)
        except ConfigError as error:
            _stop(str(error))
        if self["check"]:
            _check(self.settings, self.doubts, self["ask"])
        if self["migrate"]:
            _migrate(self.settings)
        self._take_over_logging()

    def load(self) -> Settings:
        """Read flags, environment and file again; endpoints stay what they are.

        :raises ConfigError: they cannot be used.
        """
        return self._load(_warn)

    def read(self, text: str) -> Settings:
        """The same with ``text`` in the place of the file's.

        :raises ConfigError: it cannot be used.
        """
        return self._load(lambda doubt: None, problem, text)

    def _load(
        self, doubt: Callable[[str], None], endpoint_check: EndpointCheck | None = None, text: str | None = None
    ) -> Settings:
        config = self["config"] or os.environ.get("LLMEDGE_CONFIG") or None
        config = config if text is None else "configuration"
        ports, admin_ports = self["ports"], self["admin-ports"]
        return load(
            os.environ,
            config,
            ports,
            admin_ports,
            vendors=Vendors(),
            guards=GuardTypes(),
            endpoint_check=endpoint_check,
            doubt=doubt,
            text=text,
        )

    def _take_over_logging(self) -> None:
        """Have twist or twistd log through us: JSON lines where it would write JSON or a plain file."""
        logs.levels.set(self.settings.log)
        parent: Any = self.parent
        if parent is None:
            return
        if "fileLogObserverFactory" in parent:  # twist
            chosen = parent["fileLogObserverFactory"]
            if chosen is jsonFileLogObserver:
                parent["fileLogObserverFactory"] = lambda out: logs.sole(
                    logs.JsonLog(out, logs.levels), parent["logLevel"]
                )
            elif chosen is textFileLogObserver:
                levels: Any = logs.levels  # mypy knows no ILogFilterPredicate
                parent["fileLogObserverFactory"] = lambda out: FilteringLogObserver(text_observer(out), [levels])
            if parent["logLevel"] is LogLevel.info:  # its default: ours decide
                parent["logLevel"] = LogLevel.debug
        elif "logger" in parent and not (parent["logger"] or parent.get("syslog")):  # twistd
            logs.path = parent.get("logfile") or ("-" if parent.get("nodaemon") else "twistd.log")
            parent["logger"] = "llmedge.observe.logs.json_to_path"


def _endpoint(text: str) -> str:
    """A port, or an address as SERVER_ADDRESS has it, is an endpoint too."""
    if text.isdigit():
        return f"tcp:{text}"
    if _ADDRESS.fullmatch(text):
        return endpoint_of(text) or text
    return text


def makeService(options: Options) -> EdgeService:
    """The service for ``options``, not yet listening."""
    from twisted.internet import reactor

    try:
        service = Started(reactor, options.settings, options.load, options.read)
        service.doubts = options.doubts
    except StartError as error:
        _stop(str(error))
    service.host = options.parent or {}
    signals.install(reactor, service)
    return service


class Started(EdgeService):
    """The service of a command line: what keeps it from starting ends the process with one line.

    :ivar doubts: what is hardly meant, to be said when it has started.
    :ivar host: the options of twist or twistd.
    """

    doubts: Sequence[str] = ()
    host: Any = MappingProxyType({})

    def privilegedStartService(self) -> None:
        try:
            super().privilegedStartService()
        except StartError as error:
            self._give_up(str(error))

    def startService(self) -> None:
        if problem := shortage(raise_limit(), self.graph.settings):
            log.warn("{problem}", problem=problem)
        try:
            super().startService()
        except StartError as error:
            self._give_up(str(error))
        for doubt in self.doubts:
            _warn(doubt)

    def _give_up(self, message: str) -> NoReturn:
        """End the process as :func:`_stop` does; a daemon's parent, which waits at a pipe, is told, and ends likewise.

        twistd itself does so for an ``Exception`` only, and has its traceback shown; a pidfile of its own it leaves.
        """
        if self.host.get("pidfile"):
            with suppress(OSError):  # as twistd: who has shed privileges may not
                os.unlink(self.host["pidfile"])
        pipe = self.host.get("statusPipe")
        if pipe is not None:
            log.critical("{message}", message=message)
            logs.finish()
            # Its parent reads no more than that.
            os.write(pipe, f"1 llmedge: {message}".encode("ascii", "backslashreplace")[:100])
        _stop(message)


def _warn(doubt: str) -> None:
    log.warn(doubt.replace("{", "{{").replace("}", "}}"))  # the message is all there is: no field repeats it


def _check(settings: Settings, doubts: Sequence[str], ask: bool) -> NoReturn:
    try:
        if settings.tracing.enabled:
            importlib.import_module("llmedge.observe.tracing").connect(settings.tracing, settings.upstream)
        graph.check(settings)
    except ConfigError as error:
        _stop(str(error))
    for line in (*banner(settings), *keys(settings)):
        print(line)
    for description in settings.server.listen:
        print(f"would listen on {description}")
    for description in settings.admin.listen:
        print(f"would listen for operators on {description}")
    for onion, around in (("http", layers(settings)), ("call", [*stages(settings), Route])):
        print(f"{onion}: {' → '.join(_WORD.sub(' ', layer.__name__).lower() for layer in around)}")
    for doubt in doubts:
        print(f"warning: {doubt}")
    print("configuration: good" + (f", with {len(doubts)} warning{'s' * (len(doubts) > 1)}" if doubts else ""))
    raise SystemExit(0 if not ask or _ask(settings) else 1)


def _ask(settings: Settings) -> bool:
    """Ask all vendors, print what they say; whether all of them could be used."""
    from twisted.internet import reactor as installed

    from llmedge.asking import ask_all

    reactor: Any = installed  # mypy knows the module
    answers: list[bool] = []

    async def run() -> None:
        try:
            async for name, words, good in ask_all(reactor, settings):
                print(f"asked {name}: {words}", flush=True)
                answers.append(good)
        finally:
            reactor.stop()

    reactor.callWhenRunning(lambda: Deferred.fromCoroutine(run()))
    reactor.run()
    return len(answers) == len(settings.providers) and all(answers)


def _migrate(settings: Settings) -> NoReturn:
    if settings.store.url is None:
        _stop("there is no store: store.url (LLMEDGE_STORE) names none")
    store = importlib.import_module("llmedge.store.migrations")  # where there is none, nothing of it is in memory
    try:
        done = store.migrate_alone(settings)
    except (ConfigError, store.DatabaseError) as error:
        _stop(str(error))
    for line in done or ["the database is of this release"]:
        print(line)
    raise SystemExit(0)


def _stop(message: str) -> NoReturn:
    """End the process with one clear message and no traceback."""
    print(f"llmedge: {message}", file=sys.__stderr__)  # twistd may have sent sys.stderr to its log
    raise SystemExit(1)
