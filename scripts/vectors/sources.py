"""Where operations come from: steered walks and the scenario files, as they were called on a chain.

Which contract answers there does not matter: only what was asked is taken; what is expected the model says anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from eth_abi import decode
from eth_abi.exceptions import DecodingError
from eth_utils import keccak

from python_ref.governor import id_of
from python_ref.orders import CURVE_ORDER, MAX_S, Order, Signature, hash_order, recover
from scripts.campaign.operations import Operations
from scripts.campaign.regimes import REGIMES, varied
from scripts.campaign.setup import GUARDIAN, Setup
from scripts.campaign.steering import Steering
from scripts.campaign.walk import OPERATOR, PROVIDERS, STRANGER
from scripts.chain.artifacts import ROOT, artifact
from scripts.chain.base import CHAIN_ID, START, Outcome, normalise
from scripts.chain.revm import RevmChain
from scripts.scenario import load
from scripts.scenario.runner import Player
from scripts.system import FILLER, GOVERNOR, KEEPER, System, actor
from scripts.vectors import setups
from scripts.vectors.domain import code_of
from scripts.vectors.play import Operation
from scripts.vectors.values import Book, signature_of, types

SCENARIOS = ROOT / "tests" / "scenarios"
SHIFT = setups.START - START
"""Seconds between a vector's clock and that of the chain on which its operations were found."""

COOLDOWN_S = 86_400
"""The fund's, where a scenario is played."""


@dataclass
class Story:
    """Operations from one source, on one set-up, with the orders that they use."""

    name: str
    setup: str
    operations: list[Operation]
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)


Call = tuple[int, str, str, str, tuple[Any, ...]]
"""Second, contract, function, sender and arguments."""

_SETTING_UP = {
    "wire",
    "set_filler",
    "set_reporter",
    "set_feeds",
    "set_answer",
    "poke",
    "add_market",
    "set_round",
    "set_sequencer",
}


class RecordingChain(RevmChain):
    """The fast chain; remembers every transaction."""

    def __init__(self) -> None:
        super().__init__()
        self.record: list[Call] = []

    def call(self, sender: str, address: str, function: str, *args: Any) -> Outcome:
        """As the base says."""
        self.record.append((self.now, self.contract(address).label, function, sender, args))
        return super().call(sender, address, function, *args)

    def since_setup(self) -> list[Call]:
        """What came after the last market had its feeds: a vector's set-up has its own calls up to there."""
        start = next((i for i, (_, _, function, *_) in enumerate(self.record) if function not in _SETTING_UP), 0)
        return self.record[start:]


class Scribe:
    """Turns recorded calls into operations that name nobody by address."""

    def __init__(self, system: System, people: dict[str, str]) -> None:
        addresses = dict(system.addresses)
        addresses |= {feed.name: address for address, feed in system.oracle.contracts.items()}
        self.book = Book(addresses | people, CHAIN_ID)
        self.orders: dict[str, dict[str, Any]] = {}
        self._known: dict[Order, str] = {}
        self._ids: dict[bytes, dict[str, Any]] = {}

    def write(self, record: list[Call]) -> list[Operation]:
        """The operations; calls of contracts that no set-up has are left out."""
        operations = []
        for now, contract, function, sender, args in record:
            if contract not in self.book.addresses:
                continue
            entry = _entry(contract, function, len(args))
            kinds = types(entry["inputs"])
            operations.append(
                {
                    "at": str(now + SHIFT),
                    "from": self.book.write(sender, "address"),
                    "to": contract,
                    "call": signature_of(entry),
                    "args": [self._arg(a, k, args) for a, k in zip(args, kinds, strict=True)],
                }
            )
        return operations

    def _arg(self, value: Any, kind: str, args: tuple[Any, ...]) -> Any:
        if isinstance(value, Order):
            return {"order": self._order(value, args)}
        if isinstance(value, Signature):
            return self._signature(value, args)
        if kind == "bytes" and value:
            return self._data(self.book.names.get(str(args[0]).lower(), ""), bytes(value))
        if kind == "bytes32" and bytes(value) in self._ids:
            return {"call_id": self._ids[bytes(value)]}
        return self.book.write(value, kind)

    def _data(self, target: str, data: bytes) -> Any:
        """Call data for ``target``, taken apart; as it is where that is no call of a known function."""
        if target not in self.book.addresses:
            return "0x" + data.hex()
        for entry in artifact(code_of(target)).abi:
            if entry["type"] == "function" and keccak(signature_of(entry).encode())[:4] == data[:4]:
                kinds = types(entry["inputs"])
                try:
                    values = normalise(decode(kinds, data[4:]))
                except DecodingError:
                    break
                args = [self._arg(value, kind, ()) for value, kind in zip(values, kinds, strict=True)]
                inner = {"to": target, "call": signature_of(entry), "args": args}
                self._ids[id_of(self.book.role(target), data)] = inner
                return {"data": inner}
        return "0x" + data.hex()

    def _order(self, order: Order, args: tuple[Any, ...]) -> str:
        if order not in self._known:
            name = f"order {len(self._known)}"
            self._known[order] = name
            signer = self._signer(order, args[args.index(order) + 1])
            self.orders[name] = {
                "account": self.book.write(order.account, "bytes32"),
                "market": str(order.market),
                "is_buy": order.is_buy,
                "size": str(order.size),
                "limit_price": str(order.limit_price),
                "reduce_only": order.reduce_only,
                "expiry": str(order.expiry + SHIFT),
                "claim_epoch": str(order.claim_epoch),
                "salt": str(order.salt),
                "signer": signer or self.book.write("0x" + order.account[:20].hex(), "address"),
            }
        return self._known[order]

    def _signer(self, order: Order, signature: Signature) -> str | None:
        digest = hash_order(order, CHAIN_ID, self.book.role("Orders"))
        address = recover(digest, signature.v, signature.r, signature.s)
        return self.book.names.get(address) if address else None

    def _signature(self, signature: Signature, args: tuple[Any, ...]) -> Any:
        order = args[args.index(signature) - 1]
        malleable = signature.s > MAX_S
        low = Signature(55 - signature.v, signature.r, CURVE_ORDER - signature.s) if malleable else signature
        signer = self._signer(order, low)
        if signer is None:
            return [str(signature.v), str(signature.r), str(signature.s)]
        written: dict[str, Any] = {"signature": self._order(order, args)}
        if signer != self.orders[written["signature"]]["signer"]:
            written["signer"] = signer
        return written | ({"malleable": True} if malleable else {})


