"""Bad weather: what callers get, and what vendors are asked, under load; each with one seed."""

from __future__ import annotations

import gc
from itertools import product
from typing import Any

from benchmarks.weather.vendors import Script, during
from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.sections.models import TargetEntry
from llmedge.pipeline import attempt as attempts
from llmedge.pipeline import signals
from llmedge.state.pacing import Pacer
from tests.pipeline.climate import Climate
from tests.pipeline.climate import share as climates_share
from tests.pipeline.weather import Outcome, Sky, quantile, say, share


class Weather(SynchronousTestCase):
    def setUp(self) -> None:
        for log in (attempts.log, signals.log):
            for level in ("warn", "info"):
                self.patch(log, level, lambda *args, **kw: None)
        gc.disable()  # a third of the time, for cycles that are not there
        self.addCleanup(gc.enable)

    def whole(self, outcomes: list[Outcome], least: float) -> None:
        self.assertGreaterEqual(share(outcomes), least, say(outcomes))

    def at_rest(self, sky: Sky) -> None:
        """Places came back, nobody waits, and nobody was asked more often than promised."""
        for each in sky.deployments.all():
            self.assertEqual((each.queue.in_flight, each.queue.waiting), (0, 0), each.name)
        self.assertEqual({vendor.under_way for vendor in sky.vendors}, {0})
        for record in sky.records:
            asked = [attempt.target for attempt in record.routing.attempts]
            self.assertTrue(all(asked.count(each) <= 1 + sky.settings.retries for each in asked))


class Errors(Weather):
    def test_a_part_of_the_calls(self) -> None:
        """Callers get what two retries give, and the vendor is asked no more for it, whatever the share and the pace:
        a breaker that opened at five in a row made 30 % errors 75 %."""
        for error, rate, latency in ((0.1, 200, 0.1), (0.3, 100, 0.1), (0.3, 50, 1.0), (0.5, 200, 0.3)):
            sky = Sky({"latency": latency, "error": error, "error_latency": 0.02})
            calls = sky.load(rate, 0, 20)
            sky.run()
            self.whole(calls, 1 - error**3 - 0.03)
            asked = len(sky.vendors[0].asked) / len(calls)
            self.assertLessEqual(asked, 1 + error + error * error + 0.1)
            self.at_rest(sky)

    def test_two_such_vendors(self) -> None:
        sky = Sky(*[{"error": 0.4, "error_latency": 0.02}] * 2)
        calls = sky.load(100, 0, 20)
        sky.run()
        self.whole(calls, 0.98)

    def test_an_outage(self) -> None:
        """At the start or out of the blue, by status or closed connections: not multiplied, over within two seconds."""
        for status in (500, 503, 429, 0):
            for calm in (0, 8):
                sky = Sky({"latency": 0.3, "status": status, "error": float(not calm)})
                vendor = sky.vendors[0]
                sky.at(calm, setattr, vendor, "error", 1.0)
                sky.at(calm + 8, setattr, vendor, "error", 0.0)
                calls = sky.load(150, 0, calm + 14)
                sky.run()
                during = sum(calm <= at < calm + 8 for at in vendor.asked)
                came = sum(calm <= each.began < calm + 8 for each in calls)
                self.assertLessEqual(during, 0.2 * came, (status, calm))
                self.whole([each for each in calls if each.began > calm + 8 + 2.5], 0.99)
                self.at_rest(sky)

    def test_an_outage_of_slow_answers(self) -> None:
        """Whole answers of 15 s: who is back is used before the first of them has ended."""
        sky = Sky({"latency": 15.0, "error": 1.0})
        sky.at(6, setattr, sky.vendors[0], "error", 0.0)
        calls = sky.load(5, 0, 20, seconds=60)
        sky.run()
        self.assertLess(max(each.began for each in calls if not each.ok), 6 + 2.5)

    def test_flapping(self) -> None:
        sky = Sky({}, {"latency": 0.3})
        for at in range(0, 30, 10):
            sky.at(at + 5, setattr, sky.vendors[0], "error", 1.0)
            sky.at(at + 10, setattr, sky.vendors[0], "error", 0.0)
        calls = sky.load(40, 0, 30)
        sky.run()
        self.whole(calls, 0.999)


