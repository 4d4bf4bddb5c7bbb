"""Values as the vectors write them: numbers in decimal, addresses and accounts by name, orders by reference.

Nothing in a vector depends on where a target's contracts lie: a :class:`Book` holds the addresses of one target, and
turns written values into those of a call, and observed ones into what is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from eth_abi import encode
from eth_utils import keccak

from python_ref.governor import id_of
from python_ref.ledger import account_id, owner_of
from python_ref.orders import CURVE_ORDER, Order, Signature, hash_order, sign_order
from scripts.chain.artifacts import canonical
from scripts.chain.base import ZERO_ADDRESS, normalise
from scripts.system import actor
from scripts.vectors import VectorError

ZERO = "zero"
"""Name of the zero address."""

SIGNATURE = "(uint256,uint256,uint256)"
"""ABI type of a signature; nothing else has it."""


@dataclass
class Book:
    """Addresses by name (contracts and roles) of one target, and the orders of the vector under way."""

    addresses: dict[str, str]
    chain_id: int
    orders: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.addresses = {name: address.lower() for name, address in self.addresses.items()}
        self.names = {address: name for name, address in self.addresses.items()} | {ZERO_ADDRESS: ZERO}
        self._digests: dict[bytes, str] = {}
        self._data: dict[bytes, Any] = {}
        self._ids: dict[bytes, Any] = {}

    def know(self, orders: Mapping[str, Mapping[str, Any]]) -> None:
        """From now on these are the orders; the same ones again cost nothing."""
        if orders is not self.orders:
            self.orders = orders
            self._digests = {self.digest(name): name for name in orders}

    def role(self, name: str) -> str:
        """Address of a contract or role; a role that the target does not place is where its public key says."""
        if name == ZERO:
            return ZERO_ADDRESS
        if name not in self.addresses:
            address = actor(name).address.lower()
            self.addresses[name] = address
            self.names[address] = name
        return self.addresses[name]

    # From what is written

    def value(self, written: Any, kind: str) -> Any:
        """The value of ABI type ``kind`` that ``written`` stands for."""
        if kind.endswith("]"):
            item = kind[: kind.rindex("[")]
            return tuple(self.value(one, item) for one in written)
        if kind.startswith("("):
            return self._struct(written, kind)
        if kind == "bool":
            return bool(written)
        if kind == "address":
            return written.lower() if written.startswith("0x") else self.role(written)
        if kind == "bytes32":
            if isinstance(written, dict):
                return self.call_id(written["call_id"]) if "call_id" in written else self.digest(written["order_hash"])
            return bytes.fromhex(written[2:]) if written.startswith("0x") else self.account(written)
        if kind.startswith("bytes"):
            return self.data(written["data"]) if isinstance(written, dict) else bytes.fromhex(written[2:])
        if kind == "string":
            return written
        return int(written)

    def data(self, inner: Mapping[str, Any]) -> bytes:
        """Call data of the call ``{to, call, args}``."""
        kinds = split(inner["call"][inner["call"].index("(") :])
        values = [normalise(self.value(a, kind)) for a, kind in zip(inner["args"], kinds, strict=True)]
        data = bytes(keccak(inner["call"].encode())[:4] + encode(kinds, values))
        self._data[data] = inner
        self._ids[id_of(self.role(inner["to"]), data)] = inner
        return data

    def call_id(self, inner: Mapping[str, Any]) -> bytes:
        """Under what a Governor schedules that call."""
        return id_of(self.role(inner["to"]), self.data(inner))

    def account(self, name: str) -> bytes:
        """Id of the account that ``owner/subaccount`` names."""
        owner, _, subaccount = name.rpartition("/")
        return account_id(self.role(owner), int(subaccount))

    def _struct(self, written: Any, kind: str) -> Any:
        if isinstance(written, dict) and "order" in written:
            return self.order(written["order"])
        if isinstance(written, dict) and "signature" in written:
            return self.signature(written)
        values = tuple(self.value(one, part) for one, part in zip(written, split(kind), strict=True))
        return Signature(*values) if kind == SIGNATURE else values

    def order(self, name: str) -> Order:
        """The order of that name, for this target."""
        if name not in self.orders:
            raise VectorError(f"orders: no order {name}")
        written = self.orders[name]
        return Order(
            self.account(written["account"]),
            int(written["market"]),
            written["is_buy"],
            int(written["size"]),
            int(written["limit_price"]),
            written["reduce_only"],
            int(written["expiry"]),
            int(written["claim_epoch"]),
            int(written["salt"]),
        )

    def signature(self, written: Mapping[str, Any]) -> Signature:
        """The signer's signature of an order, or its malleable twin."""
        name = written["signature"]
        signer = written.get("signer", self.orders[name]["signer"] if name in self.orders else "")
        v, r, s = _sign(self.order(name), signer, self.chain_id, self.role("Orders"))
        return Signature(55 - v, r, CURVE_ORDER - s) if written.get("malleable") else Signature(v, r, s)

    def digest(self, name: str) -> bytes:
        """The EIP-712 digest of an order."""
        return hash_order(self.order(name), self.chain_id, self.role("Orders"))

    # To what is written

    def write(self, value: Any, kind: str) -> Any:
        """How a vector writes ``value`` of ABI type ``kind``."""
        if kind.endswith("]"):
            item = kind[: kind.rindex("[")]
            return [self.write(one, item) for one in value]
        if kind.startswith("("):
            return [self.write(one, part) for one, part in zip(value, split(kind), strict=True)]
        if kind == "bool":
            return bool(value)
        if kind == "address":
            address = str(value).lower()
            return self.names.get(address, address)
        if kind == "bytes32":
            return self.word_name(bytes(value))
        if kind.startswith("bytes"):
            raw = bytes(value)
            return {"data": self._data[raw]} if raw in self._data else "0x" + raw.hex()
        return value if kind == "string" else str(value)

    def word_name(self, word: bytes) -> Any:
        """A ``bytes32``: the digest of a known order, an account of a known owner, or just the bytes."""
        owner = self.names.get(owner_of(word))
        if owner:
            return f"{owner}/{int.from_bytes(word[20:], 'big')}"
        if word in self._digests:
            return {"order_hash": self._digests[word]}
        return {"call_id": self._ids[word]} if word in self._ids else "0x" + word.hex()


@lru_cache(maxsize=4096)
def _sign(order: Order, signer: str, chain_id: int, contract: str) -> tuple[int, int, int]:
    """As the model signs; kept, because shrinking plays the same order many times."""
    return sign_order(order, actor(signer).key, chain_id, contract)


@lru_cache(maxsize=1024)
def split(kind: str) -> tuple[str, ...]:
    """Types of the members of a tuple type."""
    parts, depth, start = [], 0, 1
    for at, letter in enumerate(kind):
        depth += (letter == "(") - (letter == ")")
        if (letter == "," and depth == 1) or (letter == ")" and depth == 0):
            parts.append(kind[start:at])
            start = at + 1
    return tuple(parts)


def types(parameters: list[dict[str, Any]]) -> list[str]:
    """ABI types of a list of parameters."""
    return [canonical(parameter) for parameter in parameters]


def signature_of(entry: Mapping[str, Any]) -> str:
    """``name(types)`` of a function or event of an ABI."""
    return f"{entry['name']}({','.join(types(entry['inputs']))})"
