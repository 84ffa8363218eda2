"""A 404 about the path and one about a model are told apart, by what servers say."""

from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects.registry import DIALECTS
from llmedge.errors import VendorLacks
from llmedge.providers.failures import failure_for
from llmedge.providers.wrong_path import is_about_path

PATHS = (
    ("openai_chat", b'{"detail":"Not Found"}'),  # FastAPI: vLLM, SGLang
    ("openai_chat", b"404 page not found"),  # Go: Ollama
    ("openai_chat", b'{"error":{"message":"File Not Found","type":"not_found_error","code":404}}'),  # llama.cpp
    ("openai_chat", b'{"error":{"message":"Invalid URL (POST /v1/v1/chat/completions)","type":"invalid"}}'),
    ("openai_chat", b'{"error":{"message":"Unknown request URL: POST /openai/v1/v1/x.","code":"unknown_url"}}'),
    ("openai_chat", b'{"error":{"code":"404","message":"Resource not found"}}'),  # Azure
    ("openai_chat", b'{"message":"no Route matched with those values"}'),  # Kong: Mistral, NVIDIA
    ("openai_chat", b"<html><head><title>404 Not Found</title></head></html>"),  # nginx
    ("openai_responses", b""),
    ("anthropic", b'{"type":"error","error":{"type":"not_found_error","message":"Not Found"}}'),
    ("gemini", b"<!DOCTYPE html><title>Error 404 (Not Found)!!1</title>"),
    ("bedrock", b'{"message":"Cannot POST /model/x/converse"}'),
)
MODELS = (
    ("openai_chat", b'{"error":{"message":"The model `gpt-9` does not exist","code":"model_not_found"}}'),
    ("openai_chat", b'{"error":{"message":"model \'llama9\' not found","type":"api_error"}}'),  # Ollama
    ("openai_chat", b'{"error":{"message":"The API deployment for this resource does not exist."}}'),  # Azure
    ("anthropic", b'{"type":"error","error":{"type":"not_found_error","message":"model: claude-9"}}'),
    ("gemini", b'{"error":{"code":404,"message":"models/gemini-9 is not found for API version v1beta"}}'),
    ("bedrock", b'{"message":"The provided model identifier is invalid."}'),
    ("openai_responses", b'{"error":{"message":"Item with id \'rs_1\' not found."}}'),
)


class WrongPath(SynchronousTestCase):
    def test_paths(self) -> None:
        """The operator is told what to look at; another target may have it, and none is sick."""
        for dialect, body in PATHS:
            error = DIALECTS[dialect].parse_error(body)
            failure = failure_for("p", 404, error, None)
            self.assertIsInstance(failure, VendorLacks, str(body))
            self.assertIn("has nothing at the path it was asked for (status 404", failure.message)
            self.assertIn("check its base_url", failure.message)
            self.assertEqual((failure.status, failure.cause, failure.should_retry), (404, "unserved", None))

    def test_models(self) -> None:
        for dialect, body in MODELS:
            error = DIALECTS[dialect].parse_error(body)
            self.assertFalse(is_about_path(404, error), body)
            self.assertNotIn("base_url", failure_for("p", 404, error, None).message, body)

    def test_other_statuses(self) -> None:
        for status in (400, 403, 410, 500):
            self.assertFalse(is_about_path(status, DIALECTS["openai_chat"].parse_error(b"")))
