"""What every chain offers: one clock, calls that never raise, decoded results.

The clock stands still until it is told to move: a call runs in a block of its own whose timestamp is exactly
``chain.now``, however many calls came before in the same second. The same sequence of calls therefore has the
same outcomes on every chain; only gas may differ.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from types import TracebackType
from typing import Any, Self

from eth_abi import decode
from eth_abi.decoding import ContextFramesBytesIO, TupleDecoder
from eth_abi.encoding import TupleEncoder
from eth_abi.exceptions import DecodingError
from eth_abi.registry import registry
from eth_utils import keccak

from scripts.chain.artifacts import Artifact, artifact, canonical

START = 1_700_000_000
"""Second at which every chain's clock starts."""

CHAIN_ID = 1337
"""The same everywhere, as signatures depend on it."""

GAS_LIMIT = 16_000_000
"""Gas that every call may use; below the cap of one transaction (EIP-7825)."""

CODE_LIMIT = 24_576
"""Bytes of code that a chain accepts (EIP-170)."""

ZERO_ADDRESS = "0x" + "00" * 20

StoredWords = tuple[str, list[int], list[int]]
"""Address of a contract, slots, and the words expected there."""

_ERROR = keccak(b"Error(string)")[:4]


class ChainUnavailable(RuntimeError):
    """This machine cannot run the chain that was asked for."""


class ChainLost(RuntimeError):
    """The chain is gone or no longer the one it was: its last call neither matched nor mismatched."""


class CallReverted(RuntimeError):
    """A deployment or a view was refused. ``reason`` is the revert string, "" if there is none."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"{what}: {reason!r}")
        self.reason = reason


@dataclass(frozen=True)
class Log:
    """One event: name of the emitting contract, name of the event, fields by name in ABI order."""

    contract: str
    name: str
    fields: dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What one call did.

    ``reason`` is None where the call went through; else the revert string, "" where there is none. ``value`` is
    None for no output, the value for one, a tuple for more. Structs and arrays are tuples, addresses lowercase.
    ``gas`` is the receipt's on anvil and ape; on revm it is only an indication.
    """

    value: Any
    reason: str | None
    events: list[Log]
    gas: int

    @property
    def ok(self) -> bool:
        """Whether the call went through."""
        return self.reason is None


@dataclass(frozen=True)
class RawLog:
    """One event as the machine has it."""

    address: str
    topics: list[bytes]
    data: bytes


@dataclass(frozen=True)
class RawResult:
    """Result of one execution before decoding; ``output`` is return or revert data."""

    success: bool
    output: bytes
    gas: int
    logs: list[RawLog] = field(default_factory=list)
    created: str = ""


@dataclass(frozen=True)
class Contract:
    """A deployed contract as the chain object knows it."""

    address: str
    label: str
    artifact: Artifact


