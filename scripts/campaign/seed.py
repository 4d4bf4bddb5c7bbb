"""One seed of a campaign: fresh deployments, walked on until the steps are done or something differs."""

from __future__ import annotations

import hashlib
import os
import socket
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from random import Random
from typing import Any

from scripts.campaign.operations import Operations
from scripts.campaign.regimes import BY_NAME, REGIMES, Regime, varied
from scripts.campaign.replay import Recorded
from scripts.campaign.setup import Setup
from scripts.campaign.steering import Steering
from scripts.chain import Chain, ChainLost, ChainUnavailable, make_chain
from scripts.scenario.finding import Finding, finding_of

LIFE = 2_500
"""Steps after which a seed starts on a fresh deployment: exact fractions and worn markets would slow it down."""

TOUR = -1
"""Stands for a seed where the directed tour is meant."""
STUCK = "ClearingHouse.rebase_claims: rebase: settlement needed"
"""Refused a few times, a domain is worn out: nothing but a settlement helps."""


@dataclass(frozen=True)
class Failure:
    """The first thing that a seed found wrong: at which step, in which regime, and what led to it.

    ``recorded`` holds the set-up and every call since the deployment; a journal keeps it in a file of its own.
    """

    seed: int
    step: int
    regime: str
    backend: str
    finding: Finding
    recorded: Recorded | None = None


@dataclass
class Result:
    """What one seed did. ``tally`` counts marks; ``outcomes`` counts "Contract.function: reason or ok"."""

    seed: int
    regimes: list[str] = field(default_factory=list)
    steps: int = 0
    calls: int = 0
    words: int = 0
    exact: int = 0
    """Calls that changed the ledger and that the exact ledger followed."""
    judged: int = 0
    """Calls that changed the ledger: the invariants judged each."""
    lives: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    marks: Counter[str] = field(default_factory=Counter)
    reached: list[str] = field(default_factory=list)
    dust: float = 0.0
    digest: str = ""
    worker: str = ""
    failure: Failure | None = None

    def as_dict(self) -> dict[str, Any]:
        """As the journal keeps it: without set-up and trace of a failure, which lie in a file of their own."""
        data = {k: v for k, v in self.__dict__.items() if k != "failure"}
        data.update(outcomes=dict(self.outcomes), marks=dict(self.marks))
        failure = self.failure
        data["failure"] = None if failure is None else asdict(replace(failure, recorded=None))
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Result:
        """What :meth:`as_dict` described; a failure comes without its trace."""
        failure = data["failure"]
        if failure is not None:
            failure = Failure(**{**failure, "finding": Finding(**failure["finding"])})
        counts = {name: Counter(data[name]) for name in ("outcomes", "marks")}
        return cls(**{**data, **counts, "failure": failure})


@dataclass(frozen=True)
class Task:
    """What every seed of a campaign is told alike; ``steps`` are calls of production contracts."""

    steps: int
    backend: str = "revm"
    ideal_every: int = 25
    regimes: tuple[str, ...] = tuple(BY_NAME)

    def as_dict(self) -> dict[str, Any]:
        """As the journal's head keeps it."""
        return {**asdict(self), "regimes": list(self.regimes)}


@dataclass(frozen=True)
class Pulse:
    """How far a seed is, for whoever watches."""

    seed: int
    regime: str
    steps: int
    dust: float


def run_seed(task: Task, seed: int, pulse: Callable[[Pulse], None] | None = None) -> Result:
    """Walk ``task.steps`` steps on the seed's own deployments; a difference ends the seed and is in its result.

    Everything depends on ``task`` and ``seed`` alone. ``pulse`` is told of the progress about twice a second.
    """
    r = Random(seed)
    result = Result(seed, worker=f"{socket.gethostname()}:{os.getpid()}")
    began, cpu = time.monotonic(), time.process_time()
    digest = hashlib.sha256()
    while result.steps < task.steps and result.failure is None:
        own = BY_NAME[task.regimes[seed % len(task.regimes)]]
        turn = seed // len(task.regimes) + result.lives
        with make_chain(task.backend) as chain:
            life = _Life(chain, task, own, varied(own, turn), r, result)
            life.live(min(LIFE, task.steps - result.steps), pulse, began)
            digest.update(life.digest())
        result.lives += 1
        result.wall_s, result.cpu_s = time.monotonic() - began, time.process_time() - cpu
    result.digest = digest.hexdigest()
    return result


