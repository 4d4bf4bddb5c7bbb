"""The model alone, set up as a vector says: plays operations and tells everything that can be seen of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from inspect import signature
from typing import Any

from eth_abi import decode
from eth_abi.exceptions import DecodingError
from eth_utils import keccak

from python_ref.backstop_fund import BackstopFund
from python_ref.clearing_house import ClearingHouse
from python_ref.default_manager import Registry
from python_ref.governor import Governor
from python_ref.lens import Lens
from python_ref.liquidation_engine import LiquidationEngine
from python_ref.mocks import MockFeed, MockToken
from python_ref.orders import Orders
from python_ref.policies import BandQueue, ProRata
from python_ref.price_oracle import PriceOracle
from python_ref.world import Event, Key, Revert, World
from scripts.chain.artifacts import artifact
from scripts.chain.base import CHAIN_ID, normalise
from scripts.vectors import VectorError
from scripts.vectors.observe import State, View, is_judgement, read, view_of
from scripts.vectors.values import Book, signature_of, types

JUDGES = ("LiquidationEngine", "ProRata", "BandQueue")
Mark = tuple[dict[Key, int], int, int]
"""Words, second and block of a world."""


class _Discard(Exception):
    """Ends a view, so that nothing it wrote stays."""


@dataclass(frozen=True)
class Told:
    """What one operation did: value as written or revert reason, events, and the keys of the words it wrote."""

    value: Any
    reason: str | None
    events: list[Event]
    written: set[Key]


@cache
def _takes_sender(model: type, function: str) -> bool:
    """Whether the model's method is told who asks; some views are not."""
    return list(signature(getattr(model, function)).parameters)[1:2] == ["sender"]


def code_of(name: str) -> str:
    """Name of the contract that lies under a vector's name."""
    return {"Token": "MockToken"}.get(name, "MockFeed" if name.startswith("MockFeed") else name)


@cache
def function_of(contract: str, text: str) -> dict[str, Any]:
    """ABI entry of the function with that signature; :class:`VectorError` if the contract has none such."""
    for entry in artifact(code_of(contract)).abi:
        if entry["type"] == "function" and signature_of(entry) == text:
            return entry
    raise VectorError(f"call: {contract} has no function {text}")


@cache
def event_of(contract: str, name: str) -> dict[str, Any]:
    """ABI entry of an event."""
    for entry in artifact(code_of(contract)).abi:
        if entry["type"] == "event" and entry["name"] == name:
            return entry
    raise KeyError(f"{contract} has no event {name}")


def feed_names(setup: Mapping[str, Any]) -> Iterator[tuple[str, int, str]]:
    """Every feed of a set-up: its name, its decimals, and what it describes itself as."""
    for book in (*setup["markets"], *setup["quotes"]):
        oracle = book["oracle"]
        for feed in (*oracle["feeds"], oracle["spare"]):
            yield feed["source"], int(feed["decimals"]), f"{book['name']} / USD"
    if setup["sequencer"]:
        yield setup["sequencer"]["name"], 0, "L2 uptime"


