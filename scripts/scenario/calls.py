"""Raw calls in a scenario: any function of any contract, its arguments written with the names of the file.

Types come from the compiled ABI, so a wrong argument is found before anything is deployed. Addresses are known only
once everything is deployed: until then a :class:`Name` stands for them, and a :class:`SignedBy` for a signature.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

from python_ref.constants import MAX_MARKETS
from python_ref.ledger import account_id
from python_ref.oracle_words import MAX_BOOKS
from python_ref.orders import Order, Signature, sign_order
from scripts.campaign.setup import GUARDIAN, Setup
from scripts.chain import CHAIN_ID, account
from scripts.chain.artifacts import DELEGATES, Artifact, artifact
from scripts.scenario.nodes import Node
from scripts.system import FILLER, GOVERNOR, KEEPER, System, actor

CALLABLE = ("ClearingHouse", "Orders", "BackstopFund", "PriceOracle", "Governor", "Token")
"""Contracts that a step may call, beside the feeds: ``MockFeed0.1`` is the second of the first market, ``MockFeed16.0``
the first of the first quote, the last of a book its spare one; ``MockFeed32.0`` says whether the sequencer is up."""

CONTRACTS = (*CALLABLE, "LiquidationEngine", "ProRata", "BandQueue", *DELEGATES)
"""Names that stand for a contract's address in an argument, beside the feeds."""

ROLES = {"governor": GOVERNOR, "guardian": GUARDIAN, "keeper": KEEPER, "filler": FILLER}

STRUCTS: dict[tuple[str, ...], type[Any]] = {tuple(f.name for f in fields(kind)): kind for kind in (Order, Signature)}

MAX_DIGITS = 80
_HEX = re.compile(r"0x[0-9a-fA-F]*")
_FEED = re.compile(r"MockFeed(\d+)\.(\d+)")
_NUMBERED = re.compile(r"account (\d{1,9})")


@dataclass(frozen=True)
class Name:
    """An account (``kind`` "account") or an address by its name."""

    kind: str
    text: str


@dataclass(frozen=True)
class SignedBy:
    """The signature of the order just before, by the owner of that name."""

    owner: str


def feeds_of(setup: Setup) -> dict[int, int]:
    """How many mock feeds every book has, its spare one included; the L2's uptime feed counts as a book's."""
    found = {book: spec.n_feeds + 1 for book, spec in setup.books.items()}
    return found | ({MAX_BOOKS: 1} if setup.sequencer else {})


def is_feed(name: str, feeds: Mapping[int, int]) -> bool:
    """Whether ``name`` is that of a feed; ``feeds`` as :func:`feeds_of` says."""
    found = _FEED.fullmatch(name)
    return found is not None and int(found[2]) < feeds.get(int(found[1]), 0)


def artifact_of(contract: str) -> Artifact:
    """The code behind the name of a bound contract."""
    if contract == "Token":
        return artifact("MockToken")
    return artifact("MockFeed" if _FEED.fullmatch(contract) else contract)


def functions_of(contract: str) -> dict[str, list[dict[str, Any]]]:
    """ABI entries of a contract's functions, by name."""
    found: dict[str, list[dict[str, Any]]] = {}
    for entry in artifact_of(contract).abi:
        if entry["type"] == "function":
            found.setdefault(entry["name"], []).append(entry)
    return found


def inputs_of(contract: str, function: str, count: int) -> list[dict[str, Any]]:
    """ABI of the parameters of that function; :class:`KeyError` where there is none with ``count`` of them."""
    for entry in functions_of(contract).get(function, ()):
        if len(entry["inputs"]) == count:
            inputs: list[dict[str, Any]] = entry["inputs"]
            return inputs
    raise KeyError(f"{contract} has no function {function} with {count} arguments")


def element_of(parameter: Mapping[str, Any]) -> dict[str, Any]:
    """ABI of an element of an array parameter."""
    return {**parameter, "type": parameter["type"][: parameter["type"].rindex("[")]}


def struct_of(parameter: Mapping[str, Any]) -> type[Any] | None:
    """The dataclass that stands for a struct parameter; None where its fields come as a tuple."""
    return STRUCTS.get(tuple(c["name"] for c in parameter["components"]))


# What a call means to those who judge it


PASSIVE = ("resolve", "settle", "rerank", "take_over", "claim")
"""Anybody may call these, for accounts that did not ask for it."""


