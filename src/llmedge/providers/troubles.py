"""Whose trouble an error is: a vendor says with one and the same status that a request is wrong, that the gateway's
account is empty, or that it has not got a model. Its code tells them apart, else how its message begins.

Only how it *begins*: further on, vendors quote what the client sent, and no client shall make a target look broken.
"""

from __future__ import annotations

import enum
import re

from llmedge.dialects.dialect import VendorError


class Trouble(enum.Enum):
    """What an error is about. The value is the cause in the table of ``pipeline/verdicts.py``, but for the last two."""

    BILLING = "billing"
    """The gateway's account is empty, blocked, or over a limit of spending."""
    LOCATION = "location"
    """The vendor does not serve where the gateway is, or its account."""
    UNSERVED = "unserved"
    """The target has not got the model, or not any more."""
    ALLOWANCE = "allowance"
    """This one request is more than the account may ask for: more tokens than it has a minute, or can pay for, or
    what only verified organizations get."""
    CREDENTIALS = "credentials"
    REQUEST = "request"
    """What the request refers to is not there: a file, an earlier answer, a server of tools."""


_CODES = {
    code: trouble
    for trouble, codes in {
        Trouble.BILLING: (
            "insufficient_quota billing_hard_limit_reached billing_not_active billing_error "  # OpenAI, Anthropic
            "enforced_spend_limit_reached exceeded_current_quota_error "  # Anthropic, Moonshot
            "insufficient_balance insufficient_credits not_enough_balance "  # Novita and others
            "arrearage accountoverdueerror organization_restricted "  # Alibaba, Volcengine, Groq
            "insufficient_user_quota pre_consume_token_quota_failed"  # gateways of the one-api family
        ),
        Trouble.LOCATION: "unsupported_country_region_territory",
        Trouble.UNSERVED: (
            "model_not_found deploymentnotfound "  # OpenAI, Azure
            "model_not_available model_decommissioned model_terms_required "  # Together, Groq
            "model_permission_blocked_org model_permission_blocked_project "
            "invalid_model unknown_model model_not_supported model_deprecated "  # Mistral, Perplexity, GitHub, Copilot
            "modelnotfound modelnotopen invalidendpointormodel.notfound "  # Volcengine
            "operationnotsupported"  # Azure's model that does something else
        ),
        Trouble.ALLOWANCE: "servicequotaexceededexception",  # Bedrock
        Trouble.CREDENTIALS: "api_key_invalid",
        Trouble.REQUEST: "external_connector_error",
    }.items()
    for code in codes.split()
}
"""By code or type, in lower case."""

_MODEL = r"""(?:the |this )?(?:requested |specified |publisher )?model[:,]? ?(?:[`'"][^`'"]*[`'"],?|\S+)?"""
_THING = "(?:item|response|file|vector ?store|conversation|container|prompt|thread|voice|cached ?content|skill|batch)"

