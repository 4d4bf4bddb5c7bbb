"""The runs of the attacks as one page of HTML that needs nothing else: ``python -m scripts.attacks.report``.

Script, style and data are in the page, and its content security policy forbids the browser every request.
Exit codes: 0 written; 2 the results cannot be read.
"""

from __future__ import annotations

import base64
import gzip
import json
import sys
from pathlib import Path
from typing import Any

import click
import jinja2
from markupsafe import Markup
from plotly.offline import get_plotlyjs
from rich.console import Console

from scripts.attacks import report_text as text
from scripts.attacks.report_plot import TITLES, fault_span, figure
from scripts.attacks.report_series import sample
from scripts.attacks.report_verdict import LOST, MEANING, Attack, attacks
from scripts.attacks.result import CODES, DEPLOYMENTS, RESULTS, STATES, Run, read

HERE = Path(__file__).parent
PAGE = RESULTS.with_name("report.html")
ACCOUNTS = 60
"""Rows of the table of what happened to accounts."""
TOUCHED = ("liquidation", "takeover", "adl", "resolve", "rebase")
"""Events of that table."""


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
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        text=text, deployments=DEPLOYMENTS, titles=TITLES, meaning=MEANING, codes=CODES, fault_span=fault_span
    )
    return environment.get_template("report.html.j2").render(
        attacks=[attack for attack in found if not attack.control],
        controls=[attack for attack in found if attack.control],
        everything=found,
        lost=[attack for attack in found if attack.verdict == LOST],
        verdicts={verdict: sum(attack.verdict == verdict for attack in found) for verdict in MEANING},
        calls=sum(run.calls for run in runs),
        chains=sorted({run.chain for run in runs}),
        drawing=_drawing,
        touched=_touched,
        style=Markup((HERE / "report.css").read_text()),
        script=Markup((HERE / "report.js").read_text()),
        plotly=Markup(get_plotlyjs()),
    )


def _drawing(attack: Attack) -> dict[str, Any]:
    drawn = figure(list(attack.runs.values()))
    seen = sorted({code for run in attack.runs.values() for step in run.codes for code in step if code > 0})
    return {
        "height": drawn["layout"]["height"],
        "packed": pack(drawn),
        "codes": [f"{code} {CODES[code]}" for code in seen],
    }


def pack(value: Any) -> str:
    """JSON, compressed by gzip and written in base64: a fifth of its length, and harmless in HTML."""
    plain = json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
    return base64.b64encode(gzip.compress(plain, mtime=0)).decode()


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