class Domain:
    """World, models and book of one set-up. Starts as the constructors leave it: play ``setup["calls"]`` first."""

    def __init__(self, setup: Mapping[str, Any]) -> None:
        names = ["Token", "PriceOracle", "ClearingHouse", "Orders", "BackstopFund", "Governor", "Lens", *JUDGES]
        names += [name for name, _, _ in feed_names(setup)]
        addresses = {name: "0x" + keccak(b"waterfall vectors " + name.encode())[12:].hex() for name in names}
        self.book = Book(addresses, CHAIN_ID)
        self.world = World(now=int(setup["time"]), block=1)
        world, decimals, governor = self.world, int(setup["token"]["decimals"]), self.book.role(setup["governor"])
        token = MockToken(world, "USD", decimals, "Token")
        feeds: dict[str, Any] = {}
        self.models: dict[str, Any] = {"Token": token}
        for name, feed_decimals, about in feed_names(setup):
            model = MockFeed(world, feed_decimals, about, name)
            feeds[addresses[name]] = self.models[name] = model
        oracle = PriceOracle(world, governor, feeds)
        registry = Registry()
        at, engine = addresses["ClearingHouse"], LiquidationEngine()
        house = ClearingHouse(world, at, token, decimals, oracle, governor, registry, engine)
        registry.policies = {addresses["ProRata"]: ProRata(house), addresses["BandQueue"]: BandQueue()}
        orders = Orders(world, house, addresses["Orders"], CHAIN_ID)
        cooldown = int(setup["fund"]["cooldown_s"])
        fund = BackstopFund(world, addresses["BackstopFund"], token, decimals, house, at, oracle, governor, cooldown)
        self.models |= {"PriceOracle": oracle, "ClearingHouse": house, "Orders": orders, "BackstopFund": fund}
        self.models["Lens"] = Lens(house)
        terms = setup["governor_contract"]
        self.models["Governor"] = Governor(
            world,
            addresses["Governor"],
            self.book.role(terms["owner"]),
            self.book.role(terms["guardian"]),
            int(terms["delay_s"]),
            self._dispatch,
            lambda target: self.models[self.book.names[target]],
            lambda target: self.book.names.get(target) in self.models or target in registry.policies,
        )
        world.events = []

    # Operations

    def call(self, operation: Mapping[str, Any]) -> Told:
        """Play one operation at its second."""
        self.world.now = int(operation["at"])
        self.world.block += 1
        contract, sender = operation["to"], self.book.role(operation["from"])
        entry = function_of(contract, operation["call"])
        args = [self.book.value(a, kind) for a, kind in zip(operation["args"], types(entry["inputs"]), strict=True)]
        written: set[Key] = set()

        def run() -> Any:
            result = self._invoke(contract, entry["name"], sender, args)
            written.update(key for key, _ in self.world._undo or ())
            return result

        try:
            value, events = self.world.transact(run)
        except Revert as revert:
            return Told(None, revert.reason, [], set())
        return Told(self._answer(entry, value), None, events, written)

    def _invoke(self, contract: str, function: str, sender: str, args: list[Any]) -> Any:
        model = self.models[contract]
        method = getattr(model, function)
        return method(sender, *args) if _takes_sender(type(model), function) else method(*args)

    def _dispatch(self, sender: str, target: str, data: bytes) -> None:
        """A raw call by the Governor."""
        contract = self.book.names[target]
        for entry in artifact(code_of(contract)).abi:
            if entry["type"] == "function" and keccak(signature_of(entry).encode())[:4] == data[:4]:
                try:
                    args = normalise(decode(types(entry["inputs"]), data[4:]))
                except DecodingError:
                    break
                self._invoke(contract, entry["name"], sender, list(args))
                return
        raise Revert("")

    def _answer(self, entry: Mapping[str, Any], value: Any) -> Any:
        outputs = types(entry["outputs"])
        if not outputs:
            return None
        value = normalise(value)
        if len(outputs) == 1:
            return self.book.write(value, outputs[0])
        return [self.book.write(one, kind) for one, kind in zip(value, outputs, strict=True)]

    def write_event(self, event: Event) -> dict[str, Any]:
        """An event as vectors have it, its fields in the order of the ABI."""
        inputs = event_of(event.contract, event.name)["inputs"]
        kinds = zip(inputs, types(inputs), strict=True)
        fields = {i["name"]: self.book.write(normalise(event.fields[i["name"]]), kind) for i, kind in kinds}
        return {"contract": event.contract, "event": event.name, "fields": fields}

    # Observation

    def observe(self, key: str) -> dict[str, Any]:
        """An observable as it stands; its view's revert reason if that is refused."""
        try:
            return read(self.book, key, self._ask(view_of(key)))
        except Revert as revert:
            return {"revert": revert.reason}

    def _ask(self, view: View) -> Any:
        entry = function_of(view.contract, view.signature)
        args = [self.book.value(a, kind) for a, kind in zip(view.args, types(entry["inputs"]), strict=True)]
        name = entry["name"]
        if name in _STORED:
            return _STORED[name](self, view.contract, *args)
        answer: list[Any] = []

        def run() -> None:
            answer.append(self._invoke(view.contract, name, self.book.role("zero"), args))
            raise _Discard

        undo = self.world._undo
        words, events = self.world.words, self.world.events
        self.world.words, self.world._undo, self.world.events = dict(words), None, []
        try:
            run()
        except _Discard:
            pass
        finally:
            self.world.words, self.world._undo, self.world.events = words, undo, events
        return normalise(answer[0])

    def touched(self, written: set[Key]) -> list[str]:
        """Keys of what these words show in, those that follow from them included; sorted."""
        keys: set[str] = set()
        for key in written:
            keys.update(self._keys(key))
        keys |= {key.replace("account:", "equity:", 1) for key in keys if key.startswith("account:")}
        return sorted(keys)

    def _keys(self, key: Key) -> Iterator[str]:
        contract, variable, *rest = key
        name = self.book.write
        if contract == "ClearingHouse":
            if variable == "accounts":
                account = name(rest[0], "bytes32")
                yield f"account:{account}"
                if rest[1] not in (0, 33):
                    yield f"position:{account}:{(rest[1] - 1) // 2}"
            elif variable == "markets":
                market, word = divmod(rest[0], 8)
                yield f"market:{market}"
                if word in (2, 3, 6, 7):
                    yield f"terms:{market}"
            elif variable == "bands":
                yield "band:" + _side(rest[0])
            elif variable == "cells":
                index, epoch, scale = rest[0] >> 24, rest[0] >> 8 & 0xFFFF, rest[0] & 0xFF
                yield f"cell:{_side(index)}:{epoch}:{scale}"
            elif variable == "global_words":
                yield "globals"
            elif variable == "operators":
                yield f"operator:{name(rest[0], 'address')}:{name(rest[1], 'address')}"
            elif variable == "fillers":
                yield f"filler:{name(rest[0], 'address')}"
            elif variable == "governor":
                yield "governor"
        elif contract == "PriceOracle":
            if variable == "cache":
                yield f"price:{rest[0]}"
            elif variable == "rules":
                yield f"rules:{rest[0]}"
            elif variable in ("feeds", "bounds"):
                yield f"{'feed' if variable == 'feeds' else 'bounds'}:{rest[0]}:{rest[1]}"
            elif variable in ("governor", "reporter", "sequencer"):
                yield f"oracle_{variable}"
        elif contract == "Governor":
            if variable in ("owner", "pending_owner", "guardian", "is_sealed"):
                yield {"is_sealed": "sealed"}.get(variable, variable)
        elif contract == "Token":
            if variable == "balanceOf":
                yield f"balance:{name(rest[0], 'address')}"
            elif variable == "allowance":
                yield f"approval:{name(rest[0], 'address')}:{name(rest[1], 'address')}"
        elif contract == "Orders":
            yield f"lane:{name(rest[0], 'bytes32')}:{rest[1]}"
        elif contract == "BackstopFund":
            yield from self._fund_keys(variable, rest)

    def _fund_keys(self, variable: str, rest: list[Any]) -> Iterator[str]:
        name = self.book.write
        if variable in ("total_shares", "nav_index", "share_epoch"):
            yield {"total_shares": "fund_shares", "nav_index": "fund_index", "share_epoch": "fund_epoch"}[variable]
        elif variable == "shares":
            yield f"shares:{name(rest[1], 'address')}"
        elif variable in ("requested", "request_mark"):
            yield f"withdrawal:{name(rest[-1], 'address')}"
        elif variable == "cap":
            yield f"fund_cap:{rest[0]}"
        elif variable == "auction_start":
            yield f"fund_auction:{rest[0]}"
        elif variable == "spent":
            yield f"spending:{rest[0]}"
        elif variable == "allowance":
            yield f"fund_approval:{name(rest[0], 'address')}:{name(rest[1], 'address')}"

    # Marks

    def mark(self) -> Mark:
        """Where :meth:`reset` returns to."""
        return dict(self.world.words), self.world.now, self.world.block

    def reset(self, mark: Mark) -> None:
        """Back to a mark."""
        self.world.words = dict(mark[0])
        self.world.now, self.world.block = mark[1:]
        self.world._undo = None


