"""One attack drawn: the deployments side by side, prices above, states and reasons of the feeds below.

The figures are plotly's, as plain data; the page draws each when it comes into view.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, log10
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from scripts.attacks.report_marks import Legend, is_shown, marks
from scripts.attacks.report_series import area, line, short, spans, thin, union
from scripts.attacks.report_text import number, seconds
from scripts.attacks.result import DEPLOYMENTS, Run
from scripts.rules import CODES, STATES

PRICES = 320
"""Height of the prices, pixels."""
ROW = 22
"""Height of a row of the band, pixels."""
ABOVE, GAP, BELOW = 96, 26, 48
"""Room for titles and legend, between prices and band, for the axis; pixels."""
WIDTH, LETTER = 340, 7.0
"""Of one of three charts on a screen of 1280, and of a letter in the band; pixels."""
LOGARITHMIC = 4.0
"""Prices that differ by more than this factor are drawn on a logarithmic axis."""
INK = "#1b1f24"

LINES = {
    "truth": ("true price", {"color": INK, "width": 2.4, "dash": "4px,2px"}),
    "index": ("index", {"color": "#0072b2", "width": 2}),
    "mark": ("mark", {"color": "#d55e00", "width": 1.6}),
}
"""Okabe and Ito's colours, told apart with any kind of colour vision; the dashes tell the truth from the rest."""

STATE_COLOURS = {0: "#cfeee0", 1: "#f6d67a", 2: "#7db7e8", 3: "#e2b4d2", 4: "#a6a6a6", -1: "#ffffff"}
STATE_ORDER = (0, 1, 3, 2, 4, -1)
CODE_ORDER = (0, *range(1, len(CODES)), -1)
HEALTHY, BROKEN, UNKNOWN = "#e6ebf0", "#e08a72", "#ffffff"


def figure(runs: Sequence[Run]) -> dict[str, Any]:
    """The runs of one attack, one for each deployment that there is, as plotly's ``data`` and ``layout``.

    ``layout.meta`` says whether the prices are on a logarithmic axis, and has the ranges of either kind of axis for
    all charts together and for each by itself.
    """
    by_name = {run.deployment: run for run in runs}
    feeds = max(_feeds(run) for run in runs)
    rows = ["state", *(f"feed {i}" for i in range(feeds))]
    band = ROW * len(rows)
    plots = PRICES + GAP + band
    drawing = make_subplots(
        rows=2,
        cols=len(DEPLOYMENTS),
        row_heights=[PRICES, band],
        vertical_spacing=GAP / plots,
        horizontal_spacing=0.045,
        shared_xaxes="columns",
        shared_yaxes="rows",
    )
    scale, unit = _time_unit(max(_end(run) for run in runs))
    legend = Legend()
    for column, name in enumerate(DEPLOYMENTS, 1):
        run = by_name.get(name)
        if run is None:
            drawing.add_annotation(
                text="not run", x=0.5, y=0.5, xref="x domain", yref="y domain", showarrow=False, row=1, col=column
            )
            continue
        for trace in _prices(run, scale, legend):
            drawing.add_trace(trace, row=1, col=column)
        for trace in marks(run, scale, legend):
            drawing.add_trace(trace, row=1, col=column)
        drawing.add_trace(_band(run, rows, scale, unit), row=2, col=column)
        _faults(drawing, run, column, scale)
        drawing.update_xaxes(range=[0, _end(run) / scale], row=1, col=column)
        drawing.update_xaxes(
            range=[0, _end(run) / scale], title_text=f"time ({unit})", title_standoff=4, row=2, col=column
        )
    ranges = {str(column): _ranges([by_name[name]]) for column, name in enumerate(DEPLOYMENTS, 1) if name in by_name}
    ranges["all"] = _ranges(runs)
    log = _logarithmic(runs)
    drawing.update_yaxes(
        type="log" if log else "linear",
        range=ranges["all"]["log" if log else "linear"],
        tickmode="array" if log else "auto",
        **_decades(ranges["all"]),
        exponentformat="SI",
        gridcolor="#e3e7ea",
        zeroline=False,
        row=1,
    )
    drawing.update_yaxes(title_text="price ($)", row=1, col=1)
    drawing.update_yaxes(
        type="category", categoryarray=rows[::-1], range=[-0.5, len(rows) - 0.5], fixedrange=True, row=2
    )
    drawing.update_xaxes(gridcolor="#eef1f3", zeroline=False, showline=True, linecolor="#9aa4ad", ticks="outside")
    drawing.update_layout(
        template="none",
        height=ABOVE + plots + BELOW,
        margin={"l": 74, "r": 12, "t": ABOVE, "b": BELOW},
        font={"family": "system-ui, sans-serif", "size": 12, "color": INK},
        hovermode="closest",
        bargap=0.12,
        legend={"orientation": "h", "x": 0, "y": 1, "yref": "container", "yanchor": "top", "font": {"size": 12}},
        meta={"log": log, "ranges": ranges},
    )
    _titles(drawing)
    return drawing.to_plotly_json()