class Refusals(Weather):
    def test_one_at_night(self) -> None:
        """One refusal of one call teaches nothing about fifty at once."""
        sky = Sky({"length": 4.0, "status": 429})
        sky.burst(50, 0, stream=True)
        sky.at(5, setattr, sky.vendors[0], "refuse_next", 1)
        alone = sky.burst(1, 5.1, stream=True)
        burst = sky.burst(50, 12, stream=True)
        sky.run()
        self.whole(alone + burst, 1.0)

    def test_requests_a_second(self) -> None:
        """Who is loaded below what it allows serves all, soon: it is not taken for a limit of places."""
        for limit, rate, answer in ((10.0, 8, 3.0), (20.0, 16, 3.0), (10.0, 8, 0.5)):
            sky = Sky({"latency": 0.0, "rate": limit, "burst": 4.0}, seed=3)
            sky.vendors[0].latency = lambda call, sky=sky, answer=answer: answer * sky.random.uniform(0.8, 1.2)
            calls = sky.load(rate, 0, 40)
            sky.run()
            self.whole(calls, 0.99)
            self.assertLess(quantile(calls, 0.9), answer * 1.2 + 2)
            self.at_rest(sky)

    def test_places(self) -> None:
        """Eight at once, and the ninth is refused: its limit is found, and all that it can do is done."""
        for rate, least in ((14, 0.99), (28, 0.5)):
            sky = Sky({"latency": 0.5, "places": 8, "refuses": True})
            calls = sky.load(rate, 0, 40)
            sky.run()
            self.whole([each for each in calls if each.began > 10], least)
            served = sum(each.ok and 10 < each.began + each.total < 40 for each in calls) / 30
            self.assertGreater(served, 0.9 * min(rate, 16))
            self.assertLess(len(sky.vendors[0].asked), 1.2 * len(calls))
            self.at_rest(sky)

    def test_who_refuses_fastest(self) -> None:
        """Is left alone for growing pauses, whatever the strategy."""
        for strategy in ("latency", "least_busy", "round_robin"):
            sky = Sky({"latency": 0.3, "status": 429, "error_latency": 0.003}, {"latency": 0.3}, strategy=strategy)
            sky.at(4, setattr, sky.vendors[0], "error", 1.0)
            calls = sky.load(40, 0, 16)
            sky.run()
            self.whole(calls, 1.0)
            self.assertLess(sum(at > 4 for at in sky.vendors[0].asked), 20, strategy)

    def test_retry_after(self) -> None:
        """Who comes meanwhile waits, and those who waited do not come all at once."""
        sky = Sky({"status": 429, "error": 1.0, "retry_after": 2.0})
        vendor = sky.vendors[0]
        sky.at(1.9, setattr, vendor, "error", 0.0)
        calls = sky.load(20, 0, 5)
        sky.run()
        self.whole(calls, 1.0)
        self.assertLessEqual(sum(at < 1.9 for at in vendor.asked), 2)
        self.assertLessEqual(sum(1.9 < at < 2.15 for at in vendor.asked), 9)