class Chain(ABC):
    """A local chain. Close it, or use it as a context manager."""

    kind: str

    def __init__(self) -> None:
        self.now = START
        self.block = 1
        self._contracts: dict[str, Contract] = {}
        self._deployments: dict[str, int] = {}  # by sender: the nonce of his next one, so that addresses agree
        self._snapshots: list[tuple[int, int, dict[str, Contract], dict[str, int], Any]] = []

    # What an implementation provides

    @abstractmethod
    def _create(self, sender: str, nonce: int, data: bytes) -> RawResult:
        """Deploy at ``now`` in block ``block``, at the address that ``sender`` and ``nonce`` give."""

    @abstractmethod
    def _execute(self, sender: str, to: str, data: bytes, *, keep: bool) -> RawResult:
        """Run one transaction at ``now`` in block ``block``; unless ``keep``, drop its effects."""

    @abstractmethod
    def _read(self, address: str, slots: list[int]) -> list[int]:
        """Storage words."""

    @abstractmethod
    def _snapshot(self) -> Any:
        """Mark the state."""

    @abstractmethod
    def _revert(self, mark: Any) -> None:
        """Return to the latest mark, which is then gone."""

    def holds(self, words: Sequence[StoredWords]) -> bool:
        """Whether the chain has all those words."""
        return all(self._read(address, slots) == values for address, slots, values in words)

    def dumps(self, addresses: Sequence[str]) -> list[dict[int, int]] | None:
        """Every storage word of each contract that is not zero, or None where the machine cannot list them."""
        return None

    def dump(self, address: str) -> dict[int, int] | None:
        """Every storage word of one contract that is not zero, or None where the machine cannot list them."""
        found = self.dumps([address])
        return None if found is None else found[0]

    def close(self) -> None:
        """Let go of whatever runs outside this object."""
        return None

    # Calls

    def deploy(self, contract: str | Artifact, *args: Any, sender: str, label: str = "") -> str:
        """Deploy by name or by artifact; events will carry ``label`` (the contract's name if not given)."""
        code = artifact(contract) if isinstance(contract, str) else contract
        if code.size > CODE_LIMIT:
            raise ValueError(f"{code.name} has {code.size:,} bytes; a chain accepts {CODE_LIMIT:,}")
        constructor: dict[str, Any] = next((e for e in code.abi if e["type"] == "constructor"), {"inputs": []})
        data = code.bytecode + _encode(constructor["inputs"], args)
        nonce = self._deployments.get(sender.lower(), 0)
        result = self._create(sender.lower(), nonce, data)
        self._deployments[sender.lower()] = nonce + 1
        self.block += 1
        if not result.success:
            raise CallReverted(f"deploy {code.name}", decode_reason(result.output))
        return self.attach(code, result.created, label)

    def attach(self, contract: str | Artifact, address: str, label: str = "") -> str:
        """Know the contract at ``address``, which another contract may have created."""
        code = artifact(contract) if isinstance(contract, str) else contract
        address = address.lower()
        self._contracts[address] = Contract(address, label or code.name, code)
        return address

    def contract(self, address: str) -> Contract:
        """The known contract at ``address``."""
        return self._contracts[address.lower()]

    def call(self, sender: str, address: str, function: str, *args: Any) -> Outcome:
        """Send one transaction. ``function`` is a name, or a signature like ``f(uint256)`` where names clash."""
        outcome = self._run(sender, address, function, args, keep=True)
        self.block += 1
        return outcome

    def simulate(self, sender: str, address: str, function: str, *args: Any) -> Outcome:
        """What :meth:`call` would do now, without its events; nothing is kept."""
        return self._run(sender, address, function, args, keep=False)

    def view(self, address: str, function: str, *args: Any, sender: str = ZERO_ADDRESS) -> Any:
        """Value of a view, or of what a call would return now; :class:`CallReverted` if it is refused."""
        outcome = self.simulate(sender, address, function, *args)
        if outcome.reason is not None:
            raise CallReverted(f"view {self.contract(address).label}.{function}", outcome.reason)
        return outcome.value

    def storage(self, address: str, slots: Iterable[int]) -> dict[int, int]:
        """Storage words by slot."""
        wanted = list(slots)
        return dict(zip(wanted, self._read(address.lower(), wanted), strict=True)) if wanted else {}

    def _run(self, sender: str, address: str, function: str, args: tuple[Any, ...], *, keep: bool) -> Outcome:
        contract = self.contract(address)
        entry = _find_function(contract.artifact, function, len(args))
        data = _selector(entry) + _encode(entry["inputs"], args)
        raw = self._execute(sender.lower(), contract.address, data, keep=keep)
        if not raw.success:
            return Outcome(None, decode_reason(raw.output), [], raw.gas)
        values = _decode(_outputs(entry), raw.output)
        value = None if not values else normalise(values[0] if len(values) == 1 else values)
        return Outcome(value, None, [self._decode_log(log) for log in raw.logs] if keep else [], raw.gas)

    def _decode_log(self, log: RawLog) -> Log:
        contract = self._contracts.get(log.address.lower())
        if contract is None:
            return Log(log.address.lower(), "", {"topics": log.topics, "data": log.data})
        entry = _events(contract.artifact).get(log.topics[0]) if log.topics else None
        if entry is None:
            return Log(contract.label, "", {"topics": log.topics, "data": log.data})
        shape = _shape(entry)
        values: dict[str, Any] = dict.fromkeys(shape.names)  # in ABI order; every value is set below
        hashed, kept = iter(log.topics[1:]), []
        for name, known in shape.indexed:
            if known:
                kept.append(next(hashed))
            else:
                values[name] = next(hashed)  # the machine keeps only the hash of these
        values.update(zip(shape.kept, _decode(shape.kept_types, b"".join(kept)), strict=True))
        values.update(zip(shape.plain, _decode(shape.plain_types, log.data), strict=True))
        return Log(contract.label, entry["name"], {name: normalise(value) for name, value in values.items()})

    # Time and snapshots

    def advance(self, seconds: int) -> None:
        """Move the clock; the next call runs at exactly the new ``now``."""
        if seconds < 0:
            raise ValueError("the clock does not go back")
        self.now += seconds

    def snapshot(self) -> int:
        """Mark state, clock and known contracts. Every mark must be reverted, the latest first or all above at once."""
        known = self.now, self.block, dict(self._contracts), dict(self._deployments)
        self._snapshots.append((*known, self._snapshot()))
        return len(self._snapshots) - 1

    def revert(self, snapshot: int) -> None:
        """Return to a mark; it and all later ones are then gone."""
        if not 0 <= snapshot < len(self._snapshots):
            raise ValueError(f"no snapshot {snapshot}")
        while len(self._snapshots) > snapshot:
            self.now, self.block, self._contracts, self._deployments, mark = self._snapshots.pop()
            self._revert(mark)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


_PLAIN = {int, bool, bytes, type(None)}


