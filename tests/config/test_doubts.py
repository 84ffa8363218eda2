"""What can be used and is hardly meant is said, each thing once, and nothing else is."""

from fnmatch import fnmatchcase

from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.doubts import meet
from tests.effort import examples
from tests.fakes import load
from tests.folders import new_folder

LOCAL = '[providers.p]\nbase_url = "http://h/v1"\n'
KEY = '[[auth.keys]]\nname = "a"\nkey = "0123456789abcdef"\n'
MOCK = "only the mock provider is on"


def doubts(toml: str = "", environ: dict[str, str] | None = None) -> list[str]:
    said: list[str] = []
    path = None
    if toml:
        path = new_folder() / "g.toml"
        path.write_text(toml)
    load(environ or {}, path and str(path), doubt=said.append)
    return [each.replace(f"{path}", "g.toml") for each in said]


class Environment(SynchronousTestCase):
    def test_nothing_but_the_mock(self) -> None:
        """A forgotten key; who names a mock means it."""
        self.assertIn(MOCK, "".join(doubts()))
        self.assertIn(MOCK, "".join(doubts(KEY)))
        self.assertEqual(doubts('[providers.mock]\ndialect = "mock"\n'), [])
        self.assertEqual(doubts('[providers.openai]\ndialect = "mock"\n'), [])
        self.assertEqual(doubts("", {"OPENAI_API_KEY": "k"}), [])

    def test_misspelt(self) -> None:
        for name, meant in {
            "OPENAI_KEY": "OPENAI_API_KEY",
            "OPEN_AI_API_KEY": "OPENAI_API_KEY",
            "OPENAI_APIKEY": "OPENAI_API_KEY",
            "ANTROPIC_API_KEY": "ANTHROPIC_API_KEY",
            "GROQ_API_KEYS": "GROQ_API_KEY",
            "MISTRAL_KEY": "MISTRAL_API_KEY",
            "OLAMA_HOST": "OLLAMA_HOST",
        }.items():
            said = doubts("", {name: "canary"})
            self.assertEqual(said[0], f"the variable {name} is set, and nothing reads it: did you mean {meant}?")
            self.assertIn(MOCK, said[1])
            self.assertNotIn("canary", "".join(said))
            both = doubts("", {name: "x", meant: "http://h" if "HOST" in meant else "y"})
            self.assertEqual(both, [], name)

    def test_of_other_programs(self) -> None:
        """Nothing is said of them, nor of any where the file says who is on."""
        self.assertEqual(
            len(doubts("", {"GITHUB_TOKEN": "x", "AWS_ACCESS_KEY_ID": "x", "SSH_KEY": "x", "HOST": "h"})), 1
        )
        self.assertEqual(doubts(LOCAL, {"OPENAI_KEY": "x"}), [])

    def test_half_of_what_is_needed(self) -> None:
        said = doubts("", {"AZURE_OPENAI_API_KEY": "x", "OPENAI_BASE_URL": "http://h/v1"})
        self.assertIn("AZURE_OPENAI_API_KEY alone does not switch azure on: it needs [providers.azure]", said)
        self.assertIn("OPENAI_BASE_URL is set, but not OPENAI_API_KEY, which switches openai on", said)


