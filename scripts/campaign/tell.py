"""A shrunk finding as a scenario file: readable if that fails in the same way, literal otherwise."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from scripts.campaign.alter import leaves_of
from scripts.campaign.replay import Replay, Trace, fast_chain
from scripts.campaign.setup import Setup
from scripts.chain import Chain
from scripts.chain.artifacts import ROOT
from scripts.scenario import ScenarioError, parse
from scripts.scenario.finding import Finding, finding_of
from scripts.scenario.runner import Player, StepBroke
from scripts.scenario.writing import EXACT, FREE, MANNERS, ROUND, Made, Writer
from scripts.twin import Step


class CannotTell(ValueError):
    """No file says this trace so that it fails in the same way."""


def write_scenario(
    setup: Setup,
    trace: Trace,
    finding: Finding,
    path: Path,
    origin: Mapping[str, Any] | None = None,
    open_chain: Callable[[], Chain] = fast_chain,
) -> str:
    """Write the file that replays ``trace``, and return its text; an old file is replaced at the end or not at all.

    The outcome of every call is stated as the model has it. ``origin`` says where the trace comes from: seed, regime,
    step. Of the manners of telling the most readable is taken whose performance fails like ``finding``;
    :class:`CannotTell` if none does.
    """
    about = f"As long as that is so, `make demo SCENARIO={_shown(path)}` fails with it."
    text = tell(setup, trace, finding, origin or {}, about, open_chain)
    handle, temporary = tempfile.mkstemp(dir=path.resolve().parent, suffix=".tmp")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(temporary, path)
    return text


def tell(
    setup: Setup,
    trace: Trace,
    finding: Finding,
    origin: Mapping[str, Any],
    about: str = "",
    open_chain: Callable[[], Chain] = fast_chain,
) -> str:
    """The text of the file, tried on a fresh chain; ``about`` is what it says beside the report."""
    with open_chain() as chain:
        stage = Replay(setup, chain)
        found = stage.run(trace)
        if found is None or found.key != finding.key:
            raise CannotTell(f"the trace does not fail like that: {finding.report()}")
        calls = [Made(step, reason) for step, reason in zip(trace, stage.reasons, strict=False)][: found.step]
        reason, is_open = by_model(found)
        calls.append(Made(trace[found.step], reason, is_open))
        return _Teller(setup, calls, stage, found, (_source(origin), about), open_chain).best()


class _Teller:
    """Looks for the most readable file that fails like ``finding``."""

    def __init__(
        self,
        setup: Setup,
        calls: list[Made],
        stage: Replay,
        finding: Finding,
        around: tuple[str, str],
        open_chain: Callable[[], Chain],
    ) -> None:
        """``around`` is what the file says before and after the report."""
        self.setup, self.calls, self.stage, self.finding, self.around = setup, calls, stage, finding, around
        self.open_chain = open_chain
        self.seen: Finding | None = None

    def best(self) -> str:
        """Round if that works; else exact or literal, with single prices told as freely as works."""
        manner = next((m for m in MANNERS if self._works(m, {})), None)
        if manner is None:
            seen = "goes through" if self.seen is None else f"fails otherwise: {self.seen.report()}"
            raise CannotTell(f"told as a scenario it {seen}")
        prices: dict[int, str] = {}
        if manner == EXACT:
            for i in (i for i, made in enumerate(self.calls) if made.step.function == "set_answer"):
                better = next((m for m in (ROUND, FREE) if self._works(manner, {**prices, i: m})), None)
                prices |= {} if better is None else {i: better}
        writer = self._writer(manner, prices)
        _expect_before(writer, self.calls[-1].step, self.open_chain)
        return self._text(writer)

    def _works(self, manner: str, prices: dict[int, str]) -> bool:
        with self.open_chain() as chain:
            self.seen = perform(self._text(self._writer(manner, prices)), chain)
        return self.seen is not None and self.seen.key == self.finding.key

    def _writer(self, manner: str, prices: dict[int, str]) -> Writer:
        return Writer(self.setup, self.calls, self.stage.system, manner, prices)

    def _text(self, writer: Writer) -> str:
        before, after = self.around
        return writer.text(_name(self.finding), f"{before} {self.finding.report(writer.names)}. {after}".strip())


def _expect_before(writer: Writer, failing: Step, open_chain: Callable[[], Chain]) -> None:
    """Let the file say what the accounts of the failing call hold before it, when all still agree."""
    names = [writer.names[v] for _, v in leaves_of(failing) if v in writer.holders]
    scenario = parse(writer.text("before", "before"))
    with open_chain() as chain:
        player = Player(scenario, chain)
        for step in scenario.steps[:-1]:
            player.play(step)
        holdings = {name: player.holdings(name) for name in dict.fromkeys(names)}
        writer.expect(holdings, player.quantity(("receipts",)))


def perform(text: str, chain: Chain) -> Finding | None:
    """What the performance of a scenario finds, or None if it goes as told."""
    try:
        scenario = parse(text)
    except ScenarioError as error:
        return finding_of(error, "the file")
    try:
        player = Player(scenario, chain)
        for step in scenario.steps:
            player.play(step)
        player.finish()
    except StepBroke as broke:
        return broke.finding
    except AssertionError as error:
        return finding_of(error, "the performance")
    return None


def by_model(finding: Finding) -> tuple[str | None, bool]:
    """How the failing call goes on the model: the reason of a refusal, and whether nobody knows."""
    if finding.kind == "crash":
        return None, True
    if finding.what in ("success", "revert reason"):
        found = re.fullmatch(r"(?:refused: )?(['\"])(.*)\1", finding.model)
        return (found[2] if found else None), False
    return None, False


def _name(finding: Finding) -> str:
    field = re.sub(r"\[[^]]*\]|:? exact less model.*", "", finding.what)
    field = re.sub(r"(0x)?[0-9a-f]{16,}", "…", field)
    return f"{finding.operation}: {field}"[:110]


def _source(origin: Mapping[str, Any]) -> str:
    source = ", ".join(f"{key} {value}" for key, value in origin.items())
    return f"Found by a campaign ({source}) and shrunk:" if source else "Found by a campaign and shrunk:"


def _shown(path: Path) -> Path:
    """``path`` from the root of the repository, where it lies below."""
    return path.resolve().relative_to(ROOT) if path.resolve().is_relative_to(ROOT) else path
