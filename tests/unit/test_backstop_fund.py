"""BackstopFund.vy against python_ref/backstop_fund.py over a stub clearing house: returns, reasons, events, storage."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pyrevm
import pytest
from eth_abi import decode, encode
from eth_hash.auto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st
from vyper import compile_code
from vyper.compiler.input_bundle import FilesystemInputBundle

from python_ref import backstop_fund as model
from python_ref.backstop_fund import (
    AUCTION_S,
    CLAIM_WINDOW_S,
    HOUR_S,
    INDEX_SCALE,
    MAX_UINT,
    MIN_INDEX,
    V_SHARES,
    V_UNITS,
    ZERO_ADDRESS,
    BackstopFund,
    index_of,
    mint_index_of,
)
from python_ref.words import Account, Globals, Position, Risk
from python_ref.world import Revert, World

CONTRACTS = Path(__file__).parents[2] / "contracts"
NOW = 1_700_000_000 // HOUR_S * HOUR_S
COOLDOWN_S = 86_400
WAD = 10**18
ATOM = 10**12
"""Money units of one atom of the usual six-decimals token."""
BIRTH_INDEX = 10**30

STUB = """
# pragma version 0.4.3
# Token, clearing house and oracle in one. Cash is WAD; an account's equity is its cash plus what a test adds per edge.
struct Prices:
    index: uint256
    mark: uint256
    low: uint256
    high: uint256
    credit_low: uint256
    credit_high: uint256
    state: uint256
    paused: uint256

event Pulled:
    owner: address
    receiver: address
    amount: uint256

event Approved:
    spender: address
    amount: uint256

event Booked:
    account: bytes32
    amount: uint256

event Paid:
    account: bytes32
    amount: uint256
    receiver: address

event Moved:
    from_account: bytes32
    to_account: bytes32
    amount: uint256

event Filled:
    market: uint256
    buyer: bytes32
    seller: bytes32
    size: uint256
    price: uint256
    flags: uint256

decimals: public(uint8)
balances: public(HashMap[address, uint256])
allowances: HashMap[address, HashMap[address, uint256]]
refuse_pull: bool
refuse_approve: bool
cash: public(HashMap[bytes32, int256])
extra: HashMap[bytes32, int256[3]]
globals: uint256[2]
risk: HashMap[uint256, uint256]
inventory: HashMap[uint256, int256]
operators: HashMap[address, HashMap[address, bool]]
index: uint256
reentry: Bytes[256]
unit: uint256

@deploy
def __init__(token_decimals: uint8):
    self.decimals = token_decimals
    self.unit = 10 ** convert(18 - token_decimals, uint256)

@external
def set_balance(owner: address, amount: uint256):
    self.balances[owner] = amount

@external
def set_allowance(owner: address, spender: address, amount: uint256):
    self.allowances[owner][spender] = amount

@external
def set_refusal(refuse_pull: bool, refuse_approve: bool):
    self.refuse_pull = refuse_pull
    self.refuse_approve = refuse_approve

@external
def set_extra(account: bytes32, kind: int256, index: int256, credit: int256):
    self.extra[account] = [kind, index, credit]

@external
def set_globals(first: uint256, second: uint256):
    self.globals = [first, second]

@external
def set_risk(market: uint256, word: uint256):
    self.risk[market] = word

@external
def set_inventory(market: uint256, size: int256):
    self.inventory[market] = size

@external
def set_index(index: uint256):
    self.index = index

@external
def set_reentry(data: Bytes[256]):
    self.reentry = data

@external
def set_operator(operator: address, approved: bool):
    self.operators[msg.sender][operator] = approved

@external
def transferFrom(owner: address, receiver: address, amount: uint256) -> bool:
    if len(self.reentry) > 0:
        raw_call(msg.sender, self.reentry)
    if self.refuse_pull:
        return False
    self._pull(owner, receiver, msg.sender, amount)
    return True

@internal
def _pull(owner: address, receiver: address, spender: address, amount: uint256):
    assert self.allowances[owner][spender] >= amount, "token: allowance"
    assert self.balances[owner] >= amount, "token: balance"
    self.allowances[owner][spender] -= amount
    self.balances[owner] -= amount
    self.balances[receiver] += amount
    log Pulled(owner=owner, receiver=receiver, amount=amount)

@external
def approve(spender: address, amount: uint256) -> bool:
    if self.refuse_approve:
        return False
    self.allowances[msg.sender][spender] = amount
    log Approved(spender=spender, amount=amount)
    return True

@external
def deposit(account: bytes32, amount: uint256):
    assert convert(convert(account, uint256) >> 96, address) == msg.sender, "stub: owner"
    self._pull(msg.sender, self, self, amount)
    self.cash[account] += convert(amount * self.unit, int256)
    log Booked(account=account, amount=amount)

@external
def withdraw(account: bytes32, amount: uint256, to: address):
    assert convert(convert(account, uint256) >> 96, address) == msg.sender, "stub: owner"
    assert self.cash[account] >= convert(amount * self.unit, int256), "stub: cash"
    self.cash[account] -= convert(amount * self.unit, int256)
    self.balances[to] += amount
    log Paid(account=account, amount=amount, receiver=to)

@external
def transfer(from_account: bytes32, to_account: bytes32, amount: uint256):
    assert convert(convert(from_account, uint256) >> 96, address) == msg.sender, "stub: owner"
    assert convert(convert(to_account, uint256) >> 96, address) == msg.sender, "stub: owner"
    assert self.cash[from_account] >= convert(amount, int256), "stub: cash"
    self.cash[from_account] -= convert(amount, int256)
    self.cash[to_account] += convert(amount, int256)
    log Moved(from_account=from_account, to_account=to_account, amount=amount)

@external
def fill(market: uint256, buyer: bytes32, seller: bytes32, size: uint256, price: uint256, flags: uint256) -> uint256:
    held: int256 = self.inventory[market]
    sold: uint256 = min(size, convert(abs(held), uint256))
    if held > 0:
        self.inventory[market] = held - convert(sold, int256)
    else:
        self.inventory[market] = held + convert(sold, int256)
    log Filled(market=market, buyer=buyer, seller=seller, size=sold, price=price, flags=flags)
    return sold

@view
@external
def is_authorised(owner: address, actor: address) -> bool:
    return owner == actor or self.operators[owner][actor]

@view
@external
def account_equity(account: bytes32) -> int256[3]:
    cash: int256 = self.cash[account]
    extra: int256[3] = self.extra[account]
    return [cash + extra[0], cash + extra[1], cash + extra[2]]

@view
@external
def load_globals() -> uint256[2]:
    return self.globals

@view
@external
def load_market(market: uint256) -> uint256[8]:
    words: uint256[8] = empty(uint256[8])
    words[2] = self.risk[market]
    return words

@view
@external
def load_account(account: bytes32) -> uint256[34]:
    words: uint256[34] = empty(uint256[34])
    market: uint256 = (convert(account, uint256) & (2**96 - 1)) - 1
    held: int256 = self.inventory[market]
    if held != 0:
        words[0] = 1 << (160 + market)
    if held > 0:
        words[2 + 2 * market] = 1 << 255
    return words

@external
def prices(market: uint256) -> Prices:
    return Prices(index=self.index, mark=0, low=0, high=0, credit_low=0, credit_high=0, state=0, paused=0)

