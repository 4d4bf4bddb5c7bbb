"""Two more opinions on every call: the invariants, and the ledger in exact rationals."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from python_ref.ideal import IdealFollower
from python_ref.invariants import Snapshot, check_all, read_book
from python_ref.world import Event
from scripts.scenario.story import Scenario
from scripts.scenario.view import LedgerView, treasury
from scripts.system import System


class Watch:
    """Follows every call with the exact ledger and the invariants; raises at the first that does not hold."""

    def __init__(self, scenario: Scenario) -> None:
        self.follower = IdealFollower(10 ** (18 - scenario.decimals))
        self.queues = [i for i, spec in enumerate(scenario.markets) if spec.policy == "BandQueue" and spec.limits.rank]
        self.acting: Sequence[bytes] = ()
        self.drift = Fraction(0)
        self.compared = 0
        self._system: System | None = None
        self._seen: Snapshot | None = None

    def attend(self, system: System) -> None:
        """The system is complete: from now on compare."""
        self._system = system

    def __call__(self, events: list[Event], now: int) -> None:
        """Told of each call."""
        self.follower.follow(events, now)
        system = self._system
        if system is None or not any(e.contract == "ClearingHouse" for e in events):
            return
        view = LedgerView.of(system)
        funds = [treasury(system), *(system.bucket(m) for m in range(len(system.specs)))]
        self._seen = check_all(
            system.twin.world,
            view.vault,
            before=self._seen,
            events=events,
            acted_for=[*self.acting, *funds],
            index=None if view.frozen else view.index,
            queues=self.queues,
        )
        drift = self.follower.compare(read_book(self._seen))
        self.drift = max(self.drift, drift.cash, drift.size)
        self.compared += 1
