from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects.registry import DIALECTS
from llmedge.errors import UpstreamMalformed
from llmedge.model import Target
from llmedge.providers.translation import PassThrough, Translated, translation_for

OWN = ("openai_chat", "openai_responses", "anthropic")


def spoken(asker: str, *quirks: str, speaks: tuple[str, ...] = OWN) -> tuple[type, str]:
    translation = translation_for(
        DIALECTS[asker], [DIALECTS[name] for name in speaks], quirks=frozenset(quirks), stream_usage=True, name="v"
    )
    assert translation is not None
    return type(translation), translation.vendor_dialect.name


class Wires(SynchronousTestCase):
    def test_the_askers_own_dialect_goes_before(self) -> None:
        for name in OWN:
            self.assertEqual(spoken(name), (PassThrough, name))
        self.assertEqual(spoken("gemini"), (Translated, "openai_chat"))

    def test_bare_responses(self) -> None:
        """What no SDK could read is written anew, even if Responses is all that may be spoken."""
        self.assertEqual(spoken("openai_responses", "bare_responses"), (Translated, "openai_chat"))
        alone = spoken("openai_responses", "bare_responses", speaks=("openai_responses",))
        self.assertEqual(alone, (Translated, "openai_responses"))
        self.assertEqual(spoken("anthropic", "bare_responses"), (PassThrough, "anthropic"))

    def test_an_answer_without_an_answer(self) -> None:
        """It is the vendor's failure, which another may do better, and no defect of ours."""
        call: Any = None  # it is not looked at
        for asker in ("anthropic", "openai_responses", "gemini"):
            translation = translation_for(
                DIALECTS[asker], [DIALECTS["openai_chat"]], quirks=frozenset(), stream_usage=True, name="v"
            )
            assert translation is not None
            self.assertRaises(
                UpstreamMalformed, translation.answer, b'{"id":"x","choices":[]}', call, Target("v", "m"), 0
            )
