"""What a mutant has to survive: walks of the campaigns, scenario files, and the differential tests, as tapes.

The cheapest come first. Tapes are kept under ``.build/mutants`` by the content of everything they come from.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.campaign.regimes import REGIMES
from scripts.campaign.seed import Task, run_seed
from scripts.chain.artifacts import ROOT, Artifact
from scripts.mutants import odd
from scripts.mutants.build import STORE
from scripts.mutants.tape import NOTE, Op, Player, Recorder, Tape, pack, recording, thin, unpack

UNITS = ("account_desk", "fill", "liquidation", "rebase_manager", "default_manager", "authorisation", "market_admin")
UNITS += ("policy_plugin", "backstop_fund", "words", "fixed_math", "bands", "margin", "ledger", "planners")
DIFFERENTIAL = ("known_bugs", "counterexamples", "regressions", "worn_band", "survivors", "order_of_checks")
DIFFERENTIAL += ("told_policy", "after_a_cut", "edges")
DIRECTED = tuple(f"tests/unit/test_{name}.py" for name in UNITS)
DIRECTED += tuple(f"tests/differential/test_{name}.py" for name in DIFFERENTIAL)
"""Tests that call contract and model together; what they call is compared, whatever else they assert."""

SCENARIOS = ("tests/differential/test_scenarios.py",)

_SOURCES = ("contracts", "python_ref", "scripts/campaign", "scripts/chain", "scripts/scenario", "tests/scenarios")
_SOURCES += (
    "tests/books.py",
    "tests/conftest.py",
    "tests/differential/book.py",
    "scripts/twin.py",
    "scripts/system.py",
    "scripts/mutants/tape.py",
)
_SUFFIXES = (".py", ".vy", ".vyi", ".yaml")


@dataclass(frozen=True)
class Stage:
    """Tapes of one kind."""

    name: str
    tapes: tuple[Tape, ...]

    @property
    def calls(self) -> int:
        """Transactions and views in all."""
        return sum(tape.calls for tape in self.tapes)


def digest_of(sources: Sequence[str], *more: str) -> str:
    """A hash over files of the repository, by relative path and content."""
    digest = hashlib.sha256(repr(more).encode())
    for source in sources:
        path = ROOT / source
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            if file.is_file() and file.suffix in _SUFFIXES:
                digest.update(f"\0{file.relative_to(ROOT)}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def walks(seeds: Sequence[int], steps: int) -> Stage:
    """One tape per life of a campaign's seed, ``steps`` a seed; seed n is steered into regime n modulo their number."""

    def record() -> list[Tape]:
        tapes = []
        for seed in seeds:
            with recording() as made:
                result = run_seed(Task(steps=steps, ideal_every=10**9), seed)
            failure = result.failure
            # What the judge finds is as true of the model, so the tape is good up to there.
            if failure is not None and failure.finding.kind not in ("drift", "invariant"):
                raise RuntimeError(f"seed {seed} fails on the contracts as they are: {failure.finding}")
            for recorder in made:
                recorder.tape.name = f"walk {REGIMES[seed % len(REGIMES)].name}, seed {seed}"
                tapes.append(recorder.tape)
        return tapes

    return Stage("walks", tuple(_kept(record, "walks", _SOURCES, str(tuple(seeds)), str(steps))))


def odd_walks(seeds: Sequence[int], steps: int) -> Stage:
    """One tape per seed of walks whose numbers are odd to the last digit."""

    def record() -> list[Tape]:
        tapes = []
        for seed in seeds:
            regime = odd.REGIMES[seed % len(odd.REGIMES)]
            recorder = Recorder(f"walk odd {regime}, seed {seed}")
            odd.walk(recorder, regime, seed, steps)
            tapes.append(recorder.tape)
        return tapes

    sources = (*_SOURCES, "scripts/mutants/odd.py")
    return Stage("odd walks", tuple(_kept(record, "odd", sources, str(tuple(seeds)), str(steps))))


def directed(files: Sequence[str]) -> Stage:
    """The chains of a pytest run of these files, one tape each, with a note at the beginning of every test."""
    present = [file for file in files if (ROOT / file).is_file()]

    def record() -> list[Tape]:
        with tempfile.TemporaryDirectory(prefix="tapes-") as folder:
            target = Path(folder) / "tapes"
            command = [
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-x",
                "-p",
                "scripts.mutants.plugin",
                "-p",
                "no:cacheprovider",
            ]
            command += ["--hypothesis-seed=0", "-k", "not anvil and not ape", *present]
            environment = {**os.environ, "WATERFALL_TAPES": str(target), "PYTHONPATH": str(ROOT)}
            done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(
                    f"tests fail on the contracts as they are:\n{done.stdout[-2_000:]}{done.stderr[-500:]}"
                )
            return unpack(target.read_bytes())

    return Stage("directed", tuple(_kept(record, "directed", (*_SOURCES, *present))))


def _kept(record: Callable[[], list[Tape]], name: str, sources: Sequence[str], *more: str) -> list[Tape]:
    """What ``record`` returns, recorded only once as long as nothing that it depends on changes."""
    target = STORE / "tapes" / f"{name}-{digest_of(sources, *sources, *more)}.tapes"
    if target.is_file():
        return unpack(target.read_bytes())
    tapes = [thin(tape) for tape in record()]
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_suffix(f".{os.getpid()}")
    temporary.write_bytes(pack(tapes))
    temporary.replace(target)
    return tapes


class Suite:
    """All tapes. Those that noticed most in the same function come first, as they will probably notice the next."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self._tapes = [tape for stage in stages for tape in stage.tapes]
        self._noticed: Counter[tuple[str, int]] = Counter()

    def first_difference(self, code: Mapping[str, Artifact], number: int, *near: str) -> str | None:
        """Where mutant ``number`` of a build is noticed, in words; None if it survives everything.

        ``near`` says where the mutant is, closest first: file and function.
        """
        order = sorted(range(len(self._tapes)), key=lambda i: [*(-self._noticed[place, i] for place in near), i])
        for i in order:
            tape = self._tapes[i]
            at = Player(code).play(tape.ops, number)
            if at is not None:
                self._noticed.update((place, i) for place in near)
                return _where(tape, at)
        return None


def _where(tape: Tape, at: int) -> str:
    notes: list[Op] = [op for op in tape.ops[: at + 1] if op[0] == NOTE]
    name = notes[-1][1] if notes else tape.name
    begin = max((i for i, op in enumerate(tape.ops[: at + 1]) if op[0] == NOTE), default=0)
    return f"{name}, call {Tape('', tape.ops[begin : at + 1]).calls}"
