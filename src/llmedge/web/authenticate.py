"""Who may come in: known callers, with requests that nothing was wrong with while they were parsed."""

from __future__ import annotations

from collections.abc import Awaitable
from functools import partial

from twisted.internet.defer import Deferred
from twisted.web.resource import IResource

from llmedge.config import Settings
from llmedge.errors import AuthError, EdgeError
from llmedge.identity.chain import Credentials
from llmedge.identity.configured import caller_of
from llmedge.identity.roles import NO_ADMIN
from llmedge.model import Caller
from llmedge.web.layer import Layer, WebDeps
from llmedge.web.paths import KEYS, is_admin
from llmedge.web.request import EdgeRequest


class Authenticate(Layer):
    """Refuses requests that were found unacceptable while they were parsed; finds out who sent the others. Health and
    metrics may be left open, each by its own setting."""

    def __init__(self, inner: IResource, settings: Settings, deps: WebDeps) -> None:
        super().__init__(inner, settings, deps)
        off = {"never"} | {f"auth.{name}" for name in ("health_check", "metrics") if not getattr(settings.auth, name)}
        self._open = {path for path, key in KEYS.items() if key in off}
        administrators = any(caller_of(key).scopes - {"inference"} for key in settings.auth.keys)
        self._no_admin = settings.store.url is not None and settings.admin.key is None and not administrators

    def gate(self, request: EdgeRequest, path: bytes) -> EdgeError | None:
        """What is wrong with a request of which only the head is here: nobody fills our memory without a key.

        Where an identifier has to ask somebody, its body is read meanwhile, capped as any other
        (``server.max_request_size``); a refusal that comes before the body's end ends the reading.
        """
        if path in self._open:
            return None
        try:
            found = self._identify(request)
        except EdgeError as error:
            return error
        if not isinstance(found, Caller):
            asking = request.context.identifying = Deferred.fromCoroutine(_ask_early(request, found))
            request.over.append(lambda request, lost: _abandon(asking))
        return request.context.refusal

    def _identify(self, request: EdgeRequest) -> Caller | Awaitable[Caller | EdgeError]:
        head, identifiers = request.context.head, self.deps.identifiers
        if head.caller_by is identifiers.epoch and head.caller is not None:
            return head.caller
        peer = getattr(request.client, "host", None)
        table = request.requestHeaders._rawHeaders
        credentials = Credentials(table, request.uri, peer, request.certificate_names, head.version)
        found = identifiers.identify(credentials)
        if credentials.lasting and isinstance(found, Caller):
            head.caller, head.caller_by = found, identifiers.epoch
        return found

    def render(self, request: EdgeRequest) -> int:
        context = request.context
        if context.refusal is not None:
            return self._refuse(request, context.refusal)
        if request.path in self._open:
            context.exempt = True
            return self.proceed(request)
        try:
            found = context.identifying or self._identify(request)
        except AuthError as error:
            return self._refuse(request, error)
        if not isinstance(found, Caller):
            return self.later(request, _outcome(found), self._found)
        return self._found(request, found)

    def _found(self, request: EdgeRequest, caller: Caller | EdgeError) -> int:
        if isinstance(caller, EdgeError):
            return self._refuse(request, caller)
        context, record = request.context, request.context.record
        context.caller, record.caller, record.account = caller, caller.name, caller.account
        return self.proceed(request)

    def _refuse(self, request: EdgeRequest, error: EdgeError) -> int:
        """Answer with ``error``; where it is that of a wrong key, as soon as its address may have it."""
        if not isinstance(error, AuthError):
            raise error
        reason = error.reason
        self.deps.auth_failures[reason].value += 1.0
        if self._no_admin and is_admin(request.path):
            error = AuthError(NO_ADMIN)
        if reason != "missing" and (wait := self.deps.wrong_keys.count(request.context.record.peer)):
            return self.later(request, self.deps.wrong_keys.wait(wait), partial(_raise, error))
        raise error


def _raise(error: EdgeError, request: EdgeRequest, waited: None) -> int:
    raise error


async def _outcome(asking: Awaitable[Caller | EdgeError]) -> Caller | EdgeError:
    """Who is asking, or why they may not."""
    try:
        return await asking
    except EdgeError as error:
        return error


async def _ask_early(request: EdgeRequest, asking: Awaitable[Caller | EdgeError]) -> Caller | EdgeError:
    """The same, for the onion to take; what is refused is not read any further."""
    found = await _outcome(asking)
    if isinstance(found, EdgeError) and request.channel is not None:
        request.context.refusal = request.context.refusal or found
        request.channel.refuse_soon(request)
    return found


def _abandon(asking: Deferred[Caller | EdgeError]) -> None:
    """The request is over: nobody wants to know any more."""
    asking.cancel()
    asking.addErrback(lambda reason: None)
