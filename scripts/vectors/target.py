"""An implementation at addresses behind an RPC endpoint: sends it operations and looks at it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from eth_abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_utils import keccak

from scripts.chain.base import decode_reason, normalise
from scripts.vectors import VectorError
from scripts.vectors.functions import read_input, write_outputs
from scripts.vectors.observe import State, View, read, view_of
from scripts.vectors.rpc import Refused, Rpc
from scripts.vectors.values import Book, signature_of, types

GAS = 16_000_000
BALANCE = 10**24
MINED_S = 30.0
"""Longest that a node may take to mine a transaction."""

_TRACE = {"tracer": "callTracer", "tracerConfig": {"onlyTopCall": True}}


class Missing(Exception):
    """The target has no such function, or no such contract."""


@dataclass(frozen=True)
class Done:
    """What one transaction did: value or revert reason (None if accepted), events; ``empty`` if it said nothing."""

    value: Any
    reason: str | None
    events: list[dict[str, Any]]
    empty: bool


class Abi:
    """The ABI section of a vector file: functions by signature and events by topic, per kind of contract."""

    def __init__(self, section: Mapping[str, Any]) -> None:
        self._functions: dict[tuple[str, str], dict[str, Any]] = {}
        self._events: dict[tuple[str, bytes], dict[str, Any]] = {}
        self.contracts = frozenset(section)
        for contract, entries in section.items():
            for entry in entries:
                if entry["type"] == "function":
                    self._functions[contract, signature_of(entry)] = entry
                else:
                    self._events[contract, keccak(signature_of(entry).encode())] = entry

    @staticmethod
    def _kind(name: str) -> str:
        return "MockFeed" if name.startswith("MockFeed") else name

    def function(self, contract: str, signature: str) -> dict[str, Any]:
        """A function; :class:`VectorError` if the file does not describe it."""
        entry = self._functions.get((self._kind(contract), signature))
        if entry is None:
            raise VectorError(f"abi.{self._kind(contract)}: {signature} is called but not described")
        return entry

    def event(self, contract: str, topic: bytes) -> dict[str, Any] | None:
        """An event, None if the file does not know it."""
        return self._events.get((self._kind(contract), topic))


class Target:
    """The contracts of one set-up."""

    def __init__(self, rpc: Rpc, addresses: Mapping[str, str], abi: Abi) -> None:
        self.rpc, self.abi = rpc, abi
        self.book = Book(dict(addresses), rpc.chain_id)
        self._views = {name.removesuffix(".views"): at for name, at in addresses.items() if name.endswith(".views")}
        self._contracts = set(addresses)
        self._time: int | None = None

    # Time and marks

    def prepare(self, senders: Iterable[str]) -> None:
        """Let these roles send, and blocks share a second; what the node does not know is not needed there."""
        self.rpc.try_call("anvil_setBlockTimestampInterval", 0)
        self.rpc.try_call("anvil_autoImpersonateAccount", True)
        for sender in senders:
            address = self.book.role(sender)
            for node in ("anvil", "hardhat"):
                self.rpc.try_call(f"{node}_setBalance", address, hex(BALANCE))
                self.rpc.try_call(f"{node}_impersonateAccount", address)

    def at(self, second: int) -> None:
        """The next block's timestamp."""
        if self._time == second:
            return
        try:
            self.rpc.call("evm_setNextBlockTimestamp", second)
        except Refused as error:
            raise VectorError(f"--rpc: the node cannot be set to second {second} ({error})") from None
        self._time = second

    def mine(self, second: int) -> None:
        """An empty block at a second: what views are asked in."""
        self.at(second)
        self.rpc.call("evm_mine")

    def snapshot(self) -> Any:
        """Mark the chain."""
        try:
            return self.rpc.call("evm_snapshot")
        except Refused as error:
            raise VectorError(f"--rpc: the node takes no snapshots ({error}): use a devnet such as anvil") from None

    def revert(self, mark: Any) -> None:
        """Back to a mark, which is then gone."""
        if not self.rpc.call("evm_revert", mark):
            raise VectorError(f"--rpc: the node lost snapshot {mark}: is somebody else using it?")
        self._time = None

    # Sending

    def create(self, sender: str, data: bytes) -> str:
        """Deploy; the address."""
        receipt = self._send({"from": self.book.role(sender), "data": "0x" + data.hex()})
        if int(receipt["status"], 16) != 1:
            raise VectorError("--deploy: a constructor was refused")
        return str(receipt["contractAddress"])

    def call(self, operation: Mapping[str, Any]) -> Done:
        """Send one operation at its second. :class:`Missing` if the target has no such contract."""
        contract = operation["to"]
        if contract not in self._contracts:
            raise Missing(contract)
        entry = self.abi.function(contract, operation["call"])
        self.at(int(operation["at"]))
        data = self._data(entry, operation["args"])
        request = {"from": self.book.role(operation["from"]), "to": self.book.role(contract), "data": data}
        receipt = self._send(request)
        accepted = int(receipt["status"], 16) == 1
        outputs = types(entry["outputs"])
        if accepted and not outputs:
            return Done(None, None, self._events(receipt["logs"]), False)
        output = self._output(receipt["transactionHash"])
        if not accepted:
            return Done(None, decode_reason(output), [], not output)
        try:
            values = normalise(decode(outputs, output))
        except DecodingError:
            return Done("0x" + output.hex(), None, self._events(receipt["logs"]), not output)
        written = [self.book.write(value, kind) for value, kind in zip(values, outputs, strict=True)]
        return Done(written[0] if len(written) == 1 else written, None, self._events(receipt["logs"]), False)

    def _data(self, entry: Mapping[str, Any], args: Iterable[Any]) -> str:
        kinds = types(entry["inputs"])
        values = [normalise(self.book.value(a, kind)) for a, kind in zip(args, kinds, strict=True)]
        return "0x" + (keccak(signature_of(entry).encode())[:4] + encode(kinds, values)).hex()

    def _send(self, request: dict[str, Any]) -> Mapping[str, Any]:
        terms = {"gas": hex(GAS), "gasPrice": hex(self.rpc.gas_price)}
        try:
            transaction = self.rpc.call("eth_sendTransaction", request | terms)
        except Refused as error:
            sender = self.book.names.get(request["from"], request["from"])
            raise VectorError(f"--rpc: the node does not send for {sender} ({error})") from None
        deadline = time.monotonic() + MINED_S
        while time.monotonic() < deadline:
            receipt = self.rpc.call("eth_getTransactionReceipt", transaction)
            if receipt is not None:
                return dict(receipt)
            time.sleep(0.001)
        raise VectorError(f"--rpc: {transaction} is in no block: let the node mine at once")

    def _output(self, transaction: str) -> bytes:
        try:
            trace = self.rpc.call("debug_traceTransaction", transaction, _TRACE)
        except Refused as error:
            raise VectorError(f"--rpc: the node does not trace ({error}): returns and reasons need it") from None
        return bytes.fromhex(trace.get("output", "0x").removeprefix("0x"))

    def _events(self, logs: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        found = []
        for log in logs:
            contract = self.book.names.get(log["address"].lower())
            if contract is None or contract not in self._contracts:
                continue
            topics = [bytes.fromhex(topic[2:]) for topic in log["topics"]]
            entry = self.abi.event(contract, topics[0]) if topics else None
            if entry is None:
                found.append({"contract": contract, "event": log["topics"][0] if topics else "anonymous", "fields": {}})
                continue
            kinds = types(entry["inputs"])
            plain = [kind for i, kind in zip(entry["inputs"], kinds, strict=True) if not i["indexed"]]
            body = iter(decode(plain, bytes.fromhex(log["data"][2:])))
            rest = iter(topics[1:])
            fields = {
                item["name"]: self.book.write(
                    normalise(decode([kind], next(rest))[0] if item["indexed"] else next(body)), kind
                )
                for item, kind in zip(entry["inputs"], kinds, strict=True)
            }
            found.append({"contract": contract, "event": entry["name"], "fields": fields})
        return found

    # Looking

    def observe(self, keys: Iterable[str]) -> tuple[State, list[View]]:
        """Observables as they stand in the last block, and the views that the target has not."""
        wanted = list(keys)
        views = {key: view_of(key) for key in wanted}
        asked = list(dict.fromkeys(views.values()))
        answers = dict(zip(asked, self.ask(asked), strict=True))
        state: State = {}
        missing: dict[View, None] = {}
        for key in wanted:
            answer = answers[views[key]]
            if isinstance(answer, Missing) or self._names_absent(key):
                missing[views[key]] = None
            elif isinstance(answer, Refused):
                state[key] = {"revert": decode_reason(answer.data)}
            else:
                state[key] = read(self.book, key, answer)
        return state, list(missing)

    def _names_absent(self, key: str) -> bool:
        """Whether a key is about a contract that the target does not have."""
        return any(part in self.abi.contracts and part not in self._contracts for part in key.split(":")[1:])

    def ask(self, views: list[View]) -> list[Any]:
        """Value of each view in the last block; :class:`Missing` or :class:`Refused` in its place."""
        entries = [self.abi.function(view.contract, view.signature) for view in views]
        there = [view.contract in self._contracts or view.contract in self._views for view in views]
        asked = [
            ("eth_call", [{"to": self._place(view.contract), "data": self._data(entry, view.args)}, "latest"])
            for view, entry, known in zip(views, entries, there, strict=True)
            if known
        ]
        answers = iter(self.rpc.batch(asked))
        results: list[Any] = []
        for entry, known in zip(entries, there, strict=True):
            answer = next(answers) if known else Missing()
            if isinstance(answer, Refused) and not answer.data:
                answer = Missing()
            if isinstance(answer, Missing | Refused):
                results.append(answer)
                continue
            try:
                values = normalise(decode(types(entry["outputs"]), bytes.fromhex(answer[2:])))
            except DecodingError:
                results.append(Missing())
                continue
            results.append(values[0] if len(values) == 1 else values)
        return results

    def ask_function(self, contract: str, signature: str, inputs: Mapping[str, Any]) -> dict[str, Any] | None:
        """Answer of a pure function, ``returns`` or ``revert``; None if the target has no such contract."""
        entry = self.abi.function(contract, signature)
        if contract not in self._contracts:
            return None
        kinds = types(entry["inputs"])
        values = [read_input(parameter, inputs[parameter["name"]]) for parameter in entry["inputs"]]
        data = "0x" + (keccak(signature.encode())[:4] + encode(kinds, values)).hex()
        (answer,) = self.rpc.batch([("eth_call", [{"to": self.book.role(contract), "data": data}, "latest"])])
        if isinstance(answer, Refused):
            return {"revert": decode_reason(answer.data)}
        try:
            outputs = normalise(decode(types(entry["outputs"]), bytes.fromhex(answer[2:])))
        except DecodingError:
            return {"revert": ""}
        return {"returns": write_outputs(entry, outputs[0] if len(outputs) == 1 else outputs)}

    def _place(self, contract: str) -> str:
        return self._views.get(contract) or self.book.role(contract)
