"""What a vendor's list of models answers, when it is only asked for to see whether the vendor is there."""

from twisted.internet.defer import Deferred

from llmedge.errors import TargetError
from tests.web.through import Through


class Looks(Through):
    def test_each_status(self) -> None:
        """Any answer below 500 shows that it is there, whether it has such a list, or shows it to us, or not."""
        self.begin()
        provider = self.edge.service.graph.pipeline.providers["v"]
        for status, there in ((200, True), (401, True), (404, True), (429, True), (500, False), (503, False)):
            look: Deferred[None] = Deferred.fromCoroutine(provider.check())  # type: ignore[attr-defined]
            vendor = self.vendor()
            self.assertTrue(vendor.head[0].startswith("GET /v1/models "))
            vendor.answer(status, {"error": {"message": "no"}})
            if there:
                self.assertIsNone(self.successResultOf(look))
            else:
                self.failureResultOf(look, TargetError)

    def test_no_list_to_learn_from(self) -> None:
        """Who wants to know its models needs one."""
        self.begin()
        provider = self.edge.service.graph.pipeline.providers["v"]
        listed = Deferred.fromCoroutine(provider.list_models())  # type: ignore[attr-defined]
        self.vendor().answer(404, {})
        self.failureResultOf(listed, TargetError)
