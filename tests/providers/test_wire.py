from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects.registry import DIALECTS
from llmedge.providers.wire import PassThrough, Translated, wire_for

OWN = ("openai_chat", "openai_responses", "anthropic")


def spoken(asker: str, *quirks: str, speaks: tuple[str, ...] = OWN) -> tuple[type, str]:
    wire = wire_for(
        DIALECTS[asker], [DIALECTS[name] for name in speaks], quirks=frozenset(quirks), stream_usage=True, name="v"
    )
    assert wire is not None
    return type(wire), wire.spoken.name


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