_WORDS = [
    (trouble, re.compile("|".join(words), re.IGNORECASE))
    for trouble, words in {
        Trouble.BILLING: (
            r"your credit balance is too low",  # Anthropic
            r"you have reached your specified (?:\w+ )?api usage limits",
            r"this organization has been disabled|organization has been restricted",  # Anthropic, Groq
            r"insufficient (?:usd or diem |account |user )?(?:balance|credits?|funds|quota)",  # DeepSeek, Venice
            r"(?:sorry, )?your account balance is (?:insufficient|not enough)",  # SiliconFlow
            r"your account (?:\S+ )?is (?:not active|suspended|in arrears|overdue)",  # OpenAI, Moonshot
            r"billing hard limit|you (?:have )?(?:run out of|exceeded your monthly included) credits",  # Hugging Face
            r"your (?:project has exceeded its monthly spending cap|prepayment credits are depleted)",  # Google
            r"(?:user|token)(?:'s)? (?:credit limit is insufficient|quota is not enough)",
            r"余额不足|用户(?:余额|额度)不足|账户已欠费",  # Z.ai, gateways of the one-api family
            r"the free tier of the model has been exhausted|access denied, please make sure your account is in good",
        ),
        Trouble.LOCATION: (
            r"user location is not supported|country, region, or territory not supported",  # Google, OpenAI
            r"access to [\w ]{1,40} models is not allowed (?:from unsupported countries|for this account)",  # Bedrock
            r"gemini api free tier is not available in your country",
            rf"{_MODEL} ?is not available in your (?:country|region)",  # OpenRouter
        ),
        Trouble.UNSERVED: (
            rf"{_MODEL} ?(?:does not exist|was not found|is not found|not found|not exists?\b)",
            rf"{_MODEL} ?has been (?:deprecated|decommissioned|retired|removed|shut ?down)",
            r"this model version has reached the end",  # Bedrock
            r"models/\S+ is not found|not found the model",  # Google, Moonshot
            r"no such model|unknown (?:provider for )?model|invalid model\b",
            r"\S+ is not a valid model id|no endpoints found for",  # OpenRouter
            r"the api deployment for this resource does not exist|unable to access non-serverless model",
            r"the provided model identifier is invalid|invocation of model id",  # Bedrock
            r"you don'?t have access to the model|model use case details have not been submitted",
            r"project \S+ does not have access to model|模型不存在",  # OpenAI, Z.ai
            r"this (?:is not a chat model|is a chat model|model is only supported in) ",  # OpenAI, of another endpoint
        ),
        Trouble.ALLOWANCE: (
            r"request too large for .*(?:\btp[md]\b|\bper (?:min|day|hour))",  # Groq, OpenAI
            r"this request requires more credits",  # OpenRouter
            r"extra usage is required for|the long context beta is not yet available",  # Anthropic
            r"(?:to access this model,? )?your organization must be verified",  # OpenAI: streams, summaries of thoughts
        ),
        Trouble.CREDENTIALS: (r"api key (?:not valid|not found|expired)",),
        Trouble.REQUEST: (
            rf"(?:no such |no |the |previous )?{_THING}\b.*\b(?:found|not exist|object)\b|not found: {_THING}\b",
            r"you do not have permission to access the file",  # Google's 403 for a file that there is not
            r"error retrieving tool list from mcp server",
        ),
    }.items()
]
"""How messages begin."""

_THINGS = (403, 404, 424)
"""Statuses that may be about what a request refers to."""
_ACCOUNT = re.compile(
    r"\borg(?:anization)?[-_][A-Za-z0-9]{6,}|\bproj_[A-Za-z0-9]{6,}|(?<=\bprojects/)[^\s/'\"`]+|(?<=\bproject_number:)\d+"
    r"|\barn:aws[\w-]*:[^\s'\"`,]+|(?<=\bteam )[0-9a-f-]{36}|(?<=\baccount ['\"`])[\w-]{6,}"
)


def trouble_of(status: int, error: VendorError) -> Trouble | None:
    """What an error of ``status`` is about; ``None`` where its status says all."""
    trouble = _CODES.get(error.code.lower()) or _CODES.get(error.type.lower()) or trouble_in(error.message)
    if trouble is None and status in (404, 410):
        trouble = Trouble.UNSERVED
    if trouble is Trouble.UNSERVED and error.param not in (None, "", "model"):
        trouble = Trouble.REQUEST  # such as the model of a tool
    if trouble is Trouble.REQUEST:
        return trouble if status in _THINGS else None
    if status == 402 and trouble is not Trouble.ALLOWANCE:
        return Trouble.BILLING
    if status == 413 and (error.code == "rate_limit_exceeded" or error.type == "tokens"):
        return Trouble.ALLOWANCE
    return trouble


def trouble_in(message: str) -> Trouble | None:
    """The same, of words alone."""
    return next((trouble for trouble, words in _WORDS if words.match(message)), None)


def without_account(text: str) -> str:
    """``text`` without names of the gateway's account: organizations, projects, roles."""
    return _ACCOUNT.sub("…", text)
