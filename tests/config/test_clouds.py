"""Bedrock and Vertex: from the file, from their own environment variables, and what is said when that is not enough."""

import importlib.util
from typing import Any
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from llmedge.config import ConfigError
from llmedge.config.model_quirks import model_quirks
from tests.fakes import settings, write_service_account


def provider(toml: str, name: str, **environ: str) -> Any:
    return settings(f"[providers.{name}]\n{toml}\n", environ).providers[name]


class Clouds(SynchronousTestCase):
    def problem(self, toml: str, name: str, **environ: str) -> str:
        """The only problem there is."""
        problems = self.assertRaises(ConfigError, provider, toml, name, **environ).problems
        self.assertEqual(len(problems), 1, problems)
        return str(problems[0])


class Bedrock(Clouds):
    def test_where_it_is(self) -> None:
        for region, host in (
            ("eu-central-1", "bedrock-runtime.eu-central-1.amazonaws.com"),
            ("cn-north-1", "bedrock-runtime.cn-north-1.amazonaws.com.cn"),
        ):
            found = provider(f'region = "{region}"\napi_key = "k"', "bedrock")
            self.assertEqual(found.base_url, f"https://{host}")
        found = provider('base_url = "http://127.0.0.1:9"\napi_key = "k"', "bedrock", AWS_REGION="eu-west-1")
        self.assertEqual((found.base_url, found.region), ("http://127.0.0.1:9", "eu-west-1"))
        self.assertEqual(provider('api_key = "k"', "bedrock", AWS_DEFAULT_REGION="b", AWS_REGION="a").region, "a")

    def test_credentials(self) -> None:
        """Settings before the environment, an API key before an access key."""
        keys = {"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "SK", "AWS_SESSION_TOKEN": "ST"}
        both = keys | {"AWS_BEARER_TOKEN_BEDROCK": "abc"}

        def shown(found: Any) -> list[str | None]:
            secrets = (found.api_key, found.access_key, found.secret_key, found.session_token)
            return [secret and secret.reveal() for secret in secrets]

        region = 'region = "us-east-1"\n'
        self.assertEqual(shown(provider(region, "bedrock", **both)), ["abc", None, None, None])
        self.assertEqual(shown(provider(region, "bedrock", **keys)), [None, "AK", "SK", "ST"])
        self.assertEqual(shown(provider(region + 'api_key = "k"', "bedrock", **keys)), ["k", None, None, None])
        mine = region + 'access_key = "A"\nsecret_key = "S"'
        self.assertEqual(shown(provider(mine, "bedrock", **both)), [None, "A", "S", None])

    def test_what_is_missing(self) -> None:
        """One line, with a base URL too."""
        for more in ("", 'base_url = "http://127.0.0.1:9"\n'):
            self.assertIn("providers.bedrock needs region", self.problem(f'{more}api_key = "k"', "bedrock"))
            text = self.problem(f'{more}region = "eu-central-1"', "bedrock")
            self.assertIn("needs api_key, or access_key and secret_key, or the variables", text)
        self.assertIn("is not one of AWS's", self.problem('region = "evil.example/"\napi_key = "k"', "bedrock"))
        half = self.problem('region = "eu-central-1"\naccess_key = "a"', "bedrock")
        self.assertIn("needs both access_key and secret_key", half)
        self.assertIn("both", self.problem('region = "eu-central-1"', "bedrock", AWS_ACCESS_KEY_ID="a"))

    def test_without_botocore(self) -> None:
        keys = 'region = "eu-central-1"\naccess_key = "a"\nsecret_key = "b"'
        with mock.patch.object(importlib.util, "find_spec", return_value=None):
            self.assertIn("pip install 'llmedge[bedrock]'", self.problem(keys, "bedrock"))
            provider('region = "eu-central-1"\napi_key = "k"', "bedrock")


class Vertex(Clouds):
    def test_where_it_is(self) -> None:
        key = f'credentials = "{write_service_account()}"'
        for location, host in (
            ("global", "aiplatform.googleapis.com"),
            ("eu", "aiplatform.eu.rep.googleapis.com"),
            ("europe-west1", "europe-west1-aiplatform.googleapis.com"),
        ):
            found = provider(f'location = "{location}"\n{key}', "vertex")
            self.assertEqual((found.base_url, found.project), (f"https://{host}", "p-1"))

    def test_the_environment(self) -> None:
        """The variables Google's own SDKs read; the key itself may be in one."""
        file = write_service_account()
        place = {"GOOGLE_CLOUD_PROJECT": "other", "GOOGLE_CLOUD_LOCATION": "global"}
        found = provider("", "vertex", GOOGLE_APPLICATION_CREDENTIALS=str(file), **place)
        self.assertEqual((found.project, found.location), ("other", "global"))
        inline = provider('credentials = "env:KEY"', "vertex", KEY=file.read_text(), **place)
        self.assertEqual(inline.credentials, found.credentials)
        self.assertNotIn("no key", repr(inline))

    def test_what_is_missing(self) -> None:
        key = f'credentials = "{write_service_account()}"'
        for toml, words in (
            ('location = "global"', "needs credentials"),
            (key, "needs project and location"),
            ('location = "global"\ncredentials = "none.json"', "credentials refers to the file none.json"),
            (f'location = "evil.example/"\n{key}', "location is not one of Google's"),
            (f'location = "global"\nproject = "p/x"\n{key}', "project is not the id"),
            (f'location = "global"\napi_key = "k"\n{key}', "is not how Vertex knows its callers"),
            (f'location = "global"\ntoken_url = "http://sts.example/token"\n{key}', "token_url must be https"),
        ):
            self.assertIn(words, self.problem(toml, "vertex"))
        evil = f'credentials = "{write_service_account(token_uri="https://evil.example/token")}"'
        self.assertIn("credentials has a token_uri", self.problem(f'location = "global"\n{evil}', "vertex"))
        provider(f'location = "global"\ntoken_url = "http://127.0.0.1:1/token"\n{evil}', "vertex")


class Models(SynchronousTestCase):
    def test_quirks_by_name(self) -> None:
        """A version counts as such wherever the name has it; a date does not."""
        budgets, one = {"thinking_budget"}, {"one_sampling"}
        adaptive = {"adaptive_thinking", "no_sampling"} | one
        for name, quirks in (
            ("gpt-4o", set()),
            ("openai/gpt-5.1", {"no_sampling", "no_stop"}),
            ("gpt-5-chat-latest", set()),
            ("o4-mini", {"no_sampling", "no_stop"}),
            ("gemini-2.0-flash", {"text_results"}),
            ("gemini-2.5-flash", {"text_results", "no_penalties"}),
            ("gemini-3-pro-preview", {"no_penalties"}),
            ("xai/grok-3", set()),
            ("grok-4-1-fast-non-reasoning", {"no_effort", "no_penalties", "no_stop"}),
            ("claude-3-7-sonnet-20250219", budgets),
            ("claude-sonnet-4-20250514", budgets),
            ("claude-sonnet-4@20250514", budgets),
            ("eu.anthropic.claude-haiku-4-5-20251001-v1:0", budgets | one),
            ("anthropic/claude-opus-4.6", one),
            ("global.anthropic.claude-opus-4-6-v1", one),
            ("claude-opus-4-7", adaptive),
            ("claude-opus-4-8", adaptive | {"system_messages"}),
            ("claude-sonnet-5-20261001", adaptive | {"system_messages"}),
        ):
            self.assertEqual(model_quirks(name), quirks, name)