def normalise(value: Any) -> Any:
    """One form for a value wherever it comes from: sequences and dataclasses as tuples, addresses lowercase."""
    if type(value) in _PLAIN:
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return tuple(normalise(getattr(value, f.name)) for f in fields(value))
    if isinstance(value, list | tuple):
        return tuple(normalise(item) for item in value)
    if isinstance(value, str):
        return value.lower() if value[:2].lower() == "0x" else value
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    return value


def decode_reason(output: bytes) -> str:
    """Text of an ``Error(string)``; "" for anything else."""
    if output[:4] != _ERROR:
        return ""
    try:
        return str(decode(["string"], output[4:])[0])
    except DecodingError:
        return ""


def account(index: int) -> str:
    """A deterministic address for a role; no chain needs its key."""
    return "0x" + keccak(b"waterfall account %d" % index)[12:].hex()


@dataclass(frozen=True)
class _Shape:
    """Where the fields of an event are: in the data, in a topic, or only as a hash in a topic."""

    names: tuple[str, ...]
    indexed: tuple[tuple[str, bool], ...]
    kept: tuple[str, ...]
    kept_types: tuple[str, ...]
    plain: tuple[str, ...]
    plain_types: tuple[str, ...]


_shapes: dict[int, _Shape] = {}


def _shape(entry: dict[str, Any]) -> _Shape:
    shape = _shapes.get(id(entry))
    if shape is None:
        typed = [(i["name"], canonical(i), i["indexed"]) for i in entry["inputs"]]
        indexed = tuple(
            (n, not (t in ("string", "bytes") or t.endswith((")", "]")))) for n, t, is_topic in typed if is_topic
        )
        known = {name for name, whole in indexed if whole}
        shape = _shapes[id(entry)] = _Shape(
            tuple(n for n, _, _ in typed),
            indexed,
            tuple(n for n, _, _ in typed if n in known),
            tuple(t for n, t, _ in typed if n in known),
            tuple(n for n, _, is_topic in typed if not is_topic),
            tuple(t for _, t, is_topic in typed if not is_topic),
        )
        _alive[id(entry)] = entry
    return shape


@cache
def _decoder(types: tuple[str, ...]) -> TupleDecoder:
    return TupleDecoder(decoders=[registry.get_decoder(kind) for kind in types])


@cache
def _encoder(types: tuple[str, ...]) -> TupleEncoder:
    return TupleEncoder(encoders=[registry.get_encoder(kind) for kind in types])


def _decode(types: tuple[str, ...], data: bytes) -> tuple[Any, ...]:
    """As ``eth_abi.decode``, which builds its decoder anew for each call."""
    return tuple(_decoder(types)(ContextFramesBytesIO(data))) if types else ()


_functions: dict[int, dict[tuple[str, int], list[dict[str, Any]]]] = {}
_selectors: dict[int, bytes] = {}
_output_types: dict[int, tuple[str, ...]] = {}
_event_tables: dict[int, dict[bytes, dict[str, Any]]] = {}
_alive: dict[int, Any] = {}  # the tables above go by identity, so what they describe must not be freed


def _find_function(code: Artifact, function: str, count: int) -> dict[str, Any]:
    table = _functions.get(id(code))
    if table is None:
        table = {}
        for entry in code.abi:
            if entry["type"] == "function":
                types = [canonical(i) for i in entry["inputs"]]
                for key in (entry["name"], f"{entry['name']}({','.join(types)})"):
                    table.setdefault((key, len(types)), []).append(entry)
        _functions[id(code)], _alive[id(code)] = table, code
    found = table.get((function, count), [])
    if len(found) != 1:
        raise KeyError(f"{len(found)} functions {function} with {count} arguments in {code.name}")
    return found[0]


def _outputs(entry: dict[str, Any]) -> tuple[str, ...]:
    known = _output_types.get(id(entry))
    if known is None:
        known = _output_types[id(entry)] = tuple(canonical(o) for o in entry["outputs"])
        _alive[id(entry)] = entry
    return known


def _selector(entry: dict[str, Any]) -> bytes:
    known = _selectors.get(id(entry))
    if known is None:
        signature = f"{entry['name']}({','.join(canonical(i) for i in entry['inputs'])})"
        known = _selectors[id(entry)] = keccak(signature.encode())[:4]
        _alive[id(entry)] = entry
    return known


def _events(code: Artifact) -> dict[bytes, dict[str, Any]]:
    table = _event_tables.get(id(code))
    if table is None:
        table = {}
        for entry in code.abi:
            if entry["type"] == "event":
                signature = f"{entry['name']}({','.join(canonical(i) for i in entry['inputs'])})"
                table[keccak(signature.encode())] = entry
        _event_tables[id(code)], _alive[id(code)] = table, code
    return table


def _encode(inputs: list[dict[str, Any]], args: tuple[Any, ...]) -> bytes:
    if len(inputs) != len(args):
        raise TypeError(f"{len(inputs)} arguments wanted, {len(args)} given")
    return _encoder(tuple(canonical(i) for i in inputs))([normalise(a) for a in args])
