"""The runs of the attacks as one page of HTML that needs nothing else: ``python -m scripts.attacks.report``.

Exit codes: 0 written; 2 the results cannot be read.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from scripts.attacks import report_text as text
from scripts.attacks.expect import DUST
from scripts.attacks.report_page import render
from scripts.attacks.report_plot import fault_span, figure
from scripts.attacks.report_series import sample
from scripts.attacks.report_verdict import LOST, MEANING, Variant, attacks, worst
from scripts.attacks.result import DEPLOYMENTS, RESULTS, Run, read
from scripts.rules import CODES, STATES

PAGE = RESULTS.with_name("report.html")
ACCOUNTS = 60
"""Rows of the table of what happened to accounts."""
TOUCHED = ("liquidation", "takeover", "adl", "resolve", "rebase")
"""Events of that table."""

JUDGED = ("attacker_profit", "wrongful_count", "bad_debt", "time_in_state", "user_lockout_seconds")
"""Metrics that are shown though they be zero."""


class ResultsError(ValueError):
    """Results that cannot be shown: which file, which field, what to do."""


def load(path: Path) -> list[Run]:
    """The runs of a file, checked: :class:`ResultsError` names the file, the run and the field."""
    try:
        runs = read(path)
    except OSError as error:
        raise ResultsError(f"{path}: cannot be read ({error.strerror}); `make attacks` writes it") from None
    except json.JSONDecodeError as error:
        raise ResultsError(f"{path}: line {error.lineno} is no JSON ({error.msg}); run `make attacks` again") from None
    except (TypeError, KeyError, ValueError) as error:
        raise ResultsError(f"{path}: not a file of results ({error}); run `make attacks` again") from None
    if not runs:
        raise ResultsError(f"{path}: there are no runs in it; run `make attacks` again")
    for run in runs:
        complaint = _complaint(run)
        if complaint:
            raise ResultsError(f"{path}: {' '.join((run.attack, run.variant)).strip()}, {run.deployment}: {complaint}")
    return runs


def _complaint(run: Run) -> str:
    if run.deployment not in DEPLOYMENTS:
        return f"deployment: {run.deployment!r} is none of {', '.join(DEPLOYMENTS)}"
    if not run.t:
        return "t: there are no steps"
    for name in ("truth", "index", "mark", "low", "high", "credit_low", "credit_high", "state", "codes", "feeds"):
        length = len(getattr(run, name))
        if length != len(run.t) and not (name == "feeds" and length == 0):
            return f"{name}: {length} values for {len(run.t)} steps in t"
    if min(run.truth) <= 0:
        return "truth: a price is not above zero"
    if any(not -1 <= state < len(STATES) for state in run.state):
        return f"state: a value is neither -1 nor one of 0 to {len(STATES) - 1}"
    if any(not -1 <= code < len(CODES) for step in run.codes for code in step):
        return f"codes: a value is neither -1 nor one of 0 to {len(CODES) - 1}"
    for name in ("codes", "feeds"):
        if len({len(step) for step in getattr(run, name)}) > 1:
            return f"{name}: the number of feeds changes between steps"
    return ""


def page(runs: list[Run]) -> str:
    """The whole page; :class:`ValueError` if a run is there twice."""
    found = attacks(runs)
    return render(
        "report.html.j2",
        text=text,
        deployments=DEPLOYMENTS,
        meaning=MEANING,
        codes=CODES,
        dust=DUST,
        fault_span=fault_span,
        worst=worst,
        attacks=[attack for attack in found if not attack.control],
        controls=[attack for attack in found if attack.control],
        everything=found,
        count=sum(len(attack.variants) for attack in found),
        lost=[attack for attack in found if any(variant.verdict == LOST for variant in attack.variants)],
        verdicts={verdict: sum(attack.verdict == verdict for attack in found) for verdict in MEANING},
        calls=sum(run.calls for run in runs),
        chains=sorted({run.chain for run in runs}),
        figure=lambda variant: figure(list(variant.runs.values())),
        seen=_seen,
        measured=_measured,
        touched=_touched,
    )


def _seen(variant: Variant) -> list[str]:
    """Codes that some feed had, with their names."""
    codes = {code for run in variant.runs.values() for step in run.codes for code in step if code > 0}
    return [f"{code} {CODES[code]}" for code in sorted(codes)]


def _measured(variant: Variant) -> tuple[list[str], list[str]]:
    """Metrics that some deployment has something of, and those that none has; never without the judged ones."""
    shown = [
        name
        for name in text.METRICS
        if name in JUDGED or any(getattr(run.metrics, name) not in (0, None) for run in variant.runs.values())
    ]
    return shown, [name for name in text.METRICS if name not in shown]


def _touched(run: Run) -> tuple[list[Any], int]:
    """What was done to accounts, the wrongful first where there is too much to show; and how much there is."""
    events = [event for event in run.events if event.kind in TOUCHED]
    wrongful = [event for event in events if event.wrongful][:ACCOUNTS]
    rest = ACCOUNTS - len(wrongful)
    others = sample([event for event in events if not event.wrongful], rest) if rest > 1 else []
    return sorted(wrongful + others, key=lambda event: event.t), len(events)


@click.command()
@click.argument("results", type=click.Path(dir_okay=False, path_type=Path), default=RESULTS)
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path), default=PAGE)
def main(results: Path, out: Path) -> None:
    """Make the page OUT from the runs in RESULTS."""
    try:
        html = page(load(results))
        out.write_text(html)
    except ValueError as error:
        Console(stderr=True, highlight=False, markup=False, soft_wrap=True).print(str(error))
        sys.exit(2)
    except OSError as error:
        Console(stderr=True, highlight=False, markup=False, soft_wrap=True).print(
            f"{out}: cannot be written ({error.strerror})"
        )
        sys.exit(2)
    Console(highlight=False, markup=False, soft_wrap=True).print(f"{out}: {len(html) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
