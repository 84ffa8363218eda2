"""What went wrong decides what happens: one table, in the order of the documentation (docs/routing.rst)."""

from __future__ import annotations

import enum
import re
from collections.abc import Collection, Mapping

import attrs

from llmedge.errors import EdgeError, RefusedHere, TargetError, VendorFailed, VendorRefused
from llmedge.state.concurrency import Outcome


class Next(enum.Enum):
    """What is done next."""

    RETRY = "retry"
    """Ask another target; where none is left, the same one again after a pause."""
    ELSEWHERE = "elsewhere"
    """Ask another target; this one would not do better."""
    LARGER = "larger"
    """Ask a target with a larger context window only."""
    ANSWER = "answer"
    """The client gets this error as it is."""


@attrs.frozen
class Verdict:
    """What one kind of failure means.

    :ivar next: what is done.
    :ivar unhealthy: it counts against the deployment's health.
    :ivar billed: the vendor may have charged for it.
    :ivar load: what it says about how much the deployment can take.
    :ivar lasting: it stays so until somebody changes something: nobody waits for that.
    """

    next: Next
    unhealthy: bool = False
    billed: bool = False
    load: Outcome = Outcome.IGNORED
    lasting: bool = False


_SICK = Verdict(Next.RETRY, unhealthy=True)
_SICK_AND_BILLED = Verdict(Next.RETRY, unhealthy=True, billed=True)
_LASTING = Verdict(Next.ELSEWHERE, unhealthy=True, lasting=True)
_BUSY = Verdict(Next.RETRY, load=Outcome.OVERLOADED)

VERDICTS: Mapping[str, Verdict] = {
    "refused": _SICK,
    "dns": Verdict(Next.ELSEWHERE, unhealthy=True),
    "tls": Verdict(Next.ELSEWHERE, unhealthy=True),
    "proxy": Verdict(Next.ELSEWHERE, unhealthy=True),
    "connect": _SICK,
    "reset": _SICK_AND_BILLED,
    "silent": Verdict(Next.ELSEWHERE, unhealthy=True, billed=True, load=Outcome.OVERLOADED),
    "busy": Verdict(Next.RETRY),
    "status_408": Verdict(Next.RETRY),
    "status_409": Verdict(Next.RETRY),
    "status_425": Verdict(Next.RETRY),
    "status_429": _BUSY,
    "status_500": _SICK_AND_BILLED,
    "status_502": _SICK,
    "status_503": Verdict(Next.RETRY, unhealthy=True, load=Outcome.OVERLOADED),
    "status_504": Verdict(Next.ELSEWHERE, unhealthy=True, billed=True),
    "status_529": Verdict(Next.RETRY, unhealthy=True, load=Outcome.OVERLOADED),
    "status_other": _SICK,
    "credentials": _LASTING,
    "billing": _LASTING,
    "location": _LASTING,
    "unserved": Verdict(Next.ELSEWHERE),
    "allowance": Verdict(Next.ELSEWHERE),
    "fallback_on": Verdict(Next.ELSEWHERE),
    "kept_elsewhere": Verdict(Next.ELSEWHERE),
    "unsupported": Verdict(Next.ELSEWHERE),
    "lacking": Verdict(Next.ELSEWHERE),
    "error_body": _SICK_AND_BILLED,
    "error_event": _SICK_AND_BILLED,
    "unusable": Verdict(Next.RETRY, billed=True),
    "context_length": Verdict(Next.LARGER),
    "content_filter": Verdict(Next.ANSWER, billed=True),
    "client": Verdict(Next.ANSWER),
    "malformed": _SICK_AND_BILLED,
    "media_type": Verdict(Next.ELSEWHERE, billed=True),
    "too_large": Verdict(Next.ELSEWHERE, billed=True),
    "cut": _SICK_AND_BILLED,
    "stall": Verdict(Next.ELSEWHERE, unhealthy=True, billed=True),
}
"""By cause. ``silent``: nothing came in time. ``stall``: an answer stopped. ``busy``: a limit of ours is reached."""

LEFT = attrs.evolve(VERDICTS["silent"], load=Outcome.IGNORED)
"""Of who was left waiting, by a client or a deadline of ours: that is no sign of how much a target can take."""

_CONTEXT_CODES = {
    "context_length_exceeded",
    "exceed_context_size_error",
    "model_context_window_exceeded",
    "string_above_max_length",
    "tokens_limit_reached",
}
_CONTEXT = re.compile(
    r"context (?:window|length|size|limit)|max_model_len|max(?:imum)?[_ ](?:model|context|prompt)[_ ]length"
    r"|prompt(?: is)? too long|prompt exceeds (?:the )?(?:max|length)|exceeds? the maximum number of tokens"
    r"|too many (?:input )?tokens|input (?:token count|is too long)|exceeded model token limit|too large for model with"
    r"|`?inputs`? tokens \+ `?max_new_tokens`? must be|`?inputs`? must have less than \d+ tokens"
    r"|range of input length should be|reduce the length of the messages|maximum (?:allowed )?input length"
    r"|prompt token count of \d+ exceeds|input tokens exceed|tokens in request more than max tokens"
    r"|max_num_tokens|max_seq_len|number of input tokens \d+ cannot exceed|exceeding max \d+ tokens"
    r"|input (?:\(\d+ tokens\) )?is too large to process|tokens of image and text exceed|prompt 超长"
    r"|maximum (?:supported sequence|allowed token) length",
    re.IGNORECASE,
)
"""In the words of OpenAI, Anthropic, Google, Bedrock, llama.cpp, vLLM, SGLang, TGI and Together, xAI, Groq, Mistral,
Moonshot, Z.ai, Alibaba, OpenRouter, Copilot and GitHub, NVIDIA, Databricks, IBM, Volcengine, SambaNova."""
_FILTER_CODES = {"content_filter", "content_policy_violation", "responsibleaipolicyviolation", "moderation_blocked"}


def cause_of(error: EdgeError) -> str:
    """The row of the table for ``error``."""
    if isinstance(error, TargetError):
        if isinstance(error, VendorFailed) and _CONTEXT.search(error.message):
            return "context_length"
        return error.cause if error.cause in VERDICTS else "status_other"
    if isinstance(error, VendorRefused) and error.status in (400, 403, 413, 422):
        if error.code.lower() in _CONTEXT_CODES or _CONTEXT.search(error.message):
            return "context_length"
        if error.code.lower() in _FILTER_CODES:
            return "content_filter"
    return "client"


def as_refusal(error: EdgeError) -> EdgeError:
    """A failure that says that the prompt is too long, behind a status of 200 or of 500, as the refusal that it is."""
    if not isinstance(error, VendorFailed) or cause_of(error) != "context_length":
        return error
    return VendorRefused(error.message, code="context_length_exceeded", details={"provider": error.provider})


def as_fallback(error: EdgeError, statuses: Collection[int]) -> EdgeError:
    """A refusal of one of ``statuses`` as a failure of the target's, which has the next one asked."""
    if not isinstance(error, VendorRefused) or error.status not in statuses:
        return error
    return RefusedHere(error) if verdict_of(error).next is Next.ANSWER else error


def verdict_of(error: EdgeError) -> Verdict:
    """What ``error`` means."""
    return VERDICTS[cause_of(error)]
