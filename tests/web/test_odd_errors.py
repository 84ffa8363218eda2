"""Errors in which vendors tell of themselves, or of the gateway's account, rather than of the request."""

from __future__ import annotations

import json
from typing import Any

from tests.web.test_odd_vendors import ANSWERS, CLIENTS
from tests.web.through import Through

DIALECTS = ("openai", "anthropic", "gemini")
SECRETS = ("org-abcdef12", "$3.14", "balance", "my-shop", "681255809395")
SPARE = '[providers.spare]\nbase_url = "http://127.0.0.1:20/v1"\n'
ERRORS: dict[str, list[tuple[int, dict[str, Any]]]] = {
    "billing": [
        (402, {"message": "Insufficient Balance", "code": "invalid_request_error"}),
        (400, {"message": "Your credit balance is too low: $3.14", "type": "invalid_request_error"}),
        (429, {"message": "You exceeded your current quota. org-abcdef12", "code": "insufficient_quota"}),
        (403, {"message": "Sorry, your account balance is insufficient"}),
        (500, {"message": "Insufficient credits: $3.14 left"}),
    ],
    "location": [
        (400, {"message": "User location is not supported for the API use.", "status": "FAILED_PRECONDITION"}),
        (403, {"message": "Country, region, or territory not supported", "code": "request_forbidden"}),
    ],
    "unserved": [
        (404, {"message": "The model `x` does not exist", "code": "model_not_found", "param": None}),
        (404, {"message": "The API deployment for this resource does not exist.", "code": "DeploymentNotFound"}),
        (404, {"message": "Publisher Model `projects/my-shop/x` was not found", "status": "NOT_FOUND"}),
        (404, {}),
        (410, {"message": "Gone"}),
        (400, {"message": "Unable to access non-serverless model x.", "code": "model_not_available"}),
        (403, {"message": "Project `proj_abcdef12` does not have access to model `x`", "code": "model_not_found"}),
    ],
    "allowance": [
        (
            413,
            {
                "message": "Request too large for `x` in organization `org-abcdef12` on tokens per minute (TPM): "
                "Limit 6000, Requested 9000",
                "code": "rate_limit_exceeded",
            },
        ),
        (400, {"message": "Your organization must be verified to stream this model.", "param": "stream"}),
        (402, {"message": "This request requires more credits, or fewer max_tokens. You can only afford 314"}),
    ],
    "credentials": [(400, {"message": "API key not valid. Please pass a valid API key.", "code": 400})],
}
SHOWN = {
    "billing": (502,),
    "location": (502,),
    "credentials": (502,),
    "unserved": (400, 404, 410),
    "allowance": (400, 413),
}


def model(dialect: str, settings: str = "") -> str:
    return (
        f'[providers.v]\ndialect = "{dialect}"\napi_key = "k"\nbase_url = "http://127.0.0.1:10/v1"\n{SPARE}'
        f'[models.one]\ntargets = ["v/x"]\n{settings}[models.two]\ntargets = ["v/x", "spare/y"]\n{settings}'
    )


