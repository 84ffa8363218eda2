"""What clients are told where a guardrail lets something not pass."""

from __future__ import annotations

from llmedge.errors import EdgeError


class ContentBlocked(EdgeError):
    """A guardrail lets it not pass. Nothing is said of what it found but its name."""

    status = 400
    code = "content_policy_violation"
    type = "invalid_request_error"
    should_retry = False

    def __init__(self, guardrail: str, what: str = "request") -> None:
        super().__init__(f"The {what} was blocked by the guardrail '{guardrail}'.")


class ContentUnreadable(EdgeError):
    """A guardrail cannot read it, and refuses what it cannot read."""

    status = 400
    code = "content_unreadable"
    type = "invalid_request_error"
    should_retry = False

    def __init__(self, guardrail: str, what: str) -> None:
        super().__init__(f"The guardrail '{guardrail}' cannot read {what}, and lets pass only what it can read.")


class GuardrailUnavailable(EdgeError):
    """A guardrail cannot say whether it may pass, and is closed then."""

    status = 503
    code = "guardrail_unavailable"

    def __init__(self, guardrail: str) -> None:
        super().__init__(f"The guardrail '{guardrail}' cannot be asked at the moment.", retry_after=1.0)
