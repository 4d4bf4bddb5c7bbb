"""Numbers as a person reads them: money, times, counts; three digits are enough for a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scripts.attacks.result import Run
from scripts.rules import STATES

MINUS = "−"


def number(value: float) -> str:
    """Three digits and a letter for the thousands: 12.3k, 4.56M, 1e+15."""
    size = abs(value)
    sign = MINUS if value < 0 else ""
    if size < 0.01:
        return "0"
    for unit, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if size >= 1e15:
            return f"{sign}{size:.0e}"
        if size >= 0.9995 * unit:
            return f"{sign}{_three(size / unit)}{letter}"
    return f"{sign}{_three(size)}"


def _three(size: float) -> str:
    digits = 0 if size >= 99.95 else 1 if size >= 9.995 else 2
    text = f"{size:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def money(value: float) -> str:
    """Units of collateral."""
    text = number(value)
    return text if text == "0" else text.replace(MINUS, f"{MINUS}$") if value < 0 else f"${text}"


def seconds(value: float | None) -> str:
    """A length of time in the unit that fits it; None is never."""
    if value is None:
        return "–"
    for unit, name in ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min")):
        if abs(value) >= 2 * unit:
            return f"{_three(value / unit)} {name}"
    return f"{_three(value)} s" if value else "0"


def percent(value: float) -> str:
    """A fraction as per cent, or as a multiple from ten times on."""
    return f"{number(value)}×" if abs(value) >= 10 else f"{number(100 * value)} %"


def gas(value: float | None) -> str:
    """A whole number of gas; None where no receipt tells it."""
    return "–" if value is None else f"{value:,.0f}"


def states(value: list[float]) -> str:
    """Time in each state that was entered."""
    return ", ".join(f"{name} {seconds(s)}" for name, s in zip(STATES, value, strict=True) if s) or "0"


def unanswered(run: Run) -> float:
    """Seconds in which the oracle gave no answer at all."""
    return sum(after - t for t, after, state in zip(run.t, run.t[1:], run.state, strict=False) if state < 0)


def not_live(run: Run) -> float:
    """Seconds in which the oracle was not LIVE: it restricted something or gave no answer."""
    return sum(run.metrics.time_in_state[1:]) + unanswered(run)


METRICS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "attacker_profit": ("attacker's profit", money),
    "wrongful_count": ("accounts closed though healthy at the true price", str),
    "wrongful_notional": ("size wrongfully closed", money),
    "double_liq": ("accounts wrongfully closed on both sides", str),
    "bad_debt": ("bad debt", money),
    "late_liq_bad_debt": ("bad debt from closing too late", money),
    "insurance_drawdown": ("most that the fund lost", money),
    "adl_count": ("accounts deleveraged", str),
    "adl_notional": ("size deleveraged", money),
    "adl_regret": ("what deleveraging cost", money),
    "overcredit_peak": ("credit given above the true price, at most", percent),
    "mark_err_peak": ("error of the mark, at most", percent),
    "mark_err_area": ("error of the mark × time", lambda value: f"{number(value)} s"),
    "time_in_state": ("time in each state", states),
    "t_detect": ("from fault to first state that is not LIVE", seconds),
    "t_recover": ("from end of fault to LIVE for good", seconds),
    "user_lockout_seconds": ("users could not reduce", seconds),
    "gas_poke_max": ("gas of the dearest poke", gas),
}
"""How each metric of a run is called and written, in the order of the tables."""


def metric(run: Run, name: str) -> str:
    """A metric as text."""
    written = METRICS[name][1](getattr(run.metrics, name))
    silent = unanswered(run) if name == "time_in_state" else 0
    return f"{written}, no answer {seconds(silent)}" if silent else written