def acting_in(function: str, args: Sequence[Any]) -> tuple[bytes, ...]:
    """The accounts whose owners called or signed: those that the call may change although they are exempt."""
    if function in PASSIVE:
        return ()
    if function in ("liquidate", "liquidate_batch"):
        return (args[2],)
    return tuple(_accounts(args))


def _accounts(args: Sequence[Any]) -> Iterator[bytes]:
    for value in args:
        if isinstance(value, bytes) and len(value) == 32:
            yield value
        elif isinstance(value, Order):
            yield value.account


_CAUSES = {
    "deposits": ("deposit", "withdraw", "transfer", "claim_withdrawal"),
    "trades": ("fill", "settle_orders", "take"),
    "liquidations": ("liquidate", "liquidate_batch"),
    "fund": ("take_over", "sweep_fees", "top_up", "skim", "sell_inventory", "recognise", "start_auction"),
    "default": ("resolve", "claim"),
    "rebases": ("rebase_claims",),
}
_CAUSE_OF = {function: cause for cause, functions in _CAUSES.items() for function in functions}


def cause_of(contract: str, function: str) -> str:
    """To which cause of ``result.CAUSES`` a call's changes of equity are counted; "default" is told apart later."""
    if contract == "PriceOracle" or _FEED.fullmatch(contract):
        return "prices"
    return _CAUSE_OF.get(function, "other")


# Reading


@dataclass(frozen=True)
class Known:
    """Names that arguments may use: of markets and quotes by their book, of accounts, and of their owners.

    ``feeds`` as :func:`feeds_of` says.
    """

    books: Mapping[str, int]
    feeds: Mapping[int, int]
    accounts: tuple[str, ...]
    owners: Mapping[str, str]


def read_call(node: Node, known: Known) -> dict[str, Any]:
    """``{contract, function, by, args}`` with every argument checked against the ABI."""
    found = node.fields((), ("contract", "function", "by", "args"))
    contract = found["contract"].text()
    if not is_feed(contract, known.feeds):
        found["contract"].choice(CALLABLE, "contract")
    functions = functions_of(contract)
    function = found["function"].choice(tuple(functions), f"function of {contract}")
    values = found["args"].elements()
    entry = next((e for e in functions[function] if len(e["inputs"]) == len(values)), None)
    if entry is None:
        wanted = ", ".join(i["name"] for i in functions[function][0]["inputs"]) or "none"
        raise found["args"].fail(f"{function} takes {len(functions[function][0]['inputs'])} arguments ({wanted})")
    args = tuple(_value(value, i, known) for value, i in zip(values, entry["inputs"], strict=True))
    return {"contract": contract, "function": function, "by": _address(found["by"], known), "args": args}


def _value(node: Node, parameter: Mapping[str, Any], known: Known) -> Any:
    kind: str = parameter["type"]
    if kind.endswith("]"):
        return tuple(_value(item, element_of(parameter), known) for item in node.elements())
    if kind == "tuple":
        return _struct(node, parameter, known)
    if kind == "bool":
        return node.flag()
    if kind == "address":
        return _address(node, known)
    if kind == "bytes32":
        return _account(node, known)
    if kind == "bytes":
        return _bytes(node, None)
    if parameter["name"] == "market" and isinstance(node.value, str) and node.value in known.books:
        return known.books[node.value]
    return _integer(node, kind)


def _struct(node: Node, parameter: Mapping[str, Any], known: Known) -> Any:
    struct = struct_of(parameter)
    if struct is Signature and node.has("signed_by"):
        owner = node.fields((), ("signed_by",))["signed_by"]
        name = known.owners[owner.choice(tuple(known.owners), "owner")]
        if not has_key(name):
            raise owner.fail(f"{name} has no key to sign with; write v, r and s")
        return SignedBy(name)
    found = node.fields((), tuple(c["name"] for c in parameter["components"]))
    values = {c["name"]: _value(found[c["name"]], c, known) for c in parameter["components"]}
    return struct(**values) if struct else tuple(values.values())


