"""What the parts of a configuration say of each other: where to listen, and which names lead somewhere."""

from twisted.trial.unittest import SynchronousTestCase

from llmedge.config import ConfigError
from llmedge.config.address import endpoint_of
from llmedge.endpoints import problem
from tests.fakes import load, settings
from tests.folders import new_folder

LOCAL = '[providers.p]\nbase_url = "http://h/v1"\n'
TLS = {"ENABLE_TLS": "1", "TLS_CERT_PATH": "/nowhere/c.pem", "TLS_KEY_PATH": "/nowhere/k.pem"}


def problems(toml: str, environ: dict[str, str] | None = None, *ports: str) -> list[str]:
    """What is wrong, endpoints looked at too, with places as ``LINE: ``."""
    file = new_folder() / "g.toml"
    file.write_text(toml)
    try:
        load(environ or {}, str(file), ports, endpoint_check=problem)
    except ConfigError as error:
        return [each.replace(f"{file}:", "") for each in error.problems]
    return []


class Addresses(SynchronousTestCase):
    def test_as_people_write_them(self) -> None:
        for address, endpoint in {
            "127.0.0.1:80": "tcp:80:interface=127.0.0.1",
            "[::1]:8080": r"tcp:8080:interface=\:\:1",
            "localhost:0": "tcp:0:interface=localhost",
            ":81": "tcp:81:interface=0.0.0.0",
            "8080": None,
            "::1:8080": None,
            "[h]:80": None,
            "h:65536": None,
            "h:-1": None,
            "h:": None,
            "h:٣": None,
        }.items():
            self.assertEqual(endpoint_of(address), endpoint, address)
        self.assertEqual(endpoint_of("h:1", "ssl"), "ssl:1:interface=h")

    def test_port_of_the_platform(self) -> None:
        """Where nobody says otherwise: not ``--port``, not the file, not SERVER_ADDRESS."""
        port = {"PORT": "99"}
        self.assertEqual(load(port).server.listen, ("tcp:99:interface=0.0.0.0",))
        self.assertEqual(load(port, listen=["tcp:1"]).server.listen, ("tcp:1",))
        address = load(port | {"SERVER_ADDRESS": "127.0.0.1:2"})
        self.assertEqual(address.server.listen, ("tcp:2:interface=127.0.0.1",))
        self.assertEqual(settings('[server]\nlisten = ["tcp:3"]\n', port).server.listen, ("tcp:3",))
        file = settings('[server]\naddress = "127.0.0.1:4"\n', port)
        self.assertEqual(file.server.listen, ("tcp:4:interface=127.0.0.1",))
        self.assertEqual(settings("[server]\ntimeout = 3\n", port).server.listen, ("tcp:99:interface=0.0.0.0",))
        tls = {"ENABLE_TLS": "1", "TLS_CERT_PATH": "c", "TLS_KEY_PATH": "k"}
        self.assertEqual(load(port | tls).server.listen, ("ssl:99:interface=0.0.0.0",))
        for bad in ("http", "tcp://10.0.0.1:80", "65536"):
            error = self.assertRaises(ConfigError, load, {"PORT": bad})
            self.assertEqual(error.problems, ("environment variable PORT must be a port from 0 to 65535",))
        self.assertEqual(load({"PORT": "http", "SERVER_ADDRESS": "h:1"}).server.listen, ("tcp:1:interface=h",))


class Endpoints(SynchronousTestCase):
    def test_mistakes_have_lines_and_come_with_the_others(self) -> None:
        toml = '[log]\nfilter = "llmedge=loud"\n[server]\ntimeuot = 1\nlisten = ["tcp:99999", "nonsense:1", "ssl:1"]\n'
        found = problems(f'{toml}[admin]\nlisten = ["tcp:x"]\n{LOCAL}')
        for line, words in zip(
            found,
            (
                "2: log.filter has the level 'loud'",
                "4: server.timeuot is not a setting; did you mean 'timeout'?",
                "5: server.listen cannot be used: 'tcp:99999' needs a port from 0 to 65535, not '99999'",
                "5: server.listen cannot be used: 'nonsense:1' is not an endpoint",
                "5: server.listen cannot be used: ssl:1 needs a certificate and a key",
                "7: admin.listen cannot be used: 'tcp:x' needs a port",
            ),
            strict=True,
        ):
            self.assertTrue(line.startswith(words), line)

    def test_of_flags_and_variables(self) -> None:
        """Say where they are from."""
        self.assertEqual(problems("", {}, "tcp:x"), ["--port: 'tcp:x' needs a port from 0 to 65535, not 'x'"])
        found = problems("", TLS)
        self.assertEqual(len(found), 1)
        self.assertIn("/nowhere/c.pem cannot be read", found[0])
        self.assertIn("environment variable LOG_FILTER has the level", problems("", {"LOG_FILTER": "a=loud"})[0])
        self.assertIn("environment variable RUST_LOG has the level", problems("", {"RUST_LOG": "a=loud"})[0])
        self.assertIn("environment variable SERVER_ADDRESS must be", problems("", {"SERVER_ADDRESS": "x"})[0])

    def test_tls(self) -> None:
        """Each thing once, with its line."""
        found = problems('[server]\nlisten = ["tcp:80", "ssl:1"]\n[tls]\nenabled = true\n')
        self.assertEqual(
            [each.partition(", and")[0].partition(": set")[0] for each in found],
            [
                "2: server.listen cannot be used: tcp:80 is not encrypted",
                "4: tls.enabled is true, but certificate or key is missing",
            ],
        )
        self.assertIn("environment variable ENABLE_TLS is true, but certificate", problems("", {"ENABLE_TLS": "1"})[0])

    def test_of_an_address(self) -> None:
        """Which stands over the file's list, or is the file's."""
        listen = '[server]\nlisten = ["tcp:1"]\naddress = "127.0.0.1:1"\n'
        (found,) = problems(listen, TLS | {"SERVER_ADDRESS": "127.0.0.1:2"})
        self.assertTrue(found.startswith("environment variable SERVER_ADDRESS cannot be used: ssl:2:"), found)
        (found,) = problems('[server]\naddress = "127.0.0.1:1"\n', TLS)
        self.assertTrue(found.startswith("2: server.address cannot be used: ssl:1:interface=127.0.0.1"), found)

    def test_good_ones(self) -> None:
        folder = new_folder()
        listen = f'["tcp:0", "tcp6:1", "unix:{folder}/s", "tcp:80:interface=127.0.0.1"]'
        self.assertEqual(problems(f"[server]\nlisten = {listen}\n"), [])
        self.assertFalse((folder / "s").exists())


