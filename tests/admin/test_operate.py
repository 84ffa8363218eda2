"""What operators ask of a gateway that runs."""

from __future__ import annotations

from llmedge.operations import ENDPOINTS
from tests.admin.administration import Administration


class Operate(Administration):
    def test_state(self) -> None:
        """Targets, budgets, the store: as they are."""
        secret = self.key("app", budgets=[{"amount": 1}])["key"]
        self.assertEqual(self.chat(secret).status, 200)
        shown = self.done("GET", "/admin/v1/state")
        (deployment,) = shown["deployments"]
        shown_as = [deployment[name] for name in ("deployment", "breaker", "in_flight")]
        self.assertEqual(shown_as, ["mock/*", "closed", 0])
        self.assertEqual(shown["budgets"][0]["who"], "The key 'app'")
        self.assertEqual((shown["store"]["reachable"], shown["store"]["ledger"]["blocked"]), (True, False))

    def test_description(self) -> None:
        """Every row that there is; for any caller."""
        secret = self.key("app")["key"]
        document = self.done("GET", "/openapi.json", key=secret)
        described = {(method.upper(), path) for path, of in document["paths"].items() for method in of}
        self.assertEqual(described, {(each.method, each.path) for each in ENDPOINTS})

    def test_who_may(self) -> None:
        secret = self.key("app")["key"]
        self.assertEqual(self.refused("GET", "/admin/v1/state", key=secret)[0], 403)
