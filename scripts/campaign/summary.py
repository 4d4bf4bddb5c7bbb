"""What a campaign found, added up over its seeds: as data for a file and as tables for a reader."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from scripts.campaign.reasons import reasons
from scripts.campaign.regimes import REGIMES
from scripts.campaign.seed import TOUR, Failure, Result
from scripts.campaign.versions import digests, versions
from scripts.campaign.workers import Lost
from scripts.chain.artifacts import ROOT

UNREACHED = ROOT / "tests" / "campaigns" / "unreached.yaml"
"""What no campaign is expected to reach, each with its reason."""


@dataclass
class Summary:
    """Counts over all seeds that are done. ``wall_s`` is this campaign's clock, ``cpu_s`` that of all workers."""

    seeds: int = 0
    steps: int = 0
    calls: int = 0
    words: int = 0
    judged: int = 0
    exact: int = 0
    tour: int = 0
    """Calls and views of the directed tour, which are in no other count but the outcomes."""
    wall_s: float = 0.0
    cpu_s: float = 0.0
    dust: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    marks: Counter[str] = field(default_factory=Counter)
    reached: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    lost: list[Lost] = field(default_factory=list)
    done: dict[int, str] = field(default_factory=dict)
    """Digest of what every seed left behind."""

    def add(self, result: Result) -> None:
        """One more seed; a seed counts once."""
        if result.seed in self.done:
            raise ValueError(f"seed {result.seed} is done twice")
        self.done[result.seed] = result.digest
        self.outcomes.update(result.outcomes)
        self.cpu_s += result.cpu_s
        if result.failure is not None:
            self.failures.append(result.failure)
        if result.seed == TOUR:
            self.tour = result.steps
            return
        self.seeds += 1
        self.steps += result.steps
        self.calls += result.calls
        self.words += result.words
        self.judged += result.judged
        self.exact += result.exact
        self.dust = max(self.dust, result.dust)
        self.marks.update(result.marks)
        self.reached.update(result.reached)

    def refusals(self) -> Counter[str]:
        """How often each reason was given, by whichever call."""
        found: Counter[str] = Counter()
        for outcome, count in self.outcomes.items():
            reason = outcome.partition(": ")[2]
            if reason != "ok":
                found[reason] += count
        return found

    def reason_hits(self) -> dict[str, int]:
        """Every reason of the production sources, and how often it was given."""
        found = self.refusals()
        return {reason: found[reason] for reason in reasons()}

    def regime_hits(self) -> dict[str, int]:
        """Every regime, and in how many seeds it was reached."""
        return {regime.name: self.reached[regime.name] for regime in REGIMES}

    def shares(self) -> dict[str, tuple[int, int]]:
        """Calls that went through and all calls, by "Contract.function"."""
        found: dict[str, tuple[int, int]] = {}
        for outcome, count in self.outcomes.items():
            call, _, reason = outcome.partition(": ")
            ok, all_calls = found.get(call, (0, 0))
            found[call] = ok + (count if reason == "ok" else 0), all_calls + count
        return found

    @property
    def clean(self) -> bool:
        """Nothing differed and nothing was lost."""
        return not self.failures and not self.lost

    def as_dict(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """The summary as JSON can hold it, the same for the same results whatever their order."""
        steps_s = self.steps / self.wall_s if self.wall_s else 0.0
        return {
            "parameters": parameters,
            "seeds": self.seeds,
            "steps": self.steps,
            "calls_compared": self.calls,
            "words_compared": self.words,
            "changes_judged_by_invariants": self.judged,
            "changes_followed_by_exact_ledger": self.exact,
            "tour_calls": self.tour,
            "wall_s": round(self.wall_s, 1),
            "cpu_s": round(self.cpu_s, 1),
            "steps_per_s": round(steps_s, 1),
            "mismatches": [asdict(replace(f, recorded=None)) for f in sorted(self.failures, key=lambda f: f.seed)],
            "lost": [asdict(lost) for lost in sorted(self.lost, key=lambda lost: lost.seed)],
            "regimes": self.regime_hits(),
            "reasons": self.reason_hits(),
            "operations": {call: {"ok": ok, "all": n} for call, (ok, n) in sorted(self.shares().items())},
            "outcomes": dict(sorted(self.outcomes.items())),
            "marks": dict(sorted(self.marks.items())),
            "worst_dust_wei": self.dust,
            "digests": digests(),
            "seed_digests": {str(seed): self.done[seed] for seed in sorted(self.done) if seed != TOUR},
            "versions": versions(),
        }


def coverage_errors(summary: Summary, file: Path = UNREACHED) -> list[str]:
    """What is neither reached nor excused, and what is excused but reached."""
    excused = yaml.safe_load(file.read_text()) if file.exists() else {}
    excused = excused or {}
    errors = []
    for kind, hits in (("reasons", summary.reason_hits()), ("regimes", summary.regime_hits())):
        excuses = excused.get(kind) or {}
        for name, count in hits.items():
            if not count and name not in excuses:
                errors.append(f"{kind[:-1]} {name!r} was not reached; reach it or argue in {file.name}")
            if count and name in excuses:
                errors.append(f"{kind[:-1]} {name!r} is excused in {file.name}, but was reached {count} times")
        for name, why in excuses.items():
            if name not in hits:
                errors.append(f"{kind[:-1]} {name!r} is excused in {file.name}, but there is none")
            if not str(why or "").strip():
                errors.append(f"{kind[:-1]} {name!r} is excused in {file.name} without an argument")
    return errors


def show(summary: Summary, console: Console) -> None:
    """Tables of the summary."""
    rate = summary.steps / summary.wall_s if summary.wall_s else 0.0
    columns = ("seeds", "steps", "calls", "words", "judged", "by exact ledger", "wall s", "cpu s", "steps/s")
    head = Table(*columns, "worst dust (wei)", title="campaign")
    counts = (summary.seeds, summary.steps, summary.calls, summary.words, summary.judged, summary.exact)
    head.add_row(
        *(f"{n:,}" for n in counts),
        *(f"{s:,.0f}" for s in (summary.wall_s, summary.cpu_s, rate)),
        f"{summary.dust:,.1f}",
    )
    console.print(head)
    operations = Table("operation", "ok", "of", "share", title="operations")
    for call, (ok, n) in sorted(summary.shares().items()):
        operations.add_row(call, f"{ok:,}", f"{n:,}", f"{ok / n:.0%}")
    console.print(operations)
    regimes = Table("regime", "seeds that reached it", "what it is", title="regimes")
    for regime in REGIMES:
        count = summary.reached[regime.name]
        regimes.add_row(regime.name, str(count) if count else "[red]none[/]", regime.about)
    console.print(regimes)
    hits = summary.reason_hits()
    missed = [repr(reason) for reason, count in hits.items() if not count]
    console.print(f"revert reasons: {len(hits) - len(missed)} of {len(hits)} given")
    if missed:
        console.print(f"not given: {', '.join(missed)}", markup=False)
    for failure in summary.failures:
        name = "tour, stop" if failure.seed == TOUR else f"seed {failure.seed}, step"
        console.print(f"[red]{name} {failure.step} ({failure.regime})[/]")
        console.print(f"  {failure.finding.report()}", markup=False)
    for lost in summary.lost:
        console.print(f"[red]seed {lost.seed} is lost[/]: {lost.reason}")
    if summary.clean:
        console.print("[green]no difference, no violation[/]")


def merge(results: Iterable[Result]) -> Summary:
    """The summary of these seeds."""
    summary = Summary()
    for result in results:
        summary.add(result)
    return summary
