"""How often a target is asked again, and how long a call waits before."""

from itertools import pairwise
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from llmedge.call import Call, RoutingHints
from llmedge.errors import (
    ConnectFailed,
    UpstreamTimeout,
    VendorRateLimited,
)
from llmedge.record import Attempt
from llmedge.state.breaker import BreakerSettings
from tests.pipeline.harness import ANSWER, World

DOWN = ConnectFailed("It is down.", cause="refused")


class Retries(SynchronousTestCase):
    def test_pauses(self) -> None:
        """Anything up to the base, then up to twice that, never beyond the cap; on record as paused."""
        longest = [0.0, 0.0]
        for seed in range(50):
            world = World((DOWN,), seed=seed, settings={"retry_base": 1.0, "retry_cap": 1.5})
            asking = world.ask()
            world.pass_time(3)
            self.failureResultOf(asking, ConnectFailed)
            first, second, third = world.vendors[0].at
            longest = [max(longest[0], second - first), max(longest[1], third - second)]
            self.assertAlmostEqual(world.record.routing.paused, third - first)
            self.assertEqual(world.record.routing.waited, world.record.routing.paused)
        self.assertTrue(0.8 < longest[0] <= 1.1 < longest[1] <= 1.6, longest)

    def test_the_clients_wish(self) -> None:
        """Fewer, never more."""
        for wished, calls in ((0, 1), (1, 2), (9, 3)):
            world = World((DOWN,))
            asking = world.ask(hints=RoutingHints(retries=wished))
            world.pass_time(2)
            self.failureResultOf(asking, ConnectFailed)
            self.assertEqual(len(world.vendors[0].calls), calls)

    def test_budget(self) -> None:
        """An outage is not multiplied, where no breaker notices: ten, and sixty for a hundred calls."""
        world = World((DOWN,), settings={"retry_base": 0.01})
        world.deployment().breaker.settings = BreakerSettings(minimum_calls=10**6, consecutive_failures=10**6)
        for _ in range(100):
            world.ask().addErrback(lambda failure: failure.trap(ConnectFailed))
        world.pass_time(2)
        self.assertEqual(len(world.vendors[0].calls), 100 + 10 + 60)
        self.assertTrue(world.at_rest())

    def test_what_a_vendor_tells_of_its_limit(self) -> None:
        """With an answer it says that no request is left, and how many come back: the next ones come so fast."""
        world = World((ANSWER,))
        vendor = world.vendors[0]
        complete = vendor.complete

        async def told(call: Call, attempt: Attempt) -> Any:
            attempt.rate = 4.0
            return await complete(call, attempt)

        vendor.complete = told  # type: ignore[method-assign]
        self.successResultOf(world.ask())
        asking = [world.ask(caller=f"c{number}") for number in range(3)]
        self.assertEqual(len(vendor.calls), 1)
        world.pass_time(1.0)
        for each in asking:
            self.successResultOf(each)
        apart = [after - before for before, after in pairwise(vendor.at)]
        self.assertTrue(all(0.2 < each < 0.35 for each in apart), apart)

    def test_silence_is_left(self) -> None:
        """A silent target is not asked again, whatever is left."""
        world = World((UpstreamTimeout("Nothing."),))
        self.failureResultOf(world.ask(), UpstreamTimeout)
        self.assertEqual(len(world.vendors[0].calls), 1)

    def test_one_deadline(self) -> None:
        """A pause that does not fit into what is left is not begun."""
        world = World((VendorRateLimited("slow down", retry_after=4.0),))
        error = self.failureResultOf(world.ask(seconds=3.0), VendorRateLimited).value
        self.assertEqual(error.retry_after, 4.0)

    def test_leaving_in_a_pause(self) -> None:
        """The pause ends with its client, on record as far as it went."""
        world = World((VendorRateLimited("slow down", retry_after=4.0),))
        asking = world.ask()
        world.clock.advance(1)
        asking.cancel()
        self.failureResultOf(asking, CancelledError)
        self.assertEqual((world.record.routing.paused, world.record.routing.waited), (1.0, 1.0))
        self.assertTrue(world.at_rest())
