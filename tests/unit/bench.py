"""A bare bench for unit tests of single contracts: compile, deploy on revm, call, decode, read storage."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from eth_abi import decode, encode
from eth_hash.auto import keccak
from pyrevm import EVM, BlockEnv
from vyper.compiler import compile_from_file_input
from vyper.compiler.input_bundle import FileInput, FilesystemInputBundle

from python_ref.world import Event, Revert

ROOT = Path(__file__).parents[2]
DEPLOYER = "0x" + "d0" * 20
_ERROR = bytes.fromhex("08c379a0")
_REVERT = re.compile(r"Revert \{ gas_used: \d+, output: 0x([0-9a-f]*) \}")


@cache
def compiled(path: str) -> dict[str, Any]:
    """Abi, bytecode and storage layout of the contract at ``path`` under ``contracts/``."""
    bundle = FilesystemInputBundle([ROOT])
    source = bundle.load_file(Path("contracts") / path)
    assert isinstance(source, FileInput)
    out: dict[str, Any] = compile_from_file_input(
        source, input_bundle=bundle, output_formats=["abi", "bytecode", "layout"]
    )
    return out


def _type(item: dict[str, Any]) -> str:
    if not item["type"].startswith("tuple"):
        return str(item["type"])
    return "(" + ",".join(map(_type, item["components"])) + ")" + item["type"][5:]


def _signature(item: dict[str, Any]) -> bytes:
    return keccak(f"{item['name']}({','.join(map(_type, item['inputs']))})".encode())


class Machine:
    """revm and its clock."""

    def __init__(self, now: int) -> None:
        self.evm = EVM(spec_id="CANCUN", gas_limit=10**9)
        self.now = now
        self.deployed: dict[str, Contract] = {}

    def tick(self) -> None:
        """Put the clock into the next transaction."""
        self.evm.set_block_env(BlockEnv(number=1, timestamp=self.now, gas_limit=10**9))
        self.evm.reset_transient_storage()

    def deploy(self, path: str, *args: Any, name: str = "") -> Contract:
        """Deploy ``path``; its events carry ``name``. Reverts as :meth:`Contract.call` does."""
        self.tick()
        code = compiled(path)
        inputs = next((item["inputs"] for item in code["abi"] if item["type"] == "constructor"), [])
        data = bytes.fromhex(code["bytecode"][2:]) + encode([_type(item) for item in inputs], args)
        try:
            address = self.evm.deploy(DEPLOYER, data, gas=20_000_000).lower()
        except RuntimeError as error:
            raise _refusal(error) from None
        contract = Contract(self, code, address, name or Path(path).stem)
        self.deployed[address] = contract
        return contract

    def events(self) -> list[Event]:
        """Events of the last transaction."""
        assert self.evm.result is not None
        return [self.deployed[log.address.lower()].decode_log(log) for log in self.evm.result.logs]


class Contract:
    """A deployed contract."""

    def __init__(self, machine: Machine, code: dict[str, Any], address: str, name: str) -> None:
        self.machine = machine
        self.address = address
        self.name = name
        self.functions = {item["name"]: item for item in code["abi"] if item["type"] == "function"}
        self.topics = {_signature(item): item for item in code["abi"] if item["type"] == "event"}
        self.layout = code["layout"].get("storage_layout", {})

    def call(self, sender: str, function: str, *args: Any, gas: int = 10_000_000) -> Any:
        """One transaction: its value (a tuple for a struct), or a :class:`Revert`."""
        item = self.functions[function]
        output = self.raw(sender, _signature(item)[:4] + encode([_type(i) for i in item["inputs"]], args), gas)
        values = decode([_type(i) for i in item["outputs"]], output)
        return values[0] if len(values) == 1 else (values or None)

    def raw(self, sender: str, data: bytes, gas: int = 10_000_000) -> bytes:
        """One transaction with ``data``: the bytes it answers."""
        self.machine.tick()
        try:
            return bytes(self.machine.evm.message_call(sender, self.address, calldata=data, gas=gas))
        except RuntimeError as error:
            raise _refusal(error) from None

    def word(self, variable: str, *keys: int, at: int = 0) -> int:
        """Storage word ``at`` words behind ``variable[keys…]``."""
        slot = self.layout[variable]["slot"]
        for key in keys:
            slot = int.from_bytes(keccak(slot.to_bytes(32, "big") + key.to_bytes(32, "big")), "big")
        return int(self.machine.evm.storage(self.address, slot + at))

    def decode_log(self, log: Any) -> Event:
        """The event, in the model's form."""
        topics, data = log.topics, log.data[1]
        item = self.topics[bytes.fromhex(topics[0].removeprefix("0x"))]
        plain = iter(decode([_type(i) for i in item["inputs"] if not i["indexed"]], bytes(data)))
        indexed = iter(topics[1:])
        fields = {
            i["name"]: decode([_type(i)], bytes.fromhex(next(indexed).removeprefix("0x")))[0]
            if i["indexed"]
            else next(plain)
            for i in item["inputs"]
        }
        return Event(self.name, item["name"], fields)


def _refusal(error: RuntimeError) -> Revert:
    match = _REVERT.match(str(error))
    data = bytes.fromhex(match[1]) if match else b""
    return Revert(decode(["string"], data[4:])[0] if data[:4] == _ERROR else "")
