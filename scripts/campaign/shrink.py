"""From a long failing trace to a short one that fails in the same way, and to a scenario file that tells it.

Delta debugging: calls are dropped in ever smaller groups, time is taken out, set-up and arguments are made simpler,
and what still fails with the same operation and field is kept, until nothing more can go. Every trial runs from a
snapshot of one deployment. By hand: ``python -m scripts.campaign.shrink TRACE.json``.

Exit codes: 0 the scenario is written; 1 the trace does not fail, or no scenario fails like it; 2 a file or an option
cannot be used.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from python_ref.ledger import owner_of
from scripts.campaign.alter import (
    alter,
    amounts_of,
    leaves_of,
    markets_of,
    renumber,
    retime,
    sign_again,
    simpler,
    substitute,
    unsigned,
)
from scripts.campaign.replay import Recorded, Replay, Trace, TraceError, dump_trace, fast_chain, load_trace
from scripts.campaign.setup import Setup
from scripts.campaign.tell import CannotTell, write_scenario
from scripts.chain import START, Chain
from scripts.scenario.finding import Finding
from scripts.scenario.story import COOLDOWN_S
from scripts.system import LIMITS, RISK, MarketSpec
from scripts.twin import Step

Steps = tuple[Step, ...]
Told = Callable[[str, int, int], None]
"""Told what is being tried, how many calls are left, and how many trials were made."""

PAUSES = (1, 60, 600, 3_600)
ROUNDS = 6
MARKS = 64
"""States that one sweep over the calls keeps; each holds a copy of the exact ledger."""


def _named(step: Step) -> list[bytes]:
    """Accounts in the arguments."""
    return [value for _, value in leaves_of(step) if isinstance(value, bytes) and len(value) == 32]


class NothingFails(ValueError):
    """The trace goes through on a fresh deployment."""


class _Over(Exception):
    """The budget is spent."""


def shrink(
    setup: Setup,
    trace: Trace,
    finding: Finding | None = None,
    budget_s: float = 60.0,
    told: Told | None = None,
    open_chain: Callable[[], Chain] = fast_chain,
) -> tuple[Setup, Steps, Finding]:
    """The smallest set-up and trace found within ``budget_s`` seconds that fail like ``trace``, and how they fail.

    What comes after the call of ``finding`` is left away. A replay judges after every call, so it may find earlier
    than a campaign, and by another name, what is wrong; what the replay finds is shrunk. The
    result depends on nothing but set-up and trace, unless the budget ends the search. :class:`NothingFails` where
    the whole trace goes through.
    """
    steps = tuple(trace) if finding is None else tuple(trace[: finding.step + 1])
    shrinker = Shrinker(setup, steps, budget_s, told, open_chain)
    try:
        with suppress(_Over):
            shrinker.search()
        return shrinker.setup, shrinker.steps, shrinker.finding
    finally:
        shrinker.close()


class Shrinker:
    """The best so far: ``setup``, ``steps`` and ``finding``."""

    def __init__(
        self,
        setup: Setup,
        steps: Steps,
        budget_s: float,
        told: Told | None,
        open_chain: Callable[[], Chain],
    ) -> None:
        self._end = time.monotonic() + budget_s
        self._told = told
        self._open = open_chain
        self._doing = "replaying"
        self.trials = 0
        self._useless: dict[str, tuple[Setup, Steps]] = {}
        self.setup = setup
        self._stage = Replay(setup, open_chain())
        self.orders = self._stage.system.orders.address
        self.fund = self._stage.system.fund.address
        found = self._stage.trial(steps)
        if found is None:
            raise NothingFails("the trace goes through on a fresh deployment: nothing to shrink")
        self.steps = steps[: found.step + 1]
        self.finding = found
        self._staged = len(steps)
        if found.what.startswith("storage slot"):
            self._find_first()

    def close(self) -> None:
        """Let go of the chain."""
        self._stage.chain.close()

    def _find_first(self) -> None:
        """A word that only the chain has shows itself at the end of a replay: find the call that wrote it."""
        good, bad = 0, len(self.steps)
        while bad - good > 1:
            middle = (good + bad) // 2
            found = self._stage.trial(self.steps[:middle])
            if found is None:
                good = middle
            else:
                bad, self.finding = middle, found
        self.steps = self.steps[:bad]

    def search(self) -> None:
        """All passes until none makes progress: first what drops calls, and numbers once no more calls can go."""
        for _ in range(ROUNDS):
            before = self.setup, self.steps
            self._until_useless(self.drop_calls, self.drop_together, self.drop_time, self.shorten_lists)
            self._until_useless(self.drop_markets, self.unsign, self.merge_accounts, self.drop_calls)
            self._until_useless(self.simplify_setup, self.simplify_numbers)
            if (self.setup, self.steps) == before:
                return

    def _until_useless(self, *passes: Callable[[], None]) -> None:
        """Every pass, again and again, while any of them makes progress where it has not tried yet."""
        progress = True
        while progress:
            progress = False
            for what in passes:
                progress |= self._try(what)

    def _try(self, what: Callable[[], None]) -> bool:
        """Run a pass unless it is known to be of no use as things are; whether it was of use."""
        before = self.setup, self.steps
        if self._useless.get(what.__name__) == before:
            return False
        self._doing = what.__name__.replace("_", " ")
        what()
        if (self.setup, self.steps) != before:
            return True
        self._useless[what.__name__] = before
        return False

    # Trials

    def fails(self, steps: Iterable[Step], setup: Setup | None = None) -> bool:
        """Whether that fails in the same way; if so it is the best so far."""
        self._tell_and_count()
        steps = tuple(steps)
        if setup is None or setup == self.setup:
            return self._accept(self._stage.trial(steps), steps)
        try:
            stage = Replay(setup, self._open())
        except AssertionError:  # the markets refuse such parameters
            return False
        if not self._accept(stage.trial(steps), steps):
            stage.chain.close()
            return False
        self._stage.chain.close()
        self._stage, self._staged, self.setup = stage, len(steps), setup
        return True

    def _tell_and_count(self) -> None:
        if time.monotonic() > self._end:
            raise _Over
        if self._told is not None:
            self._told(self._doing, len(self.steps), self.trials)
        self.trials += 1

    def _accept(self, found: Finding | None, steps: Steps) -> bool:
        if found is None or found.key != self.finding.key:
            return False
        self.steps, self.finding = steps[: found.step + 1], found
        return True

    # Passes

    def drop_calls(self) -> None:
        """Groups of calls, from the end to the beginning, half as many each time; the failing call stays."""
        size = max(1, len(self.steps) // 2)
        while size:
            self._freshen()
            self._drop_groups(size)
            size = min(size, len(self.steps)) // 2

    def _freshen(self) -> None:
        """A new deployment once most calls are gone: the old one goes on comparing the words that those wrote."""
        if len(self.steps) < self._staged * 2 // 3:
            self._stage.chain.close()
            self._stage, self._staged = Replay(self.setup, self._open()), len(self.steps)

    def _drop_groups(self, size: int) -> None:
        """One sweep. The calls before the group have been made already, so a trial makes only those after it."""
        starts = [max(0, end - size) for end in range(len(self.steps) - 1, 0, -size)]
        marks, at = [], 0
        try:
            for start in starts[:: -(len(starts) // MARKS + 1)]:
                marks.append((at, self._stage.mark()))
                self._stage.go(self.steps[at:start])
                at = start
            end = len(self.steps) - 1
            for start in starts:
                while at > start:
                    at, mark = marks.pop()
                    self._stage.restore(mark)
                self._tell_and_count()
                rest = self.steps[at:start] + self.steps[end:]
                self._accept(self._stage.trial(rest, at), self.steps[:at] + rest)
                end = min(start, len(self.steps) - 1)
        finally:
            if marks:
                self._stage.restore(marks[0][1])

    def drop_together(self) -> None:
        """All calls that name an account, or a market."""
        for account in reversed(self._accounts()):
            owner = owner_of(account)
            self._keep(lambda s, id_=account, own=owner: id_ not in _named(s) and s.sender.lower() != own)
        for market in range(len(self.setup.specs)):
            self._keep(lambda s, m=market: m not in markets_of(s, self.fund))

    def _keep(self, wanted: Callable[[Step], bool]) -> None:
        kept = [step for step in self.steps if wanted(step)]
        if kept and kept[-1] is self.steps[-1] and len(kept) < len(self.steps):
            self.fails(kept)

    def drop_markets(self) -> None:
        """Markets that no call names; the others move up."""
        for market in reversed(range(len(self.setup.specs))):
            used = {m for step in self.steps for m in markets_of(step, self.fund)}
            if market not in used and len(self.setup.specs) > 1:
                specs = tuple(s for m, s in enumerate(self.setup.specs) if m != market)
                moved = {m: m - (m > market) for m in range(len(self.setup.specs))}
                steps = [sign_again(s, renumber(s, moved, self.fund), self.orders) for s in self.steps]
                self.fails(steps, replace(self.setup, specs=specs))

    def unsign(self) -> None:
        """Trades by the test filler instead of signed orders, unless the orders are what fails."""
        for i, step in enumerate(self.steps[:-1]):
            if (plain := unsigned(step)) is not None:
                self.fails((*self.steps[:i], plain, *self.steps[i + 1 :]))

    def drop_time(self) -> None:
        """Pauses to nothing, else to something round, else to half."""
        self.fails(replace(step, now=START) for step in self.steps)
        for i in range(len(self.steps)):
            pause = self._pause(i)
            if pause and not any(p < pause and self.fails(retime(self.steps, i, p)) for p in (0, *PAUSES)):
                while pause > 2 and self.fails(retime(self.steps, i, pause // 2)):
                    pause //= 2

    def _pause(self, i: int) -> int:
        return self.steps[i].now - (self.steps[i - 1].now if i else START) if i < len(self.steps) else 0

    def shorten_lists(self) -> None:
        """Elements of lists in arguments."""
        for i in reversed(range(len(self.steps))):
            for j, arg in enumerate(self.steps[i].args):
                if isinstance(arg, tuple):
                    for k in reversed(range(len(arg))):
                        present = self.steps[i].args[j]
                        self._change(i, j, present[:k] + present[k + 1 :])

    def _change(self, i: int, j: int, value: Any) -> bool:
        args = self.steps[i].args
        step = replace(self.steps[i], args=(*args[:j], value, *args[j + 1 :]))
        return self.fails((*self.steps[:i], step, *self.steps[i + 1 :]))

    def merge_accounts(self) -> None:
        """One account in the place of two."""
        for old in reversed(self._accounts()):
            for new in self._accounts():
                if new == old:
                    break
                pairs: dict[Any, Any] = {old: new, owner_of(old): owner_of(new)}
                steps = [sign_again(s, substitute(s, pairs), self.orders) for s in self.steps]
                if self.fails(steps):
                    break

    def _accounts(self) -> list[bytes]:
        """Traders' accounts in the order in which they appear."""
        named = (target for step in self.steps for target in _named(step) if owner_of(target) != self.fund.lower())
        return list(dict.fromkeys(named))

    def simplify_setup(self) -> None:
        """Parameters back to what a file need not say."""
        plain: tuple[dict[str, Any], ...] = (
            {"decimals": 6},
            {"cooldown_s": COOLDOWN_S},
            {"delay_s": Setup.delay_s},
            {"sequencer": False},
            {"quotes": (), "specs": tuple(replace(s, rules=replace(s.rules, quote=0)) for s in self.setup.specs)},
        )
        for changed in plain:
            self._with_setup(replace(self.setup, **changed))
        for market in range(len(self.setup.specs)):
            for spec in self._simpler_specs(market):
                specs = self.setup.specs
                self._with_setup(replace(self.setup, specs=(*specs[:market], spec, *specs[market + 1 :])))

    def _with_setup(self, setup: Setup) -> None:
        if setup != self.setup:
            self.fails(self.steps, setup)

    def _simpler_specs(self, market: int) -> Iterator[MarketSpec]:
        """Whole groups of parameters by their defaults, then one after the other; each from what is best then."""
        plain = MarketSpec("", 1)
        for group, default in (("risk", RISK), ("limits", LIMITS)):
            spec = self.setup.specs[market]
            rank = {"rank": spec.limits.rank} if group == "limits" else {}
            yield replace(spec, **{group: replace(default, **rank)})
            for f in fields(default):
                spec = self.setup.specs[market]
                if f.name != "rank":
                    value = replace(getattr(spec, group), **{f.name: getattr(default, f.name)})
                    yield replace(spec, **{group: value})
        for name in ("feed_decimals", "max_age_s", "outlier_bps", "width_bps", "n_feeds", "heartbeat_s"):
            yield replace(self.setup.specs[market], **{name: getattr(plain, name)})
        quote = self.setup.specs[market].rules.quote
        yield replace(self.setup.specs[market], rules=replace(plain.rules, quote=quote))
        for f in fields(plain.rules):
            if f.name != "quote":
                spec = self.setup.specs[market]
                rules = replace(spec.rules, **{f.name: getattr(plain.rules, f.name)})
                yield replace(spec, rules=rules)

    def simplify_numbers(self) -> None:
        """Amounts to fewer digits, then to smaller ones; equal numbers of the same meaning together, then alone."""
        for i in range(len(self.steps)):
            if i >= len(self.steps) or (self.steps[i].name == "Token" and i < len(self.steps) - 1):
                continue  # what is minted and approved is told by deposits, if at all
            for name, value in amounts_of(self.steps[i]):
                self._simplify(i, name, value)

    def _simplify(self, i: int, name: str, value: int) -> None:
        simplest: int | None = value
        while simplest is not None and i < len(self.steps):
            value = simplest
            simplest = next((new for new in simpler(name, value) if self._altered_fails(i, name, value, new)), None)

    def _altered_fails(self, i: int, name: str, old: int, new: int) -> bool:
        if i >= len(self.steps):
            return False
        together = [sign_again(s, alter(s, name, old, new), self.orders) for s in self.steps]
        alone = [*self.steps[:i], together[i], *self.steps[i + 1 :]]
        return self.fails(together) or (alone != together and self.fails(alone))


