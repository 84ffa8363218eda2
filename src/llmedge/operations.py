"""Everything the API serves: operations, and the endpoints of each, a row a path.

The Klein routes, what ``web/paths`` finds, the index at ``/``, the labels of logs and metrics, the catalogue's names of
operations, the table in ``docs/http-api.rst`` and the OpenAPI description are made from these rows.
"""

from __future__ import annotations

import enum
from functools import partial
from typing import Literal, cast

import attrs


@attrs.frozen
class Endpoint:
    """One method at one path.

    :ivar path: a template. ``{model}`` and ``{id}`` stand for a model's name, which may have slashes in it; other
        parameters may not. ``{provider}`` before ``{model}`` belongs to the name.
    :ivar summary: for people, in reST; ``""`` for another path of the same, which is not listed.
    :ivar handler: the method of ``web.api.Api``, ``web.ops.Ops`` or a resource of ``admin`` that answers.
    :ivar dialect: the wire format spoken there; ``""`` where the gateway itself answers and no call is made.
    :ivar body: ``multipart`` is read as it comes and may be JSON (only at a fixed path), ``json`` is read whole.
    :ivar model: the model meant where neither path nor body names one, and ``unnamed`` is not set.
    :ivar unnamed: the entry of ``routing.default_models`` that says which; ``""`` where a model is to be named.
    :ivar streams: what asks for a streamed answer: a field of the body, the path, or nothing does; ``socket``: it is a
        WebSocket.
    :ivar key: whether an API key is asked for: the setting that says so, ``always`` or ``never``.
    :ivar permission: what the caller has to have, of :data:`llmedge.identity.roles.PERMISSIONS`, where it is no call.
    :ivar operation: set by the :class:`Operation` the row stands in.
    """

    path: str
    summary: str
    dialect: str = ""
    streams: Literal["never", "body", "path", "socket"] = "never"
    body: Literal["none", "json", "multipart"] = "json"
    method: str = attrs.field(default="POST", kw_only=True)
    handler: str = attrs.field(default="infer", kw_only=True)
    model: str = attrs.field(default="", kw_only=True)
    unnamed: str = attrs.field(default="", kw_only=True)
    key: Literal["always", "never", "auth.health_check", "auth.metrics"] = attrs.field(default="always", kw_only=True)
    permission: str = attrs.field(default="", kw_only=True)
    operation: Operation = attrs.field(default=cast("Operation", None), eq=False, repr=False)


_passed = partial(Endpoint, dialect="passthrough", handler="pass_through")
_get = partial(Endpoint, method="GET", body="none")


def _kept(path: str, what: str, permission: str) -> tuple[Endpoint, ...]:
    """A collection of the admin API's, and each of what is in it."""
    name = path.rpartition("/")[2]
    one, read, write = f"{path}/{{key}}", f"{permission}:read", f"{permission}:write"
    return (
        _get(path, f"{what}, a page at a time", handler=f"list_{name}", permission=read),
        Endpoint(path, "make one", handler=f"create_{name}", permission=write),
        _get(one, "one of them", handler=f"get_{name}", permission=read),
        Endpoint(one, "change it", method="PATCH", handler=f"change_{name}", permission=write),
        Endpoint(one, "delete it", method="DELETE", body="none", handler=f"delete_{name}", permission=write),
    )


def _litellm(of: str, verbs: str, permission: str) -> tuple[Endpoint, ...]:
    """LiteLLM's paths for one kind of thing."""
    rows = []
    for verb in verbs.split():
        reads = verb in ("info", "list")
        allowed = f"{permission}:{'read' if reads else 'write'}"
        make = _get if reads else Endpoint
        rows.append(make(f"/{of}/{verb}", f"LiteLLM's: {verb}", handler=f"litellm_{of}_{verb}", permission=allowed))
    return tuple(rows)


def _google(verb: str, summary: str, dialect: str, streams: Literal["never", "path"] = "never") -> tuple[Endpoint, ...]:
    """A custom method of Google's APIs; their SDKs ask below ``/v1`` too. The AI SDK puts no ``models/`` before a name
    with a slash in it, as ours of ``PROVIDER/MODEL`` are."""
    listed = Endpoint(f"/v1beta/models/{{model}}:{verb}", summary, dialect, streams, handler="infer_of_model")
    others = ("/v1/models", "/v1beta/{provider}", "/v1/{provider}")
    return listed, *(attrs.evolve(listed, path=f"{path}/{{model}}:{verb}", summary="") for path in others)


