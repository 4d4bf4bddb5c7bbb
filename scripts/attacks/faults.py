"""The fault language: what is wrong with which feeds, from when to when; and the feeds that suffer it.

A feed follows the truth as Chainlink's do: it answers when the price has moved by its deviation, or its heartbeat has
passed. Faults change what it answers, when, or how; several at once add up. Everything is deterministic by the seed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from math import floor
from pathlib import Path as File
from random import Random
from typing import Any

from python_ref.mocks import (
    FEED_BOMB,
    FEED_BURN_GAS,
    FEED_EMPTY,
    FEED_NORMAL,
    FEED_REVERT,
    FEED_REVERT_BOMB,
    FEED_SHORT,
)
from scripts.attacks.paths import BPS, Path, Row, constant, read_history, read_path
from scripts.scenario.nodes import Node

FOREVER = 2**40

MODES = {
    "revert": FEED_REVERT,
    "burn_gas": FEED_BURN_GAS,
    "short": FEED_SHORT,
    "bomb": FEED_BOMB,
    "codeless": FEED_EMPTY,
    "revert_bomb": FEED_REVERT_BOMB,
}
"""Ways of not answering; each is a flag: ``{feed: 0, from: 300, burn_gas: true}``."""

FLAGS = ("freeze", "same_round", "incomplete", "carried", "chaos")
"""freeze: nothing new. same_round: other answers under one number. incomplete: stamp 0. carried: answeredInRound below
the round. chaos: at every step one of the other oddities, or none."""

SECONDS = ("late", "future")
"""late: everything comes so much later, stamped when it should have come. future: stamped so far ahead."""

NUMBERS = ("scale", "add", "set")
ODDITIES = ("none", "regress", "same_round", "incomplete", "future", "carried")
PHASE_SHIFT = 64
KEYS = ("market", "feed", "feeds", "group", "from", "to", *NUMBERS, "path", "csv", "decimals", "phase", "regress")


@dataclass(frozen=True)
class Fault:
    """What is wrong with some feeds of a market from ``start`` until just before ``end``."""

    market: int
    feeds: tuple[int, ...]
    start: int
    end: int
    text: str  # what a person reads on the chart
    scale: Fraction | None = None
    add: Fraction | None = None
    path: Path | None = None  # what the feed follows instead of the truth
    history: tuple[Row, ...] = ()
    decimals: int | None = None
    mode: int = FEED_NORMAL
    late: int = 0
    future: int = 0
    regress: int = 0
    phase: int = 0
    flags: frozenset[str] = frozenset()

    def active(self, feed: int, t: int) -> bool:
        """Whether that feed suffers it at ``t``."""
        return feed in self.feeds and self.start <= t < self.end


def read_fault(node: Node, folder: File, books: Mapping[str, tuple[int, tuple[int, ...]]]) -> Fault:
    """One entry of ``faults``. ``books``: by name, the oracle's number and the provider group of every feed."""
    found = node.fields((*KEYS, *MODES, *FLAGS, *SECONDS))
    name = found["market"].choice(tuple(books), "market") if "market" in found else next(iter(books))
    market, groups = books[name]
    feeds = _feeds(node, found, groups)
    start = found["from"].seconds() if "from" in found else 0
    end = found["to"].seconds() if "to" in found else FOREVER
    if end <= start:
        raise found["to"].fail(f"has to be after from ({start})")
    values: dict[str, Any] = {}
    for name in ("scale", "add"):
        if name in found:
            values[name] = found[name].number()
    if "set" in found:
        values["path"] = constant(found["set"].number())
    if "path" in found:
        values["path"] = read_path(found["path"], folder)
    if "csv" in found:
        values["history"] = read_history(found["csv"], folder)
    for name, most in (("decimals", 36), ("regress", 2**32), ("phase", 2**14)):
        if name in found:
            values[name] = found[name].whole(0, most)
    for name in SECONDS:
        if name in found:
            values[name] = found[name].seconds()
    modes = [name for name in MODES if name in found and found[name].flag()]
    if len(modes) > 1:
        raise node.fail(f"{' and '.join(modes)} at once: a feed fails in one way; write two faults")
    if modes:
        values["mode"] = MODES[modes[0]]
    values["flags"] = frozenset(name for name in FLAGS if name in found and found[name].flag())
    what = [k for k in found if k not in ("market", "feed", "feeds", "group", "from", "to")]
    if not what:
        raise node.fail(f"says of which feeds, but not what is wrong; add one of {', '.join((*NUMBERS, *MODES))}, …")
    text = ", ".join(name if name in (*MODES, *FLAGS) else f"{name} {_short(found[name])}" for name in what)
    return Fault(market, feeds, start, end, text, **values)


def _short(node: Node) -> str:
    return node.value if isinstance(node.value, str) else "…"


def _feeds(node: Node, found: dict[str, Node], groups: tuple[int, ...]) -> tuple[int, ...]:
    """The feeds that ``feed``, ``feeds`` or ``group`` names; all of them where nothing does."""
    if sum(name in found for name in ("feed", "feeds", "group")) > 1:
        raise node.fail("name feed, feeds or group, not several")
    last = len(groups) - 1
    if "feed" in found:
        return (found["feed"].whole(0, last),)
    if "feeds" in found:
        return tuple(feed.whole(0, last) for feed in found["feeds"].elements())
    if "group" in found:
        group = found["group"].whole(0, max(groups))
        return tuple(i for i, of in enumerate(groups) if of == group)
    return tuple(range(len(groups)))


