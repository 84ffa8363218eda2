"""Everything that can go wrong with a call, as one family of exceptions.

An :class:`EdgeError` carries what the client is told (status, code, type, param, message, retry delay).
``web/answer.py`` is the one place that renders it. Whether another target may be asked is a *type*:
:class:`TargetError` and its subclasses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class EdgeError(Exception):
    """A failure with an answer for the client.

    :ivar status: HTTP status.
    :ivar code: our machine-readable code, or the vendor's own where it gave one.
    :ivar type: OpenAI's ``error.type``, so that SDKs raise their own exception classes.
    :ivar param: the request field at fault, if one is.
    :ivar details: anything structured that helps, or ``None``.
    :ivar retry_after: seconds after which the same request may succeed, or ``None``.
    :ivar should_retry: what ``x-should-retry`` tells the vendors' SDKs: ``False`` where no retry cures it, or what a
        vendor said itself; ``None``: nothing, and they go by the status.
    :ivar more: what else a vendor's error object has.
    :ivar codes: those of all classes.
    """

    codes: ClassVar[set[str]] = set()
    more: Mapping[str, Any] = {}
    status: int = 500
    code: str = "INTERNAL_ERROR"
    type: str = "server_error"
    should_retry: bool | None = None

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        details: Any = None,
        retry_after: float | None = None,
        status: int | None = None,
        code: str | None = None,
        type: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.details = details
        self.retry_after = retry_after
        if status is not None:
            self.status = status
        if code is not None:
            self.code = code
        if type is not None:
            self.type = type

    def __init_subclass__(cls) -> None:
        EdgeError.codes.add(cls.code)

    def body(self) -> dict[str, Any]:
        """The JSON object a client sees: ``{"error": {code, message, details, type, param, …}}``."""
        return {
            "error": {
                **self.more,
                "code": self.code,
                "message": self.message,
                "details": self.details,
                "type": self.type,
                "param": self.param,
            }
        }


class ValidationError(EdgeError):
    """The request is not one we can serve; ``param`` names the field."""

    status = 400
    code = "VALIDATION_ERROR"
    type = "invalid_request_error"
    should_retry = False


class AuthError(EdgeError):
    """No key, or not one of ours.

    :ivar reason: ``missing``, ``invalid`` or ``expired``.
    """

    status = 401
    code = "AUTH_ERROR"
    type = "authentication_error"
    should_retry = False
    reason = "invalid"


class TooManyWrongKeys(EdgeError):
    """Too many wrong keys from one address: nothing is told of this one. A right one is answered as ever."""

    status = 429
    code = "WRONG_KEYS"
    type = "rate_limit_error"
    should_retry = False


class PermissionDenied(EdgeError):
    """A good key that may not do this."""

    status = 403
    code = "PERMISSION_ERROR"
    type = "permission_error"
    should_retry = False


class NotFound(EdgeError):
    """No such path, or no such model."""

    status = 404
    code = "NOT_FOUND"
    type = "invalid_request_error"
    should_retry = False


class MethodNotAllowed(EdgeError):
    """The path exists, the method does not; ``allowed`` fills the ``Allow`` header (RFC 9110 section 15.5.6)."""

    status = 405
    code = "METHOD_NOT_ALLOWED"
    type = "invalid_request_error"
    should_retry = False

    def __init__(self, message: str, allowed: tuple[str, ...]) -> None:
        super().__init__(message)
        self.allowed = allowed


class RequestTimeout(EdgeError):
    """The client did not finish sending its request in time."""

    status = 408
    code = "REQUEST_TIMEOUT"
    type = "invalid_request_error"


class RequestTooLarge(EdgeError):
    """The body is over ``server.max_request_size``."""

    status = 413
    code = "REQUEST_TOO_LARGE"
    type = "invalid_request_error"
    should_retry = False


class UnsupportedMediaType(EdgeError):
    """The body is not declared as JSON."""

    status = 415
    code = "UNSUPPORTED_MEDIA_TYPE"
    type = "invalid_request_error"
    should_retry = False


class RateLimited(EdgeError):
    """A token bucket of ours is empty; ``scope`` is ``"global"`` or ``"key"``."""

    status = 429
    code = "RATE_LIMIT_ERROR"
    type = "rate_limit_error"

    def __init__(self, message: str, *, scope: str, retry_after: float) -> None:
        super().__init__(message, retry_after=retry_after)
        self.scope = scope


class BudgetExhausted(EdgeError):
    """A budget is spent: no retry helps before its period ends."""

    status = 429
    code = "insufficient_quota"
    type = "insufficient_quota"
    should_retry = False


class BudgetHeld(EdgeError):
    """What is left of a budget is held for calls under way: some of it comes back."""

    status = 429
    code = "BUDGET_HELD"
    type = "rate_limit_error"


class Overloaded(EdgeError):
    """As many requests under way as we take; the next second may be better."""

    status = 503
    code = "UNAVAILABLE"
    type = "server_error"

    def __init__(self, message: str) -> None:
        super().__init__(message, retry_after=1.0)


class Conflict(EdgeError):
    """It was changed by somebody else, or would be there twice."""

    status = 409
    code = "CONFLICT"
    type = "invalid_request_error"
    should_retry = False


class LedgerUnavailable(EdgeError):
    """What becomes of a call could not be written down: it is not begun."""

    status = 503
    code = "LEDGER_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__(
            "The gateway cannot write its ledger at the moment, and takes no calls without.", retry_after=5
        )


class StoreUnavailable(EdgeError):
    """The store's database is away, or too slow. Calls go on without it; what is to be kept in it cannot be."""

    status = 503
    code = "STORE_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("The store cannot be reached at the moment. Calls go on; try this again later.", retry_after=5)


