"""The limits of deployments, of what is configured."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.sections.models import Model, TargetEntry
from llmedge.config.sections.routing import Routing
from llmedge.pipeline.limits import limit_of, most_at_once, strictest
from llmedge.pipeline.standings import UNLIMITED
from llmedge.state.concurrency import FixedLimit, LearnedLimit


class Limits(SynchronousTestCase):
    def test_the_lowest_of_each_kind(self) -> None:
        """Where several models name a target; one that is named once keeps what it has."""
        entries = (TargetEntry("p/x", rpm=5, tags=("eu",)), TargetEntry("p/x", rpm=2, tpm=9), TargetEntry("p/y", rpm=1))
        models = {str(number): Model((entry,)) for number, entry in enumerate(entries)}
        found = strictest(models)
        self.assertEqual((found["p/x"].rpm, found["p/x"].tpm, found["p/x"].max_concurrency), (2, 9, None))
        self.assertIs(found["p/y"], entries[2])

    def test_at_once(self) -> None:
        """Learned unless that is off; never more than is configured."""
        clock, few = Clock(), TargetEntry("p/x", max_concurrency=3)
        self.assertEqual([most_at_once(each) for each in (None, TargetEntry("p/x"), few)], [UNLIMITED, UNLIMITED, 3])
        for adaptive, kind in ((True, LearnedLimit), (False, FixedLimit)):
            limit = limit_of(few, Routing(adaptive=adaptive), clock)
            self.assertIsInstance(limit, kind)
            self.assertEqual(limit.value, 3)
