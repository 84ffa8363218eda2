"""Which headers an operator may have passed on, shown and logged."""

from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.header_lists import logged, matcher, passed_on, shown

SECRETS = (
    "authorization proxy-authorization www-authenticate authentication-info cookie cookie2 set-cookie x-api-key "
    "api-key x-goog-api-key apikey x-auth-token x-amz-security-token x-csrf-token x-secret client-secret x-password "
    "sec-websocket-protocol x-amz-signature x-jwt x-vault-token ocp-apim-subscription-key x-auth-request-email "
    "x-accesstoken x-secretkey x-api-keys x-secrets x-session-id phpsessid x-user-pass x-passphrase x-bearer x-sid "
    "x-otp x-amzn-oidc-data x-csrftoken x-appsecret x-pwd x-saml-response x-usercredentials"
)


class Lists(SynchronousTestCase):
    def test_good(self) -> None:
        """Their case does not count; a star may end those of a vendor."""
        self.assertEqual(logged.from_toml(["X-Team", " user-agent "], {}), ("x-team", "user-agent"))
        self.assertEqual(passed_on.from_toml(["openai-organization", "idempotency-key"], {})[1], "idempotency-key")
        names = [
            "x-ratelimit-remaining-tokens",
            "anthropic-ratelimit-tokens-reset",
            "x-ratelimit-*",
            "x-request-id",
            "cf-*",
            "x-side",
            "x-passenger",
            "x-assess",
            "x-keyword",
        ]
        self.assertEqual(shown.from_toml(names, {}), tuple(names))

    def test_bad(self) -> None:
        for kind, names, why in (
            (logged, "x-team", "must be a list"),
            (logged, [7], "must be a list"),
            (logged, ["x team"], "no name of a header"),
            (logged, ["x-*"], "no name of a header"),
            (passed_on, ["x-*"], "no name of a header"),
            (shown, ["*-x"], "no name of a header"),
            (shown, ["*"], "no name of a header"),
            (logged, [""], "no name of a header"),
            (passed_on, ["Host"], "the gateway says itself"),
            (passed_on, ["traceparent"], "the gateway says itself"),
            (passed_on, ["x-llmedge-tags"], "the gateway says itself"),
            (shown, ["content-length"], "the gateway says itself"),
            (shown, ["access-control-allow-origin"], "the gateway says itself"),
        ):
            self.assertIn(why, str(self.assertRaises(ValueError, kind.from_toml, names, {})), names)
        for name in SECRETS.split():
            for kind in (logged, passed_on, shown):
                self.assertIn("may hold a secret", str(self.assertRaises(ValueError, kind.from_toml, [name], {})), name)

    def test_what_a_star_stands_for(self) -> None:
        """Never a secret, nor what an answer has of its own."""
        self.assertIsNone(matcher(()))
        found = matcher(("x-ratelimit-*", "openai-version", "s*", "c*", "x-a*", "a*", "t*"))
        assert found is not None
        for name in (
            "x-ratelimit-limit-tokens",
            "openai-version",
            "server",
            "cf-ray",
            "age",
            "sidecar",
            "x-accept",
            "x-amzn-requestid",
        ):
            self.assertTrue(found(name.encode()), name)
        for name in ("openai-versions", "openai", "x-rate", "content-length", "transfer-encoding", "access-control-x"):
            self.assertFalse(found(name.encode()), name)
        for name in SECRETS.split():
            self.assertFalse(found(name.encode()), name)