class InternalError(EdgeError):
    """A defect of ours. The message never says more than that."""

    def __init__(self) -> None:
        super().__init__("The gateway failed to handle this request. The x-request-id header identifies it.")


class AnswerDiverged(EdgeError):
    """A broken stream was asked for again, and the other answer is a different one: it cannot be completed."""

    status = 502
    code = "UPSTREAM_ERROR"


class DeadlineExceeded(EdgeError):
    """The whole call took longer than it may: its client's time, its model's, its provider's or ``server.timeout``."""

    status = 504
    code = "TIMEOUT_ERROR"
    type = "timeout_error"
    should_retry = False


class Stopping(EdgeError):
    """The gateway stops, and does not wait for the answer any longer."""

    status = 503
    code = "UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("The gateway is stopping, and has cut off what was under way.", retry_after=1.0)


class VendorRefused(EdgeError):
    """The vendor judged the request itself wrong (4xx): passed on as it is, and no other target is asked."""

    status = 400
    code = "VALIDATION_ERROR"
    type = "invalid_request_error"


class TargetError(EdgeError):
    """A target failed in a way another target may not.

    :ivar outcome: short fixed word for the record and the metrics (``connect``, ``status``, ``cut`` ...).
    :ivar cause: what exactly went wrong: a row of the table in ``pipeline/verdicts.py``.
    :ivar provider: of which provider ``message`` speaks; until :meth:`of` says it, the message is a predicate.
    """

    status = 502
    code = "UPSTREAM_ERROR"
    type = "server_error"
    outcome: ClassVar[str] = "error"
    cause: str = "status_other"
    provider: str = ""

    def __init__(self, message: str, *, cause: str | None = None, **more: Any) -> None:
        super().__init__(message, **more)
        if cause is not None:
            self.cause = cause

    def of(self, provider: str) -> TargetError:
        """The same error as a sentence about ``provider``; one that is a sentence already stays what it is."""
        if not self.provider:
            self.provider = provider
            self.message = f"The provider '{provider}' {self.message}."
            self.args = (self.message,)
        return self


class RefusedHere(TargetError):
    """A refusal that the operator has the next target asked after (``fallback_on``). Where none does better, the client
    is told what the vendor said."""

    outcome = "refused"
    cause = "fallback_on"

    def __init__(self, refused: VendorRefused) -> None:
        super().__init__(
            refused.message,
            param=refused.param,
            details=refused.details,
            retry_after=refused.retry_after,
            status=refused.status,
            code=refused.code,
            type=refused.type,
        )
        self.more = refused.more
        self.should_retry = refused.should_retry

    def of(self, provider: str) -> TargetError:
        """It is a sentence already."""
        return self


class KeptElsewhere(RefusedHere):
    """The target has not got the answer that the call goes on from; another one may."""

    cause = "kept_elsewhere"


class Unsupported(TargetError):
    """The target's dialect cannot say a field of the request; ``param`` names it. Another target may be able to."""

    status = 400
    code = "VALIDATION_ERROR"
    type = "invalid_request_error"
    should_retry = False
    outcome = "unsupported"
    cause = "unsupported"

    def of(self, provider: str) -> TargetError:
        """It is a sentence about the request already."""
        return self


class ConnectFailed(TargetError):
    """No connection to the target: refused, unresolvable, TLS, or too slow to open."""

    outcome = "connect"
    cause = "connect"


class TargetBusy(TargetError):
    """A limit of ours for the target is reached, and its queue was no help; it was not asked."""

    status = 503
    code = "UNAVAILABLE"
    outcome = "busy"
    cause = "busy"


class TargetFull(TargetBusy):
    """Its queue was no help: it is full, or the wait was in vain or would be."""


class UpstreamTimeout(TargetError):
    """The target was silent for longer than a limit; the message names the limit. It was at work, which is billed."""

    status = 504
    code = "TIMEOUT_ERROR"
    type = "timeout_error"
    should_retry = False
    outcome = "timeout"
    cause = "silent"


class UpstreamCut(TargetError):
    """The target's answer ended before it was complete."""

    outcome = "cut"
    cause = "cut"


class UpstreamMalformed(TargetError):
    """The target answered with something that is not its protocol."""

    outcome = "malformed"
    cause = "malformed"


class UpstreamTooLarge(TargetError):
    """The target's answer is over ``upstream.max_response_size``, or an event over ``max_event_size``. The vendor did
    the work, and would do it again for whoever asks again."""

    should_retry = False
    outcome = "too_large"
    cause = "too_large"


class VendorFailed(TargetError):
    """The target answered that it failed (5xx, or an error object with status 200)."""

    outcome = "status"
    cause = "error_event"


class VendorLacks(TargetError):
    """The target does not do this kind of request (501, 405), has not got the model, or may not do so much. Another one
    may."""

    status = 501
    code = "NOT_IMPLEMENTED"
    should_retry: bool | None = False
    outcome = "status"
    cause = "lacking"


class VendorUnavailable(TargetError):
    """The target is overloaded or starting (503, 529)."""

    status = 503
    code = "UNAVAILABLE"
    outcome = "status"
    cause = "status_503"


class VendorRateLimited(TargetError):
    """The target's own rate limit (429)."""

    status = 429
    code = "RATE_LIMIT_ERROR"
    type = "rate_limit_error"
    outcome = "status"
    cause = "status_429"


class VendorRejectedCredentials(TargetError):
    """The target refuses *our* credentials (401, 403) or account; the client is told so without seeing them."""

    outcome = "credentials"
    cause = "credentials"
