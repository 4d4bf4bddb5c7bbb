"""A trace made again: every call of a campaign on a fresh deployment, compared and judged; and traces as files."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from python_ref.orders import Order, Signature
from scripts.campaign.setup import Setup, build
from scripts.chain import Chain, ChainLost, ChainUnavailable, make_chain
from scripts.scenario.calls import acting_in
from scripts.scenario.finding import Finding, finding_of
from scripts.scenario.watch import Watch
from scripts.twin import Step, Twin

FORMAT = "waterfall-trace/1"

Trace = Sequence[Step]


class TraceError(ValueError):
    """A trace file that cannot be used: where, and what to do about it."""


class Replay:
    """A deployment on which traces are tried: every trial starts from the same fresh state."""

    def __init__(self, setup: Setup, chain: Chain, judge: bool = True) -> None:
        """Deploy ``setup`` on ``chain``, which has to be fresh; ``judge`` by the invariants and the exact ledger."""
        self.watch = Watch(setup.decimals) if judge else None
        self.chain = chain
        self.reasons: list[str | None] = []
        """How the calls of the last run went that agreed: None for one that went through."""
        self.system = build(chain, setup, full_every=2**62, observer=self.watch)
        if self.watch is not None:
            self.watch.attach(self.system)

    @property
    def twin(self) -> Twin:
        """Contract and model."""
        return self.system.twin

    def run(self, trace: Iterable[Step], first: int = 0) -> Finding | None:
        """Make every call; the first failure, or None. A step whose second has passed is made now.

        ``first`` is the number of the first call, where others went before.

        After the last call every word is compared, also those that only the chain has; what that shows is counted
        to the last call.
        """
        i, step = -1, None
        self.reasons = []
        try:
            for i, step in enumerate(trace, first):  # noqa: B007
                self._make(step)
            if step is not None:
                self.twin.check_all()
        except (ChainLost, ChainUnavailable):
            raise
        except Exception as error:
            assert step is not None
            return finding_of(error, f"{step.name}.{step.function}", i)
        return None

    def trial(self, trace: Iterable[Step], first: int = 0) -> Finding | None:
        """As :meth:`run`, and everything is undone."""
        mark = self.mark()
        try:
            return self.run(trace, first)
        finally:
            self.restore(mark)

    def go(self, trace: Iterable[Step]) -> None:
        """Make calls that are known to agree."""
        for step in trace:
            self._make(step)

    def mark(self) -> Any:
        """Where :meth:`restore` returns to, once; the latest mark first."""
        return self.twin.snapshot(), None if self.watch is None else self.watch.mark()

    def restore(self, mark: Any) -> None:
        """Undo what came after the mark."""
        self.twin.revert(mark[0])
        if self.watch is not None:
            self.watch.restart(mark[1])

    def _make(self, step: Step) -> None:
        if step.now > self.chain.now:
            self.twin.advance(step.now - self.chain.now)
        if self.watch is not None:
            self.watch.acting = acting_in(step.function, step.args)
        outcome = self.twin.call(step.name, step.function, step.sender, *step.args)
        self.reasons.append(outcome.reason)


def fast_chain() -> Chain:
    """Where traces are tried, whatever BACKEND says: a search makes hundreds of trials."""
    return make_chain("revm")


def replay(setup: Setup, trace: Trace, chain: Chain, judge: bool = True) -> Finding | None:
    """Deploy ``setup`` on a fresh ``chain`` and make every call of ``trace``: the first failure, or None."""
    return Replay(setup, chain, judge).run(trace)


# Files


@dataclass(frozen=True)
class Recorded:
    """What a trace file holds. ``origin`` says where it comes from: seed, regime, step."""

    setup: Setup
    steps: tuple[Step, ...]
    finding: Finding | None = None
    origin: dict[str, Any] = field(default_factory=dict)


def encode_trace(recorded: Recorded) -> dict[str, Any]:
    """The same as JSON can hold."""
    return {
        "format": FORMAT,
        "origin": recorded.origin,
        "finding": None if recorded.finding is None else asdict(recorded.finding),
        "setup": recorded.setup.as_dict(),
        "steps": [[s.now, s.name, s.function, s.sender, [_encode(a) for a in s.args]] for s in recorded.steps],
    }


def decode_trace(data: Any) -> Recorded:
    """What :func:`encode_trace` described; :class:`TraceError` for anything else."""
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise TraceError(f"not a trace: the field format has to be {FORMAT!r}")
    for key in ("setup", "steps"):
        if key not in data:
            raise TraceError(f"{key} is missing")
    try:
        setup = Setup.from_dict(data["setup"])
    except (TypeError, KeyError, AttributeError) as error:
        raise TraceError(f"setup: not what this version deploys: {error}") from None
    steps = []
    for i, step in enumerate(data["steps"]):
        try:
            now, name, function, sender, args = step
            steps.append(Step(int(now), str(name), str(function), str(sender), tuple(map(_decode, args))))
        except (TypeError, ValueError, KeyError) as error:
            raise TraceError(
                f"steps[{i}]: [second, contract, function, sender, arguments] is wanted: {error}"
            ) from None
    finding = data.get("finding")
    try:
        found = None if finding is None else Finding(**finding)
    except TypeError as error:
        raise TraceError(f"finding: {error}") from None
    return Recorded(setup, tuple(steps), found, dict(data.get("origin") or {}))


def dump_trace(path: Path, recorded: Recorded) -> None:
    """Write a trace as JSON; an old file is replaced at the end or not at all."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(encode_trace(recorded), file, separators=(",", ":"))
    os.replace(temporary, path)


def load_trace(path: Path) -> Recorded:
    """The trace in a file; :class:`TraceError` if it cannot be used."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TraceError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise TraceError(f"{path} is not JSON: {error}") from None
    try:
        return decode_trace(data)
    except TraceError as error:
        raise TraceError(f"{path}: {error}") from None


def _encode(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, Order):
        return {"order": {**asdict(value), "account": value.account.hex()}}
    if isinstance(value, Signature):
        return {"signature": asdict(value)}
    if isinstance(value, list | tuple):
        return [_encode(item) for item in value]
    return value


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_decode(item) for item in value)
    if not isinstance(value, dict):
        return value
    if "bytes" in value:
        return bytes.fromhex(value["bytes"])
    if "order" in value:
        return Order(**{**value["order"], "account": bytes.fromhex(value["order"]["account"])})
    return Signature(**value["signature"])