class Overload(Weather):
    def queueing(self, places: int, each: float, **more: Any) -> tuple[Sky, list[Outcome], float]:
        """A vendor that queues, half loaded, then for forty seconds at 1.75 times of what it can; and how many answers
        a second that was, as a share of what it can."""
        sky = Sky({"latency": each, "places": places} | more)
        can, stream = places / (each + more.get("length", 0.0)), "length" in more
        sky.load(can / 2, 0, 12, stream=stream)
        sky.at(12, setattr, sky.vendors[0], "peak", 0)
        calls = sky.load(1.75 * can, 12, 52, stream=stream)
        sky.run()
        return (
            sky,
            [each for each in calls if each.began > 22],
            sum(each.ok and 22 < each.began + each.total < 52 for each in calls) / (30 * can),
        )

    def test_a_server_that_queues(self) -> None:
        """It refuses nothing: its pace teaches how much it works on, which it goes on doing, for who waits not long."""
        for places, each, more in ((8, 0.5, {}), (4, 1.0, {}), (32, 1.0, {}), (16, 0.2, {}), (8, 0.1, {"length": 0.9})):
            sky, late, served = self.queueing(places, each, **more)
            self.assertGreater(served, 0.9, (places, each))
            self.assertLessEqual(quantile(late, 0.99), 7.05, (places, each))
            self.assertLess(sky.vendors[0].peak, 8 * places)
            self.at_rest(sky)

    def test_few_places(self) -> None:
        """Of one, two or three, and refusals beyond by either status: they are used, and the breaker stays closed."""
        for places, status in product((1, 2, 3), (429, 503)):
            for seed in (1, 2):
                script = Script(seconds=0.5, spread=0.2, places=places, full_status=status)
                climate = Climate({"v": script}, seed)
                climate.load(0.8 * places / 0.5, 0.0, 60.0)
                climate.run()
                self.assertGreater(climates_share(climate.calls), 0.93, (places, status, seed))
                self.assertEqual(climate.left_behind(), [])

    def test_what_the_ramp_is_for(self) -> None:
        """Behind an outage of 429s those who waited would come all at once to a vendor with few places: by and by, a
        tenth more of them are answered, and without the ramp as many are refused again."""

        def whole() -> float:
            answered = []
            for seed, status in product(range(4), (429, 503)):
                down = during(10.0, 20.0, 1.0)
                script = Script(0.5, 0.2, failing=down, status=429, places=8, full_status=status)
                climate = Climate({"v": script}, seed)
                climate.load(0.8 * 8 / 0.5, 0.0, 40.0)
                climate.run()
                answered += [call.whole for call in climate.calls if 15.0 < call.began < 30.0]
            return sum(answered) / len(answered)

        ramped = whole()
        self.patch(Pacer, "ramp", lambda pacer, begin=None: setattr(pacer, "slow", True))
        self.assertGreater(ramped, whole() + 0.08)

    def test_full_after_an_outage(self) -> None:
        """Who comes in the first ten seconds gets what a vendor of few places has to give, though those who waited
        are served as well."""
        for status, begin in product((429, 503), (0.0, 10.0)):
            down = during(begin, begin + 10.0, 1.0)
            script = Script(0.5, 0.2, failing=down, status=429, places=8, full_status=status)
            climate = Climate({"v": script})
            climate.load(0.8 * 8 / 0.5, 0.0, begin + 30.0)
            climate.run()
            late = [call for call in climate.calls if begin + 10.0 < call.began < begin + 20.0]
            self.assertGreater(climates_share(late), 0.96, (status, begin))
            self.assertLess(len(climate.vendors["v"].asked), len(climate.calls))
            self.assertEqual(climate.left_behind(), [])

    def test_back_at_once(self) -> None:
        """Nobody is refused whom a vendor that is back would answer in time."""
        for status, seconds in product((500, 503, 429, 0), (0.3, 15.0)):
            climate = Climate({"v": Script(seconds, 0.2, failing=during(5.0, 11.5, 1.0), status=status)})
            climate.load(10.0, 0.0, 16.0, seconds=60.0)
            climate.run()
            late = [call for call in climate.calls if call.began > 11.5]
            self.assertEqual(climates_share(late), 1.0, (status, seconds))
            self.assertEqual(climate.left_behind(), [])

    def test_a_vendor_that_hangs(self) -> None:
        """What is waited for in vain is the least that it takes: a part of the faster one's calls get no answer, and
        callers leave after three seconds; the others are asked elsewhere."""
        for patience in (3.0, 60.0):
            hangs = Script(0.3, 0.2, slow=during(20.0, 40.0, 0.5), slow_seconds=600.0)
            climate = Climate({"a": hangs, "b": Script(0.6, 0.2)}, strategy="latency")
            climate.load(10.0, 0.0, 60.0, patience=patience)
            climate.run()
            late = [call for call in climate.calls if call.began > 20.0]
            self.assertGreater(climates_share(late), 0.98, patience)
            self.assertEqual(climate.left_behind(), [])

    def test_refusals_by_chance(self) -> None:
        """A part of the calls gets 503, with many under way or few: that is no limit of places, nor of a rate."""
        for failing, rate, seconds in ((0.3, 7.0, 1.5), (0.3, 40.0, 1.5), (0.5, 7.0, 0.3), (0.5, 40.0, 0.3)):
            climate = Climate({"v": Script(seconds, 0.2, failing=failing, status=503)})
            climate.load(rate, 0.0, 60.0)
            climate.run()
            self.assertGreater(climates_share(climate.calls), 1 - failing**3 - 0.05, (failing, rate))

    def test_rates_of_all_sizes(self) -> None:
        """Nine tenths of what a vendor allows a second come, and are answered."""
        for limit, rate in ((5.0, 4.0), (10.0, 9.0), (40.0, 35.0)):
            for seed in range(3):
                climate = Climate({"v": Script(3.0, 0.2, a_second=limit, burst=4.0)}, seed)
                climate.load(rate, 0.0, 40.0)
                climate.run()
                self.assertGreater(climates_share(climate.calls), 0.93, (limit, seed))

    def test_a_server_that_is_slower(self) -> None:
        """For all, without a queue: nobody is refused."""
        for before, after, rate in ((0.1, 1.5, 55), (0.1, 1.0, 80), (0.3, 1.5, 55)):
            sky = Sky({"latency": before}, entries=(TargetEntry("p0/x", max_concurrency=100),))
            sky.at(10, setattr, sky.vendors[0], "latency", after)
            calls = sky.load(rate, 0, 25)
            sky.run()
            self.whole(calls, 0.99)

    def test_times_that_vary(self) -> None:
        """Tenfold and more, as prompts do, with a load that comes and goes: that is no queue."""
        sky = Sky({"latency": 0.0})
        sky.vendors[0].latency = lambda call: sky.random.lognormvariate(-0.5, 0.8)
        calls = sky.load(20, 0, 60)
        more = sky.load(40, 20, 40)
        sky.run()
        self.whole([*calls, *more], 0.99)

    def test_turns(self) -> None:
        """A caller with very many waiting delays another one by about a call."""
        sky = Sky({"latency": 0.4}, entries=(TargetEntry("p0/x", max_concurrency=4),))
        sky.load(100, 0, 8, caller="busy")
        small = sky.load(2, 1, 8, caller="small")
        sky.run()
        self.whole(small, 1.0)
        self.assertLess(quantile(small, 0.9), 1.3)

    def test_an_impatient_neighbour(self) -> None:
        """One caller gives up on long prompts; another one's short calls do not notice. Nor would they at night."""
        for stream in (False, True):
            sky = Sky({})
            sky.vendors[0].latency = lambda call: 20.0 if call.caller.name == "long" else 0.2
            short = sky.load(10, 0, 30, caller="short", stream=stream)
            rare = sky.load(0.2, 40, 120, caller="short", stream=stream)
            for begin, end in ((8, 28), (40, 120)):
                sky.load(2.5, begin, end, caller="long", stream=stream, patience=3.0)
            sky.run()
            self.whole(short + rare, 1.0)
            self.assertLess(quantile(short + rare, 0.99), 0.5)
            self.at_rest(sky)

    def test_the_wait_is_kept(self) -> None:
        """Nobody waits for longer than ``queue_wait``, nor twice; and who could not be served in it knows at once."""
        sky = Sky({"latency": 1.0}, entries=(TargetEntry("p0/x", max_concurrency=4),), settings={"queue_wait": 2})
        calls = sky.load(12, 0, 30)
        sky.run()
        self.assertLessEqual(max(each.waited for each in calls), 3.01)
        self.assertLessEqual(max(each.total for each in calls if not each.ok), 2.01)
        refused = [each for each in calls if not each.ok and each.began > 10]
        self.assertGreater(sum(each.total < 0.01 for each in refused), 0.7 * len(refused))