class Operation(enum.StrEnum):
    """What a request asks for, with its endpoints. The value is the label in logs and metrics, and the name of what is
    passed through in the catalogue.

    :ivar passes_through: put only to vendors that have it, and never translated.
    :ivar number: its place among them.
    """

    CHAT = (
        "chat",
        Endpoint("/v1/chat/completions", "OpenAI chat completions, streamed or not", "openai_chat", "body"),
        _get("/v1/chat/completions", "a WebSocket: each message is a chat", streams="socket", handler="chat_socket"),
        Endpoint("/v1/responses", "OpenAI Responses, streamed or not", "openai_responses", "body", unnamed="responses"),
        Endpoint("/v1/messages", "Anthropic Messages, streamed or not", "anthropic", "body"),
        *_google("generateContent", "Gemini", "gemini"),
        *_google("streamGenerateContent", "the same as a stream; needs ``?alt=sse``", "gemini", "path"),
    )
    TEXT = "text", Endpoint("/v1/completions", "OpenAI legacy completions, streamed or not", "openai_text", "body")
    EMBEDDINGS = (
        "embeddings",
        Endpoint("/v1/embeddings", "OpenAI embeddings", "openai_embeddings"),
        *_google("embedContent", "Gemini embeddings", "gemini_embeddings"),
        *_google("batchEmbedContents", "many of them", "gemini_embeddings"),
    )
    COUNT_TOKENS = (
        "count_tokens",
        Endpoint("/v1/messages/count_tokens", "tokens of such a request to Anthropic", "anthropic"),
        *_google("countTokens", "tokens of such a request to Gemini", "gemini"),
    )
    # A body that may name no model, as those of pictures and of stored prompts; this is OpenAI's default.
    MODERATIONS = (
        "moderations",
        _passed(
            "/v1/moderations", "whether something may be said", model="omni-moderation-latest", unnamed="moderations"
        ),
    )
    IMAGES_GENERATIONS = (
        "images_generations",
        _passed("/v1/images/generations", "pictures", streams="body", unnamed="images"),
    )
    IMAGES_EDITS = (
        "images_edits",
        _passed("/v1/images/edits", "pictures from pictures", streams="body", body="multipart", unnamed="images"),
    )
    AUDIO_SPEECH = "audio_speech", _passed("/v1/audio/speech", "a text, spoken", streams="body")
    AUDIO_TRANSCRIPTIONS = (
        "audio_transcriptions",
        _passed("/v1/audio/transcriptions", "what was said", streams="body", body="multipart"),
    )
    AUDIO_TRANSLATIONS = (
        "audio_translations",
        _passed("/v1/audio/translations", "what was said, in English", body="multipart"),
    )
    # Cohere's two versions, and what vLLM and text-embeddings-inference have.
    RERANK = (
        "rerank",
        _passed("/v1/rerank", "documents by relevance"),
        _passed("/v2/rerank", ""),
        _passed("/rerank", ""),
    )
    MODELS = (
        "models",
        _get("/v1/models", "the models the caller may use", handler="list_models"),
        _get("/v1beta/models", "", handler="list_models"),
        _get("/v1/models/{id}", "one model, also one that only a pattern matches", handler="get_model"),
        _get("/v1beta/models/{id}", "", handler="get_model"),
    )
    ADMIN = (
        "admin",
        *_kept("/admin/v1/organizations", "organizations", "teams"),
        *_kept("/admin/v1/teams", "teams", "teams"),
        *_kept("/admin/v1/projects", "projects of teams", "teams"),
        *_kept("/admin/v1/users", "people", "teams"),
        *_kept("/admin/v1/roles", "roles besides those that are always there", "roles"),
        *_kept("/admin/v1/keys", "keys, without their secrets", "keys"),
        Endpoint(
            "/admin/v1/keys/{key}/rotate",
            "a new secret; the old one is good for a while",
            handler="rotate_key",
            permission="keys:write",
        ),
        _get("/admin/v1/budgets", "budgets, and how they stand", handler="list_budgets", permission="budgets:read"),
        Endpoint(
            "/admin/v1/budgets/{id}/reset",
            "what was spent in this period counts no more",
            handler="reset_budget",
            permission="budgets:write",
        ),
        Endpoint(
            "/admin/v1/budgets/{id}/raise", "more, for a while", handler="raise_budget", permission="budgets:write"
        ),
        _get("/admin/v1/audit", "who changed what", handler="audit", permission="audit:read"),
        _get(
            "/admin/v1/state", "targets, budgets and the store as they are", handler="state", permission="config:read"
        ),
        Endpoint(
            "/admin/v1/reload",
            "read the configuration again, and put it in force",
            body="none",
            handler="reload",
            permission="config:write",
        ),
        Endpoint(
            "/admin/v1/check",
            "what a configuration would change, or what is wrong with it",
            handler="check",
            permission="config:write",
        ),
        _get("/admin/v1/cache", "how the cache stands", handler="cache_stats", permission="config:read"),
        Endpoint(
            "/admin/v1/cache/purge",
            "let answers be forgotten: a scope's, a model's, a namespace's, a key's, all",
            handler="cache_purge",
            permission="config:write",
        ),
        _get("/openapi.json", "all that is served here, as OpenAPI 3.1", handler="describe"),
        _get("/admin/v1/spend", "what was spent, by what one likes", handler="spend", permission="spend:read"),
        _get("/admin/v1/calls", "calls, the latest first", handler="list_calls", permission="calls:read"),
        _get("/admin/v1/calls/{key}", "one call, with every decision", handler="get_call", permission="calls:read"),
        _get(
            "/admin/v1/export",
            "all calls of a time as CSV or NDJSON, or their cost as FOCUS",
            handler="export",
            permission="calls:read",
        ),
        # As scripts for LiteLLM know them (docs.litellm.ai/docs/proxy/virtual_keys), and OpenAI's own.
        *_litellm("key", "generate info update delete block unblock regenerate list", "keys"),
        Endpoint("/key/{key}/regenerate", "", handler="litellm_key_regenerate", permission="keys:write"),
        *_litellm("team", "new info update delete list", "teams"),
        *_litellm("user", "new info update delete list", "teams"),
        Endpoint(
            "/budget/new", "LiteLLM's: limits by a name", handler="litellm_budget_new", permission="budgets:write"
        ),
        Endpoint("/budget/info", "LiteLLM's", handler="litellm_budget_info", permission="budgets:read"),
        _get("/spend/logs", "LiteLLM's: calls, or days", handler="litellm_spend_logs", permission="spend:read"),
        _get("/global/spend/report", "LiteLLM's", handler="litellm_spend_report", permission="spend:read"),
        _get("/v1/organization/usage/completions", "OpenAI's", handler="openai_usage", permission="spend:read"),
        _get("/v1/organization/costs", "OpenAI's", handler="openai_costs", permission="spend:read"),
        _get("/v1/key", "the caller's own key: what it may, and what is left", handler="own_key"),
    )
    HEALTH = (
        "health",
        _get("/health", "the process answers", handler="live", key="auth.health_check"),
        _get("/health/live", "the same", handler="live", key="auth.health_check"),
        _get("/health/ready", "new calls are welcome; 503 while stopping", handler="ready", key="auth.health_check"),
    )
    METRICS = "metrics", _get("/metrics", "Prometheus metrics; 404 if off", handler="metrics", key="auth.metrics")
    INDEX = "index", _get("/", "name, version and endpoints", handler="index", key="never")

    endpoints: tuple[Endpoint, ...]
    passes_through: bool
    number: int

    __hash__ = str.__hash__  # Enum's own is written in Python, and asked for with every look-up

    def __new__(cls, label: str, *endpoints: Endpoint) -> Operation:
        self = str.__new__(cls, label)
        self._value_ = label
        self.number = len(cls.__members__)
        self.endpoints = tuple(attrs.evolve(endpoint, operation=self) for endpoint in endpoints)
        self.passes_through = any(endpoint.dialect == "passthrough" for endpoint in endpoints)
        return self


COUNT_TOKENS = Operation.COUNT_TOKENS
"""For who looks at each call: a member of an enumeration takes long to get at."""
ENDPOINTS = tuple(endpoint for operation in Operation for endpoint in operation.endpoints)
UNNAMED = tuple(sorted({endpoint.unnamed for endpoint in ENDPOINTS} - {""}))
"""What ``routing.default_models`` may have."""