@dataclass
class Habits:
    """When a feed of a market answers without being told to."""

    decimals: int
    heartbeat: int  # seconds
    deviation: int  # bps
    cadence: int = 0  # least seconds between two answers
    noise: int = 0  # bps by which it may differ from the truth


@dataclass
class Source:
    """One feed as it goes along: what it would do next, as calls on its mock."""

    place: int
    habits: Habits
    truth: Path
    faults: tuple[Fault, ...]
    seed: str
    begin: int  # the chain's second at which the run's 0 is
    round: int  # last, without its phase
    phase: int = 0
    answer: int = 0
    answered_at: int = 0
    decimals: int = 0
    mode: int = FEED_NORMAL
    _seen: tuple[int, ...] = ()  # faults, other than a freeze, that were active at the last answer
    _base: dict[int, int] = field(default_factory=dict)  # of a history: the round before its first

    def calls(self, t: int) -> Iterator[tuple[str, tuple[int, ...]]]:
        """What happens to the mock at second ``t`` of the run."""
        active = [fault for fault in self.faults if fault.active(self.place, t)]
        mode = next((fault.mode for fault in active if fault.mode), FEED_NORMAL)
        if mode != self.mode:
            self.mode = mode
            yield "set_mode", (mode,)
        decimals = next((fault.decimals for fault in active if fault.decimals is not None), self.habits.decimals)
        if decimals != self.decimals:
            self.decimals = decimals
            yield "set_decimals", (decimals,)
        if any("freeze" in fault.flags for fault in active):
            return
        history = next((fault for fault in active if fault.history), None)
        words = self._imported(history, t) if history else self._answer(active, t)
        if words is not None:
            yield "set_round", words

    def push(self, price: Fraction, t: int) -> tuple[int, ...]:
        """The five words of an answer that somebody makes it give now."""
        self.round += 1
        self.answer, self.answered_at = floor(price * 10**self.decimals), t
        number, stamp = self.phase << PHASE_SHIFT | self.round, self.begin + t
        return number, self.answer, stamp, stamp, number

    def value(self, active: list[Fault], t: int) -> Fraction:
        """What it takes the price to be."""
        path = next((fault.path for fault in active if fault.path), self.truth)
        price = path.at(t)
        for fault in active:
            if fault.scale is not None:
                price *= fault.scale
            if fault.add is not None:
                price += fault.add
        if self.habits.noise:
            price *= 1 + Fraction(self._random(t).randint(-self.habits.noise * 100, self.habits.noise * 100), BPS * 100)
        return price

    def _random(self, t: int) -> Random:
        return Random(f"{self.seed} {self.place} {t}")

    def _answer(self, active: list[Fault], t: int) -> tuple[int, ...] | None:
        """The five words of the next answer, if one is due."""
        late = max((fault.late for fault in active), default=0)
        regress, future = (max((getattr(f, name) for f in active), default=0) for name in ("regress", "future"))
        flags = frozenset().union(*(fault.flags for fault in active))
        if "chaos" in flags:
            oddity = self._random(t).choice(ODDITIES)
            regress, future = (1 if oddity == "regress" else 0), (16 if oddity == "future" else 0)
            flags |= {oddity}
        answer = floor(self.value(active, max(0, t - late)) * 10**self.decimals)
        active_now = tuple(id(fault) for fault in active)
        changed, self._seen = active_now != self._seen, active_now
        moved = abs(answer - self.answer) * BPS >= self.habits.deviation * abs(self.answer)
        due = (moved and answer != self.answer) or t - self.answered_at >= self.habits.heartbeat
        odd = future or flags & {"same_round", "chaos"}
        if not (changed or odd or (due and t - self.answered_at >= self.habits.cadence)):
            return None
        step_phase = sum(fault.phase for fault in active) if changed else 0
        if step_phase:
            self.phase, self.round = self.phase + step_phase, 0
        if regress and (changed or "chaos" in flags):
            self.round = max(-1, self.round - regress - 1)
        if "same_round" not in flags:
            self.round += 1
        self.answer, self.answered_at = answer, t
        stamp = 0 if "incomplete" in flags else self.begin + t - late + future
        number = self.phase << PHASE_SHIFT | self.round
        return number, answer, stamp, stamp, number - (1 if "carried" in flags and self.round else 0)

    def _imported(self, fault: Fault, t: int) -> tuple[int, ...] | None:
        """The row of a history that is the latest at ``t``, if it was not answered yet; its rounds go on from ours."""
        rows, first = fault.history, fault.history[0]
        key = id(fault)
        fresh = key not in self._base
        base = self._base.setdefault(key, (self.phase << PHASE_SHIFT | self.round) + 1 - first.round)
        row = rows[bisect_right(rows, t - fault.start + first.timestamp, key=lambda r: r.timestamp) - 1]
        number = base + row.round
        known = self.phase << PHASE_SHIFT | self.round
        if not fresh and number == known and row.answer == self.answer:
            return None
        self.phase, self.round = number >> PHASE_SHIFT, number & (1 << PHASE_SHIFT) - 1
        self.answer, self.answered_at = row.answer, t
        self._seen = (key,)
        stamp = self.begin + fault.start + row.timestamp - first.timestamp
        return number, row.answer, stamp, stamp, number
