"""The running service: listens, takes a new configuration, renews certificates, and stops without losing a call."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredLock, TimeoutError
from twisted.internet.error import CannotListenError
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from llmedge.banner import banner
from llmedge.config import ConfigError, Settings
from llmedge.config.diff import differences
from llmedge.endpoints import Endpoint, EndpointError, parse
from llmedge.graph import Graph, ProcessState, build
from llmedge.observe import logs
from llmedge.secret_files import SecretFiles
from llmedge.sockets import limit_unsent
from llmedge.tls import ServerTls, TlsError
from llmedge.web.site import EdgeSite

log = Logger()

FILE_CHECK = 5.0
"""Seconds between two looks at the files of certificates and secrets."""
LAST_WORDS = 1.0
"""Seconds that what is said to those who are cut off has to go out."""
_RESTART = ("server.address", "server.listen", "admin.listen", "tls.", "tracing.", "store.", "ledger.")


class StartError(Exception):
    """The service cannot start; the message says why in one line."""


class EdgeService(Service):
    """Everything that runs.

    :param reactor: the one everything inside is given.
    :param reload: reads the configuration again; raises :class:`ConfigError`. :param read: the same with a text in the
        place of the file's.
    :raises StartError: an endpoint cannot be used, OpenTelemetry is asked for and not installed, or a plugin cannot
        make its provider.
    """

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        reload: Callable[[], Settings] | None = None,
        read: Callable[[str], Settings] | None = None,
    ) -> None:
        self._reactor = reactor
        self._reload, self._read = reload, read
        self._reading = DeferredLock()
        self._stopping = False
        self._stop_ticks: Callable[[], None] | None = None
        self._secrets = SecretFiles(self._refused)
        try:
            self._process = ProcessState(reactor, settings, lambda: not self._stopping)
            self._secrets.hear(settings, self._process.observers)
            self._process.read_again, self._process.check = self.read_again, self.check
            self.graph = build(self._process, settings)
            self.graph.enter()
            self._secrets.watch(settings)
        except ConfigError as error:
            raise StartError(str(error)) from None
        self.site = EdgeSite(self.graph.web.resource, reactor, settings.server, self.graph.web.gate)
        self.admin_site = EdgeSite(self.graph.web.admin, reactor, settings.server, self.graph.web.gate)
        self._waiting = [(endpoint, self.site) for endpoint in self._endpoints(settings.server.listen)]
        self._waiting += [(endpoint, self.admin_site) for endpoint in self._endpoints(settings.admin.listen)]
        self._tls: list[ServerTls] = [endpoint.tls for endpoint, _ in self._waiting if endpoint.tls is not None]
        self._ports: list[tuple[Any, EdgeSite]] = []
        self._files = LoopingCall(self._look_at_files)
        self._files.clock = reactor

    def _endpoints(self, descriptions: Sequence[str]) -> list[Endpoint]:
        try:
            return [parse(self._reactor, each, self.graph.settings.tls) for each in descriptions]
        except EndpointError as error:
            raise StartError(str(error)) from None

    # Starting

    def privilegedStartService(self) -> None:
        """Listen, while a daemon still has the rights to (``twistd``)."""
        self._listen()

    def startService(self) -> None:
        """:raises StartError: a port cannot be had."""
        super().startService()  # type: ignore[no-untyped-call]  # twisted has no types here
        self._listen()  # twist has no privileged phase
        self._stop_ticks = self._process.metrics.watch_ticks(self._reactor)
        if self._process.tracing is not None:
            try:
                self._process.tracing.start(self._reactor)
            except ConfigError as error:
                raise StartError(str(error)) from None
        if self._process.store is not None:
            try:
                self._process.store.start()
            except ConfigError as error:
                raise StartError(str(error)) from None
        self._watch_files()
        self.graph.start()
        self._reactor.addSystemEventTrigger("after", "shutdown", logs.finish)
        for line in banner(self.graph.settings):
            log.info(line.replace("{", "{{").replace("}", "}}"))
        # Said when signals are handled too: who has read it may stop the service.
        self._reactor.callWhenRunning(self._say_where)
        self._reactor.callWhenRunning(_freeze_heap)

    def _say_where(self) -> None:
        for port, site in self._ports:
            what = "listening" if site is self.site else "admin listening"
            log.info("{what} on {address}", what=what, address=_address(port.getHost()))

    def _listen(self) -> None:
        for endpoint, site in self._waiting:
            listening: Deferred[Any] = endpoint.listen(site)
            outcome: list[Any] = []
            listening.addBoth(outcome.append)
            if not outcome:
                raise StartError(f"{endpoint.description} does not listen at once; the gateway cannot wait for it")
            failure = getattr(outcome[0], "value", None)
            if isinstance(failure, CannotListenError):
                why = getattr(failure.socketError, "strerror", None) or str(failure.socketError)
                raise StartError(f"cannot listen on {endpoint.description}: {why}")
            if isinstance(failure, FileNotFoundError) and failure.filename2:  # the lock of a unix socket
                folder = os.path.dirname(os.fsdecode(failure.filename2))
                raise StartError(f"cannot listen on {endpoint.description}: the directory {folder} does not exist")
            if isinstance(failure, BaseException):
                raise StartError(f"cannot listen on {endpoint.description}: {failure}")
            limit_unsent(outcome[0])
            self._ports.append((outcome[0], site))
        self._waiting.clear()

    # Changing

    async def reload(self) -> bool:
        """Read the configuration again and put it in force for new calls; whether that could be done.

        Validated whole first: on any error everything stays as it is, and the log says why.
        """
        try:
            await self.read_again()
        except ConfigError:
            return False
        return True

    async def read_again(self) -> list[str]:
        """The same; what changed, a line each.

        :raises ConfigError: it cannot be used.
        """
        return await self._reading.run(lambda: Deferred.fromCoroutine(self._read_again()))

    async def _read_again(self) -> list[str]:
        if self._reload is None or self._stopping:
            raise ConfigError(["this process reads no configuration again"])
        pool = self._reactor.getThreadPool()
        try:
            settings: Settings = await deferToThreadPool(self._reactor, pool, self._reload)
            graph = self._build(settings)
        except ConfigError as error:
            log.error("the new configuration is refused, the old one stays: {problem}", problem=str(error))
            raise
        await self.renew_certificates()
        changes = _changes(self.graph.settings, settings)
        self._enter(graph)
        for change in changes:
            log.info("{change}", change=change)
        changed = "1 change" if len(changes) == 1 else f"{len(changes)} changes"
        log.info("the configuration was read again: {changed}", changed=changed)
        return changes

    async def check(self, text: str) -> list[str]:
        """What would change if the configuration were ``text``; nothing does.

        :raises ConfigError: it could not be used.
        """
        if self._read is None:
            raise ConfigError(["this process reads no configuration again"])
        settings = await deferToThreadPool(self._reactor, self._reactor.getThreadPool(), self._read, text)
        return _changes(self.graph.settings, settings)

    def _build(self, settings: Settings) -> Graph:
        """:raises ConfigError: it cannot be."""
        self._secrets.hear(settings, self._process.observers)
        return build(self._process, settings, self.graph)

    def _enter(self, graph: Graph) -> None:
        """Put ``graph`` in force for new calls."""
        settings = graph.settings
        self._secrets.watch(settings)
        graph.enter(self.graph)
        graph.start()
        old, self.graph = self.graph, graph
        self.site.edge.put_in_force(graph.web.resource, settings.server, graph.web.gate)
        self.admin_site.edge.put_in_force(graph.web.admin, settings.server, graph.web.gate)
        logs.levels.set(settings.log)
        old.retire(graph)
        self._watch_files()

    # Files that are renewed

    def _watch_files(self) -> None:
        if (self._tls or self._secrets.files) and self.running and not self._files.running and not self._stopping:
            self._files.start(FILE_CHECK, now=False)

    async def _look_at_files(self) -> None:
        await self.renew_certificates(only_changed=True)
        await self.renew_secrets()

    def _refused(self) -> None:
        """A vendor refused a key: its file may have another one by now."""
        Deferred.fromCoroutine(self.renew_secrets()).addErrback(
            lambda failure: log.failure("secrets could not be read again", failure)
        )

    async def renew_secrets(self) -> None:
        """Read secrets again whose files have changed, and put them in force for new calls. On any error all of the
        old ones stay. The rest of the configuration stays what it is."""
        before = self.graph.settings
        try:
            work = self._secrets.renewed
            settings = await deferToThreadPool(self._reactor, self._reactor.getThreadPool(), work, before)
            if settings is before or self.graph.settings is not before or self._stopping:
                return  # a reload was faster
            changes = differences(before, settings)
            self._enter(self._build(settings))
        except (ValueError, ConfigError) as error:
            log.error("a renewed secret is refused, the old one stays: {problem}", problem=str(error))
        else:
            log.info("renewed secrets are in force: {changes}", changes="; ".join(changes))

    async def renew_certificates(self, only_changed: bool = False) -> None:
        """Read the certificate files again, off the reactor's thread. A broken one is refused, the old one stays."""
        for tls in self._tls:

            def work(tls: ServerTls = tls) -> bool:
                if only_changed and not tls.changed():
                    return False
                tls.reload()
                return True

            try:
                if await deferToThreadPool(self._reactor, self._reactor.getThreadPool(), work) and only_changed:
                    log.info("a renewed certificate is in force: {path}", path=tls.identities[0].cert)
            except TlsError as error:
                log.error("a certificate is refused, the old one stays: {problem}", problem=str(error))

    # Stopping

    def stopService(self) -> Deferred[None]:
        """Take nothing new, finish what is under way within ``server.shutdown_grace``, then close everything."""
        super().stopService()  # type: ignore[no-untyped-call]  # twisted has no types here
        self._stopping = True
        if self._stop_ticks is not None:
            self._stop_ticks()
            self._stop_ticks = None
        if self._files.running:
            self._files.stop()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        await self._close(self.site)
        grace = self.graph.settings.server.shutdown_grace
        await self.site.last_read()
        self.site.drain()
        if self.site.connections:
            log.info("stopping: {count} connections are finishing", count=len(self.site.connections))
            if not await self._is_empty(grace):
                log.warn("stopping: {count} connections were cut off", count=len(self.site.connections))
                self.site.cut()
                await self._is_empty(LAST_WORDS)
        self.site.abort()
        await self._is_empty(LAST_WORDS)  # then the last requests are on record
        await self._close(self.admin_site)
        self.admin_site.abort()
        self.graph.retire()
        self.graph.client.close()
        self._process.webhook.stop()
        if self._process.store is not None:
            await self._process.store.stop()
        if self._process.tracing is not None:
            await self._process.tracing.stop()
        log.info("stopped")

    async def _is_empty(self, seconds: float) -> bool:
        """Whether the last connection is gone, within ``seconds``."""
        try:
            await self.site.when_empty().addTimeout(seconds, self._reactor)
        except TimeoutError:
            return False
        return True

    def hurry(self) -> None:
        """Asked to stop a second time: what is under way is cut off."""
        self.site.cut()
        self._reactor.callLater(LAST_WORDS, self.site.abort)

    async def _close(self, site: EdgeSite) -> None:
        for port, of in self._ports:
            if of is site:
                await port.stopListening()
        self._ports = [(port, of) for port, of in self._ports if of is not site]


def _changes(old: Settings, new: Settings) -> list[str]:
    found = differences(old, new)
    return [f"{each} (after a restart)" if each.startswith(_RESTART) and ": " in each else each for each in found]


def _freeze_heap() -> None:
    """What is there now stays: the collector need not look at it again, which takes 50 ms each time it does."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)  # each call makes some hundred objects that need no collector to go


def _address(host: Any) -> str:
    if hasattr(host, "port"):
        shown = f"[{host.host}]" if ":" in host.host else host.host
        return f"{shown}:{host.port}"
    name = getattr(host, "name", host)
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
