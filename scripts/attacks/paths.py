"""Prices over time: points, an exponential, a drip, or a feed's history from a CSV file. Exact fractions, no floats."""

from __future__ import annotations

import csv
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path as File

from python_ref.constants import WAD
from python_ref.fixed_math import decay
from scripts.scenario.nodes import Node, ScenarioError

BPS = 10_000
MAX_ROWS = 100_000


@dataclass(frozen=True)
class Row:
    """One round of a feed's history: its number, second, and answer in the feed's own decimals."""

    round: int
    timestamp: int
    answer: int


@dataclass(frozen=True)
class Path:
    """A price at every second, and the moments at which it may bend (so that a run steps on them)."""

    times: tuple[int, ...]
    prices: tuple[Fraction, ...]
    shape: str = "linear"  # linear, step, exponential, drip
    rate: int = 0  # seconds of the exponential, or bps of the drip
    every: int = 0  # seconds of a step of the drip

    def at(self, t: int) -> Fraction:
        """The price at second ``t``; before the first point the first, after the last the last."""
        i = bisect_right(self.times, t) - 1
        if i < 0:
            return self.prices[0]
        if self.shape == "exponential":
            return self.prices[0] * decay(t - self.times[0], self.rate) / WAD
        if self.shape == "drip":
            n = (t - self.times[0]) // self.every
            return Fraction(int(self.prices[0] * WAD) * (BPS + self.rate) ** n // BPS**n, WAD)
        if self.shape == "step" or i == len(self.times) - 1:
            return self.prices[i]
        span = self.times[i + 1] - self.times[i]
        return self.prices[i] + (self.prices[i + 1] - self.prices[i]) * (t - self.times[i]) / span


def constant(price: Fraction) -> Path:
    """Always the same."""
    return Path((0,), (price,))


def read_path(node: Node, folder: File) -> Path:
    """A path as the file has it.

    ``1.06``; ``[[0, 1.06], [90 s, 1.01]]`` (straight lines between); ``{points: …, shape: step}``;
    ``{start: 0.2, tau: 1500, from: 0}`` (falls exponentially); ``{start: 1, drip: 5, every: 12, from: 0}`` (grows by
    ``drip`` bps every so many seconds, compounded); ``{csv: history.csv, decimals: 8}`` (steps).
    """
    if isinstance(node.value, str):
        return constant(_price(node))
    if isinstance(node.value, list):
        return _points(node, "linear")
    if node.has("points"):
        found = node.fields(("shape",), ("points",))
        shape = found["shape"].choice(("linear", "step"), "shape") if "shape" in found else "linear"
        return _points(found["points"], shape)
    if node.has("csv"):
        found = node.fields(("decimals", "from"), ("csv",))
        decimals = found["decimals"].whole(0, 18) if "decimals" in found else 8
        begin = found["from"].seconds() if "from" in found else 0
        rows = read_history(found["csv"], folder)
        times = tuple(begin + row.timestamp - rows[0].timestamp for row in rows)
        return Path(times, tuple(Fraction(row.answer, 10**decimals) for row in rows), "step")
    if node.has("tau"):
        found = node.fields(("from",), ("start", "tau"))
        begin = found["from"].seconds() if "from" in found else 0
        return Path((begin,), (_price(found["start"]),), "exponential", found["tau"].whole(1, 10**7))
    found = node.fields(("from",), ("start", "drip", "every"))
    begin = found["from"].seconds() if "from" in found else 0
    every = found["every"].seconds()
    if every == 0:
        raise found["every"].fail("has to be a second at least")
    return Path((begin,), (_price(found["start"]),), "drip", found["drip"].whole(-BPS + 1, BPS), every)


def read_history(node: Node, folder: File) -> tuple[Row, ...]:
    """The rows of a CSV file with the columns ``round,timestamp,answer``; a path is relative to the attack's file."""
    path = folder / node.text()
    try:
        with path.open(encoding="utf-8", newline="") as file:
            table = list(csv.reader(file))
    except OSError as error:
        raise node.fail(f"cannot read {path.name}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise node.fail(f"{path.name} is not UTF-8 text") from None
    if not table or [cell.strip() for cell in table[0]] != ["round", "timestamp", "answer"]:
        raise node.fail(f"the first line of {path.name} has to be round,timestamp,answer")
    rows = [_row(node, path.name, i, cells) for i, cells in enumerate(table[1:], 2) if cells]
    if not 0 < len(rows) <= MAX_ROWS:
        raise node.fail(f"{path.name} has {len(rows)} rounds; 1 to {MAX_ROWS} are wanted")
    for before, after in pairwise(rows):
        if after.timestamp < before.timestamp:
            raise node.fail(f"{path.name}: timestamp {after.timestamp} comes after {before.timestamp}; sort the rows")
    return tuple(rows)


def _row(node: Node, name: str, line: int, cells: Sequence[str]) -> Row:
    try:
        number, timestamp, answer = (int(cell) for cell in cells)
    except ValueError:
        raise node.fail(f"{name}, line {line}: three whole numbers are wanted, not {','.join(cells)!r}") from None
    return Row(number, timestamp, answer)


def _price(node: Node) -> Fraction:
    price = node.number()
    if price.denominator and price * WAD % 1:
        raise node.fail(f"{node.value} has more than 18 decimals; shorten it")
    return price


def _points(node: Node, shape: str) -> Path:
    times: list[int] = []
    prices: list[Fraction] = []
    for point in node.elements():
        pair = point.elements()
        if len(pair) != 2:
            raise point.fail("a point is [time, price]")
        times.append(pair[0].seconds())
        prices.append(_price(pair[1]))
        if len(times) > 1 and times[-1] <= times[-2]:
            raise pair[0].fail("times have to rise")
    if not times:
        raise node.fail("at least one point [time, price] is wanted")
    return Path(tuple(times), tuple(prices), shape)


@dataclass
class Pace:
    """How far apart the steps of a run are, from when on."""

    parts: tuple[tuple[int, int], ...] = field(default=((0, 12),))

    def times(self, length: int, stops: Sequence[int]) -> list[int]:
        """Every second at which something is done, from 0 to ``length``; ``stops`` are always among them."""
        found = {t for t in stops if 0 <= t <= length} | {0, length}
        for i, (begin, step) in enumerate(self.parts):
            end = self.parts[i + 1][0] if i + 1 < len(self.parts) else length
            found.update(range(begin, end, step))
        return sorted(t for t in found if t <= length)


def read_pace(node: Node) -> Pace:
    """``12`` or ``[[0, 12], [10 min, 60]]``."""
    if isinstance(node.value, str):
        return Pace(((0, _step(node)),))
    parts: list[tuple[int, int]] = []
    for part in node.elements():
        pair = part.elements()
        if len(pair) != 2:
            raise part.fail("a part is [from, seconds of a step]")
        parts.append((pair[0].seconds(), _step(pair[1])))
    if not parts or parts[0][0] != 0 or any(a[0] >= b[0] for a, b in pairwise(parts)):
        raise node.fail("parts begin at 0 and rise")
    return Pace(tuple(parts))


def _step(node: Node) -> int:
    step = node.seconds()
    if step == 0:
        raise ScenarioError(node.path, "a step is at least one second")
    return step