class _Life:
    """One deployment of a seed: first in its own regime, then in another one's mix."""

    def __init__(self, chain: Chain, task: Task, regime: Regime, setup: Setup, r: Random, result: Result) -> None:
        self.task, self.regime, self.setup, self.r, self.result = task, regime, setup, r, result
        self.ops = Operations(chain, setup, regime.traders, regime.seconds, task.ideal_every)
        self.steering = Steering(self.ops, regime, r)

    def live(self, steps: int, pulse: Callable[[Pulse], None] | None, began: float) -> None:
        """Take ``steps`` steps, or fewer where the domain can go no further; adds what happened to the result."""
        ops, steering, result = self.ops, self.steering, self.result
        turn_at = steps * self.r.randrange(50, 90) // 100
        other = BY_NAME[self.r.choice(self.task.regimes)]
        due = time.monotonic()
        try:
            steering.open()
            self._note(self.regime)
            while ops.steps < steps and ops.outcomes[STUCK] < 3 and not ops.is_over:
                if ops.judge.heavy and not ops.judge.detached:
                    if not self.regime.long_lived:
                        break
                    ops.judge.detach()
                if ops.steps >= turn_at and steering.regime is self.regime:
                    steering.regime = other
                    self._note(other)
                steering.move()
                if pulse is not None and time.monotonic() >= due:
                    due = time.monotonic() + 0.5
                    pulse(Pulse(result.seed, steering.regime.name, result.steps + ops.steps, float(ops.judge.widest)))
            ops.finish()
        except (ChainLost, ChainUnavailable):
            raise
        except Exception as error:
            # whatever goes wrong here is a finding: a difference, a broken invariant, or a model that crashes
            steps, at = tuple(ops.trace), result.steps + ops.steps + 1
            last = f"{steps[-1].name}.{steps[-1].function}" if steps else "deployment"
            finding = finding_of(error, last, len(steps) - 1)
            where = {"seed": result.seed, "step": at, "regime": steering.regime.name, "backend": self.task.backend}
            recorded = Recorded(self.setup, steps, finding, where)
            result.failure = Failure(result.seed, at, steering.regime.name, self.task.backend, finding, recorded)
        counts = tally(ops)
        result.steps += ops.steps
        result.calls += ops.calls
        result.words += ops.words
        result.exact += ops.judge.followed
        result.judged += ops.judge.judged
        result.outcomes.update(ops.outcomes)
        result.marks.update(counts)
        result.dust = max(result.dust, float(ops.judge.widest))
        reached = {regime.name for regime in REGIMES if regime.reached(counts)}
        result.reached = sorted(reached | set(result.reached))

    def _note(self, regime: Regime) -> None:
        if regime.name not in self.result.regimes:
            self.result.regimes.append(regime.name)

    def digest(self) -> bytes:
        """Hash of every word that the life left behind."""
        digest = hashlib.sha256()
        for key, word in sorted((repr(key), word) for key, word in self.ops.twin.world.words.items()):
            digest.update(f"{key}={word:x};".encode())
        return digest.digest()


def tally(ops: Operations) -> Counter[str]:
    """A walk's marks together with its refusals by reason."""
    counts = Counter(ops.judge.marks)
    for outcome, count in ops.outcomes.items():
        reason = outcome.partition(": ")[2]
        if reason != "ok":
            counts[f"reason: {reason}"] += count
    return counts