def _integer(node: Node, kind: str) -> int:
    text = node.text().replace("_", "")
    bits = int(re.sub(r"\D", "", kind))
    least, most = (0, 2**bits - 1) if kind.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    try:
        number = Decimal(int(text, 16)) if _HEX.fullmatch(text) and len(text) > 2 else Decimal(text)
    except InvalidOperation:
        number = Decimal("nan")
    if not number.is_finite() or (number and abs(number.adjusted()) > MAX_DIGITS):
        raise node.fail(f"a whole number is wanted like 1_000, 2.5e18 or 0xff, not {node.value!r}")
    value = int(text, 16) if _HEX.fullmatch(text) else Fraction(number)
    if Fraction(value).denominator != 1 or not least <= value <= most:
        raise node.fail(f"{node.value} does not fit {kind}, a whole number of the contract's units")
    return int(value)


def _bytes(node: Node, size: int | None) -> bytes:
    text = node.text()
    if not _HEX.fullmatch(text) or len(text) % 2 or (size is not None and len(text) != 2 + 2 * size):
        raise node.fail(f"{f'{size} bytes' if size else 'bytes'} in hexadecimal are wanted, beginning with 0x")
    return bytes.fromhex(text[2:])


def _account(node: Node, known: Known) -> Any:
    text = node.text()
    if text.startswith("0x"):
        return _bytes(node, 32)
    special = (*(f"bucket {name}" for name, book in known.books.items() if book < MAX_MARKETS), "treasury")
    return Name("account", node.choice((*known.accounts, *special), "account"))


def _address(node: Node, known: Known) -> Any:
    text = node.text()
    if text.startswith("0x") and text not in known.owners:
        return "0x" + _bytes(node, 20).hex()
    if not (_NUMBERED.fullmatch(text) or text.startswith("provider ") or is_feed(text, known.feeds)):
        node.choice((*known.owners, *ROLES, *CONTRACTS), "address")
    return Name("address", text)


# Resolving


def owner_address(owner: str) -> str:
    """Address of an owner: of the actor of that name, or as written."""
    if _HEX.fullmatch(owner):
        return owner.lower()
    numbered = _NUMBERED.fullmatch(owner)
    return account(int(numbered[1])) if numbered else actor(owner).address


def is_owner(owner: str) -> bool:
    """Whether the text can stand for an owner: a name, or a whole address."""
    return not owner.startswith("0x") or (len(owner) == 42 and _HEX.fullmatch(owner) is not None)


def has_key(owner: str) -> bool:
    """Whether that owner can sign."""
    return not (_HEX.fullmatch(owner) or _NUMBERED.fullmatch(owner))


class Directory:
    """Who is behind the names of a deployed system; ``owners`` says who owns what is named."""

    def __init__(
        self, system: System, feeds: Mapping[int, int], accounts: Mapping[str, bytes], owners: Mapping[str, str]
    ) -> None:
        self.orders = system.orders.address
        self.accounts = dict(accounts)
        self.accounts |= {f"bucket {s.name}": system.bucket(m) for m, s in enumerate(system.specs)}
        self.accounts["treasury"] = account_id(system.fund.address)
        self.addresses = dict(ROLES) | {name: system.addresses[name] for name in CONTRACTS}
        names = [system.feed_name(book, i) for book, count in feeds.items() for i in range(count)]
        self.addresses |= {name: system.twin.address(name) for name in names}
        self.addresses |= {name: owner_address(owner) for name, owner in owners.items()}

    def resolve(self, value: Any) -> Any:
        """``value`` with every name replaced."""
        if isinstance(value, tuple):
            return _sign(tuple(self.resolve(item) for item in value), self.orders)
        if isinstance(value, Order) and isinstance(value.account, Name):
            return Order(**{**vars(value), "account": self.resolve(value.account)})
        if not isinstance(value, Name):
            return value
        if value.kind == "account":
            return self.accounts[value.text]
        return self.addresses.get(value.text) or owner_address(value.text)

    def call_account(self, value: bytes) -> str:
        """What the file calls an account: its name, or its bytes."""
        return next((name for name, id_ in self.accounts.items() if id_ == value), "0x" + value.hex())

    def call_address(self, value: str) -> str:
        """What the file calls an address: its name, or itself."""
        return next((name for name, a in self.addresses.items() if a.lower() == value.lower()), value.lower())


def _sign(args: tuple[Any, ...], orders: str) -> tuple[Any, ...]:
    signed = list(args)
    for i, value in enumerate(args):
        if isinstance(value, SignedBy):
            signed[i] = Signature(*sign_order(signed[i - 1], actor(value.owner).key, CHAIN_ID, orders))
    return tuple(signed)