def _prices(run: Run, scale: float, legend: Legend) -> list[go.Scatter]:
    drawn = [run.truth, run.index, run.mark, run.low, run.high, run.credit_low, run.credit_high, run.state]
    kept = thin(drawn)
    times, end = [short(run.t[i] / scale) for i in kept], short(_end(run) / scale)
    there = [run.state[i] >= 0 for i in kept]

    def thinned(values: Sequence[float]) -> list[float]:
        return [short(values[i]) for i in kept]

    def steps(values: Sequence[float], **more: Any) -> go.Scatter:
        style = {"shape": "hv", **more.pop("line")}
        x, y = line(times, thinned(values), [True] * len(kept) if values is run.truth else there, end)
        return go.Scatter(x=x, y=y, mode="lines", line=style, **more)

    x, y = area(times, thinned(run.low), thinned(run.high), there, end)
    interval = {"line": {"color": "#56b4e9", "width": 0.6}, "fill": "toself", "fillcolor": "rgba(86,180,233,0.28)"}
    credit = {"color": "#7b8794", "width": 1.1, "dash": "dot"}
    found = [_answers(run, scale, legend)] if run.feeds else []
    found += [
        go.Scatter(x=x, y=y, mode="lines", hoverinfo="skip", **interval, **legend("interval")),
        steps(run.credit_low, line=credit, hoverinfo="skip", **legend("credit edges")),
        steps(run.credit_high, line=credit, hoverinfo="skip", **legend("credit edges")),
    ]
    for name, (title, style) in LINES.items():
        found.append(
            steps(
                getattr(run, name),
                line=style,
                hovertemplate=f"{title} %{{y:.6~g}} at %{{x}}<extra></extra>",
                **legend(title),
            )
        )
    return found


def _answers(run: Run, scale: float, legend: Legend) -> go.Scatter:
    """What every feed answered, as one trace of thin lines."""
    x: list[float | None] = []
    y: list[float | None] = []
    for values in zip(*run.feeds, strict=True):
        kept = thin([values])
        prices = [short(values[i]) for i in kept]
        times = [short(run.t[i] / scale) for i in kept]
        more = line(times, prices, [price != 0 for price in prices], short(_end(run) / scale))
        x += more[0]
        y += more[1]
    style = {"color": "#8a949e", "width": 0.9, "shape": "hv"}
    return go.Scatter(x=x, y=y, mode="lines", line=style, hoverinfo="skip", **legend("answers of the feeds"))


def _band(run: Run, rows: Sequence[str], scale: float, unit: str) -> go.Bar:
    starts, lengths, names, colours, texts, tells = [], [], [], [], [], []
    judged = [[step[i] for step in run.codes] for i in range(_feeds(run))]
    series = [(run.state, STATE_ORDER), *((codes, CODE_ORDER) for codes in judged)]
    for row, (values, order) in zip(rows, series, strict=False):
        if row != "state" and max(values) < 0:
            continue  # a deployment that does not judge its feeds
        for span in spans(run.t, values, _end(run), order):
            starts.append(short(span.start / scale))
            lengths.append(short(span.length / scale))
            names.append(row)
            if row == "state":
                name = STATES[span.value] if span.value >= 0 else "no answer"
                colours.append(STATE_COLOURS[span.value])
                wordings = (name, name[0] if span.value >= 0 else "–")
            else:
                name = f"{span.value} {CODES[span.value]}" if span.value >= 0 else "not judged"
                colours.append(HEALTHY if span.value == 0 else BROKEN if span.value > 0 else UNKNOWN)
                wordings = (name, str(span.value)) if span.value > 0 else ()
            room = span.length / _end(run) * WIDTH / LETTER
            texts.append(next((wording for wording in wordings if len(wording) < room), ""))
            tells.append(f"{row}: {name}, {seconds(span.length)} from {number(span.start / scale)} {unit}")
    return go.Bar(
        orientation="h",
        base=starts,
        x=lengths,
        y=names,
        marker={"color": colours, "line": {"width": 0.6, "color": "#8f99a3"}},
        text=texts,
        textposition="inside",
        insidetextanchor="middle",
        textangle=0,
        textfont={"color": INK, "size": 10.5},
        constraintext="none",
        hovertext=tells,
        hovertemplate="%{hovertext}<extra></extra>",
        showlegend=False,
    )


