"""Two more opinions on every call of a performance: the invariants, and the ledger in exact rationals."""

from __future__ import annotations

from collections.abc import Sequence

from python_ref.world import Event
from scripts.campaign.judge import Judge
from scripts.system import System


class Watch(Judge):
    """A judge that judges as the twin tells him of a call; ``acting`` are the accounts that have a hand in it."""

    def __init__(self, decimals: int) -> None:
        super().__init__(decimals, ideal_every=1)
        self.acting: Sequence[bytes] = ()
        self._attends = False

    def attach(self, system: System) -> None:
        """The system is complete: from now on judge."""
        super().attach(system)
        self._attends = True

    def __call__(self, events: list[Event], now: int) -> None:
        """Told of each call that went through."""
        self.follow(events, now)
        if self._attends:
            self.check(self.acting)
