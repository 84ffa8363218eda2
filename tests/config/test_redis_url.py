from twisted.trial.unittest import SynchronousTestCase

from llmedge.config import ConfigError
from llmedge.config.redis_url import Address, RedisUrl, parse_redis_url
from llmedge.config.secret import Secret
from tests.fakes import settings

HOST = (Address("r.example", 6379),)


class Urls(SynchronousTestCase):
    def test_forms(self) -> None:
        six = (Address("fd00::1", 6380),)
        for text, url in (
            ("redis://r.example", RedisUrl(HOST)),
            ("REDIS://R.example:6379/", RedisUrl(HOST)),
            ("valkey://r.example/7", RedisUrl(HOST, database=7)),
            ("redis://r.example?db=7", RedisUrl(HOST, database=7)),
            ("rediss://r.example", RedisUrl(HOST, True)),
            ("valkeys://:pass@r.example", RedisUrl(HOST, True, password=Secret("pass"))),
            ("redis://user:p%40s%2Fs@r.example/1", RedisUrl(HOST, user="user", password=Secret("p@s/s"), database=1)),
            ("redis://[FD00::1]:6380", RedisUrl(six)),
            ("unix:/run/redis.sock", RedisUrl((Address("", 0, "/run/redis.sock"),))),
            ("unix:///run/redis.sock?db=2", RedisUrl((Address("", 0, "/run/redis.sock"),), database=2)),
            (
                "unix://u:p@/run/redis.sock",
                RedisUrl((Address("", 0, "/run/redis.sock"),), user="u", password=Secret("p")),
            ),
            (
                "redis+sentinel://u:p@s1,s2:5000,[::1]:7/my-master/3",
                RedisUrl(
                    (Address("s1", 26379), Address("s2", 5000), Address("::1", 7)),
                    master="my-master",
                    user="u",
                    password=Secret("p"),
                    database=3,
                ),
            ),
            ("rediss+sentinel://s1/m", RedisUrl((Address("s1", 26379),), True, "m")),
        ):
            self.assertEqual(parse_redis_url(text), url, text)

    def test_how_it_shows(self) -> None:
        for text, shown in (
            ("redis://u:canary@r.example/3", "r.example:6379"),
            ("redis://:canary@[::1]", "[::1]:6379"),
            ("unix://:canary@/run/r.sock", "/run/r.sock"),
            ("redis+sentinel://:canary@s1,s2/main", "master main"),
        ):
            url = parse_redis_url(text)
            self.assertEqual(str(url), shown)
            self.assertNotIn("canary", repr(url))

    def test_mistakes(self) -> None:
        """Said without what may be a password."""
        for text, words in (
            ("canary", "must be "),
            ("http://:canary@r", "must be "),
            ("redis://canary@r", "has a user and no password"),
            ("redis://:@r", "has a user and no password"),
            ("redis://:canary@", "must have a host"),
            ("redis://:canary@r:0", "must have a host"),
            ("redis://:canary@r:66000", "must have a host"),
            ("redis://:canary@r:port", "must have a host"),
            ("redis://:can#ary@r", "must not have a fragment"),
            ("redis://:canary@r/x", "must have the database's number"),
            ("redis://:canary@r/70000", "must have the database's number"),
            ("redis://:canary@r1,r2", "must name one host"),
            ("rediss://:canary@r?ssl_cert_reqs=none", "has a parameter other than db"),
            ("redis+sentinel://:canary@s1,s2", "must name the master"),
            ("redis+sentinel://:canary@s1,,s2/m", "must have a host"),
            ("unix:canary", "must have the absolute path"),
            ("unix:/", "must have the absolute path"),
        ):
            error = str(self.assertRaises(ConfigError, settings, f'[redis]\nurl = "{text}"'))
            self.assertIn("redis.url ", error)
            self.assertIn(words, error)
            self.assertNotIn("canary", error)


class Section(SynchronousTestCase):
    def test_where_it_is_said(self) -> None:
        """Another program's REDIS_URL is not ours; LLMEDGE_REDIS stands over the file."""
        self.assertIsNone(settings("", {"REDIS_URL": "redis://r"}).redis.url)
        found = settings('[redis]\nurl = "env:REDIS_URL"', {"REDIS_URL": "redis://r"}).redis
        self.assertEqual(found.url, Secret("redis://r"))
        found = settings('[redis]\nurl = "redis://r"', {"LLMEDGE_REDIS": "off"}).redis
        self.assertIsNone(found.url)

    def test_secrets_to_encrypt_with(self) -> None:
        new, old = "a new secret of sixteen".replace(" ", "-"), "an old secret of sixteen".replace(" ", "-")
        found = settings(f'[redis]\nencrypt = ["{new}", "env:OLD"]', {"OLD": old}).redis
        self.assertEqual(found.encrypt, (Secret(new), Secret(old)))
        self.assertEqual(settings("", {"LLMEDGE_REDIS_ENCRYPT": new}).redis.encrypt, (Secret(new),))
        for value, words in (('"canary"', "16 characters"), ("[]", "one secret, or two"), ("7", "must be a text")):
            error = str(self.assertRaises(ConfigError, settings, f"[redis]\nencrypt = {value}"))
            self.assertIn(words, error)
            self.assertNotIn("canary", error)

    def test_the_prefix_is_of_plain_characters(self) -> None:
        for prefix in ("ä", "a\\n", "x" * 65):
            self.assertRaises(ConfigError, settings, f'[redis]\nprefix = "{prefix}"')
        self.assertEqual(settings('[redis]\nprefix = ""').redis.prefix, "")
