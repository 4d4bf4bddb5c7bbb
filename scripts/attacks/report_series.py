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


def sample(items: Sequence[Any], most: int) -> list[Any]:
    """At most ``most`` of the items, evenly spread, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[i * (len(items) - 1) // (most - 1)] for i in range(most)]
