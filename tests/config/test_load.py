import hashlib

from twisted.trial.unittest import SynchronousTestCase

from llmedge.config import ConfigError, Settings
from tests.fakes import load, settings
from tests.folders import new_folder

GOOD = """
[server]
listen = ["tcp:9000"]
timeout = 12.5
[auth]
enabled = true
[[auth.keys]]
name = "team-a"
key = "env:TEAM_A_KEY"
models = ["gpt-*"]
rpm = 600
burst = 60
[[auth.keys]]
name = "team-b"
key = "sha256:{digest}"
[providers.local]
dialect = "openai"
base_url = "http://127.0.0.1:9000/v1/"
api_key = "env:LOCAL_KEY"
[models."gpt-4"]
targets = ["local/tiny"]
"""


class Load(SynchronousTestCase):
    def problems(self, toml: str, environ: dict[str, str] | None = None) -> tuple[str, ...]:
        return self.assertRaises(ConfigError, settings, toml, environ).problems

    def test_a_whole_file(self) -> None:
        """Everything arrives where it belongs."""
        digest = hashlib.sha256(b"b-key").hexdigest()
        loaded = settings(GOOD.format(digest=digest), {"TEAM_A_KEY": "a-key", "LOCAL_KEY": "vendor"})
        self.assertEqual(loaded.server.listen, ("tcp:9000",))
        self.assertEqual(loaded.server.timeout, 12.5)
        a, b = loaded.auth.keys
        self.assertEqual((a.name, a.models, a.rpm, a.burst), ("team-a", ("gpt-*",), 600, 60))
        self.assertEqual(a.digests(), [hashlib.sha256(b"a-key").digest()])
        self.assertEqual(b.digests(), [hashlib.sha256(b"b-key").digest()])
        self.assertEqual(loaded.providers["local"].base_url, "http://127.0.0.1:9000/v1")
        self.assertEqual(loaded.providers["local"].api_key.reveal(), "vendor")
        self.assertEqual([str(target) for target in loaded.models["gpt-4"].targets], ["local/tiny"])

    def test_defaults(self) -> None:
        """With nothing set, the documented defaults hold and the mock vendor answers."""
        loaded = load({})
        self.assertEqual(loaded.server.listen, ("tcp:8080:interface=0.0.0.0",))
        self.assertEqual(loaded.server.timeout, 30.0)
        self.assertEqual(loaded.server.max_request_size, 10485760)
        self.assertEqual((loaded.rate_limit.rpm, loaded.rate_limit.burst), (1000, 100))
        self.assertTrue(loaded.auth.enabled)
        self.assertFalse(loaded.auth.health_check)
        self.assertTrue(loaded.metrics.enabled)
        self.assertFalse(loaded.tracing.enabled)
        self.assertEqual(list(loaded.providers), ["mock"])

    def test_environment_over_file_and_flags_over_both(self) -> None:
        """Flags over environment over file over defaults."""
        toml = '[server]\nlisten = ["tcp:1"]\ntimeout = 5\n[rate_limit]\nrpm = 7\n'
        loaded = settings(toml, {"SERVER_TIMEOUT_SECONDS": "9", "SERVER_ADDRESS": "127.0.0.1:2"})
        self.assertEqual(loaded.server.timeout, 9.0)
        self.assertEqual(loaded.server.listen, ("tcp:2:interface=127.0.0.1",))
        self.assertEqual(loaded.rate_limit.rpm, 7)
        file = new_folder() / "flags.toml"
        file.write_text(toml)
        flagged = load({"SERVER_ADDRESS": "127.0.0.1:2"}, str(file), ["tcp:3"])
        self.assertEqual(flagged.server.listen, ("tcp:3",))

    def test_every_documented_variable_is_read(self) -> None:
        """The names of Layer 1 are exactly these."""
        environ = {
            "SERVER_ADDRESS": "127.0.0.1:8443",
            "ENABLE_TLS": "true",
            "TLS_CERT_PATH": "c.pem",
            "TLS_KEY_PATH": "k.pem",
            "AUTH_ENABLED": "false",
            "AUTH_HEALTH_CHECK": "yes",
            "API_KEYS": "one,two",
            "RATE_LIMIT_ENABLED": "0",
            "RATE_LIMIT_RPM": "11",
            "RATE_LIMIT_BURST": "12",
            "MAX_REQUEST_SIZE": "13",
            "SERVER_TIMEOUT_SECONDS": "14",
            "ENABLE_TRACING": "1",
            "OTLP_ENDPOINT": "http://collector:4318",
            "ENABLE_METRICS": "off",
            "LOG_LEVEL": "debug",
            "LOG_FILTER": "llmedge=debug,twisted=warn",
        }
        s = load(environ)
        self.assertEqual(s.server.listen, ("ssl:8443:interface=127.0.0.1",))
        self.assertEqual((s.tls.enabled, s.tls.cert, s.tls.key), (True, "c.pem", "k.pem"))
        self.assertEqual((s.auth.enabled, s.auth.health_check), (False, True))
        self.assertEqual([key.name for key in s.auth.keys], ["key-1", "key-2"])
        self.assertEqual((s.rate_limit.enabled, s.rate_limit.rpm, s.rate_limit.burst), (False, 11, 12))
        self.assertEqual((s.server.max_request_size, s.server.timeout), (13, 14.0))
        self.assertEqual((s.tracing.enabled, s.tracing.endpoint), (True, "http://collector:4318"))
        self.assertFalse(s.metrics.enabled)
        self.assertEqual((s.log.level, s.log.filter), ("debug", "llmedge=debug,twisted=warn"))
        self.assertEqual(load({"RUST_LOG": "info,tower=warn"}).log.filter, "info,tower=warn")

    def test_all_problems_at_once_each_with_its_line_and_the_nearest_name(self) -> None:
        """One run shows everything there is to repair."""
        toml = '\n[server]\ntimeuot = 3\ntimeout = "x"\n[serverr]\na = 1\n[providers.p]\nbase_url = "nonsense"\n'
        toml += '[models.m]\ntargets = ["q/x"]\n[[auth.keys]]\nname = "a"\nkey = "env:NOT_SET"\nrmp = 1\n'
        problems = self.problems(toml, {"RATE_LIMIT_RPM": "many"})
        text = "\n".join(problems)
        for expected in (
            "gateway.toml:3: server.timeuot is not a setting; did you mean 'timeout'?",
            "gateway.toml:4: server.timeout must be a number from 0.01 to 86400",
            "gateway.toml:5: serverr is not a setting; did you mean 'server'?",
            "gateway.toml:8: providers.p.base_url must be an http or https URL",
            "gateway.toml:10: models.m.targets names the provider 'q', which is not configured",
            "gateway.toml:13: auth.keys[0].key refers to the environment variable NOT_SET, which is not set",
            "gateway.toml:14: auth.keys[0].rmp is not a setting; did you mean 'rpm'?",
            "environment variable RATE_LIMIT_RPM must be a whole number from 1",
        ):
            self.assertIn(expected, text)
        self.assertEqual(len(problems), 8, text)

    def test_a_file_that_is_not_there_or_not_toml(self) -> None:
        """One line each, no traceback."""
        error = self.assertRaises(ConfigError, load, {}, "/nowhere/x.toml")
        self.assertEqual(str(error), "/nowhere/x.toml: cannot be read: No such file or directory")
        self.assertIn("is not TOML", self.problems("[server\n")[0])

    def test_a_bad_address(self) -> None:
        self.assertIn("must be HOST:PORT", self.assertRaises(ConfigError, load, {"SERVER_ADDRESS": "8080"}).problems[0])

    def test_bad_hash_and_double_name(self) -> None:
        """A hash of the wrong length never becomes a key that nobody can present."""
        self.assertIn("64 hexadecimal digits", self.assertRaises(ConfigError, load, {"API_KEYS": "sha256:12"}).args[0])
        twice = '[[auth.keys]]\nname = "a"\nkey = "x"\n[[auth.keys]]\nname = "a"\nkey = "y"\n'
        self.assertIn("used twice", self.problems(twice)[0])

    def test_what_would_surprise_is_refused(self) -> None:
        """TLS that would not happen, keys that would vanish or clash, settings without effect."""
        key = '[[auth.keys]]\nname = "a"\nkey = "x"\n'
        for toml, environ, words in (
            (
                '[server]\nlisten = ["tcp:80"]\n',
                {"ENABLE_TLS": "1", "TLS_CERT_PATH": "c", "TLS_KEY_PATH": "k"},
                "ssl:80",
            ),
            (key, {"API_KEYS": ","}, "holds no key"),
            (key + key.replace('"a"', '"b"'), {}, "'a' and 'b' are the same key"),
            ('[providers.p]\nbase_url = "http://h"\nfault = "cut"\n', {}, 'is for the vendor "mock" only'),
            ('[providers.p]\nbase_url = "http://h/v1\\r\\nX: 1"\n', {}, "visible ASCII"),
            ('[providers.p]\nbase_url = "http://[h"\n', {}, "must be a URL"),
            ("", {"SERVER_ADDRESS": "a:b:80"}, "must be HOST:PORT"),
            (f"[server]\ntimeout = 1{'0' * 400}\n", {}, "must be a number from 0.01 to 86400"),
            ('[models.m]\ntargets = ["mock/m"]\nshadow_share = nan\n', {}, "must be a number from 0 to 1"),
        ):
            self.assertIn(words, "\n".join(self.problems(toml, environ)))

    def test_known_vendors_need_no_base_url(self) -> None:
        loaded = settings('[providers.openai]\napi_key = "k"\n')
        self.assertEqual(loaded.providers["openai"].base_url, "https://api.openai.com/v1")

    def test_tls_without_certificate(self) -> None:
        self.assertIn("TLS_CERT_PATH", self.assertRaises(ConfigError, load, {"ENABLE_TLS": "true"}).args[0])

    def test_secrets_never_show(self) -> None:
        """Neither a repr of the settings nor a problem's text holds a secret."""
        environ = {"K": "canary-123456", "API_KEYS": "canary-abcdef", "OPENAI_API_KEY": "canary-openai"}
        loaded = load(environ)
        self.assertNotIn("canary", repr(loaded))
        bad = self.problems('[[auth.keys]]\nname = "a b"\nkey = "env:K"\nrpm = "canary"\n', {"K": "canary 1 \x01"})
        self.assertNotIn("canary 1", repr(bad))

    def test_secret_from_a_file(self) -> None:
        file = new_folder() / "secret.txt"
        file.write_text("from-file\n")
        loaded = settings(f'[providers.p]\nbase_url = "http://h"\napi_key = "file:{file}"\n')
        self.assertEqual(loaded.providers["p"].api_key.reveal(), "from-file")

    def test_vendors_from_the_environment(self) -> None:
        """A vendor whose key is set is on, with its model names; Ollama takes what is left."""
        loaded: Settings = load({"OPENAI_API_KEY": "k", "GEMINI_API_KEY": "g", "OLLAMA_HOST": "127.0.0.1"})
        self.assertEqual(list(loaded.providers), ["openai", "gemini", "ollama"])
        self.assertEqual(loaded.providers["ollama"].base_url, "http://127.0.0.1:11434/v1")
        for host, url in {
            "0.0.0.0:99": "http://127.0.0.1:99/v1",
            "https://o.example.com": "https://o.example.com/v1",
            "http://h:1/": "http://h:1/v1",
        }.items():
            self.assertEqual(load({"OLLAMA_HOST": host}).providers["ollama"].base_url, url)
        self.assertIn("OLLAMA_HOST", self.assertRaises(ConfigError, load, {"OLLAMA_HOST": "ftp://x"}).args[0])

    def test_log_filter(self) -> None:
        self.assertIn("the level 'loud'", self.assertRaises(ConfigError, load, {"LOG_FILTER": "llmedge=loud"}).args[0])

    def test_statuses_and_default_models(self) -> None:
        """What they may hold, and that a default is a model that clients may ask for, also by a pattern."""
        known = '[providers.p]\nbase_url = "http://h"\nmodels = ["img-*"]\n[models."m"]\ntargets = ["p/x"]\n'
        for value in ('"m"', '"p/any"', '"img-1"'):
            loaded = settings(known + f"[routing]\nfallback_on = [400, 599]\ndefault_models = {{images = {value}}}\n")
            self.assertEqual(loaded.routing.fallback_on, (400, 599))
            self.assertEqual(dict(loaded.routing.default_models), {"images": value.strip('"')})
        for setting, said in (
            ("fallback_on = [399]", "must be a list of HTTP statuses from 400 to 599"),
            ("fallback_on = [true]", "must be a list of HTTP statuses from 400 to 599"),
            ("fallback_on = 400", "must be a list of HTTP statuses from 400 to 599"),
            ("default_models = {chat = 'm'}", "has 'chat'; there is: images, moderations, responses"),
            ("default_models = {images = 1}", "must hold texts that are not empty; images is none"),
            ("default_models = 'm'", "must be a table of texts, named images, moderations, responses"),
            ("default_models = {images = 'n'}", "names the model 'n', which is not configured"),
        ):
            (problem,) = self.problems(known + f"[routing]\n{setting}\n")
            self.assertIn(said, problem)
