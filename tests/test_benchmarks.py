"""What is measured by hand runs at all, and tells what it saw; its figures are not looked at here."""

import json
from typing import Any
from xml.etree import ElementTree

from benchmarks import hedging
from benchmarks.weather import draw, without
from benchmarks.weather.__main__ import made, table
from benchmarks.weather.callers import Call, Load, ends, quantile, share
from benchmarks.weather.scenarios import SCENARIOS, Run
from benchmarks.weather.service import configuration, key_of, rows
from benchmarks.weather.simulated import simulate
from benchmarks.weather.vendors import Vendor
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.fakes import settings


class Benchmarks(SynchronousTestCase):
    def test_hedging(self) -> None:
        """Calls are hedged, and cut what they are to cut."""
        tail = hedging.TAILS["0.3 s, 2 % take 8 s"]
        without, none = hedging.run("off", tail, True, 600)
        took, extra = hedging.run("tail", tail, True, 600)
        self.assertEqual((len(without), len(took), none), (600, 600, 0))
        self.assertGreater(extra, 0)
        self.assertLess(sum(took), sum(without))

    def test_scenarios(self) -> None:
        """Each can be configured, learning or not, and judges a run in which nothing came."""
        self.assertGreaterEqual(len(SCENARIOS), 14)
        for name in SCENARIOS:
            _, scenario = made(name)
            for learning in (True, False):
                found = settings(configuration(scenario, 9000, learning))
                self.assertEqual(found.routing.adaptive, learning, name)
            vendors = {each: Vendor(script, Clock(), None) for each, script in scenario.vendors.items()}  # type: ignore
            nothing = [Call(load, load.judged_from + 9.0, 503, None, 1.0) for load in scenario.loads]
            judged = [demand(Run(nothing, vendors))[1] for demand in scenario.demands.values()]
            self.assertIn(False, judged, name)

    def test_simulated(self) -> None:
        """The same on a clock that jumps; whoever asks again as soon as he is answered, too."""
        for asked in ("partial_failure:rate=10,seconds=5", "greedy_caller:workers=5,seconds=3"):
            _, scenario = made(asked)
            for learning in (True, False):
                ran = simulate(scenario, learning)
                self.assertGreater(len(ran.run.judged), 3)
                self.assertTrue(all(call.ended is not None for call in ran.run.calls))
                self.assertTrue(all(demand(ran.run)[1] for demand in scenario.demands.values()), asked)
                self.assertGreater(max(sample.in_flight for sample in ran.samples), 0)

    def test_without(self) -> None:
        """Each mechanism is there to be turned off, and is on again afterwards."""
        for mechanism in without.MECHANISMS:
            if mechanism.instead is not None:
                self.assertTrue(hasattr(*mechanism.instead[:2]), mechanism.what)
        budget = next(each for each in without.MECHANISMS if each.what.endswith("are free"))
        lacking, having = (each.run("partial_failure:share=0.5", 1) for each in (budget, without.EVERYTHING))
        self.assertGreater(without.gain(having, lacking), 5.0)
        self.assertEqual(without.gain(having, having), 0.0)
        shown = without.table(iter([("one", "outage", having, lacking), ("one", "full", having, having)]))
        self.assertEqual((shown.count("one "), shown.count("``full``")), (1, 1))

    def test_numbers(self) -> None:
        name, scenario = made("partial_failure:share=0.2,rate=50")
        self.assertEqual((name, scenario.vendors["a"].failing, scenario.loads[0].rate), (name, 0.2, 50.0))
        for wrong in ("nothing", "partial_failure:nothing=1"):
            self.assertRaises(SystemExit, made, wrong)

    def test_figures(self) -> None:
        load = Load()
        calls = [Call(load, 0.1, 200, 0.5, 1.0, True), Call(load, 1.2, 503, 0.2, 0.2), Call(load, 1.3)]
        self.assertEqual((round(share(calls), 2), quantile(calls, 0.99)), (0.33, 0.5))
        self.assertEqual(ends(calls), {"whole": 1, "503": 1, "left": 1})
        self.assertEqual(rows(calls, 2.0), [(0.0, 1, 0), (1.0, 0, 2), (2.0, 0, 0)])
        self.assertNotEqual(key_of("a"), key_of("b"))

    def test_table_and_curves(self) -> None:
        figures = {"whole": 0.5, "p50": 0.1, "p99": 2.0, "calls": 1.25}
        shown = table({"slower": {"learned": figures, "not learning": figures}})
        self.assertIn("50.0 %", shown)
        sample = {"at": 0.5, "in_flight": 3.0, "waiting": 1.0, "state": 0.0}
        kind: dict[str, Any] = {
            "samples": [
                sample | {"limit": None},
                sample | {"at": 1.0, "limit": 4.0},
                sample | {"at": 1.5, "limit": 3.0},
            ],
            "answers": [[0.0, 2, 1], [1.0, 0, 0]],
            "figures": figures,
        }
        image = draw.image("a <name>", json.loads(json.dumps({"learned": kind, "not learning": kind})))
        root = ElementTree.fromstring(image)
        self.assertEqual(len(root.findall("{*}polyline")), 6)