class Names(SynchronousTestCase):
    def test_fallbacks_are_what_clients_may_use(self) -> None:
        """Names and patterns of ``[models]``, patterns of providers, ``PROVIDER/MODEL``."""
        toml = f'{LOCAL}models = ["tiny-*"]\n[providers.anthropic]\napi_key = "k"\n[models.m]\ntargets = ["p/x"]\n'
        toml += '[models."big-*"]\ntargets = ["p/*"]\n'
        good = '["big-1", "tiny-2", "p/any", "claude-sonnet-4-5"]'
        found = settings(toml.replace("[models.m]\n", f"[models.m]\nfallbacks = {good}\n"))
        self.assertEqual(len(found.models["m"].fallbacks), 4)
        for other, hint in {
            "gpt-4o": "write the name of a [models] entry or PROVIDER/MODEL, such as p/gpt-4o",
            "claud/x": "write the name of a [models] entry or PROVIDER/MODEL, such as p/x",
            "mm": "did you mean 'm'?",
        }.items():
            text = problems(toml.replace("[models.m]\n", f'[models.m]\nfallbacks = ["{other}"]\n'))
            self.assertEqual(
                text, [f"7: models.m.fallbacks names the model {other!r}, which is not configured: {hint}"]
            )

    def test_default_models_are_what_clients_may_use(self) -> None:
        routing = '[routing.default_models]\nmoderations = "{}"\n'
        self.assertEqual(problems(LOCAL + routing.format("p/any")), [])
        (found,) = problems(LOCAL + routing.format("omni-moderation-latest"))
        self.assertIn("4: routing.default_models.moderations names the model 'omni-moderation-latest', which is", found)

    def test_a_vendor_of_the_catalogue_is_hinted_at(self) -> None:
        """The provider that has models of that family."""
        toml = f'{LOCAL}[providers.anthropic]\napi_key = "k"\nmodels = []\n[models.m]\ntargets = ["p/x"]\n'
        text = problems(f'{toml}fallbacks = ["claude-sonnet-4-5"]\n')[0]
        self.assertIn("such as anthropic/claude-sonnet-4-5", text)

    def test_stars(self) -> None:
        for name, target, words in (
            ("m", "p/x-*", "has 'p/x-*', whose * needs exactly one in the model's name"),
            ("a-*-*", "p/x-*", "needs exactly one"),
            ("a[12]-*", "p/x-*", "no ? or ["),
            ("a-*", "p/*-*", "in which one * may stand"),
        ):
            self.assertIn(words, problems(f'{LOCAL}[models."{name}"]\ntargets = ["{target}"]\n')[0])
            self.assertIn(words, problems(f'{LOCAL}[models."{name}"]\ntargets = ["p/y"]\nshadow = "{target}"\n')[0])
        self.assertEqual(problems(f'{LOCAL}[models."a-*"]\ntargets = ["p/x-*", "p/*"]\n'), [])

    def test_alike_keys(self) -> None:
        key = '[[auth.keys]]\nname = "{}"\nkey = "0123456789abcdef"\n'
        self.assertEqual(
            problems(key.format("a") + key.format("b")),
            ["6: auth.keys[1].key is there twice: 'a' and 'b' are the same key"],
        )
        self.assertEqual(
            problems("", {"API_KEYS": "one-key,one-key"}),
            ["environment variable API_KEYS is there twice: 'key-1' and 'key-2' are the same key"],
        )
