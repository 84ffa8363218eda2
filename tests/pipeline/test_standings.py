"""How deployments stand, under labels of which there cannot be many."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.sections.models import Model, TargetEntry
from llmedge.errors import ConnectFailed, EdgeError, VendorRateLimited
from llmedge.model import Standing
from llmedge.pipeline.standings import LONGEST, OWN_LABELS, Labels
from tests.pipeline.harness import ANSWER, World

OFF: dict[str, Any] = {"hedge": "off", "retries": 0, "breaker_failures": 1}


class Standings(SynchronousTestCase):
    def standing(self, world: World, label: str = "p0/x") -> Standing:
        found = [each for each in world.deployments.standings() if each.label == label]
        self.assertEqual(len(found), 1, label)
        return found[0]

    def test_all_figures(self) -> None:
        entry = TargetEntry("p0/x", max_concurrency=1, rpm=120)
        world = World([(VendorRateLimited("slow", retry_after=4.0),), (3.0, ANSWER)], entries=(entry,), settings=OFF)
        self.assertEqual(self.standing_after(world), Standing("p0/x", 0, 0, 0, 1.0, 2.0, 4.0, 0.0))
        world.pass_time(4.5)
        world.ask()
        world.ask()
        self.assertEqual(self.standing(world), Standing("p0/x", 0, 1, 1, 1.0, 2.0, 0.0, 0.0))
        world.pass_time(7)

    def standing_after(self, world: World) -> Standing:
        world.ask().addErrback(lambda failure: failure.trap(EdgeError))
        return self.standing(world)

    def test_failing(self) -> None:
        """The share of the last ten seconds; looking changes nothing."""
        world = World(
            [(ANSWER,), (ConnectFailed("down"),), (ANSWER,), (ANSWER,)], settings=OFF | {"breaker_failures": 9}
        )
        for _ in range(4):
            world.ask().addErrback(lambda failure: failure.trap(EdgeError))
        for _ in range(2):
            self.assertEqual(self.standing(world).failing, 0.25)
        world.clock.advance(11)
        self.assertEqual(self.standing(world).failing, 0.0)
        self.assertEqual(world.deployment().breaker._failures.total(0.0), 1.0)

    def test_one_bad_model_of_a_pattern(self) -> None:
        """Is out alone, and seen to be; the others are as before."""

        def by_name(call: Any) -> Any:
            return ConnectFailed("down") if call.match.candidates[0].target.model == "bad" else ANSWER

        models = {"*": Model((TargetEntry("p0/*"),))}
        world = World((by_name,), models=models, settings=OFF)
        for model in ("bad", "good", "better", "bad"):
            world.ask(model=model).addErrback(lambda failure: failure.trap(EdgeError))
        self.assertEqual(len(world.vendors[0].calls), 3)
        shown = sorted((each.label, each.state) for each in world.deployments.standings())
        self.assertEqual(shown, [("p0/*", 0), ("p0/*", 0), ("p0/bad", 2)])
        self.assertEqual(world.deployments.label("p0/bad"), "p0/*")  # of what is counted over time

    def test_labels_are_few(self) -> None:
        """However many are out, in the life of the process; and no name that is a text."""
        labels = Labels()
        labels.configured = ["a/known"]
        names = [f"a/{number}" for number in range(3 * OWN_LABELS)]
        for _ in range(2):
            own = {labels.of_state(name, True) for name in names}
            self.assertEqual(len(own), OWN_LABELS + 1)
        self.assertEqual(labels.of_state("a/known", True), "a/known")
        self.assertEqual(labels.of_state(names[0], False), "a/*")
        self.assertEqual(labels.of_state("b/x", True), "b/x")
        self.assertEqual(labels.of_state("b/" + "x" * LONGEST, True), "b/*")