class Files(SynchronousTestCase):
    def test_one_each(self) -> None:
        """With its line."""
        good = f"{LOCAL}[models.m]\ntargets = ['p/x']\n"
        for toml, said in (
            ("[providers.openai]\n", '1: providers.openai has no api_key, such as api_key = "env:OPENAI_API_KEY"'),
            ('[providers.fast]\nvendor = "groq"\n', '1: providers.fast has no api_key, such as api_key = "env:GROQ_'),
            ('[providers.azure]\nbase_url = "http://h"\n', "1: providers.azure has no api_key"),
            (
                '[providers.gemini]\nbase_url = "http://h/gw"\n',
                "2: providers.gemini.base_url is asked in OpenAI's",
            ),
            ('[providers.openai]\nbase_url = "http://h/v1"\n', "2: providers.openai.base_url makes it another"),
            ('[providers.groq]\nbase_url = "http://h/v1"\nvendor = "mistral"\n', "1: providers.groq has no api_key"),
            ('[providers.p]\nbase_url = "http://h:8000"\n', "2: providers.p.base_url has no path; most servers have"),
            (f"{good}{KEY}models = ['gtp-*']\n", "8: auth.keys[0].models has 'gtp-*', which no model here is called"),
            (f"{good}{KEY}models = ['q/*']\n", "8: auth.keys[0].models has 'q/*'"),
            (f"{good}{KEY.replace('0123456789abcdef', 'canary')}", "7: auth.keys[0].key is 6 characters long"),
            (f"{good}strategy = 'cost'\n", '5: models.m.strategy is "cost", and nobody knows what p/x costs'),
            (f"{good}prompt_cache_ttl = '1h'\n", "5: models.m.prompt_cache_ttl does nothing without prompt_cache"),
            (
                f"{good}fallbacks = ['n']\n[models.n]\ntargets = ['p/y']\nfallbacks = ['m']\n",
                "5: models.m.fallbacks go in a circle, and each is asked once: m → n → m",
            ),
        ):
            found = doubts(toml)
            self.assertEqual(len(found), 1, found)
            self.assertIn(f"g.toml:{said}", found[0])
            self.assertNotIn("canary", found[0])

    def test_short_keys_of_the_variable(self) -> None:
        said = doubts(LOCAL, {"API_KEYS": f"x,0123456789abcdef,sha256:{'0' * 64}"})
        self.assertEqual(len(said), 1)
        self.assertIn("environment variable API_KEYS holds a key of 1 character, which can be found by trying", said[0])

    def test_a_variable_stands_over_a_line(self) -> None:
        """With the line; not where both say the same, and never with a value."""
        listen = '[server]\nlisten = ["tcp:1"]\n'
        for toml, environ, said in (
            ("[server]\ntimeout = 60\n", {"SERVER_TIMEOUT_SECONDS": "30"}, "2: server.timeout, SERVER_TIMEOUT_SECONDS"),
            ("[rate_limit]\nrpm = 5\n", {"RATE_LIMIT_RPM": "1000"}, "2: rate_limit.rpm, RATE_LIMIT_RPM"),
            ('[log]\nlevel = "warn"\n', {"LOG_LEVEL": "info"}, "2: log.level, LOG_LEVEL"),
            (listen, {"SERVER_ADDRESS": "127.0.0.1:2"}, "2: server.listen, SERVER_ADDRESS"),
            (KEY, {"API_KEYS": "canary-89abcdef0"}, "1: auth.keys, API_KEYS"),
            ("[server]\ntimeout = 30\n", {"SERVER_TIMEOUT_SECONDS": "30.0"}, ""),
            ("[server]\ntimeout = 60\n", {"SERVER_TIMEOUT_SECONDS": " "}, ""),
            ("", {"SERVER_TIMEOUT_SECONDS": "60", "API_KEYS": "canary-89abcdef0"}, ""),
        ):
            found = doubts(toml + LOCAL, environ)
            place, _, variable = said.partition(", ")
            expected = f"g.toml:{place} does not count: the variable {variable} stands over it"
            self.assertEqual(found, [expected] if said else [], (toml, environ))

    def test_what_is_meant(self) -> None:
        """Nothing is said of what is as it should be."""
        for toml in (
            '[providers.openai]\napi_key = "k"\n',
            '[providers.openai]\nheaders = {authorization = "Bearer x"}\n',
            '[providers.gemini]\nbase_url = "http://h/gw"\ndialect = "openai"\n',
            '[providers.gemini]\nvendor = "gemini"\napi_key = "k"\nbase_url = "http://h/gw"\n',
            '[providers.ollama]\nbase_url = "http://h:11434"\n',
            '[providers.mistral]\nbase_url = "http://h/v1"\nmodels = []\n',
            '[providers.mistral]\nbase_url = "http://h/v1"\ndialect = "openai"\n',
            '[providers.mistral]\nbase_url = "http://h/v1"\n[models.m]\ntargets = ["mistral/x"]\n',
            '[providers.mistral]\nbase_url = "http://h/v1"\nvendor = "mistral"\napi_key = "k"\n',
            '[providers.p]\nbase_url = "http://h"\npaths = {openai_chat = "/v1/chat"}\n',
            f"{LOCAL}models = ['gpt-4?']\n{KEY}models = ['gpt-[34]o', 'p/*']\n",
            f"{LOCAL}[models.m]\ntargets = ['p/x']\nstrategy = 'cost'\n[prices.'p/*']\ninput = 1\noutput = 1\n",
            f"{LOCAL}[models.m]\ntargets = ['p/x']\nprompt_cache = 'auto'\nprompt_cache_ttl = '1h'\n",
            "[providers.openai]\napi_key = 'k'\n[models.m]\ntargets = ['openai/gpt-4o']\nstrategy = 'cost'\n",
            f"{LOCAL}[models.m]\ntargets = ['p/x']\nfallbacks = ['n']\n[models.n]\ntargets = ['p/y']\n",
        ):
            self.assertEqual(doubts(toml), [], toml)

    def test_in_the_order_of_lines(self) -> None:
        said = doubts(f"[models.m]\ntargets = ['openai/x']\n{KEY}models = ['x']\n[providers.openai]\n")
        self.assertEqual([each.split(":")[1] for each in said], ["6", "7"])


class Patterns(SynchronousTestCase):
    @hypothesis(max_examples=examples(200), deadline=None)
    @given(st.text("ab*?", max_size=6), st.text("ab*?", max_size=6))
    def test_that_meet(self, one: str, other: str) -> None:
        """As trying all names finds."""
        names = [""]
        found = False
        for _ in range(8):
            found = found or any(fnmatchcase(name, one) and fnmatchcase(name, other) for name in names)
            names = [name + char for name in names for char in "ab"][:256]
        if found:
            self.assertTrue(meet(one, other))
        elif "*" not in one + other:
            self.assertFalse(meet(one, other))
        self.assertEqual(meet(one, other), meet(other, one))

    def test_some(self) -> None:
        for one, other, expected in (
            ("gtp-*", "gpt-*", False),
            ("gpt-*", "*-4o", True),
            ("o[0-9]", "o3", True),
            ("a*b", "b*a", False),
            ("a*b*c", "*x*", True),
            ("claude-*", "openai/*", False),
            ("*", "", True),
            ("", "a", False),
        ):
            self.assertEqual(meet(one, other), expected, (one, other))