def _entry(contract: str, function: str, count: int) -> dict[str, Any]:
    name, _, _ = function.partition("(")
    entries = [e for e in artifact(code_of(contract)).abi if e.get("name") == name and e["type"] == "function"]
    (entry,) = (e for e in entries if len(e["inputs"]) == count)
    return entry


def people() -> dict[str, str]:
    """Roles of walks by name; whoever has no key there gets one here."""
    named = {"governor": GOVERNOR, "filler": FILLER, "keeper": KEEPER, "guardian": GUARDIAN}
    named |= {"operator": OPERATOR, "stranger": STRANGER}
    return named | {f"provider {i}": address for i, address in enumerate(PROVIDERS)}


def walk_stories(seed: int, count: int, steps: int) -> Iterator[tuple[Story, dict[str, Any]]]:
    """``count`` walks of ``steps`` steps, the regimes in turn, and the set-up of each: everybody with tokens."""
    names: dict[str, str] = {}
    for number in range(count):
        regime = REGIMES[number % len(REGIMES)]
        setup = varied(regime, 0)
        with RecordingChain() as chain:
            ops = Operations(chain, setup, regime.traders, regime.seconds, ideal_every=10**9)
            scribe = Scribe(ops.system, people() | {trader.name: trader.address for trader in ops.traders})
            opened = len(chain.record)
            ready = scribe.write(chain.since_setup())
            steering = Steering(ops, regime, Random(f"{seed} {number}"))
            # Where contract and model part, the walk ends with that call: what the model says of it goes into a vector.
            # The exact ledger has no part in this.
            ops.judge.detach()
            with suppress(AssertionError):
                steering.open()
                while ops.steps < steps:
                    steering.move()
            operations = scribe.write(chain.record[opened:])
        described = setups.describe(setup)
        described["calls"] += ready
        # Regimes that start alike share a set-up, named after the first of them.
        name = names.setdefault(repr(described), f"as for {regime.name}")
        yield Story(f"{regime.name} {number}", name, operations, scribe.orders), described


def scenario_stories(paths: list[Path]) -> Iterator[tuple[Story, dict[str, Any]]]:
    """Every scenario file as one story, and its set-up."""
    for path in paths:
        scenario = load(path)
        name = f"scenario {path.stem}"
        with RecordingChain() as chain:
            player = Player(scenario, chain)
            for step in scenario.steps:
                player.play(step)
            scribe = Scribe(player.system, people() | _cast(player))
            operations = scribe.write(chain.since_setup())
        setup = setups.describe(Setup(scenario.decimals, scenario.markets, COOLDOWN_S))
        yield Story(name, name, operations, scribe.orders), setup


def _cast(player: Player) -> dict[str, str]:
    """Owners of a scenario's accounts and its fund's providers."""
    names = [holder.owner for holder in player.scenario.holders.values()]
    names += [f"provider {name}" for name in player.providers]
    taken = people()
    # Somebody in a scenario may be called like a role that is somebody else.
    return {f"holder {name}" if name in taken else name: actor(name).address for name in names}