@view
@external
def peek(market: uint256) -> Prices:
    return Prices(index=self.index, mark=0, low=0, high=0, credit_low=0, credit_high=0, state=0, paused=0)
"""


class StubModel:
    """The stub above. Its state lives in the world too, so that a refused call rolls it back."""

    def __init__(self, world: World, address: str, unit: int) -> None:
        self.world = world
        self.address = address
        self.unit = unit
        self.refuse_pull = False
        self.refuse_approve = False
        self.globals = (0, 0)
        self.risk: dict[int, int] = {}
        self.index = 0
        self.operators: set[tuple[str, str]] = set()

    def get(self, *key: Any) -> int:
        return self.world.get(("Stub", *key))

    def set(self, value: int, *key: Any) -> None:
        self.world.set(("Stub", *key), value)

    def transferFrom(self, sender: str, owner: str, receiver: str, amount: int) -> bool:  # noqa: N802
        if self.refuse_pull:
            return False
        if self.get("allowance", owner, sender) < amount:
            raise Revert("token: allowance")
        if self.get("balance", owner) < amount:
            raise Revert("token: balance")
        self.set(self.get("allowance", owner, sender) - amount, "allowance", owner, sender)
        self.set(self.get("balance", owner) - amount, "balance", owner)
        self.set(self.get("balance", receiver) + amount, "balance", receiver)
        self.world.emit("Stub", "Pulled", owner=owner, receiver=receiver, amount=amount)
        return True

    def approve(self, sender: str, spender: str, amount: int) -> bool:
        if self.refuse_approve:
            return False
        self.set(amount, "allowance", sender, spender)
        self.world.emit("Stub", "Approved", spender=spender, amount=amount)
        return True

    def own(self, sender: str, account: bytes) -> None:
        if account[:20] != bytes.fromhex(sender[2:]):
            raise Revert("stub: owner")

    def deposit(self, sender: str, account: bytes, amount: int) -> None:
        self.own(sender, account)
        refuse, self.refuse_pull = self.refuse_pull, False
        self.transferFrom(self.address, sender, self.address, amount)
        self.refuse_pull = refuse
        self.set(self.get("cash", account) + amount * self.unit, "cash", account)
        self.world.emit("Stub", "Booked", account=account, amount=amount)

    def withdraw(self, sender: str, account: bytes, amount: int, to: str) -> None:
        self.own(sender, account)
        if self.get("cash", account) < amount * self.unit:
            raise Revert("stub: cash")
        self.set(self.get("cash", account) - amount * self.unit, "cash", account)
        self.set(self.get("balance", to) + amount, "balance", to)
        self.world.emit("Stub", "Paid", account=account, amount=amount, receiver=to)

    def transfer(self, sender: str, from_account: bytes, to_account: bytes, amount: int) -> None:
        self.own(sender, from_account)
        self.own(sender, to_account)
        if self.get("cash", from_account) < amount:
            raise Revert("stub: cash")
        self.set(self.get("cash", from_account) - amount, "cash", from_account)
        self.set(self.get("cash", to_account) + amount, "cash", to_account)
        self.world.emit("Stub", "Moved", from_account=from_account, to_account=to_account, amount=amount)

    def fill(self, sender: str, market: int, buyer: bytes, seller: bytes, size: int, price: int, flags: int) -> int:
        held = self.get("inventory", market)
        sold = min(size, abs(held))
        self.set(held - sold if held > 0 else held + sold, "inventory", market)
        self.world.emit(
            "Stub", "Filled", market=market, buyer=buyer, seller=seller, size=sold, price=price, flags=flags
        )
        return sold

    def is_authorised(self, sender: str, owner: str, actor: str) -> bool:
        return owner == actor or (owner, actor) in self.operators

    def account_equity(self, sender: str, account: bytes) -> tuple[int, int, int]:
        cash = self.get("cash", account)
        return (
            cash + self.get("extra", account, 0),
            cash + self.get("extra", account, 1),
            cash + self.get("extra", account, 2),
        )

    def load_globals(self, sender: str) -> tuple[int, ...]:
        return self.globals

    def load_market(self, sender: str, market: int) -> tuple[int, ...]:
        return (0, 0, self.risk.get(market, 0), 0, 0, 0, 0, 0)

    def load_account(self, sender: str, account: bytes) -> tuple[int, ...]:
        market = int.from_bytes(account[20:], "big") - 1
        held = self.get("inventory", market)
        words = [0] * 34
        if held != 0:
            words[0] = Account(legs=1 << market).pack()
            words[1 + 2 * market : 3 + 2 * market] = Position(is_long=held > 0).pack()
        return tuple(words)

    def prices(self, sender: str, market: int) -> SimpleNamespace:
        return SimpleNamespace(index=self.index, state=0)

    peek = prices


@cache
def compiled(name: str) -> dict[str, Any]:
    """Code, ABI and layout of the fund or of the stub."""
    source = STUB if name == "Stub" else (CONTRACTS / f"{name}.vy").read_text()
    return compile_code(
        source,
        output_formats=["bytecode", "bytecode_runtime", "abi", "layout"],
        input_bundle=FilesystemInputBundle([CONTRACTS]),
    )


def abi_type(item: dict[str, Any]) -> str:
    """ABI type with tuples spelled out."""
    if item["type"].startswith("tuple"):
        return "(" + ",".join(map(abi_type, item["components"])) + ")" + item["type"][5:]
    return str(item["type"])


def encode_call(name: str, function: str, args: tuple[Any, ...]) -> tuple[bytes, list[str]]:
    """Calldata, and the types of the answer."""
    (entry,) = (e for e in compiled(name)["abi"] if e["type"] == "function" and e["name"] == function)
    types = [abi_type(i) for i in entry["inputs"]]
    selector = keccak(f"{function}({','.join(types)})".encode())[:4]
    return selector + encode(types, args), [abi_type(o) for o in entry["outputs"]]


def decode_log(name: str, log: pyrevm.Log) -> tuple[str, dict[str, Any]]:
    """Event name and fields in ABI order."""
    topics, data = log.data
    for entry in compiled(name)["abi"]:
        if entry["type"] != "event":
            continue
        signature = f"{entry['name']}({','.join(i['type'] for i in entry['inputs'])})"
        if keccak(signature.encode()) == topics[0]:
            inputs = entry["inputs"]
            indexed = iter(topics[1:])
            plain = iter(decode([i["type"] for i in inputs if not i["indexed"]], data))
            return entry["name"], {
                i["name"]: decode([i["type"]], next(indexed))[0] if i["indexed"] else next(plain) for i in inputs
            }
    raise AssertionError("unknown event")


def reason_of(error: RuntimeError) -> str:
    """Literal of an Error(string); "" for an empty revert."""
    found = re.search(r"output: (0x[0-9a-f]*)", str(error))
    assert found, error
    data = bytes.fromhex(found[1][2:])
    return str(decode(["string"], data[4:])[0]) if data else ""


def word_of(index: int | str) -> bytes:
    """A mapping's key as it is hashed."""
    return (int(index, 16) if isinstance(index, str) else index).to_bytes(32, "big")


ALICE, BOB, CAROL, STRANGER, GOVERNOR = (f"0x{seed:02x}" + "00" * 18 + "01" for seed in (0xA1, 0xB0, 0xCA, 0x57, 0x60))
USERS = (ALICE, BOB, CAROL)
DEPLOYER = "0x" + "de" * 20