def _faults(drawing: go.Figure, run: Run, column: int, scale: float) -> None:
    """Shading where anything is wrong, and where it begins the numbers of what does."""
    spans_of = [fault_span(fault, run) for fault in run.faults]
    for start, end in union([span for span in spans_of if span[0] < span[1]]):
        drawing.add_vrect(
            x0=short(start / scale),
            x1=short(end / scale),
            fillcolor="#b00020",
            opacity=0.08,
            line_width=0,
            layer="below",
            row=1,
            col=column,
        )
    beginning: dict[float, list[str]] = {}
    for place, (start, end) in enumerate(spans_of, 1):
        if start < end:
            beginning.setdefault(start, []).append(str(place))
    axis = "" if column == 1 else str(column)
    for start, places in beginning.items():
        drawing.add_annotation(
            text=" ".join(places),
            x=short(start / scale),
            xref=f"x{axis}",
            xanchor="left",
            y=1,
            yref=f"y{axis} domain",
            yanchor="top",
            showarrow=False,
            font={"size": 10, "color": "#8a1f1f"},
        )


def fault_span(fault: dict[str, Any], run: Run) -> tuple[float, float]:
    """From when to when a feed was broken, seconds; one without an end lasts to the end of the run."""
    until = fault.get("to")
    return float(fault.get("from", 0)), _end(run) if until is None else min(float(until), _end(run))


def _titles(drawing: go.Figure) -> None:
    for column, name in enumerate(DEPLOYMENTS, 1):
        axis = "" if column == 1 else str(column)
        drawing.add_annotation(
            text=f"<b>{TITLES[name]}</b>",
            x=0,
            xref=f"x{axis} domain",
            xanchor="left",
            y=1,
            yref=f"y{axis} domain",
            yanchor="bottom",
            yshift=4,
            showarrow=False,
            font={"size": 13},
        )


TITLES = {
    "naive": "naive: the latest answer",
    "typical": "typical: age and sign checked",
    "defended": "defended: this oracle",
}


def _logarithmic(runs: Sequence[Run]) -> bool:
    least, most = _extremes(runs)
    return least > 0 and most > LOGARITHMIC * least


def _ranges(runs: Sequence[Run]) -> dict[str, list[float]]:
    """The range of the prices by kind of axis; none of the logarithmic kind where a price is not above zero."""
    least, most = _extremes(runs)
    return {"linear": _range(least, most)} | ({"log": _range(log10(least), log10(most))} if least > 0 else {})


def _range(least: float, most: float) -> list[float]:
    margin = 0.08 * (most - least) or abs(most) / 100
    return [least - margin, most + margin]


def _decades(ranges: dict[str, list[float]]) -> dict[str, list[Any]]:
    """Ticks of a logarithmic axis that can be read: 1, 2, 5, 10, …, or only powers of ten where there are many."""
    if "log" not in ranges:
        return {}
    low, high = ranges["log"]
    span = high - low
    steps = (1, 1.5, 2, 3, 4, 5, 7) if span < 1.3 else (1, 2, 5) if span < 4 else (1,)
    ticks = [step * 10.0**power for power in range(floor(low), ceil(high)) for step in steps]
    return {"tickvals": ticks, "ticktext": [number(tick) if 0.1 <= tick < 1e12 else f"{tick:.3g}" for tick in ticks]}


def _extremes(runs: Sequence[Run]) -> tuple[float, float]:
    """Of the prices that are there, and of what is marked on them."""
    values = [price for run in runs for price in run.truth]
    for run in runs:
        for series in (run.index, run.mark, run.low, run.high):
            values += [price for price, state in zip(series, run.state, strict=True) if state >= 0]
    values += [event.price for run in runs for event in run.events if event.price > 0 and is_shown(event)]
    return min(values), max(values)


def _feeds(run: Run) -> int:
    """How many feeds' codes a run has."""
    return max((len(step) for step in run.codes), default=0)


def _end(run: Run) -> float:
    """The last step has no length of its own."""
    return run.t[-1] if len(run.t) > 1 else run.t[0] + run.step_s


def _time_unit(length: float) -> tuple[float, str]:
    for unit, name in ((86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes")):
        if length > 3 * unit:
            return unit, name
    return 1.0, "seconds"
