"""What a choice of parameters costs: wrongful liquidations against bad debt against the time users are locked out.

A point is one choice of rules, judged by the sums over all attacks and controls that it was tried on. No weights are
put on the three: a point is on the frontier if no other is as good in all and better in one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from scripts.attacks.report_plot import INK
from scripts.attacks.report_text import money, seconds

PARAMETERS = {
    "jump": ("jump gate J", "bps"),
    "tau_fast": ("smoothing τ_fast", "s"),
    "speed": ("speed of the mark", "bps/s"),
    "grace": ("grace after a freeze", "s"),
    "freeze": ("freeze limit", "s"),
}
"""Rules that are swept, as in SPEC §14.1, with their names and units."""

COSTS = {
    "wrongful_notional": ("wrongful liquidations ($)", money),
    "bad_debt": ("bad debt ($)", money),
    "user_lockout_seconds": ("users locked out (s)", seconds),
}
"""What is to be small, by the metric of a run."""

Rules = tuple[int, ...]
"""Values of :data:`PARAMETERS`, in their order."""


@dataclass(frozen=True)
class Point:
    """A choice of rules and what it cost in each run; without rules, those that every file has."""

    rules: Rules | None
    runs: Mapping[str, Mapping[str, float]]  # costs by run

    @property
    def costs(self) -> tuple[float, ...]:
        """Sums over the runs, in the order of :data:`COSTS`."""
        return tuple(sum(run[cost] for run in self.runs.values()) for cost in COSTS)


def frontier(points: Sequence[Point]) -> list[Point]:
    """Points that no other beats, cheapest in the first cost first."""
    costs = [point.costs for point in points]
    best = [
        point
        for point, mine in zip(points, costs, strict=True)
        if not any(other != mine and all(a <= b for a, b in zip(other, mine, strict=True)) for other in costs)
    ]
    return sorted(best, key=lambda point: (point.costs, point.rules or ()))


def clouds(points: Sequence[Point]) -> dict[str, Any]:
    """All points, two costs at a time, the third by colour; the frontier is ringed."""
    best = frontier(points)
    others = [point for point in points if point not in best and point.rules]
    pairs = ((0, 1, 2), (2, 1, 0))
    titles = list(COSTS.values())
    drawing = make_subplots(rows=1, cols=len(pairs), horizontal_spacing=0.2)
    for column, (x, y, colour) in enumerate(pairs, 1):
        scale = [point.costs[colour] for point in points]
        for name, group, symbol, size, ring in (
            ("beaten by another point", others, "circle", 9, 0.5),
            ("on the frontier", [point for point in best if point.rules], "diamond", 14, 2.5),
            ("as in the files", [point for point in points if not point.rules], "star", 19, 1.5),
        ):
            drawing.add_trace(
                go.Scatter(
                    x=[point.costs[x] for point in group],
                    y=[point.costs[y] for point in group],
                    mode="markers",
                    name=name,
                    legendgroup=name,
                    showlegend=column == 1,
                    marker={
                        "symbol": symbol,
                        "size": size,
                        "color": [point.costs[colour] for point in group],
                        "cmin": min(scale),
                        "cmax": max(max(scale), min(scale) + 1),
                        "colorscale": "Cividis",
                        "showscale": name == "on the frontier",
                        "colorbar": {
                            "title": {"text": titles[colour][0], "side": "right"},
                            "x": (column - 1) * 0.6 + 0.4,
                            "thickness": 12,
                        },
                        "line": {"width": ring, "color": INK},
                    },
                    text=[tell(point) for point in group],
                    hovertemplate="%{text}<extra></extra>",
                    cliponaxis=False,
                ),
                row=1,
                col=column,
            )
        drawing.update_xaxes(title_text=titles[x][0], rangemode="tozero", row=1, col=column)
        drawing.update_yaxes(title_text=titles[y][0], rangemode="tozero", row=1, col=column)
    return _finished(drawing, 480)


def effects(points: Sequence[Point]) -> dict[str, Any]:
    """Mean cost for every value of every parameter, over whatever the others were."""
    drawing = make_subplots(
        rows=len(COSTS),
        cols=len(PARAMETERS),
        shared_xaxes="columns",
        shared_yaxes="rows",
        vertical_spacing=0.05,
        horizontal_spacing=0.02,
    )
    swept = [(point.rules, point.costs) for point in points if point.rules]
    for column, (name, unit) in enumerate(PARAMETERS.values()):
        values = sorted({rules[column] for rules, _ in swept})
        for row, (title, written) in enumerate(COSTS.values()):
            means = [_mean(costs[row] for rules, costs in swept if rules[column] == value) for value in values]
            drawing.add_trace(
                go.Scatter(
                    x=[str(value) for value in values],
                    y=means,
                    mode="lines+markers",
                    line={"color": "#0072b2"},
                    showlegend=False,
                    text=[f"{name} {value} {unit}: {written(mean)}" for value, mean in zip(values, means, strict=True)],
                    hovertemplate="%{text}<extra></extra>",
                ),
                row=row + 1,
                col=column + 1,
            )
            if column == 0:
                drawing.update_yaxes(title_text=title.replace(" ", "<br>", 1), row=row + 1, col=1)
        drawing.update_xaxes(title_text=f"{name} ({unit})", row=len(COSTS), col=column + 1)
    drawing.update_xaxes(type="category")
    drawing.update_yaxes(rangemode="tozero")
    return _finished(drawing, 520)


def tell(point: Point) -> str:
    """Its parameters and its costs, a line each."""
    named = zip(PARAMETERS.values(), point.rules, strict=True) if point.rules else ()
    rules = [f"{name}: {value} {unit}" for (name, unit), value in named] or ["rules as in the files"]
    costs = [f"{title}: {written(cost)}" for (title, written), cost in zip(COSTS.values(), point.costs, strict=True)]
    return "<br>".join([*rules, *(f"<b>{cost}</b>" for cost in costs)])


def _finished(drawing: go.Figure, height: int) -> dict[str, Any]:
    drawing.update_xaxes(gridcolor="#e3e7ea", showline=True, linecolor="#9aa4ad", ticks="outside", zeroline=False)
    drawing.update_yaxes(gridcolor="#e3e7ea", exponentformat="SI", zeroline=False)
    drawing.update_layout(
        template="none",
        height=height,
        margin={"l": 84, "r": 20, "t": 50, "b": 60},
        font={"family": "system-ui, sans-serif", "size": 12, "color": INK},
        legend={"orientation": "h", "x": 0, "y": 1, "yref": "container", "yanchor": "top"},
        hovermode="closest",
    )
    return drawing.to_plotly_json()


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)
