"""Which models take marks, by the pages of their makers and clouds (named in the module)."""

from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.prompt_caches import prompt_cache_of

ANTHROPIC = {
    512: "claude-opus-5 claude-opus-5-5 claude-sonnet-5-5 claude-sonnet-5.5 claude-haiku-5-5 claude-fable-5 "
    "claude-mythos-5-1",
    1024: "claude-opus-4-8 claude-sonnet-5 claude-sonnet-5-20260301 claude-sonnet-4-6 claude-sonnet-4-5@20250929 "
    "claude-opus-4-1-20250805 claude-opus-4-20250514 claude-sonnet-4 claude-3-7-sonnet-latest "
    "anthropic/claude-sonnet-4.5",
    2048: "claude-opus-4-7 claude-opus-4.7 claude-mythos-preview claude-3-5-haiku-20241022 claude-3-haiku-20240307",
    4096: "claude-opus-4-6 claude-opus-4-5-20251101 claude-haiku-4-5 claude-haiku-4.5 claude-opus claude-next",
}
BEDROCK = {
    512: "anthropic.claude-opus-5-v1 global.anthropic.claude-haiku-5-5-v1:0",
    1024: "anthropic.claude-sonnet-4-6 eu.anthropic.claude-sonnet-4-5-20250929-v1:0 anthropic.claude-opus-4-8",
    4096: "anthropic.claude-opus-4-7 us.anthropic.claude-opus-4-5-20251101-v1:0 "
    "anthropic.claude-haiku-4-5-20251001-v1:0 "
    "arn:aws:bedrock:eu-central-1:123456789012:inference-profile/eu.anthropic.claude-opus-4-6-v1",
}
FIVE_MINUTES = {
    1024: "us.anthropic.claude-3-7-sonnet-20250219-v1:0 anthropic.claude-3-5-sonnet-20241022-v2:0 "
    "anthropic.claude-opus-4-20250514-v1:0 us.anthropic.claude-opus-4-1-20250805-v1:0 "
    "apac.anthropic.claude-sonnet-4-20250514-v1:0",
    2048: "anthropic.claude-3-5-haiku-20241022-v1:0",
}
NONE = {
    "anthropic": "claude-2.1 claude-instant-1.2 deepseek-chat sonnet",
    "bedrock": "anthropic.claude-v2:1 anthropic.claude-3-haiku-20240307-v1:0 anthropic.claude-3-5-sonnet-20240620-v1:0 "
    "meta.llama3-70b-instruct-v1:0 amazon.nova-sonic-v1:0 "
    "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3",
    "openai_chat": "gpt-5.6 claude-opus-5",
    "gemini": "gemini-3-pro",
}


class Models(SynchronousTestCase):
    def test_least(self) -> None:
        """The tokens from which a beginning is kept, by model and by who serves it."""
        for dialect, hour, table in (
            ("anthropic", True, ANTHROPIC),
            ("bedrock", True, BEDROCK),
            ("bedrock", False, FIVE_MINUTES),
        ):
            for least, names in table.items():
                for name in names.split():
                    found = prompt_cache_of(name, dialect)
                    assert found is not None, name
                    self.assertEqual(
                        (found.least, found.hour, found.tools, found.media), (least, hour, True, True), name
                    )
                    self.assertEqual([found.ttl("5m"), found.ttl("1h")], ["5m", "1h" if hour else "5m"], name)

    def test_nova(self) -> None:
        """Five minutes, and no mark behind tools, which it refuses."""
        for name in ("amazon.nova-lite-v1:0", "us.amazon.nova-pro-v1:0", "us.amazon.nova-2-lite-v1:0"):
            found = prompt_cache_of(name, "bedrock")
            assert found is not None
            self.assertEqual((found.least, found.hour, found.tools, found.media), (1024, False, False, False), name)

    def test_none(self) -> None:
        """What takes no marks, or may not: nothing is sent that could be refused."""
        for dialect, names in NONE.items():
            for name in names.split():
                self.assertIsNone(prompt_cache_of(name, dialect), (dialect, name))
