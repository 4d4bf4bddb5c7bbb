"""What stands beside a walk and judges every call: the invariants each time, the exact ledger at intervals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from copy import deepcopy
from fractions import Fraction
from typing import Any

from python_ref import constants as c
from python_ref.ideal import IdealFollower
from python_ref.invariants import Snapshot, check_all, inv_16_quorum_agrees, read_book
from python_ref.ledger import account_id
from python_ref.words import Limits
from python_ref.world import Event, Key
from scripts.campaign.marks import marks_of
from scripts.system import KEEPER, System

HEAVY_BITS = 3_000
"""Denominators of the exact ledger grow with every cut; beyond this length it costs more than all the rest."""

AFRESH_EVERY = 500
"""Calls between two looks at the whole ledger without what was known of it before."""


class Judge:
    """Follows one system from its deployment on, as the observer of its twin; raises AssertionError.

    ``marks`` counts what has been seen to happen, by the names of :mod:`scripts.campaign.marks`; ``widest`` is the
    largest distance between model and exact ledger, real wei; ``followed`` counts the calls that ledger judged.
    """

    def __init__(self, decimals: int, ideal_every: int = 25) -> None:
        """Compare with the exact ledger after every ``ideal_every`` calls that changed the ledger."""
        self.ideal_every = ideal_every
        self.follower = IdealFollower(10 ** (18 - decimals), check_each=ideal_every == 1)
        self.marks: Counter[str] = Counter()
        self.widest = Fraction(0)
        self.judged = 0
        self.followed = 0
        self.heavy = False
        """The exact ledger's fractions have grown too long."""
        self.detached = False
        self._defaults = (0, 0)  # the second of the last receipt, and how many it has seen
        self._events: list[Event] = []
        self._written: set[Key] = set()

    def attach(self, system: System) -> None:
        """Judge ``system`` from now on; its deployment has been followed already."""
        self.system = system
        self.seen = Snapshot(system.twin.world)
        self._events, self._written = [], set()

    def follow(self, events: list[Event], now: int) -> None:
        """The twin's observer: what the model did in a call that went through."""
        if not self.detached:
            self.follower.follow(events, now)
        self._events += events

    def detach(self) -> None:
        """Go on without the exact ledger."""
        self.compare()
        self.detached = True

    def mark(self) -> Any:
        """The state that :meth:`restart` returns to."""
        return deepcopy(self.follower), self.seen

    def restart(self, mark: Any) -> None:
        """Forget what came after ``mark``; what was counted stays counted."""
        self.follower, self.seen = deepcopy(mark[0]), mark[1]
        self._events, self._written = [], set()

    def check(self, acted: Sequence[bytes]) -> None:
        """Judge the call that just went through; ``acted`` are the accounts whose owner had a hand in it."""
        system, world = self.system, self.system.twin.world
        events, self._events = self._events, []
        self._written |= world.written
        before = self.seen
        if any(key[0] == before.contract for key in self._written):
            markets = range(len(system.specs))
            vault = system.token.balanceOf(KEEPER, system.clearing_house.address) * system.unit
            funds = [account_id(system.fund.address, k) for k in range(len(system.specs) + 1)]
            self.judged += 1
            afresh = self.judged % AFRESH_EVERY == 0
            # prices only matter to the invariant of a deleveraging
            peeked = (
                [system.oracle.peek(KEEPER, m) for m in markets]
                if any(e.name == "BandDeleveraged" for e in events)
                else []
            )
            frozen = not peeked or any(p.state >= c.STATE_FROZEN for p in peeked)
            self.seen = check_all(
                world,
                vault,
                before=before,
                events=events,
                acted_for=[*acted, *funds],
                index=None if frozen else {m: p.index for m, p in enumerate(peeked)},
                queues=self._queues(before) if peeked else (),
                written=None if afresh else self._written,
                states={m: self._state(m) for m in markets},
            )
            if afresh:
                self._check_bookkeeping(before.after(world, self._written))
            self.followed += not self.detached
            if self.judged % self.ideal_every == 0 or _dust_wiped(before, self.seen):
                self.compare()
        self._written = set()
        for book in {e.fields["market"] for e in events if e.name == "PricePoked"}:
            if self._state(book) in (c.STATE_LIVE, c.STATE_DEGRADED, c.STATE_RECOVERY):
                inv_16_quorum_agrees(world, book, self._sources)
        if events:
            self.marks.update(marks_of(events, before, self.seen, system))
            if any(e.name == "ReceiptWritten" for e in events):
                self._defaults = (world.now, self._defaults[1] + 1 if self._defaults[0] == world.now else 1)
                self.marks["receipt: third of a second"] += self._defaults[1] == 3

    def _state(self, book: int) -> int:
        """By which state a book is judged in this block; FROZEN while it never had a price."""
        stored = self.system.oracle._load(book)
        return stored.state if stored.index else c.STATE_FROZEN

    @property
    def _sources(self) -> dict[str, str]:
        """Names of the feeds by their addresses."""
        return {address: feed.name for address, feed in self.system.oracle.contracts.items()}

    def refused(self, contract: str, function: str, reason: str | None) -> None:
        """Judge a call that was refused: no feed may have brought that about."""
        asks = contract == "PriceOracle" and function in ("poke", "prices")
        assert not asks, f"INV-16: {function} was refused: {reason!r}"
        assert not str(reason).startswith("feed: "), f"INV-16: a feed made {contract}.{function} revert: {reason!r}"

    def compare(self) -> None:
        """Hold the model's book against the exact ledger."""
        if self.detached:
            return
        drift = self.follower.compare(read_book(self.seen))
        self.widest = max(self.widest, drift.cash)
        accounts = self.follower.ledger.accounts.values()
        self.heavy = max((state.cash.denominator.bit_length() for state in accounts), default=0) > HEAVY_BITS

    def finish(self) -> None:
        """Everything once more, and every word afresh."""
        self.system.twin.check_all()
        last = self.seen
        self.seen = Snapshot(self.system.twin.world)
        self._check_bookkeeping(last)
        self.compare()

    def _check_bookkeeping(self, kept: Snapshot) -> None:
        """What was carried from snapshot to snapshot is what the words say."""
        for name in ("words", "accounts", "bands", "markets", "all_legs"):
            assert getattr(kept, name) == getattr(self.seen, name), f"the snapshot carried other {name} along"

    def _queues(self, snapshot: Snapshot) -> list[int]:
        """Markets that a ranked queue deleverages."""
        queue = int(self.system.addresses["BandQueue"], 16)
        return [
            m
            for m in snapshot.markets
            if snapshot.word("markets", m << 3 | 7) == queue
            and Limits.unpack(snapshot.word("markets", m << 3 | 3)).rank
        ]


def _dust_wiped(before: Snapshot, after: Snapshot) -> bool:
    """Whether a long's last dust went with its band, which no event tells: the exact ledger must be shown at once."""
    for account in after.all_legs if after.scope is None else after.scope.legs:
        for market, leg in before.all_legs.get(account, {}).items():
            if 0 < leg.size <= c.DUST_SIZE and not after.leg(account, market).size:
                return True
    return False
