"""``[[guardrails]]``: what may stand there, and what is said of the rest."""

from twisted.trial.unittest import SynchronousTestCase

from llmedge.config import ConfigError
from llmedge.config.sections.guardrails import ASKED, Guardrail
from tests.fakes import load, settings
from tests.folders import new_folder

PROVIDER = '[providers.p]\nbase_url = "http://h"\n'
BASE = '[[guardrails]]\nname = "g"\ntype = "pii"\n'


def guardrail(more: str = "", base: str = BASE) -> Guardrail:
    (found,) = settings(base + more).guardrails
    return found


class Sections(SynchronousTestCase):
    def wrong(self, toml: str) -> list[str]:
        error = self.assertRaises(ConfigError, settings, toml)
        return [line.partition("gateway.toml:")[2] or line for line in error.problems]

    def test_defaults(self) -> None:
        """It is in shadow, for everybody, on all but answers, and closed."""
        found = guardrail()
        self.assertEqual((found.mode, found.on, found.on_failure, found.default_on), ("shadow", ASKED, "closed", True))
        self.assertEqual(found.stream, "live")
        self.assertEqual(guardrail(base=BASE.replace("pii", "injection")).stream, "hold")

    def test_litellms_words(self) -> None:
        self.assertEqual(guardrail('on = "pre_call"').on, ASKED)
        self.assertEqual(guardrail('on = ["post_call"]').on, ("response",))
        self.assertEqual(guardrail('on = ["pre_call", "post_call"]').on, (*ASKED, "response"))
        found = guardrail('on = ["during_call"]')
        self.assertTrue(found.during)
        self.assertEqual(set(found.on), {"during_call", *ASKED})
        self.assertEqual(guardrail('mode = "logging_only"').mode, "shadow")
        self.assertEqual(guardrail('on_failure = "fail_open"').on_failure, "open")

    def test_what_is_wrong(self) -> None:
        """With its line; a type's own options are its own."""
        for more, words in (
            ('on = ["requests"]', "4: guardrails[0].on must be of request, history"),
            ("on = []", "4: guardrails[0].on must be a list"),
            ('action = "hide"', "4: guardrails[0].action must be one of block, mask"),
            ('entity = ["EMAIL"]', "4: guardrails[0].entity is not a setting; did you mean 'entities'?"),
            ('entities = ["MAIL"]', "4: guardrails[0].entities are of EMAIL"),
            ('action = "route"', "1: guardrails[0] needs route"),
            (f'action = "route"\nroute = "nobody"\n{PROVIDER}', "5: guardrails[0].route names the model 'nobody'"),
            ('route = "x/y"', "4: guardrails[0].route is for action"),
            ('on = ["during_call"]\naction = "mask"', "5: guardrails[0].action must be block or report"),
            (BASE, "5: guardrails[1].name 'g' is there twice"),
        ):
            (found,) = self.wrong(BASE + more)
            self.assertTrue(found.startswith(words), found)
        (found,) = self.wrong(BASE.replace('"g"', '"a b"'))
        self.assertIn("must be a short name", found)
        (found,) = self.wrong(BASE.replace("pii", "pi"))
        self.assertIn("is no type of guardrail, and no plugin: 'pi'; did you mean 'pii'?", found)
        (found,) = self.wrong('[[guardrails]]\nname = "g"\n')
        self.assertIn("needs type", found)
        (found,) = self.wrong(BASE.replace("pii", "injection") + 'stream = "live"')
        self.assertIn("this type judges what is whole", found)

    def test_keys_name_what_there_is(self) -> None:
        key = '[[auth.keys]]\nname = "k"\nkey = "sk-0123456789abcdef"\nguardrails = ["{}"]\n'
        self.assertEqual(settings(BASE + key.format("g")).auth.keys[0].guardrails, ("g",))
        (found,) = self.wrong(BASE + key.format("h"))
        self.assertIn("names the guardrail 'h', which is not configured", found)

    def test_enforced_without_samples(self) -> None:
        """It is not wrong, and hardly meant."""
        for more, doubted in (
            ('mode = "enforce"', True),
            ('mode = "enforce"\nsamples = "lines.jsonl"', False),
            ("", False),
        ):
            file = new_folder() / "gateway.toml"
            file.write_text(BASE + more)
            told: list[str] = []
            load({}, str(file), doubt=told.append)
            self.assertEqual(any("llmedge guard test" in line for line in told), doubted)