def attempt(call: Callable[[], Any]) -> tuple[Any, str | None]:
    """The answer and None, or None and the reason of the refusal."""
    try:
        return call(), None
    except Revert as refusal:
        return None, refusal.reason


class Twin:
    """Contract and model side by side."""

    def __init__(self, decimals: int = 6) -> None:
        self.now = NOW
        self.evm = pyrevm.EVM(env=pyrevm.Env(block=pyrevm.BlockEnv(timestamp=NOW)), spec_id="CANCUN")
        self.stub = self.deploy("Stub", ["uint8"], [decimals])
        self.fund = self.deploy(
            "BackstopFund",
            ["address", "address", "address", "address", "uint256"],
            [self.stub, self.stub, self.stub, GOVERNOR, COOLDOWN_S],
        )
        self.world = World(now=NOW)
        self.unit = 10 ** (18 - decimals)
        self.house = StubModel(self.world, self.stub, self.unit)
        self.model = BackstopFund(
            self.world, self.fund, self.house, decimals, self.house, self.stub, self.house, GOVERNOR, COOLDOWN_S
        )
        self.touched: set[tuple[Any, ...]] = set()
        self.check_storage()
        for user in USERS:
            self.fund_user(user, 10**30 // self.unit)

    def deploy(self, name: str, types: list[str], args: list[Any]) -> str:
        code = bytes.fromhex(compiled(name)["bytecode"][2:]) + encode(types, args)
        return str(self.evm.deploy(DEPLOYER, code))

    def send(self, sender: str, name: str, function: str, *args: Any) -> Any:
        """Call the contract or the stub alone."""
        data, outputs = encode_call(name, function, args)
        self.evm.reset_transient_storage()
        try:
            answer = self.evm.message_call(sender, self.stub if name == "Stub" else self.fund, calldata=data)
        except RuntimeError as error:
            raise Revert(reason_of(error)) from None
        values = decode(outputs, answer)
        return values[0] if len(values) == 1 else values or None

    # What a test may set on the stub, on both sides

    def fund_user(self, user: str, atoms: int) -> None:
        self.send(DEPLOYER, "Stub", "set_balance", user, atoms)
        self.send(DEPLOYER, "Stub", "set_allowance", user, self.fund, MAX_UINT)
        self.house.set(atoms, "balance", user)
        self.house.set(MAX_UINT, "allowance", user, self.fund)

    def account(self, subaccount: int, owner: str | None = None) -> bytes:
        return bytes.fromhex((owner or self.fund)[2:]) + subaccount.to_bytes(12, "big")

    def set_bucket(self, market: int, kind: int, credit: int) -> None:
        """What a bucket's equity exceeds its cash by, WAD, at the kind and at the harsh edge."""
        account = self.account(market + 1)
        self.send(DEPLOYER, "Stub", "set_extra", account, kind, 0, credit)
        self.house.set(kind, "extra", account, 0)
        self.house.set(credit, "extra", account, 2)

    def set_treasury(self, change: int) -> None:
        """The treasury gains or loses `change` WAD without the fund's doing."""
        self.send(DEPLOYER, "Stub", "set_extra", self.account(0), change, change, change)
        for edge in range(3):
            self.house.set(change, "extra", self.account(0), edge)

    def set_globals(self, state: Globals) -> None:
        self.send(DEPLOYER, "Stub", "set_globals", *state.pack())
        self.house.globals = state.pack()

    def set_inventory(self, market: int, size: int) -> None:
        self.send(DEPLOYER, "Stub", "set_inventory", market, size)
        self.house.set(size, "inventory", market)

    def set_market(self, market: int, maintenance: int, index: int) -> None:
        word = Risk(maintenance=maintenance, initial=MAX_UINT % 2**24).pack()
        self.send(DEPLOYER, "Stub", "set_risk", market, word)
        self.send(DEPLOYER, "Stub", "set_index", index)
        self.house.risk[market] = word
        self.house.index = index

    def set_refusal(self, pull: bool, approve: bool) -> None:
        self.send(DEPLOYER, "Stub", "set_refusal", pull, approve)
        self.house.refuse_pull, self.house.refuse_approve = pull, approve

    def set_operator(self, owner: str, operator: str) -> None:
        self.send(owner, "Stub", "set_operator", operator, True)
        self.house.operators.add((owner, operator))

    def sleep(self, seconds: int) -> None:
        self.now += seconds
        self.evm.set_block_env(pyrevm.BlockEnv(timestamp=self.now))
        self.world.now = self.now

    # Calls

    def call(self, sender: str, function: str, *args: Any) -> Any:
        """Send to both, compare everything, return the answer or raise the refusal."""
        refusal: Revert | None = None
        expected: Any = None
        events: list[Any] = []
        try:
            expected, events = self.world.transact(lambda: getattr(self.model, function)(sender, *args))
        except Revert as error:
            refusal = error
        actual, reason = attempt(lambda: self.send(sender, "BackstopFund", function, *args))
        assert reason == (None if refusal is None else refusal.reason), (function, args)
        if reason is None:
            assert actual == expected
            assert self.evm.result is not None
            logs = [
                (name, *decode_log(name, log))
                for log in self.evm.result.logs
                for name in ["BackstopFund" if log.address.lower() == self.fund else "Stub"]
            ]
            assert logs == [(e.contract, e.name, e.fields) for e in events]
            assert [list(fields) for *_, fields in logs] == [list(e.fields) for e in events]
        self.check_storage()
        if refusal is not None:
            raise refusal
        return expected

    def check_storage(self) -> None:
        """Every word that the model ever wrote is the contract's."""
        self.touched |= {key for key in self.world.words if key[0] == "BackstopFund"}
        layout = compiled("BackstopFund")["layout"]["storage_layout"]
        for key in self.touched:
            _, variable, *indices = key
            slot = int(layout[variable]["slot"])
            for index in indices:
                slot = int.from_bytes(keccak(slot.to_bytes(32, "big") + word_of(index)), "big")
            assert self.evm.storage(self.fund, slot) == self.world.get(key), key

    def balance(self, user: str) -> int:
        return int(self.call(STRANGER, "balanceOf", user))

    def shares(self, user: str) -> int:
        return int(self.call(STRANGER, "shares_of", user))

    def supply(self) -> int:
        return int(self.call(STRANGER, "totalSupply"))

    def deposit(self, user: str, units: int) -> int:
        """Deposit whole atoms worth `units` WAD."""
        return int(self.call(user, "deposit", units // self.unit))

    def events(self, name: str) -> list[dict[str, Any]]:
        """Fields of the latest call's events of that name."""
        return [e.fields for e in self.world.events if e.contract == "BackstopFund" and e.name == name]


@pytest.fixture
def twin() -> Twin:
    return Twin()


def refused(reason: str) -> Any:
    """Context in which the call must be refused with exactly this literal."""
    return pytest.raises(Revert, match=f"^{re.escape(reason)}$")


LOCKS = (Globals(claim_index=10**36, bad_debt=1), Globals(claim_index=10**36, open_receipts=1))
OPEN = Globals(claim_index=10**36, claim_epoch=65535, exposed=-1, exempt=2**104 - 1, receipts=2**24 - 1)
"""Every other field full: the lock must read its own bits only."""


# Metadata, deployment


def test_metadata_and_parties(twin: Twin) -> None:
    answers = {"name": model.NAME, "symbol": model.SYMBOL, "decimals": model.DECIMALS, "GOVERNOR": GOVERNOR}
    answers |= {"TOKEN": twin.stub, "CLEARING_HOUSE": twin.stub, "ORACLE": twin.stub, "COOLDOWN_S": COOLDOWN_S}
    for getter, answer in answers.items():
        assert twin.send(STRANGER, "BackstopFund", getter) == answer
    assert twin.call(STRANGER, "nav_index") == BIRTH_INDEX == INDEX_SCALE * V_UNITS // V_SHARES


def test_runtime_size() -> None:
    assert (len(compiled("BackstopFund")["bytecode_runtime"]) - 2) // 2 < 21_000


def test_init__refuses_more_than_18_decimals(twin: Twin) -> None:
    source = "@external\ndef decimals() -> uint8:\n    return 19"
    code = compile_code(source, output_formats=["bytecode"])["bytecode"]
    token = twin.evm.deploy(DEPLOYER, bytes.fromhex(code[2:]))
    with pytest.raises(RuntimeError, match=b"fund: too many decimals".hex()):
        twin.deploy("BackstopFund", ["address"] * 4 + ["uint256"], [token] * 4 + [COOLDOWN_S])
    world = World()
    with refused("fund: too many decimals"):
        house = StubModel(world, ZERO_ADDRESS, 1)
        BackstopFund(world, ZERO_ADDRESS, house, 19, house, ZERO_ADDRESS, house, GOVERNOR, COOLDOWN_S)


# Deposit


@pytest.mark.parametrize("decimals", [0, 6, 18])
def test_deposit__mints_one_token_per_unit(decimals: int) -> None:
    twin = Twin(decimals)
    assert twin.deposit(ALICE, 5 * WAD) == 5 * 10**24
    assert twin.balance(ALICE) == twin.supply() == 5 * WAD
    assert twin.events("Transfer") == []
    twin.deposit(BOB, 3 * WAD)
    assert twin.events("Transfer") == [{"sender": ZERO_ADDRESS, "receiver": BOB, "value": 3 * WAD}]
    assert twin.supply() == 8 * WAD


@pytest.mark.parametrize("lock", LOCKS)
def test_deposit__refused_while_locked(twin: Twin, lock: Globals) -> None:
    twin.set_globals(lock)
    assert twin.call(STRANGER, "is_locked") is True
    with refused("fund: locked"):
        twin.deposit(ALICE, WAD)
    twin.set_globals(OPEN)
    assert twin.call(STRANGER, "is_locked") is False
    twin.deposit(ALICE, WAD)


def test_deposit__pays_the_kind_side(twin: Twin) -> None:
    """NAV harsh 100, kind 110: 11 buys a tenth of what is there, though the harsh side says it is worth less."""
    twin.deposit(ALICE, 100 * WAD)
    twin.set_bucket(3, 10 * WAD, 0)
    minted = twin.deposit(BOB, 11 * WAD)
    assert minted == pytest.approx(10**25, rel=1e-6)
    assert twin.balance(BOB) == pytest.approx(10 * WAD, rel=1e-6)
    twin.call(STRANGER, "recognise")
    assert twin.balance(BOB) < 11 * WAD
    assert twin.balance(ALICE) > 100 * WAD


def test_deposit__never_below_the_recognised_index(twin: Twin) -> None:
    twin.deposit(ALICE, 100 * WAD)
    twin.set_bucket(3, -50 * WAD, 100 * WAD)
    minted = twin.deposit(BOB, 200 * WAD)
    assert minted == 200 * WAD * INDEX_SCALE // twin.call(STRANGER, "nav_index") == pytest.approx(10**26, rel=1e-6)


def test_deposit__refusals_of_token(twin: Twin) -> None:
    with refused("fund: zero shares"):
        twin.deposit(ALICE, 0)
    with refused("token: allowance"):
        twin.call(STRANGER, "deposit", 1)
    twin.fund_user(STRANGER, 0)
    with refused("token: balance"):
        twin.call(STRANGER, "deposit", 1)
    with refused(""):
        twin.call(ALICE, "deposit", MAX_UINT)
    for refusal in ((True, False), (False, True)):
        twin.set_refusal(*refusal)
        with refused("fund: token refused"):
            twin.deposit(ALICE, WAD)


def test_deposit__cannot_be_reentered(twin: Twin) -> None:
    """Contract only: a token that calls back is refused by the lock, whatever it calls."""
    for function, args in (("deposit", (1,)), ("recognise", ()), ("balanceOf", (ALICE,))):
        data, _ = encode_call("BackstopFund", function, args)
        twin.send(DEPLOYER, "Stub", "set_reentry", data)
        with refused(""):
            twin.send(ALICE, "BackstopFund", "deposit", 10**6)
    twin.send(DEPLOYER, "Stub", "set_reentry", b"")
    assert twin.send(ALICE, "BackstopFund", "deposit", 10**6) == 10**24


# Index


def test_donated_tokens_leave_the_index_unchanged(twin: Twin) -> None:
    twin.deposit(ALICE, WAD)
    twin.fund_user(twin.fund, 10**30)
    assert twin.call(STRANGER, "recognise") == BIRTH_INDEX
    assert twin.world.events == []
    assert twin.deposit(BOB, WAD) == 10**24


def test_first_depositor_attack_loses_money(twin: Twin) -> None:
    """One atom, then a gift of 1,000 through a bucket, then a victim of 500: the attacker loses, the victim hardly."""
    twin.deposit(ALICE, ATOM)
    twin.set_bucket(0, 1_000 * WAD, 1_000 * WAD)
    twin.deposit(BOB, 500 * WAD)
    twin.call(STRANGER, "recognise")
    assert twin.balance(ALICE) < 501 * WAD
    assert twin.balance(BOB) > 499_999 * WAD // 1_000


def test_income_without_owners_keeps_the_grain(twin: Twin) -> None:
    """A million earned before the first provider is his to share with nobody, yet his deposit keeps its worth."""
    twin.set_treasury(10**24)
    twin.call(STRANGER, "recognise")
    twin.deposit(ALICE, WAD)
    assert twin.balance(ALICE) == pytest.approx(WAD, rel=1e-11)


def test_rebase__gain_then_loss(twin: Twin) -> None:
    twin.deposit(ALICE, 100 * WAD)
    twin.set_bucket(2, 50 * WAD, 50 * WAD)
    twin.call(STRANGER, "recognise")
    (gain,) = twin.events("Rebase")
    assert (gain["epoch"], gain["supply_before"], gain["reason"]) == (0, 100 * WAD, 0)
    assert gain["supply_after"] == twin.supply() == pytest.approx(150 * WAD, rel=1e-6)
    twin.set_bucket(2, -50 * WAD, -50 * WAD)
    twin.set_treasury(-40 * WAD)
    twin.call(STRANGER, "recognise")
    (loss,) = twin.events("Rebase")
    assert (loss["supply_before"], loss["supply_after"], loss["reason"]) == (gain["supply_after"], 60 * WAD, 1)
    assert twin.balance(ALICE) == 60 * WAD, "a bucket below zero takes nothing from the treasury"
    twin.call(STRANGER, "recognise")
    assert twin.world.events == []


def test_every_bucket_counts(twin: Twin) -> None:
    twin.deposit(ALICE, WAD)
    for market in range(16):
        twin.set_bucket(market, WAD, WAD)
        twin.call(STRANGER, "recognise")
        assert twin.supply() == pytest.approx((2 + market) * WAD, rel=1e-5)


def test_claims_never_exceed_assets(twin: Twin) -> None:
    """After a loss the virtual deposit pays nothing: the supply is the NAV, to the wei."""
    twin.deposit(ALICE, 100 * WAD)
    for left in (50 * WAD, 10**13, 10**11, 12_345):
        twin.set_treasury(left - 100 * WAD)
        twin.call(STRANGER, "recognise")
        assert left - 100 <= twin.supply() <= left


@pytest.mark.parametrize("left", [0, -WAD])
def test_nav_zero__starts_a_new_share_epoch(twin: Twin, left: int) -> None:
    twin.deposit(ALICE, 100 * WAD)
    twin.call(ALICE, "request_withdrawal", 10**24)
    twin.set_treasury(left - 100 * WAD)
    twin.call(STRANGER, "recognise")
    (wipe,) = twin.events("Rebase")
    assert wipe == {"epoch": 0, "supply_before": 100 * WAD, "supply_after": 0, "reason": 1}
    assert (twin.call(STRANGER, "share_epoch"), twin.call(STRANGER, "nav_index")) == (1, BIRTH_INDEX)
    assert twin.balance(ALICE) == twin.shares(ALICE) == twin.supply() == 0
    assert twin.call(STRANGER, "withdrawal_of", ALICE) == (0, 0, 0, 0)
    twin.sleep(COOLDOWN_S)
    with refused("fund: no request"):
        twin.call(ALICE, "claim_withdrawal")
    # the treasury's debt is history: new money finds a clean fund
    twin.set_treasury(-100 * WAD)
    twin.deposit(BOB, 7 * WAD)
    assert (twin.balance(BOB), twin.balance(ALICE)) == (7 * WAD, 0)
    twin.call(BOB, "request_withdrawal", twin.shares(BOB))


def test_wipe_at_the_least_index() -> None:
    """Above MIN_INDEX shares live on, below it they die."""
    held = 10**31
    for nav, epoch in ((MIN_INDEX * held // INDEX_SCALE, 0), (MIN_INDEX * held // INDEX_SCALE - 1, 1)):
        twin = Twin()
        assert twin.deposit(ALICE, held // 10**6) == held
        twin.set_treasury(nav - held // 10**6)
        twin.call(STRANGER, "recognise")
        assert twin.call(STRANGER, "share_epoch") == epoch


def test_deposit__into_a_wiped_fund_in_one_call(twin: Twin) -> None:
    twin.deposit(ALICE, WAD)
    twin.set_treasury(-WAD)
    assert twin.deposit(BOB, WAD) == 10**24
    assert len(twin.events("Rebase")) == 1
    assert twin.shares(ALICE) == 0


# Withdrawal


def test_claim__pays_the_lowest_index_since_the_request(twin: Twin) -> None:
    """100 at the request, dips to 70, recovers to 130: the leaver gets 70 % of his half, the other the rest."""
    twin.deposit(ALICE, 100 * WAD)
    twin.deposit(BOB, 100 * WAD)
    twin.call(ALICE, "request_withdrawal", twin.shares(ALICE))
    for worth in (140, 160, 260):
        twin.set_treasury((worth - 200) * WAD)
        twin.call(STRANGER, "recognise")
    twin.sleep(COOLDOWN_S)
    pending, low, opens_at, closes_at = twin.call(STRANGER, "withdrawal_of", ALICE)
    assert (pending, opens_at, closes_at) == (10**26, NOW + COOLDOWN_S, NOW + COOLDOWN_S + CLAIM_WINDOW_S)
    assert low == index_of(140 * WAD, 2 * 10**26)
    assert twin.call(ALICE, "claim_withdrawal") == 70 * WAD
    assert twin.shares(ALICE) == 0
    twin.call(STRANGER, "recognise")
    assert twin.balance(BOB) == pytest.approx(190 * WAD, rel=1e-6)


def test_claim__a_dip_before_the_request_does_not_count(twin: Twin) -> None:
    twin.deposit(ALICE, 100 * WAD)
    for worth in (50, 100):
        twin.set_treasury((worth - 100) * WAD)
        twin.call(STRANGER, "recognise")
    twin.call(ALICE, "request_withdrawal", twin.shares(ALICE))
    twin.set_treasury(20 * WAD)
    twin.sleep(COOLDOWN_S)
    assert twin.call(ALICE, "claim_withdrawal") == 100 * WAD, "and no gain either"


def test_claim__recognises_a_loss_first(twin: Twin) -> None:
    twin.deposit(ALICE, 100 * WAD)
    twin.call(ALICE, "request_withdrawal", twin.shares(ALICE))
    twin.sleep(COOLDOWN_S)
    twin.set_treasury(-10 * WAD)
    assert twin.call(ALICE, "claim_withdrawal") == 90 * WAD


def test_claim__window_is_exact(twin: Twin) -> None:
    twin.deposit(ALICE, 10 * WAD)
    with refused("fund: no request"):
        twin.call(ALICE, "claim_withdrawal")
    twin.call(ALICE, "request_withdrawal", 10**24)
    twin.sleep(COOLDOWN_S - 1)
    with refused("fund: cooling down"):
        twin.call(ALICE, "claim_withdrawal")
    twin.sleep(1)
    assert twin.call(ALICE, "claim_withdrawal") == WAD

    twin.call(ALICE, "request_withdrawal", 10**24)
    twin.sleep(COOLDOWN_S + CLAIM_WINDOW_S)
    assert twin.call(ALICE, "claim_withdrawal") == WAD

    twin.call(ALICE, "request_withdrawal", 10**24)
    twin.sleep(COOLDOWN_S + CLAIM_WINDOW_S + 1)
    with refused("fund: no request"):
        twin.call(ALICE, "claim_withdrawal")
    twin.call(ALICE, "transfer", BOB, 8 * WAD)
    assert twin.shares(ALICE) == 0, "a lapsed request holds nothing back"


def test_request__holds_the_shares_back(twin: Twin) -> None:
    twin.deposit(ALICE, 10 * WAD)
    twin.call(ALICE, "request_withdrawal", 6 * 10**24)
    with refused("fund: balance"):
        twin.call(ALICE, "transfer", BOB, 4 * WAD + 1)
    twin.call(ALICE, "transfer", BOB, 4 * WAD)
    with refused("fund: request pending"):
        twin.call(ALICE, "request_withdrawal", 1)
    twin.call(ALICE, "cancel_withdrawal")
    with refused("fund: no request"):
        twin.call(ALICE, "cancel_withdrawal")
    twin.call(ALICE, "transfer", BOB, 6 * WAD)


def test_request__refusals(twin: Twin) -> None:
    twin.deposit(ALICE, WAD)
    with refused("fund: zero shares"):
        twin.call(ALICE, "request_withdrawal", 0)
    with refused("fund: balance"):
        twin.call(ALICE, "request_withdrawal", 10**24 + 1)
    with refused("fund: balance"):
        twin.call(STRANGER, "request_withdrawal", 1)
    with refused("fund: no request"):
        twin.call(STRANGER, "cancel_withdrawal")


@pytest.mark.parametrize("lock", LOCKS)
def test_claim__refused_while_locked(twin: Twin, lock: Globals) -> None:
    twin.deposit(ALICE, WAD)
    twin.set_globals(lock)
    twin.call(ALICE, "request_withdrawal", 10**24)
    twin.sleep(COOLDOWN_S)
    with refused("fund: locked"):
        twin.call(ALICE, "claim_withdrawal")
    twin.set_globals(OPEN)
    assert twin.call(ALICE, "claim_withdrawal") == WAD


def test_claim__what_cash_cannot_pay_stays_requested(twin: Twin) -> None:
    twin.deposit(ALICE, 100 * WAD)
    twin.call(GOVERNOR, "set_cap", 1, 100 * WAD)
    twin.call(STRANGER, "top_up", 1, 70 * WAD)
    twin.call(ALICE, "request_withdrawal", 10**26)
    twin.sleep(COOLDOWN_S)
    assert twin.call(ALICE, "claim_withdrawal") == 30 * WAD
    assert twin.call(STRANGER, "withdrawal_of", ALICE)[0] == 70 * 10**24 == twin.shares(ALICE)
    with refused("fund: nothing to pay"):
        twin.call(ALICE, "claim_withdrawal")
    twin.call(GOVERNOR, "skim", 1, 70 * WAD)
    assert twin.call(ALICE, "claim_withdrawal") == 70 * WAD
    assert twin.shares(ALICE) == 0


def test_claim__less_than_an_atom_is_refused(twin: Twin) -> None:
    twin.deposit(ALICE, WAD)
    twin.call(ALICE, "request_withdrawal", ATOM * 10**6 - 1)
    twin.sleep(COOLDOWN_S)
    with refused("fund: nothing to pay"):
        twin.call(ALICE, "claim_withdrawal")


@settings(max_examples=25, deadline=None)
@given(
    before=st.integers(0, 10**24),
    held=st.integers(0, 10**24),
    change=st.integers(-(10**24), 10**24),
    spread=st.integers(0, 10**22),
    amount=st.integers(1, 10**12),
)
def test_deposit_and_leave__never_profits(before: int, held: int, change: int, spread: int, amount: int) -> None:
    """Whatever the fund earned before, lost since and is unsure of, a round trip returns at most what it cost."""
    twin = Twin()
    twin.set_treasury(before)
    if held >= ATOM:
        twin.deposit(ALICE, held)
    twin.set_treasury(max(0, before + change))  # an exempt account never owes (INV-7)
    twin.set_bucket(5, spread, spread // 3)
    minted, reason = attempt(lambda: twin.call(BOB, "deposit", amount))
    assert reason in (None, "fund: zero shares")
    if reason is None:
        twin.call(BOB, "request_withdrawal", minted)
        twin.sleep(COOLDOWN_S)
        paid, reason = attempt(lambda: twin.call(BOB, "claim_withdrawal"))
        assert reason == "fund: nothing to pay" or paid <= amount * ATOM


@given(
    nav=st.integers(1, 2**104),
    held=st.integers(0, 2**140),
    extra=st.integers(0, 2**100),
    units=st.integers(1, 2**100),
)
def test_index__mint_and_burn_favour_the_fund(nav: int, held: int, extra: int, units: int) -> None:
    """Model only: a mint at the kind side never lowers the index, and is worth at most what it cost."""
    index = index_of(nav, held)
    mint_index = max(mint_index_of(nav + extra, held), index)
    minted = units * INDEX_SCALE // mint_index
    after = index_of(nav + units, held + minted)
    if held > 0:
        assert after >= index
    assert minted * after // INDEX_SCALE <= units
    assert (held + minted) * after // INDEX_SCALE <= nav + units or held + minted == 0


# Buckets


def test_top_up__caps_a_rolling_day(twin: Twin) -> None:
    twin.deposit(ALICE, 1_000 * WAD)
    with refused("fund: nothing to move"):
        twin.call(STRANGER, "top_up", 4, WAD)
    twin.call(GOVERNOR, "set_cap", 4, 100 * WAD)
    twin.sleep(HOUR_S - 1)
    assert twin.call(STRANGER, "top_up", 4, 60 * WAD) == 60 * WAD
    assert twin.call(STRANGER, "top_up", 4, 60 * WAD) == 40 * WAD
    assert twin.call(STRANGER, "used_cap", 4) == 100 * WAD
    assert twin.call(STRANGER, "used_cap", 5) == 0
    twin.sleep(24 * HOUR_S)
    with refused("fund: nothing to move"):
        twin.call(STRANGER, "top_up", 4, WAD)
    twin.sleep(1)
    assert twin.call(STRANGER, "used_cap", 4) == 0
    assert twin.call(STRANGER, "top_up", 4, WAD) == WAD
    assert twin.supply() == 1_000 * WAD
    twin.call(GOVERNOR, "set_cap", 4, WAD // 2)
    with refused("fund: nothing to move"):
        twin.call(STRANGER, "top_up", 4, WAD)


@settings(max_examples=10, deadline=None)
@given(moves=st.lists(st.tuples(st.integers(0, 9 * HOUR_S), st.integers(1, 60)), max_size=25))
def test_top_up__no_rolling_day_exceeds_the_cap(moves: list[tuple[int, int]]) -> None:
    twin = Twin()
    twin.deposit(ALICE, 10**6 * WAD)
    twin.call(GOVERNOR, "set_cap", 0, 100 * WAD)
    done: list[tuple[int, int]] = []
    for wait, amount in moves:
        twin.sleep(wait)
        moved, reason = attempt(lambda amount=amount: twin.call(STRANGER, "top_up", 0, amount * WAD))
        assert reason in (None, "fund: nothing to move")
        done.append((twin.now, moved or 0))
        assert sum(moved for at, moved in done if at > twin.now - 86_400) <= 100 * WAD


def test_top_up__takes_no_more_than_the_treasury_has(twin: Twin) -> None:
    twin.deposit(ALICE, 10 * WAD)
    twin.call(GOVERNOR, "set_cap", 0, MAX_UINT)
    assert twin.call(STRANGER, "top_up", 0, MAX_UINT) == 10 * WAD
    with refused("fund: nothing to move"):
        twin.call(STRANGER, "top_up", 0, 1)
    with refused("fund: no such market"):
        twin.call(STRANGER, "top_up", 16, 1)


def test_skim(twin: Twin) -> None:
    twin.deposit(ALICE, 10 * WAD)
    twin.call(GOVERNOR, "set_cap", 7, 10 * WAD)
    twin.call(STRANGER, "top_up", 7, 10 * WAD)
    with refused("stub: cash"):
        twin.call(GOVERNOR, "skim", 7, 10 * WAD + 1)
    twin.call(GOVERNOR, "skim", 7, 4 * WAD)
    assert twin.house.get("cash", twin.account(0)) == 4 * WAD
    with refused("fund: no such market"):
        twin.call(GOVERNOR, "skim", 16, 0)


@pytest.mark.parametrize("sender", [ALICE, STRANGER])
def test_governor_calls__refuse_others(twin: Twin, sender: str) -> None:
    twin.deposit(ALICE, WAD)
    with refused("fund: not governor"):
        twin.call(sender, "set_cap", 0, WAD)
    with refused("fund: not governor"):
        twin.call(sender, "skim", 0, 0)
    with refused("fund: no such market"):
        twin.call(GOVERNOR, "set_cap", 16, WAD)


# Auction


@pytest.mark.parametrize(
    ("held", "maintenance", "prices"),
    [
        (5 * WAD, 25_000, (101 * WAD, 100 * WAD, 99 * WAD)),
        (-5 * WAD, 25_000, (99 * WAD, 100 * WAD, 101 * WAD)),
        (5 * WAD, 5_000, (1005 * WAD // 10, 100 * WAD, 995 * WAD // 10)),
        (-5 * WAD, 5_000, (995 * WAD // 10, 100 * WAD, 1005 * WAD // 10)),
    ],
)
def test_auction__ramps_from_premium_to_discount(
    twin: Twin, held: int, maintenance: int, prices: tuple[int, ...]
) -> None:
    twin.set_market(6, maintenance, 100 * WAD)
    twin.set_inventory(6, held)
    twin.call(STRANGER, "start_auction", 6)
    for wait, price in zip((0, AUCTION_S // 2, AUCTION_S // 2), prices, strict=True):
        twin.sleep(wait)
        assert twin.call(STRANGER, "auction_price", 6) == price
    twin.sleep(1)
    with refused("fund: no auction"):
        twin.call(STRANGER, "auction_price", 6)


@pytest.mark.parametrize("held", [5 * WAD, -5 * WAD])
def test_auction__rounds_for_the_fund(twin: Twin, held: int) -> None:
    index = 10**20 + 7
    twin.set_market(0, 10_000, index)
    twin.set_inventory(0, held)
    twin.call(STRANGER, "start_auction", 0)
    twin.sleep(1)
    exact = index * (1_000_000 * AUCTION_S + (1 if held > 0 else -1) * 10_000 * (AUCTION_S - 2))
    price, rest = divmod(exact, 1_000_000 * AUCTION_S)
    assert rest > 0
    assert twin.call(STRANGER, "auction_price", 0) == price + (1 if held > 0 else 0)


@pytest.mark.parametrize(("held", "flags"), [(5 * WAD, 6), (-5 * WAD, 1)])
def test_sell_inventory(twin: Twin, held: int, flags: int) -> None:
    twin.set_market(2, 25_000, 100 * WAD)
    twin.set_inventory(2, held)
    buyer = twin.account(9, ALICE)
    with refused("fund: no auction"):
        twin.call(ALICE, "sell_inventory", 2, buyer, WAD)
    twin.call(STRANGER, "start_auction", 2)
    twin.sleep(AUCTION_S)
    assert twin.call(ALICE, "sell_inventory", 2, buyer, 3 * WAD) == 3 * WAD
    (fill,) = (e.fields for e in twin.world.events if e.name == "Filled")
    sides = (buyer, twin.account(3)) if held > 0 else (twin.account(3), buyer)
    assert (fill["buyer"], fill["seller"], fill["flags"]) == (*sides, flags)
    assert fill["price"] == (99 * WAD if held > 0 else 101 * WAD)
    assert twin.call(ALICE, "sell_inventory", 2, buyer, 3 * WAD) == 2 * WAD, "the bucket only reduces"
    with refused("fund: no inventory"):
        twin.call(ALICE, "sell_inventory", 2, buyer, WAD)
    with refused("fund: no inventory"):
        twin.call(ALICE, "start_auction", 2)
    twin.set_inventory(2, -held)
    with refused("fund: no auction"):
        twin.call(ALICE, "sell_inventory", 2, buyer, WAD)
    twin.call(STRANGER, "start_auction", 2)


def test_sell_inventory__for_the_owner_or_his_operator(twin: Twin) -> None:
    twin.set_market(2, 25_000, 100 * WAD)
    twin.set_inventory(2, WAD)
    twin.call(STRANGER, "start_auction", 2)
    for account in (twin.account(0, ALICE), twin.account(3)):
        with refused("fund: not authorised"):
            twin.call(BOB, "sell_inventory", 2, account, WAD)
    twin.set_operator(ALICE, BOB)
    assert twin.call(BOB, "sell_inventory", 2, twin.account(0, ALICE), WAD) == WAD


def test_start_auction__one_at_a_time(twin: Twin) -> None:
    twin.set_market(2, 25_000, 100 * WAD)
    with refused("fund: no inventory"):
        twin.call(STRANGER, "start_auction", 2)
    with refused("fund: no inventory"):
        twin.call(STRANGER, "auction_price", 2)
    with refused("fund: no such market"):
        twin.call(STRANGER, "start_auction", 16)
    twin.set_inventory(2, WAD)
    twin.call(STRANGER, "start_auction", 2)
    twin.sleep(AUCTION_S)
    with refused("fund: auction runs"):
        twin.call(STRANGER, "start_auction", 2)
    twin.sleep(1)
    twin.call(STRANGER, "start_auction", 2)
    assert twin.call(STRANGER, "auction_price", 2) == 101 * WAD


# ERC-20


def test_transfer__corner_cases(twin: Twin) -> None:
    twin.deposit(ALICE, 10 * WAD + ATOM)
    twin.set_treasury(-3 * ATOM)
    twin.call(STRANGER, "recognise")
    whole = twin.balance(ALICE)
    assert twin.call(ALICE, "transfer", ALICE, whole) is True
    assert twin.balance(ALICE) == whole
    assert twin.call(ALICE, "transfer", BOB, 0) is True
    assert twin.events("SharesTransferred")[0]["shares"] == 0
    with refused("fund: balance"):
        twin.call(ALICE, "transfer", BOB, whole + 1)
    with refused(""):
        twin.call(ALICE, "transfer", BOB, MAX_UINT)
    for receiver in (ZERO_ADDRESS, twin.fund):
        with refused("fund: bad receiver"):
            twin.call(ALICE, "transfer", receiver, 0)
    twin.call(ALICE, "transfer", BOB, whole)
    assert (twin.balance(ALICE), twin.balance(BOB)) == (0, whole)
    twin.call(ALICE, "transfer_shares", CAROL, twin.shares(ALICE))
    assert twin.shares(ALICE) == 0
    with refused("fund: balance"):
        twin.call(ALICE, "transfer_shares", CAROL, 1)


@settings(max_examples=15, deadline=None)
@given(change=st.integers(-(10**19) + 1, 10**25), amount=st.integers(0, 2 * 10**19))
def test_transfer__the_mover_never_gains(change: int, amount: int) -> None:
    twin = Twin()
    twin.deposit(ALICE, 10 * WAD)
    twin.set_treasury(change)
    twin.call(STRANGER, "recognise")
    before, supply = twin.balance(ALICE), twin.supply()
    amount = min(amount, before)
    twin.call(ALICE, "transfer", BOB, amount)
    assert twin.balance(ALICE) <= before - amount
    assert twin.balance(BOB) >= amount
    assert twin.balance(ALICE) + twin.balance(BOB) <= supply == twin.supply()


def test_transfer_from__allowance_in_tokens_survives_a_rebase(twin: Twin) -> None:
    twin.deposit(ALICE, 10 * WAD)
    with refused("fund: allowance"):
        twin.call(BOB, "transferFrom", ALICE, BOB, 1)
    twin.call(ALICE, "approve", BOB, 4 * WAD)
    twin.set_treasury(-5 * WAD)
    twin.call(STRANGER, "recognise")
    assert twin.call(STRANGER, "allowance", ALICE, BOB) == 4 * WAD
    twin.call(BOB, "transferFrom", ALICE, CAROL, 3 * WAD)
    assert twin.call(STRANGER, "allowance", ALICE, BOB) == WAD
    with refused("fund: allowance"):
        twin.call(BOB, "transferFrom", ALICE, CAROL, WAD + 1)
    twin.call(ALICE, "approve", BOB, MAX_UINT)
    twin.call(BOB, "transferFrom", ALICE, CAROL, 2 * WAD)
    assert twin.call(STRANGER, "allowance", ALICE, BOB) == MAX_UINT
    with refused("fund: balance"):
        twin.call(BOB, "transferFrom", ALICE, CAROL, 1)
    with refused("fund: bad receiver"):
        twin.call(BOB, "transferFrom", CAROL, ZERO_ADDRESS, 0)


def test_transfer_from__dust_is_not_free(twin: Twin) -> None:
    """Lido #796: where one share is worth many wei, the allowance pays for the whole share."""
    twin.set_treasury(10**27)
    twin.deposit(ALICE, 10**6 * WAD)
    grain = twin.call(STRANGER, "nav_index") // INDEX_SCALE
    assert grain > 10**8
    twin.call(ALICE, "approve", BOB, grain - 1)
    with refused("fund: allowance"):
        twin.call(BOB, "transferFrom", ALICE, BOB, 1)
    twin.call(ALICE, "approve", BOB, grain + 5)
    twin.call(BOB, "transferFrom", ALICE, BOB, 1)
    assert twin.shares(BOB) == 1
    assert twin.call(STRANGER, "allowance", ALICE, BOB) == 5


def test_transfer_from__after_an_extreme_cut(twin: Twin) -> None:
    twin.deposit(ALICE, 100 * WAD)
    twin.set_treasury(1_000 - 100 * WAD)
    twin.call(STRANGER, "recognise")
    twin.call(ALICE, "approve", BOB, 1)
    twin.call(BOB, "transferFrom", ALICE, BOB, 1)
    assert twin.call(STRANGER, "allowance", ALICE, BOB) == 0
    assert twin.balance(BOB) == 1
    with refused("fund: allowance"):
        twin.call(BOB, "transferFrom", ALICE, BOB, 1)


# Sequences


class History:
    """One random history: contract equals model after each step, and the properties hold."""

    def __init__(self) -> None:
        self.twin = Twin()
        self.indices: list[tuple[int, int]] = []
        self.requested_from: dict[str, int] = {}
        self.claims = 0
        self.twin.deposit(ALICE, 1_000 * WAD)
        self.twin.call(GOVERNOR, "set_cap", 0, 50 * WAD)
        self.check()

    def attempt(self, sender: str, function: str, *args: Any) -> Any:
        """Both agree on a refusal too; it is one of the fund's own."""
        answer, reason = attempt(lambda: self.twin.call(sender, function, *args))
        assert reason in (None, "stub: cash") or reason.startswith("fund: ")
        return answer

    def deposit(self, user: str, other: str, n: int) -> None:
        units = n * 10**12
        minted = self.attempt(user, "deposit", units // ATOM)
        if minted:
            assert minted * self.twin.call(STRANGER, "nav_index") // INDEX_SCALE <= units

    def request(self, user: str, other: str, n: int) -> None:
        idle = self.twin.call(STRANGER, "withdrawal_of", user)[0] == 0
        self.attempt(user, "request_withdrawal", self.twin.shares(user) * (n % 5) // 4)
        if idle:
            self.requested_from[user] = self.twin.world.get(("BackstopFund", "serial"))

    def claim(self, user: str, other: str, n: int) -> None:
        shares, _, opens_at, _ = self.twin.call(STRANGER, "withdrawal_of", user)
        if n % 4 and shares:
            self.twin.set_globals(OPEN)
            self.twin.sleep(max(0, opens_at - self.twin.now))
        low = self.brute_low(user) if shares else 0
        paid = self.attempt(user, "claim_withdrawal")
        if paid is not None:
            self.claims += 1
            assert paid * INDEX_SCALE <= shares * low

    def cancel(self, user: str, other: str, n: int) -> None:
        self.attempt(user, "cancel_withdrawal")

    def transfer(self, user: str, other: str, n: int) -> None:
        self.attempt(user, "transfer", other, self.twin.balance(user) * (n % 5) // 4 + n % 3)

    def move_bucket(self, user: str, other: str, n: int) -> None:
        credit = (n % 401 - 200) * WAD
        self.twin.set_bucket(n % 3, credit + n % 21 * WAD, credit)

    def move_treasury(self, user: str, other: str, n: int) -> None:
        self.twin.set_treasury(
            (0, 0, -(10**18), 10**17, -(10**20), n * 10**9, 0, -(10**30) if n % 3 == 0 else 0)[n % 8]
        )

    def recognise(self, user: str, other: str, n: int) -> None:
        self.twin.call(user, "recognise")
        nav = sum(max(self.twin.house.account_equity("", self.twin.account(sub))[2], 0) for sub in range(17))
        assert self.twin.supply() <= nav

    def top_up(self, user: str, other: str, n: int) -> None:
        self.attempt(user, "top_up", n % 2, n * 10**11)

    def skim(self, user: str, other: str, n: int) -> None:
        self.attempt(GOVERNOR, "skim", 0, n * 10**9)

    def lock(self, user: str, other: str, n: int) -> None:
        self.twin.set_globals((OPEN, OPEN, OPEN, *LOCKS)[n % 5])

    def sleep(self, user: str, other: str, n: int) -> None:
        self.twin.sleep((1, HOUR_S, COOLDOWN_S, COOLDOWN_S + CLAIM_WINDOW_S)[n % 4])

    def brute_low(self, user: str) -> int:
        return min(index for serial, index in self.indices if serial >= self.requested_from[user])

    def check(self) -> None:
        """Balances add up to at most the supply; the stack answers the true minimum."""
        get = self.twin.world.get
        serial, index = get(("BackstopFund", "serial")), get(("BackstopFund", "nav_index"))
        if not self.indices or self.indices[-1][0] != serial:
            self.indices.append((serial, index))
        assert sum(map(self.twin.balance, USERS)) <= self.twin.supply()
        for user in USERS:
            pending, low, *_ = self.twin.call(STRANGER, "withdrawal_of", user)
            if pending:
                assert low == self.brute_low(user)


STEPS = (
    *("deposit", "deposit", "request", "request", "claim", "claim", "claim", "cancel", "transfer", "transfer"),
    *("move_bucket", "move_bucket", "move_treasury", "recognise", "top_up", "top_up", "skim", "lock", "sleep"),
)


def test_random_histories() -> None:
    """Plain random numbers: hypothesis prefers small ones and few kinds of step, and then nobody is ever paid."""
    claims = 0
    for seed in range(8):
        random = Random(seed)
        history = History()
        for _ in range(100):
            step = getattr(history, random.choice(STEPS))
            step(random.choice(USERS), random.choice(USERS), random.randrange(2**30))
            history.check()
        claims += history.claims
    assert claims > 10, "histories that never pay anyone prove little"


def test_lows__a_crash_after_a_long_climb_writes_one_entry(twin: Twin) -> None:
    """Forty rises, one crash: the stack falls to one entry, and the cost of the call does not follow the climb."""
    twin.deposit(ALICE, 100 * WAD)
    for step in range(1, 41):
        twin.set_treasury(step * WAD)
        twin.call(STRANGER, "recognise")
    assert twin.world.get(("BackstopFund", "n_lows")) == 41
    assert twin.evm.result is not None
    rise = twin.evm.result.gas_used
    twin.set_treasury(-WAD)
    twin.call(STRANGER, "recognise")
    assert twin.evm.result.gas_used < rise + 20_000
    assert twin.world.get(("BackstopFund", "n_lows")) == 1
