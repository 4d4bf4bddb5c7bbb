"""Expectations as data: what a file wants of a metric, and whether a run gave it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isclose
from typing import Any

from scripts.attacks.result import DEPLOYMENTS, Expectation, Run
from scripts.rules import CODES, STATES
from scripts.scenario.nodes import Node

NUMBERS = (
    "attacker_profit",
    "wrongful_count",
    "wrongful_notional",
    "double_liq",
    "late_liq_bad_debt",
    "bad_debt",
    "insurance_drawdown",
    "adl_count",
    "adl_notional",
    "adl_regret",
    "overcredit_peak",
    "mark_err_peak",
    "mark_err_area",
    "t_detect",
    "t_recover",
    "user_lockout_seconds",
    "gas_poke_max",
)
"""Metrics that are one number; beside them ``time_in_STATE``, ``states`` and ``codes``."""

METRICS = (*NUMBERS, *(f"time_in_{state}" for state in STATES), "states", "codes")

LOST = "lost "
DUST = 0.01
"""Money and prices are rounded to atoms and wei; a profit of a cent is none."""

_NUMBER = r"[-+]?[\d_]+(?:\.\d+)?(?:[eE][-+]?\d+)?"
_COMPARED = re.compile(rf"(<=|>=|<|>|=)?\s*({_NUMBER}|{'|'.join(DEPLOYMENTS)}|none)")
_BETWEEN = re.compile(rf"({_NUMBER})\s*\.\.\s*({_NUMBER})")
_STATE = re.compile(r"([A-Z]+)(?:@(\d+)(?:\+-(\d+))?)?")
_CODE = re.compile(r"(\d):(\d+|[A-Z_]+)")


@dataclass(frozen=True)
class Wish:
    """One line of ``expect``: ``text`` as the file has it, without the mark of a known loss."""

    metric: str
    text: str
    known: bool = False


def read_wishes(node: Node) -> tuple[Wish, ...]:
    """The lines for one deployment.

    ``"<= 0"``, ``">= 1e6"``, ``"0"``, ``"1.2 .. 1.4"``, ``"<= typical"`` (as in the run of the other deployment),
    ``none`` for what never happened; ``states: DEGRADED@300 FROZEN@600+-60`` names every state entered after the first
    LIVE, in order, with the second (give or take two steps), and ``...`` at the end where more may follow;
    ``states: LIVE`` that none was; ``codes: 0:STALE 1:11`` that these feeds showed these codes, whatever else.
    ``lost`` in front marks a loss that is known not to be defended.
    """
    wishes = []
    for metric, wanted in node.items():
        if metric not in METRICS:
            raise wanted.fail(f"unknown metric; there are {', '.join(METRICS)}")
        text = wanted.text()
        known = text.startswith(LOST)
        wish = Wish(metric, text.removeprefix(LOST).strip(), known)
        problem = _problem(wish)
        if problem:
            raise wanted.fail(problem)
        wishes.append(wish)
    return tuple(wishes)


def _problem(wish: Wish) -> str:
    if wish.metric == "states":
        for word in wish.text.split():
            match = _STATE.fullmatch(word)
            if word != "..." and (match is None or match[1] not in STATES):
                return f"{word!r} is no state; write {' '.join(STATES)}, with @seconds, or ... at the end"
        return ""
    if wish.metric == "codes":
        for word in wish.text.split():
            match = _CODE.fullmatch(word)
            if match is None or not (match[2] in CODES or (match[2].isdecimal() and int(match[2]) < len(CODES))):
                return f"{word!r} is no feed:code; write like 0:STALE or 0:6"
        return ""
    if _COMPARED.fullmatch(wish.text) or _BETWEEN.fullmatch(wish.text):
        return ""
    return f"{wish.text!r} is no expectation; write like '<= 0', '1e6 .. 2e6', '<= typical' or 'none'"


def judge(wish: Wish, run: Run, others: Mapping[str, Run]) -> Expectation:
    """Whether the run gave what was wanted; ``others``: the runs of the same attack, by deployment."""
    if wish.metric == "states":
        got, ok = _judge_states(wish.text, run)
    elif wish.metric == "codes":
        got, ok = _judge_codes(wish.text, run)
    else:
        value = _value(wish.metric, run)
        got, ok = show(value), _judge_number(wish, value, others)
        if wish.metric == "gas_poke_max" and value is None:
            got, ok = "n/a", True  # only a node has receipts
    return Expectation(wish.metric, f"{LOST if wish.known else ''}{wish.text}", got, ok, wish.known)


def _value(metric: str, run: Run) -> float | None:
    if metric.startswith("time_in_"):
        return run.metrics.time_in_state[STATES.index(metric.removeprefix("time_in_"))]
    value: float | None = getattr(run.metrics, metric)
    return value


def _judge_number(wish: Wish, value: float | None, others: Mapping[str, Run]) -> bool:
    between = _BETWEEN.fullmatch(wish.text)
    if between:
        return value is not None and _number(between[1]) <= value <= _number(between[2])
    match = _COMPARED.fullmatch(wish.text)
    assert match is not None, wish.text
    how, word = match[1] or "=", match[2]
    if word in DEPLOYMENTS and word not in others:
        return True  # that one was not played
    wanted = _value(wish.metric, others[word]) if word in others else None if word == "none" else _number(word)
    if value is None or wanted is None:
        return value is wanted
    slack = DUST if wish.metric in _MONEY else 0.0
    return {
        "<=": value <= wanted + slack,
        ">=": value >= wanted - slack,
        "<": value < wanted,
        ">": value > wanted,
        "=": isclose(value, wanted, rel_tol=1e-9, abs_tol=slack),
    }[how]


_MONEY = ("attacker_profit", "wrongful_notional", "late_liq_bad_debt", "bad_debt", "insurance_drawdown", "adl_notional")


def _number(text: str) -> float:
    return float(text.replace("_", ""))


def _entered(run: Run) -> list[tuple[str, float]]:
    """States entered after the first, and when."""
    found = [("LIVE", 0.0)]
    for state, t in zip(run.state, run.t, strict=True):
        name = STATES[state] if state >= 0 else "NO_ANSWER"
        if name != found[-1][0]:
            found.append((name, t))
    return found[1:]


def _judge_states(text: str, run: Run) -> tuple[str, bool]:
    entered = _entered(run)
    got = " ".join(f"{name}@{t:g}" for name, t in entered) or "LIVE"
    words = text.split()
    if words == ["LIVE"]:
        return got, not entered
    may_go_on = words[-1] == "..."
    words = words[:-1] if may_go_on else words
    if len(entered) < len(words) or (len(entered) > len(words) and not may_go_on):
        return got, False
    return got, all(_matches(word, *seen, run.step_s) for word, seen in zip(words, entered, strict=False))


def _matches(word: str, name: str, t: float, step: float) -> bool:
    match = _STATE.fullmatch(word)
    assert match is not None, word
    if match[1] != name:
        return False
    return match[2] is None or abs(int(match[2]) - t) <= (int(match[3]) if match[3] else 2 * step)


def _judge_codes(text: str, run: Run) -> tuple[str, bool]:
    seen = sorted({(feed, code) for codes in run.codes for feed, code in enumerate(codes) if code > 0})
    got = " ".join(f"{feed}:{CODES[code]}" for feed, code in seen) or "none"
    wanted = set()
    for word in text.split():
        match = _CODE.fullmatch(word)
        assert match is not None, word
        wanted.add((int(match[1]), int(match[2]) if match[2].isdecimal() else CODES.index(match[2])))
    return got, wanted <= set(seen)


def show(value: Any) -> str:
    """A number for a person."""
    if value is None:
        return "none"
    if value and abs(value) < 0.01:
        return f"{value:.2g}"
    return f"{value:,.2f}".rstrip("0").rstrip(".") if abs(value) < 1_000 else f"{value:,.0f}"