def digest(state: State) -> str:
    """SHA-256 of a state as canonical JSON: keys sorted, no spaces, judgements left out."""
    kept = {key: fields for key, fields in state.items() if not is_judgement(key)}
    return sha256(json.dumps(kept, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _side(index: int) -> str:
    return f"{index >> 9}:{'long' if index >> 8 & 1 else 'short'}:{index & 0xFF}"


def _address_of(word: int) -> str:
    return f"0x{word:040x}"


_STORED: dict[str, Any] = {
    "load_cell": lambda d, _, market, is_long, band, epoch, scale: d.world.get(
        ("ClearingHouse", "cells", d.models["ClearingHouse"]._cell_index(market, is_long, band, epoch, scale))
    ),
    "is_filler": lambda d, _, filler: bool(d.world.get(("ClearingHouse", "fillers", filler))),
    **{
        name: lambda d, contract, name=name: _address_of(d.world.get((contract, name)))
        for name in ("reporter", "sequencer")
    },
    **{
        name: lambda d, contract, *index, name=name: d.world.get((contract, name, *index))
        for name in ("rules", "feeds", "bounds")
    },
    "governor": lambda d, contract: _address_of(d.world.get((contract, "governor"))),
    "owner": lambda d, contract: _address_of(d.world.get((contract, "owner"))),
    "pending_owner": lambda d, contract: _address_of(d.world.get((contract, "pending_owner"))),
    "guardian": lambda d, contract: _address_of(d.world.get((contract, "guardian"))),
    "is_sealed": lambda d, contract: bool(d.world.get((contract, "is_sealed"))),
    "cap": lambda d, contract, market: d.world.get((contract, "cap", market)),
    "auction_start": lambda d, contract, market: d.world.get((contract, "auction_start", market)),
}
"""Getters that the model has no method for: it keeps the same word."""
