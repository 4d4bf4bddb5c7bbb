"""What a comparison saw of a chain, recorded once, and played again on contracts with a mutant awake.

The model does not change and neither do the choices of a walk, which depend on the model alone: as long as nothing
differs, walk, scenario or test make the same calls on any build and see the same answers. So the first answer on the
tape that a mutated build gives otherwise (success, reason, return value, events, a word of storage) is the one that
the comparison with the model would have raised, and playing needs neither model nor judge.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from scripts.chain import revm
from scripts.chain.artifacts import Artifact, artifact, paths
from scripts.chain.base import GAS_LIMIT, RawResult, decode_reason
from scripts.chain.revm import RevmChain

DEPLOY, CALL, VIEW, READ, DUMP, MARK, REVERT, NOTE = range(8)

Op = tuple[Any, ...]


@dataclass
class Tape:
    """Everything that was asked of one chain, in order, with the answers. ``name`` says by whom."""

    name: str
    ops: list[Op] = field(default_factory=list)
    _seen: dict[int, int] = field(default_factory=dict, repr=False)

    def keep(self, *op: Any) -> None:
        """Add an operation. Equal numbers become one object: the same slots and words come up again and again."""
        self.ops.append(tuple(self._shared(part) for part in op))

    def _shared(self, part: Any) -> Any:
        if isinstance(part, int) and not isinstance(part, bool):
            return self._seen.setdefault(part, part)
        if isinstance(part, list | tuple):
            return type(part)(self._shared(inner) for inner in part)
        if isinstance(part, dict):
            return {self._shared(key): self._shared(value) for key, value in part.items()}
        return part

    @property
    def calls(self) -> int:
        """How many transactions and views there are."""
        return sum(op[0] in (CALL, VIEW) for op in self.ops)


class Recorder(RevmChain):
    """The fast chain, which keeps a tape of all that it is asked."""

    def __init__(self, name: str = "") -> None:
        super().__init__()
        self.tape = Tape(name)
        self._code: Artifact | None = None

    def deploy(self, contract: str | Artifact, *args: Any, sender: str, label: str = "") -> str:
        """Deploy, and remember which contract it was: another build has other code for it."""
        self._code = artifact(contract) if isinstance(contract, str) else contract
        return super().deploy(contract, *args, sender=sender, label=label)

    def _create(self, sender: str, nonce: int, data: bytes) -> RawResult:
        result = super()._create(sender, nonce, data)
        code = self._code
        known = code is not None and code.name in paths() and artifact(code.name) is code
        name, payload = (code.name, data[len(code.bytecode) :]) if known and code is not None else (None, data)
        self.tape.keep(DEPLOY, self.now, self.block, sender, name, payload, _created(result))
        return result

    def _execute(self, sender: str, to: str, data: bytes, *, keep: bool) -> RawResult:
        result = super()._execute(sender, to, data, keep=keep)
        answer = _answer(result, keep)
        self.tape.keep(CALL if keep else VIEW, self.now, self.block, sender, to, data, answer)
        return result

    def dumps(self, addresses: Sequence[str]) -> list[dict[int, int]]:
        """Every word, which a mutated build must have too."""
        words = super().dumps(addresses)
        self.tape.keep(DUMP, tuple(addresses), words)
        return words

    def _read(self, address: str, slots: list[int]) -> list[int]:
        words = super()._read(address, slots)
        self.tape.keep(READ, address, list(slots), words)
        return words

    def _snapshot(self) -> Any:
        self.tape.keep(MARK)
        return super()._snapshot()

    def _revert(self, mark: Any) -> None:
        self.tape.keep(REVERT)
        super()._revert(mark)


def thin(tape: Tape, every: int = 10) -> Tape:
    """The tape with storage looked at after every so many calls, and always before a state is left."""
    kept: list[Op] = []
    looks: list[Op] = []
    dump: list[Op] = []
    calls = 0
    for op in tape.ops:
        if op[0] == READ:
            looks.append(op)
        elif op[0] == DUMP:
            dump = [op]
        else:
            if op[0] in (REVERT, NOTE):
                kept += looks + dump
            elif looks:
                calls += 1
                if calls % every == 0:
                    kept += looks
            looks, dump = [], []
            kept.append(op)
    return Tape(tape.name, kept + looks + dump)


def pack(tapes: Iterable[Tape]) -> bytes:
    """Tapes as bytes; :func:`unpack` undoes it. Small and fast because equal numbers are one object."""
    return marshal.dumps([(tape.name, tape.ops) for tape in tapes])


def unpack(data: bytes) -> list[Tape]:
    """Tapes from bytes."""
    return [Tape(name, ops) for name, ops in marshal.loads(data)]


@contextmanager
def recording() -> Iterator[list[Recorder]]:
    """Every fast chain made meanwhile is a recorder; the list holds them."""
    made: list[Recorder] = []

    class Listed(Recorder):
        def __init__(self) -> None:
            super().__init__()
            made.append(self)

    original = revm.RevmChain
    revm.RevmChain = Listed  # type: ignore[misc]  # `make_chain` looks it up there
    try:
        yield made
    finally:
        revm.RevmChain = original  # type: ignore[misc]


def _answer(result: RawResult, keep: bool) -> tuple[Any, ...]:
    """What is compared of an execution: not gas, and of a refusal only its reason."""
    if not result.success:
        return (decode_reason(result.output),)
    logs = tuple((log.address, tuple(log.topics), log.data) for log in result.logs) if keep else ()
    return (result.output, logs)


def _created(result: RawResult) -> tuple[str, str]:
    """What is compared of a deployment: the address, and of a refusal its reason."""
    return result.created, "" if result.success else decode_reason(result.output)


class Player(RevmChain):
    """A chain that plays a tape with the contracts of a build."""

    gas_limit = 4 * GAS_LIMIT  # builds with many mutants are dearer and longer than the original, and may be
    code_limit = 1 << 20

    def __init__(self, code: Mapping[str, Artifact]) -> None:
        """``code`` by name; contracts that it lacks are the repository's."""
        super().__init__()
        self._code = code
        self._open: list[Any] = []

    def play(self, ops: Sequence[Op], number: int) -> int | None:
        """Play with mutant ``number`` awake: the index of the first operation answered otherwise, None if none is."""
        self.prev_randao = number.to_bytes(32, "big")
        for index, op in enumerate(ops):
            if not self._agrees(op):
                return index
        return None

    def mark(self) -> int:
        """Mark the state; :meth:`rewind` takes what this returns."""
        self._open.append(self._snapshot())
        return len(self._open) - 1

    def rewind(self, mark: int) -> None:
        """Back to a mark, whatever a tape has marked since."""
        while len(self._open) > mark:
            self._revert(self._open.pop())

    def _agrees(self, op: Op) -> bool:
        kind = op[0]
        if kind == READ:
            return self._read(op[1], op[2]) == op[3]
        if kind in (CALL, VIEW):
            _, self.now, self.block, sender, to, data, answer = op
            return _answer(self._execute(sender, to, data, keep=kind == CALL), kind == CALL) == answer
        if kind == DEPLOY:
            _, self.now, self.block, sender, name, payload, created = op
            code = b"" if name is None else (self._code.get(name) or artifact(name)).bytecode
            return _created(self._create(sender, 0, code + payload)) == created
        if kind == DUMP:
            return self.dumps(op[1]) == op[2]
        if kind == MARK:
            self.mark()
        elif kind == REVERT:
            self.rewind(len(self._open) - 1)
        return True
