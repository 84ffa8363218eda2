"""Each mistake is said once, where it is, with a remedy."""

from twisted.trial.unittest import SynchronousTestCase

from llmedge.config import ConfigError
from tests.fakes import load
from tests.folders import new_folder


def problems(toml: str | bytes, environ: dict[str, str] | None = None) -> list[str]:
    file = new_folder() / "g.toml"
    file.write_bytes(toml if isinstance(toml, bytes) else toml.encode())
    try:
        load(environ or {}, str(file))
    except ConfigError as error:
        return [each.replace(f"{file}:", "") for each in error.problems]
    return []


class Reading(SynchronousTestCase):
    def test_in_the_order_of_lines(self) -> None:
        """Then what is not in the file."""
        toml = '[models.m]\ntargets = ["q/x"]\nnope = 1\n[providers.p]\nbase_url = 1\n[server]\ntimeout = 0\nx = 1\n'
        found = problems(toml, {"RATE_LIMIT_RPM": "many"})
        self.assertEqual([each.partition(":")[0] for each in found[:-1]], ["2", "3", "5", "7", "8"])
        self.assertIn("environment variable RATE_LIMIT_RPM", found[-1])

    def test_a_byte_order_mark(self) -> None:
        """Some editors begin a file with one."""
        self.assertEqual(problems(b"\xef\xbb\xbf[server]\ntimeout = 3\n"), [])
        self.assertEqual(problems(b"\xef\xbb\xbf[server]\nx = 3\n")[0].partition(" ")[0], "2:")

    def test_lists(self) -> None:
        """What was meant is shown as it is to be written."""
        for line, example in (
            ('listen = "tcp:8080"', 'must be a list of texts, such as ["tcp:8080"]'),
            ("listen = 8080", 'such as ["one", "another"]'),
            ('listen = ["a", ""]', "none of them empty"),
            ('trusted_proxies = "10.0.0.0/8"', 'such as ["10.0.0.0/8"]'),
        ):
            (found,) = problems(f"[server]\n{line}\n")
            self.assertIn(example, found)

    def test_a_mistake_brings_no_others(self) -> None:
        """What follows from it is not said."""
        for toml, words in (
            ('[providers.p]\ndialect = "opnai"\nfault = "cut"\n', "2: providers.p.dialect must be one of"),
            ('[providers.p]\nvendor = 5\nregion = "x"\n', "2: providers.p.vendor must be a text"),
            ('[providers.p]\nvendor = "grok"\nlatency = 1\n', "2: providers.p.vendor is not in the catalogue"),
            ('[providers.p]\nbase_url = "nope"\n', "2: providers.p.base_url must be an http or https URL"),
            (
                '[providers.bedrock]\nregion = "eu-west-1"\naccess_key = "env:NONE"\n',
                "3: providers.bedrock.access_key refers to",
            ),
            (
                '[providers.bedrock]\nregion = "eu-west-1"\naccess_key = "a"\nsecret_key = "file:/nowhere"\n',
                "4: providers.bedrock.secret_key refers to",
            ),
            ('[providers.azure]\napi_key = "env:NONE"\nbase_url = "http://h"\n', "2: providers.azure.api_key refers"),
            ('[[auth.keys]]\nname = "a"\nkey = "env:NONE"\n', "3: auth.keys[0].key refers to"),
            ('[[auth.keys]]\nname = "a"\nkey = 5\n', "3: auth.keys[0].key must be a text"),
        ):
            found = problems(f'{toml}[models.m]\ntargets = ["{toml.partition("]")[0].rpartition(".")[2]}/x"]\n')
            self.assertEqual(len([each for each in found if "models.m" not in each]), 1, found)
            self.assertIn(words, "\n".join(found))

    def test_vendors_are_listed_as_the_docs_call_them(self) -> None:
        """Each once; the words for servers that nobody knows are for logs."""
        (found,) = problems('[providers.p]\nvendor = "zzz"\n')
        listed = found.partition("there is: ")[2].partition(";")[0].split(", ")
        self.assertEqual(len(listed), len(set(listed)))
        self.assertIn("bedrock", listed)
        self.assertNotIn("compatible", found)
        self.assertIn("plugins are looked for in llmedge/plugins of each directory on PYTHONPATH", found)

    def test_typos_in_the_table_are_said_whatever_else_is_wrong(self) -> None:
        found = problems('[providers.p]\ndialect = "opnai"\nbase_ulr = "http://h"\n')
        self.assertEqual([each.partition(":")[0] for each in found], ["2", "3"])
