"""What a vendor's error status means to us: its 4xx are the client's, its 401 and 403 are ours; see also
:mod:`~llmedge.providers.troubles`."""

from __future__ import annotations

import re

from llmedge.dialects.dialect import VendorError
from llmedge.errors import (
    EdgeError,
    NotFound,
    RequestTooLarge,
    TargetError,
    UnsupportedMediaType,
    VendorFailed,
    VendorLacks,
    VendorRateLimited,
    VendorRefused,
    VendorRejectedCredentials,
    VendorUnavailable,
)
from llmedge.providers.troubles import Trouble, trouble_in, trouble_of
from llmedge.providers.wrong_path import is_about_path

_FLAGGED = re.compile(r"\bflagged\b|\bmoderation\b", re.IGNORECASE)
"""OpenRouter's 403 for what its moderation does not let pass (openrouter.ai/docs/api-reference/errors)."""

_CODES = {each.status: each.code for each in (NotFound, RequestTooLarge, UnsupportedMediaType)}
"""Our code where a vendor's refusal has none."""


def failure_for(provider: str, status: int, error: VendorError, retry_after: float | None) -> EdgeError:
    """The exception for an answer of ``status`` from ``provider``.

    :param error: what the body said, our own credential already taken out.
    :param retry_after: seconds it asks to wait.
    """
    if is_about_path(status, error):
        return _nowhere(error).of(provider)
    trouble = trouble_of(status, error)
    if trouble is Trouble.REQUEST or _is_flagged(status, error):
        return _refused(provider, status, error, retry_after)
    said = f": {error.message}" if error.message else ""
    if trouble is Trouble.BILLING and status == 429 and retry_after is not None:
        # Google and Alibaba say the same of a minute's limit, and when it is over; others tell their balance.
        trouble, said = None, ""
    if (failure := _account(trouble, status)) is not None:
        return failure.of(provider)
    if trouble in (Trouble.UNSERVED, Trouble.ALLOWANCE) and status < 500:
        return _unserved(trouble, status, error).of(provider)
    if status == 429:
        return VendorRateLimited(f"is limiting the gateway's rate{said}", retry_after=retry_after).of(provider)
    if status in (498, 503, 529):  # 498: no place left in Groq's flex tier (console.groq.com/docs/errors)
        cause = "status_529" if status == 529 else "status_503"
        return VendorUnavailable(f"is not available{said}", retry_after=retry_after, cause=cause).of(provider)
    if status in (405, 501):
        what = f"cannot serve this kind of request (status {status}){said}"
        return VendorLacks(what, type=_word(error.type) or None).of(provider)
    if status >= 500 or status in (408, 409, 424, 425):  # 424: Bedrock's ModelErrorException
        cause = f"status_{status}" if status in (408, 409, 425, 500, 502, 504) else "status_other"
        shown = 409 if status == 409 else None
        failed = VendorFailed(f"failed with status {status}{said}", retry_after=retry_after, cause=cause, status=shown)
        return failed.of(provider)
    if status < 400:
        said = f"answered with status {status} (check its base_url)"
        return VendorFailed(said, cause="status_other").of(provider)
    return _refused(provider, status, error, retry_after)


def as_trouble(error: TargetError) -> None:
    """Make a failure that was told behind a status of 200 what its words say it is: nobody is shown the gateway's
    account, and a target that has not got a model is not sick."""
    if not isinstance(error, VendorFailed) or (trouble := trouble_in(error.message.partition(": ")[2])) is None:
        return
    if (failure := _account(trouble, 200)) is not None:
        error.message, error.cause = failure.message, failure.cause
    elif trouble is not Trouble.REQUEST:
        error.cause = trouble.value


def _account(trouble: Trouble | None, status: int) -> TargetError | None:
    """What is between the gateway and its vendor. The vendor's words may tell a credential or a balance: the log has
    the status, the client needs no more."""
    if trouble is Trouble.BILLING:
        said = f"wants to be paid (status {status}); the operator has to see to it"
    elif trouble is Trouble.LOCATION:
        said = f"does not serve where the gateway is (status {status}); the operator has to see to it"
    elif trouble is Trouble.CREDENTIALS or (trouble is None and status in (401, 403, 407)):
        said = f"refused the gateway's credentials (status {status}); the operator has to check its api_key"
        return VendorRejectedCredentials(said)
    else:
        return None
    return VendorRejectedCredentials(said, cause=trouble.value)


def _unserved(trouble: Trouble, status: int, error: VendorError) -> TargetError:
    """What the target has not got, or has not got so much of."""
    said = f": {error.message}" if error.message and status != 402 else ""
    if trouble is Trouble.UNSERVED:
        shown, code = (status if status in (400, 410) else 404), NotFound.code
        what = f"does not serve this model (status {status}{'' if said else '; check its base_url'})"
    else:
        shown, code = (413 if status in (402, 429) else status), _CODES.get(status, RequestTooLarge.code)
        what = f"is asked for more than the gateway's account may ask for (status {status})"
    failure = VendorLacks(
        what + said,
        cause=trouble.value,
        status=shown,
        code=_word(error.code) or code,
        type=_word(error.type) or "invalid_request_error",
        param=error.param or ("model" if trouble is Trouble.UNSERVED else None),
    )
    failure.more = error.more if status != 402 else {}
    failure.should_retry = None  # the status says it
    return failure


def _nowhere(error: VendorError) -> TargetError:
    """There is nothing at the path, of this kind of request or of any. No model of the vendor's is at fault."""
    said = f": {error.message}" if error.message else ""
    what = f"has nothing at the path it was asked for (status 404{said}); the operator has to check its base_url"
    cause = Trouble.UNSERVED.value
    failure = VendorLacks(what, cause=cause, status=404, code=NotFound.code, type="invalid_request_error")
    failure.should_retry = None  # the status says it
    return failure


def _refused(provider: str, status: int, error: VendorError, retry_after: float | None) -> VendorRefused:
    rejected = VendorRefused(
        error.message or f"The provider '{provider}' refused the request with status {status}.",
        status=status,
        code=_code(status, error),
        type=_word(error.type) or "invalid_request_error",
        param=error.param,
        details={"provider": provider},
        retry_after=retry_after,
    )
    rejected.more = error.more
    return rejected


def _is_flagged(status: int, error: VendorError) -> bool:
    return status == 403 and _FLAGGED.search(error.message) is not None


def _code(status: int, error: VendorError) -> str:
    """The vendor's code for a refusal, its type, or ours."""
    if _is_flagged(status, error):
        return "content_filter"
    return _word(error.code) or _word(error.type) or _CODES.get(status, "VALIDATION_ERROR")


def _word(text: str) -> str:
    """A vendor's code or type if it is one: it goes into logs as well."""
    return text if re.fullmatch(r"[A-Za-z0-9_.\-]{1,64}", text) else ""