# By hand


@click.command(context_settings={"show_default": True})
@click.argument("trace", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="the scenario  [default: TRACE.yaml]")
@click.option("--budget", type=click.FloatRange(min=1), default=60.0, help="seconds to search; the best so far is kept")
def main(trace: Path, out: Path | None, budget: float) -> None:
    """Shrink the failing TRACE of a campaign to a scenario for `make demo SCENARIO=…` and for tests/scenarios/."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    errors = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    out = out or trace.with_suffix(".yaml")
    if not out.resolve().parent.is_dir():
        errors.print(f"--out {out}: there is no such directory to write to")
        sys.exit(2)
    try:
        recorded = load_trace(trace)
    except TraceError as error:
        errors.print(str(error))
        sys.exit(2)
    began = time.monotonic()
    try:
        setup, steps, finding = _shrink_shown(recorded, budget, console)
        write_scenario(setup, steps, finding, out, recorded.origin)
    except NothingFails as error:
        errors.print(f"{trace}: {error}")
        sys.exit(1)
    except CannotTell as error:
        small = out.with_suffix(".small.json")
        dump_trace(small, replace(recorded, setup=setup, steps=steps, finding=finding))
        errors.print(f"{trace}: {error}; the shrunk trace is kept: {small}")
        sys.exit(1)
    console.print(finding.report())
    console.print(f"{len(recorded.steps)} calls made {len(steps)} in {time.monotonic() - began:.1f} s: {out}")
    console.print(f"make demo SCENARIO={out}")


def _shrink_shown(recorded: Recorded, budget: float, console: Console) -> tuple[Setup, Steps, Finding]:
    columns = TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("replaying", total=None)

        def told(doing: str, left: int, trials: int) -> None:
            progress.update(bar, description=f"{doing}: {left} calls left after {trials} trials")

        return shrink(recorded.setup, recorded.steps, recorded.finding, budget, told)


if __name__ == "__main__":
    main()
