"""What happened, marked on a chart of prices: liquidations, deleveraging, trades, refusals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import plotly.graph_objects as go

from scripts.attacks.report_series import sample, short
from scripts.attacks.result import Happening, Run

MARKS = 150
"""Events of one kind drawn in one chart; of more, an even sample."""
COUNTED = 20
"""Marks of one kind in one chart that have their number beside them; the pointer tells it in any case."""
TOLD = 12
"""Events told where a mark stands for many."""


@dataclass(frozen=True)
class Kind:
    """How events are marked."""

    name: str
    symbol: str
    colour: str
    size: int = 9
    shown: bool = True  # at first; the legend shows and hides
    count: str = "middle right"  # where the number stands, if the mark is for several


WRONGFUL = Kind("wrongfully closed", "x", "#b00020", 10)
UNDULY = Kind("deleveraged for a wrongful closing", "diamond-open", "#b00020", 15, count="bottom center")
KINDS = {
    "liquidation": Kind("liquidation", "triangle-down", "#6b3f9c"),
    "takeover": Kind("inherited by the fund", "pentagon", "#0a6b57"),
    "adl": Kind("deleveraged (ADL)", "diamond-open", "#b07400", 15, count="bottom center"),
    "resolve": Kind("default resolved", "square", "#4a4a4a", 8),
    "rebase": Kind("claims cut", "star", "#a0006d", 11),
    "trade": Kind("trade of an actor", "circle-open", "#005b8f", 7),
    "move": Kind("deposit, withdrawal, transfer", "diamond-open", "#005b8f", 8, shown=False),
    "refused": Kind("refused", "line-ns-open", "#8a1f1f", 9, shown=False),
    "blocked": Kind("blocked by the oracle", "x-thin-open", "#8a1f1f", 8, count="top center"),
}
"""What is marked on the prices; changes of state are in the band."""


class Legend:
    """One entry for each name, whichever column it comes up in first; it shows and hides all columns'."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def __call__(self, name: str) -> dict[str, Any]:
        """What makes a trace part of the entry of that name."""
        first = name not in self._known
        self._known.add(name)
        return {"name": name, "legendgroup": name, "showlegend": first}


def marks(run: Run, scale: float, legend: Legend) -> list[go.Scatter]:
    """What happened, by kind; what happened at one time and price is one mark with a number beside it."""
    groups: dict[Kind, dict[tuple[float, float], list[Happening]]] = {}
    for event in run.events:
        kind = kind_of(event)
        if kind is not None:
            groups.setdefault(kind, {}).setdefault((event.t, _height(run, event)), []).append(event)
    found = []
    for kind in sorted(groups, key=lambda kind: -kind.size):  # small marks lie on great ones
        shown = sample(list(groups[kind].items()), MARKS)
        is_open = kind.symbol.endswith("open")
        found.append(
            go.Scatter(
                x=[short(t / scale) for (t, _), _ in shown],
                y=[short(price) for (_, price), _ in shown],
                mode="markers+text",
                marker={
                    "symbol": kind.symbol,
                    "size": kind.size,
                    "color": kind.colour,
                    "line": {"width": 1.4 if is_open else 0.8, "color": kind.colour if is_open else "#ffffff"},
                },
                text=[f" ×{len(events)}" if len(events) > 1 and len(shown) <= COUNTED else "" for _, events in shown],
                textposition=kind.count,
                textfont={"size": 10, "color": kind.colour},
                hovertext=[_tell_all(events) for _, events in shown],
                hovertemplate=f"<b>{kind.name}</b> at %{{x}}<br>%{{hovertext}}<extra></extra>",
                visible=True if kind.shown else "legendonly",
                cliponaxis=False,
                **legend(kind.name),
            )
        )
    return found


def kind_of(event: Happening) -> Kind | None:
    """How an event is marked; None if it is not."""
    if event.wrongful:
        return UNDULY if event.kind == "adl" else WRONGFUL
    return KINDS.get(event.kind)


def _height(run: Run, event: Happening) -> float:
    """The price of an event, or where it has none the mark then, or the truth."""
    if event.price > 0:
        return event.price
    at = max((i for i, t in enumerate(run.t) if t <= event.t), default=0)
    return run.mark[at] if run.state[at] >= 0 else run.truth[at]


def _tell_all(events: Sequence[Happening]) -> str:
    told = [_tell(event) for event in events[:TOLD]]
    return "<br>".join(told + ([f"and {len(events) - TOLD} more"] if len(events) > TOLD else []))


def _tell(event: Happening) -> str:
    return escape(event.text if event.account in event.text else f"{event.account}: {event.text}")


def is_shown(event: Happening) -> bool:
    """Whether it is to be seen before anybody clicks."""
    kind = kind_of(event)
    return kind is not None and kind.shown
