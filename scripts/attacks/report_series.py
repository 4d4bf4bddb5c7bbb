"""Long series made short enough to draw: what is left out could not be seen on a chart of that width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

POINTS = 240
"""Stretches of a chart, each with its extremes: about two pixels wide."""
CELLS = 240
"""Cells of a band, each with its worst value."""


@dataclass(frozen=True)
class Span:
    """A stretch of time with one value, seconds."""

    start: float
    length: float
    value: int


def thin(series: Sequence[Sequence[float]], points: int = POINTS) -> list[int]:
    """Positions to keep so that lines through them look like the whole.

    Kept are both ends and, in each of ``points`` stretches, the first position and every series' least and greatest;
    a position at which no series differs from both its neighbours is left out.
    """
    count = len(series[0])
    if count < 3:
        return list(range(count))
    bends = [
        i
        for i in range(1, count - 1)
        if any(values[i] != values[i - 1] or values[i] != values[i + 1] for values in series)
    ]
    kept = {0, count - 1}
    size = max(1, -(-len(bends) // points))
    for first in range(0, len(bends), size):
        stretch = bends[first : first + size]
        kept.add(stretch[0])
        for values in series:
            kept.update((min(stretch, key=values.__getitem__), max(stretch, key=values.__getitem__)))
    return sorted(kept)


def line(
    times: Sequence[float], values: Sequence[float], there: Sequence[bool], end: float
) -> tuple[list[float | None], list[float | None]]:
    """Points of a line of steps, up to ``end``: a value lasts until the next or the gap after it, which is a None."""
    x: list[float | None] = []
    y: list[float | None] = []
    for i, (time, value) in enumerate(zip(times, values, strict=True)):
        if not there[i]:
            continue
        x.append(time)
        y.append(value)
        last = i + 1 == len(times)
        if last or not there[i + 1]:
            x += [end if last else times[i + 1], None]
            y += [value, None]
    return x, y


def area(
    times: Sequence[float], low: Sequence[float], high: Sequence[float], there: Sequence[bool], end: float
) -> tuple[list[float | None], list[float | None]]:
    """The area between two lines of steps, up to ``end``: a closed outline for each stretch in which both are there.

    Outlines are parted by None.
    """
    edges = [*times, end]
    x: list[float | None] = []
    y: list[float | None] = []
    for drawn, stretch in groupby(range(len(times)), key=there.__getitem__):
        if not drawn:
            continue
        steps = list(stretch)
        for i in steps:
            x += [edges[i], edges[i + 1]]
            y += [high[i], high[i]]
        for i in reversed(steps):
            x += [edges[i + 1], edges[i]]
            y += [low[i], low[i]]
        x.append(None)
        y.append(None)
    return x, y


def spans(
    times: Sequence[float], values: Sequence[int], end: float, order: Sequence[int], cells: int = CELLS
) -> list[Span]:
    """Stretches of equal values up to ``end``; where there are more steps than ``cells``, the worst of each cell.

    ``order`` ranks values from harmless to worst; a value that it lacks is taken for the worst.
    """
    rank = {value: place for place, value in enumerate(order)}
    size = max(1, -(-len(values) // cells))
    worst = [
        (times[first], max(values[first : first + size], key=lambda value: rank.get(value, len(rank))))
        for first in range(0, len(values), size)
    ]
    starts = [(start, value) for value, group in groupby(worst, key=lambda cell: cell[1]) for start, _ in [next(group)]]
    ends = [start for start, _ in starts[1:]] + [end]
    return [Span(start, until - start, value) for (start, value), until in zip(starts, ends, strict=True)]


def union(stretches: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The same time in stretches that do not overlap."""
    found: list[tuple[float, float]] = []
    for start, end in sorted(stretches):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found


def sample(items: Sequence[Any], most: int) -> list[Any]:
    """At most ``most`` of the items, evenly spread, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[i * (len(items) - 1) // (most - 1)] for i in range(most)]


def short(value: float) -> float:
    """Seven digits: more could not be seen."""
    return float(f"{value:.7g}")