class OddErrors(Through):
    def put(self, client: str, name: str, stream: bool = False) -> Any:
        path, body = CLIENTS[client]
        if client == "gemini":
            verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
            return self.ask(path.format(name) + verb, body)
        return self.ask(path, body | {"model": name, "stream": stream})

    def test_the_next_target_is_asked(self) -> None:
        """In each dialect of vendors: once here, then there; the client sees nothing of it."""
        for dialect in DIALECTS:
            for cause, errors in ERRORS.items():
                for status, error in errors:
                    self.begin(model(dialect), "")
                    wire = self.put("openai_chat", "two")
                    if dialect == "gemini" and "code" in error:
                        error = error | {"status": error["code"], "code": status}
                    self.vendor().answer(status, {"error": error})
                    self.vendor().answer(200, ANSWERS["chat"])
                    self.assertEqual(wire.response().status, 200, (dialect, error))
                    self.assertEqual([each.cause for each in self.record.routing.attempts], [cause, ""], error)

    def test_nobody_else_is_left(self) -> None:
        """Each client is told what it can do about it, and nothing of the gateway's account."""
        for client in CLIENTS:
            for cause, errors in ERRORS.items():
                for status, error in errors:
                    self.begin(model("openai"), "")
                    wire = self.put(client, "one")
                    self.vendor().answer(status, {"error": error})
                    response = wire.response()
                    where = (client, error, response.body)
                    self.assertIn(response.status, SHOWN[cause], where)
                    self.assertEqual([each.cause for each in self.record.routing.attempts], [cause], where)
                    for secret in SECRETS:
                        self.assertNotIn(secret, response.body.decode(), where)

    def test_behind_a_status_of_200(self) -> None:
        """Within a stream or a body: the same."""
        for stream in (False, True):
            for cause in ("billing", "location", "unserved"):
                message = ERRORS[cause][1 if cause == "billing" else 0][1]["message"]
                self.begin(model("openai"), "")
                for name, answers in (("one", 1), ("two", 2)):
                    wire = self.put("openai_chat", name, stream)
                    error = {"error": {"message": message, "code": 402}}
                    if stream:
                        self.vendor().answer(200, b"data: %b\n\n" % json.dumps(error).encode(), "text/event-stream")
                    else:
                        self.vendor().answer(200, error)
                    if answers == 2:
                        self.vendor().answer(200, ANSWERS["chat"])
                    response = wire.response()
                    self.assertEqual(response.status, 200 if answers == 2 else 502, (stream, cause))
                    self.assertNotIn("$3.14", response.body.decode())
                    self.assertEqual(self.record.routing.attempts[0].cause, cause)
                    self.begin(model("openai"), "")

    def test_what_one_caller_names(self) -> None:
        """A file or a cache that is not there is the caller's matter, whatever the status, and no target is blamed."""
        for status, message in (
            (403, "CachedContent not found (or permission denied)"),
            (403, "You do not have permission to access the File abc or it may not exist."),
            (404, "Item with id 'rs_1' not found."),
            (424, "Error retrieving tool list from MCP server: 'x'"),
        ):
            self.begin(model("openai"), "")
            for _ in range(6):
                wire = self.put("openai_responses", "two")
                self.vendor().answer(status, {"error": {"message": message}})
                response = wire.response()
                self.assertEqual((response.status, response.json()["error"]["message"]), (status, message))
                self.assertEqual([each.cause for each in self.record.routing.attempts], ["client"])

    def test_waits(self) -> None:
        """What is said of when to come back, in a body, in words, or of a stream's error, is told as Retry-After."""
        info = {"details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34s"}]}
        for dialect in DIALECTS:
            for error in (info, {"message": "Please try again in 33.5s."}):
                for document in ({"error": error}, [{"error": error}]):
                    for status in (429, 503):
                        self.begin(model(dialect), "")
                        wire = self.put("openai_chat", "one")
                        self.vendor().answer(status, document)
                        self.assertEqual(wire.response().headers.get("retry-after"), "34", (dialect, document))
                        self.assertEqual(len(self.record.routing.attempts), 1)
        self.begin(model("openai"), "")
        wire = self.put("openai_chat", "one")
        self.vendor().answer(429, b"Too many requests, try again in 33.5s", "text/plain")
        self.assertEqual(wire.response().headers.get("retry-after"), "34")
        self.begin(model("anthropic"), "")
        wire = self.put("openai_chat", "one", True)
        said = {"type": "error", "error": {"type": "rate_limit_error", "message": "Please try again in 33.5s."}}
        self.vendor().answer(200, b"event: error\ndata: %b\n\n" % json.dumps(said).encode(), "text/event-stream")
        self.assertEqual(wire.response().headers.get("retry-after"), "34")

    def test_no_wait_for_what_is_wrong(self) -> None:
        """Only who is limited or out is waited for: a refusal that has such words is none the less one."""
        self.begin(model("openai"), "")
        wire = self.put("openai_chat", "one")
        self.vendor().answer(400, {"error": {"message": "Unknown value. Please try again in 33.5s."}})
        self.assertNotIn("retry-after", wire.response().headers)

    def test_quota_of_a_minute(self) -> None:
        """Google and Alibaba call that a quota too; who says when it is over is no account without money."""
        self.begin(model("openai"), "")
        wire = self.put("openai_chat", "one")
        quota = {"message": "You exceeded your current quota.", "code": "insufficient_quota", "retry_after": 26}
        self.vendor().answer(429, {"error": quota})
        response = wire.response()
        self.assertEqual((response.status, response.headers.get("retry-after")), (429, "26"))

    def test_a_balance_that_is_limited_too(self) -> None:
        """Who says when to come back is asked then; what the operator's account has left is told to no client."""
        for code, message in (
            (
                "exceeded_current_quota_error",
                "Your account org-abcdef123 is suspended, please recharge: 0.03 USD left.",
            ),
            ("insufficient_balance", "0.03 USD left"),
            ("", "Insufficient balance: 0.03 USD left"),
        ):
            self.begin(model("openai"), "")
            wire = self.put("openai_chat", "one")
            self.vendor().answer(429, {"error": {"message": message, "code": code, "retry_after": 26}})
            response = wire.response()
            self.assertEqual((response.status, response.headers.get("retry-after")), (429, "26"))
            self.assertNotIn(b"0.03", response.body)

    def test_statuses_of_the_operators_choice(self) -> None:
        """In the file: for a model, and for all."""
        refusal = {"error": {"message": "I will not.", "code": "odd"}}
        for settings, toml, good in (("fallback_on = [422]\n", "", True), ("", "", False)):
            self.begin(toml + model("openai", settings), "")
            wire = self.put("openai_chat", "two")
            self.vendor().answer(422, refusal)
            if good:
                self.vendor().answer(200, ANSWERS["chat"])
            self.assertEqual(wire.response().status, 200 if good else 422)
        for name, status in (("two", 200), ("one", 422)):
            self.begin(model("openai"), "[routing]\nfallback_on = [422]\n")
            wire = self.put("openai_chat", name)
            self.vendor().answer(422, refusal)
            if status == 200:
                self.vendor().answer(200, ANSWERS["chat"])
            response = wire.response()
            self.assertEqual(response.status, status)
        self.assertEqual(
            (response.json()["error"]["message"], response.json()["error"]["code"]), ("I will not.", "odd")
        )
