"""Orders.vy against python_ref/orders.py over a stub clearing house: returns, reasons, events and storage."""

from __future__ import annotations

import re
from dataclasses import astuple, replace
from functools import cache
from pathlib import Path
from typing import Any

import pyrevm
import pytest
from eth_abi import decode, encode
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_hash.auto import keccak
from eth_keys.datatypes import PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from vyper import compile_code
from vyper.compiler.input_bundle import FilesystemInputBundle

from python_ref import orders as model
from python_ref.constants import MAX_SIZE
from python_ref.orders import CURVE_ORDER, DEAD, MAX_S, Order, Orders, Signature, hash_order, sign_order
from python_ref.world import Event, Revert, World

ROOT = Path(__file__).parents[2]
CONTRACTS = ROOT / "contracts"
CHAIN_ID = 31337
NOW = 1_000_000
WAD = 10**18
UNLIMITED = 2**256 - 1

STUB = """
# pragma version 0.4.3
event Filled:
    market: uint256
    buyer: bytes32
    seller: bytes32
    size: uint256
    price: uint256
    flags: uint256

clamp: public(uint256)
surplus: public(uint256)
claim_epoch: public(uint256)
operators: HashMap[address, HashMap[address, bool]]
reentry: Bytes[1024]

@external
def set_answer(clamp: uint256, surplus: uint256):
    self.clamp = clamp
    self.surplus = surplus

@external
def set_epoch(epoch: uint256):
    self.claim_epoch = epoch

@external
def set_reentry(data: Bytes[1024]):
    self.reentry = data

@external
def set_operator(operator: address, approved: bool):
    self.operators[msg.sender][operator] = approved

@view
@external
def is_authorised(owner: address, actor: address) -> bool:
    return owner == actor or self.operators[owner][actor]

@external
def fill(market: uint256, buyer: bytes32, seller: bytes32, size: uint256, price: uint256, flags: uint256) -> uint256:
    log Filled(market=market, buyer=buyer, seller=seller, size=size, price=price, flags=flags)
    if len(self.reentry) > 0:
        raw_call(msg.sender, self.reentry)
    return min(size, self.clamp) + self.surplus
"""


class StubModel:
    """The stub above, over the same world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.clamp = UNLIMITED
        self.surplus = 0
        self.epoch = 0
        self.operators: set[tuple[str, str]] = set()

    def is_authorised(self, sender: str, owner: str, actor: str) -> bool:
        return owner == actor or (owner, actor) in self.operators

    def claim_epoch(self, sender: str) -> int:
        return self.epoch

    def fill(self, sender: str, market: int, buyer: bytes, seller: bytes, size: int, price: int, flags: int) -> int:
        self.world.emit(
            "Stub", "Filled", market=market, buyer=buyer, seller=seller, size=size, price=price, flags=flags
        )
        return min(size, self.clamp) + self.surplus


@cache
def compiled(name: str) -> dict[str, Any]:
    """Deploy code and ABI of the contract under test or of the stub."""
    source = STUB if name == "Stub" else (CONTRACTS / f"{name}.vy").read_text()
    return compile_code(source, output_formats=["bytecode", "abi"], input_bundle=FilesystemInputBundle([ROOT]))


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


def plain(value: Any) -> Any:
    """Dataclasses as tuples, for the encoder."""
    return astuple(value) if isinstance(value, Order | Signature) else value


def reason_of(error: RuntimeError) -> str:
    """Literal of an Error(string); "" for an empty revert."""
    found = re.search(r"output: (0x[0-9a-f]*)", str(error))
    assert found, error
    data = bytes.fromhex(found[1][2:])
    return str(decode(["string"], data[4:])[0]) if data else ""


class Actor:
    """A key, its address and its first account."""

    def __init__(self, seed: int) -> None:
        self.key = seed.to_bytes(32, "big")
        self.address = PrivateKey(self.key).public_key.to_address()
        self.account = bytes.fromhex(self.address[2:]) + bytes(12)


MAKER, TAKER, OPERATOR, STRANGER = (Actor(seed) for seed in range(1, 5))


class Twin:
    """Contract and model side by side."""

    def __init__(self) -> None:
        self.evm = pyrevm.EVM(
            env=pyrevm.Env(cfg=pyrevm.CfgEnv(chain_id=CHAIN_ID), block=pyrevm.BlockEnv(timestamp=NOW)),
            spec_id="CANCUN",
        )
        self.stub = self.evm.deploy(STRANGER.address, bytes.fromhex(compiled("Stub")["bytecode"][2:]))
        code = bytes.fromhex(compiled("Orders")["bytecode"][2:]) + encode(["address"], [self.stub])
        self.address = self.evm.deploy(STRANGER.address, code)
        self.world = World(now=NOW)
        self.stub_model = StubModel(self.world)
        self.model = Orders(self.world, self.stub_model, self.address, CHAIN_ID)
        self.touched: set[tuple[Any, ...]] = set()
        self.set_answer(UNLIMITED, 0)

    def send(self, sender: str, name: str, function: str, *args: Any) -> Any:
        """Call the contract or the stub alone."""
        data, outputs = encode_call(name, function, tuple(map(plain, args)))
        self.evm.reset_transient_storage()
        try:
            answer = self.evm.message_call(sender, self.stub if name == "Stub" else self.address, calldata=data)
        except RuntimeError as error:
            raise Revert(reason_of(error)) from None
        return decode(outputs, answer)[0] if outputs else None

    def set_answer(self, clamp: int, surplus: int) -> None:
        """What `fill` answers: min(size, clamp) + surplus."""
        self.send(STRANGER.address, "Stub", "set_answer", clamp, surplus)
        self.stub_model.clamp, self.stub_model.surplus = clamp, surplus

    def set_epoch(self, epoch: int) -> None:
        self.send(STRANGER.address, "Stub", "set_epoch", epoch)
        self.stub_model.epoch = epoch

    def approve(self, owner: Actor, operator: Actor) -> None:
        self.send(owner.address, "Stub", "set_operator", operator.address, True)
        self.stub_model.operators.add((owner.address, operator.address))

    def set_time(self, now: int) -> None:
        self.evm.set_block_env(pyrevm.BlockEnv(timestamp=now))
        self.world.now = now

    def call(self, sender: Actor, function: str, *args: Any) -> Any:
        """Send to both, compare everything, return the answer or raise the refusal."""
        expected: Any = None
        events: list[Event] = []
        expected_refusal: str | None = None
        refusal: str | None = None
        try:
            expected, events = self.world.transact(lambda: getattr(self.model, function)(sender.address, *args))
        except Revert as error:
            expected_refusal = error.reason
        try:
            actual = self.send(sender.address, "Orders", function, *args)
        except Revert as error:
            refusal = error.reason
        assert refusal == expected_refusal
        if refusal is None:
            assert actual == expected
            assert self.logs() == [(e.contract, e.name, list(e.fields.items())) for e in events]
        self.check_storage()
        if refusal is not None:
            raise Revert(refusal)
        return expected

    def logs(self) -> list[tuple[str, str, list[tuple[str, Any]]]]:
        """Contract, event and ordered fields of each log of the last call."""
        assert self.evm.result is not None
        found = []
        for log in self.evm.result.logs:
            contract = "Orders" if log.address.lower() == self.address else "Stub"
            name, fields = decode_log(contract, log)
            found.append((contract, name, list(fields.items())))
        return found

    def check_storage(self) -> None:
        """Every lane ever written holds the model's word."""
        self.touched |= set(self.world.words)
        for key in self.touched:
            contract, variable, account, lane = key
            assert (contract, variable) == ("Orders", "lanes")
            slot = keccak(keccak(bytes(32) + account) + lane.to_bytes(32, "big"))
            assert self.evm.storage(self.address, int.from_bytes(slot, "big")) == self.world.get(key)

    def sign(self, order: Order, actor: Actor) -> Signature:
        return Signature(*sign_order(order, actor.key, CHAIN_ID, self.address))

    def settle(self, maker: Order, taker: Order, size: int = UNLIMITED) -> Any:
        """`settle_orders` by a stranger, both signed by their usual owners."""
        return self.call(
            STRANGER,
            "settle_orders",
            maker,
            self.sign(maker, MAKER),
            taker,
            self.sign(taker, TAKER),
            size,
        )

    def last_flags(self) -> int:
        """Flags of the latest `fill`."""
        return int(next(e for e in self.world.events if e.name == "Filled").fields["flags"])


@pytest.fixture
def twin() -> Twin:
    return Twin()


def make_salt(lane: int, seq: int) -> int:
    return lane << 64 | seq


BID = Order(MAKER.account, 3, True, 10 * WAD, 100 * WAD, False, NOW + 60, 0, make_salt(1, 1))
ASK = Order(TAKER.account, 3, False, 4 * WAD, 99 * WAD, False, NOW + 60, 0, make_salt(7, 1))


def refused(reason: str) -> Any:
    """Context in which the call must be refused with exactly this literal."""
    return pytest.raises(Revert, match=f"^{re.escape(reason)}$")


# Trades


def test_settle_orders__trades_at_the_makers_price(twin: Twin) -> None:
    assert twin.settle(BID, ASK) == 4 * WAD
    filled, maker_filled, taker_filled = twin.world.events
    assert filled.fields == {
        "market": 3,
        "buyer": MAKER.account,
        "seller": TAKER.account,
        "size": 4 * WAD,
        "price": 100 * WAD,
        "flags": 0,
    }
    assert maker_filled.fields["order_hash"] == hash_order(BID, CHAIN_ID, twin.address)
    assert (maker_filled.fields["price"], taker_filled.fields["price"]) == (100 * WAD, 100 * WAD)
    assert twin.world.words == {
        ("Orders", "lanes", MAKER.account, 1): 1 << 192 | 4 * WAD,
        ("Orders", "lanes", TAKER.account, 7): 1 << 192 | 4 * WAD,
    }


def test_settle_orders__gives_a_buying_taker_the_makers_lower_price(twin: Twin) -> None:
    maker, taker = replace(BID, is_buy=False, limit_price=90 * WAD), replace(ASK, is_buy=True)
    twin.settle(maker, taker)
    fields = twin.world.events[0].fields
    assert (fields["buyer"], fields["price"], fields["flags"]) == (TAKER.account, 90 * WAD, 4)


@pytest.mark.parametrize("maker_buys", [True, False])
def test_settle_orders__needs_crossing_prices(twin: Twin, maker_buys: bool) -> None:
    maker, taker = replace(BID, is_buy=maker_buys), replace(ASK, is_buy=not maker_buys, limit_price=BID.limit_price)
    assert twin.settle(maker, taker, 1) == 1
    worse = taker.limit_price + (1 if maker_buys else -1)
    with refused("orders: prices do not cross"):
        twin.settle(maker, replace(taker, limit_price=worse))


def test_settle_orders__clamps_to_both_orders_and_the_argument(twin: Twin) -> None:
    """Step | asked     | left of bid | left of ask | traded."""
    assert twin.settle(BID, ASK, 3 * WAD) == 3 * WAD
    assert twin.settle(BID, ASK, 3 * WAD) == WAD
    second = replace(ASK, salt=make_salt(7, 2), size=100 * WAD)
    assert twin.settle(BID, second) == 6 * WAD
    with refused("orders: filled"):
        twin.settle(BID, second)


def test_settle_orders__books_what_was_really_filled(twin: Twin) -> None:
    twin.set_answer(WAD, 0)
    assert twin.settle(BID, ASK) == WAD
    assert twin.model.remaining(BID) == 9 * WAD == twin.send(STRANGER.address, "Orders", "remaining", BID)
    assert twin.model.remaining(ASK) == 3 * WAD == twin.send(STRANGER.address, "Orders", "remaining", ASK)


def test_settle_orders__refuses_a_trade_of_nothing(twin: Twin) -> None:
    twin.set_answer(0, 0)
    with refused("orders: nothing filled"):
        twin.settle(BID, ASK)
    with refused("orders: zero size"):
        twin.settle(BID, ASK, 0)


def test_settle_orders__refuses_an_overfill(twin: Twin) -> None:
    twin.set_answer(UNLIMITED - 1, 1)
    with refused("orders: overfilled"):
        twin.settle(BID, ASK)


@pytest.mark.parametrize(
    ("maker", "taker", "reason"),
    [
        (BID, replace(ASK, market=2), "orders: markets differ"),
        (BID, replace(ASK, is_buy=True), "orders: same side"),
        (replace(BID, size=0), ASK, "orders: zero size"),
        (BID, replace(ASK, size=0), "orders: zero size"),
        (replace(BID, size=MAX_SIZE + 1), ASK, "orders: size too large"),
        (replace(BID, size=UNLIMITED), ASK, "orders: size too large"),
        (replace(BID, expiry=NOW - 1), ASK, "orders: expired"),
        (BID, replace(ASK, expiry=NOW - 1), "orders: expired"),
    ],
)
def test_settle_orders__refuses(twin: Twin, maker: Order, taker: Order, reason: str) -> None:
    with refused(reason):
        twin.settle(maker, taker)


def test_settle_orders__refuses_one_account_on_both_sides(twin: Twin) -> None:
    own = replace(ASK, account=MAKER.account)
    with refused("orders: same account"):
        twin.call(STRANGER, "settle_orders", BID, twin.sign(BID, MAKER), own, twin.sign(own, MAKER), 1)


def test_settle_orders__lets_two_accounts_of_one_owner_trade(twin: Twin) -> None:
    own = replace(ASK, account=MAKER.account[:-1] + b"\x01")
    assert twin.call(STRANGER, "settle_orders", BID, twin.sign(BID, MAKER), own, twin.sign(own, MAKER), 1) == 1


def test_settle_orders__accepts_the_largest_size_and_the_last_second(twin: Twin) -> None:
    largest = replace(BID, size=MAX_SIZE, expiry=NOW)
    assert twin.settle(largest, replace(ASK, size=MAX_SIZE, expiry=NOW)) == MAX_SIZE
    twin.set_time(NOW + 1)
    with refused("orders: expired"):
        twin.settle(largest, replace(ASK, salt=make_salt(7, 2)))


# Take


@pytest.mark.parametrize("maker_buys", [True, False])
@pytest.mark.parametrize("reduce_only", [True, False])
def test_take__trades_for_the_sender(twin: Twin, maker_buys: bool, reduce_only: bool) -> None:
    maker = replace(BID, is_buy=maker_buys)
    assert twin.call(TAKER, "take", maker, twin.sign(maker, MAKER), TAKER.account, 2 * WAD, reduce_only) == 2 * WAD
    fields = twin.world.events[0].fields
    assert fields["seller" if maker_buys else "buyer"] == TAKER.account
    assert fields["flags"] == (2 if maker_buys else 1) * reduce_only + (0 if maker_buys else 4)
    assert list(twin.world.words) == [("Orders", "lanes", MAKER.account, 1)]
    assert len(twin.world.events) == 2


def test_take__clamps_to_the_order(twin: Twin) -> None:
    signature = twin.sign(BID, MAKER)
    assert twin.call(TAKER, "take", BID, signature, TAKER.account, UNLIMITED, False) == 10 * WAD
    with refused("orders: filled"):
        twin.call(TAKER, "take", BID, signature, TAKER.account, UNLIMITED, False)


def test_take__is_for_owner_and_operator(twin: Twin) -> None:
    arguments = (BID, twin.sign(BID, MAKER), TAKER.account, WAD, False)
    with refused("orders: not authorised"):
        twin.call(OPERATOR, "take", *arguments)
    twin.approve(TAKER, OPERATOR)
    assert twin.call(OPERATOR, "take", *arguments) == WAD


def test_take__refuses(twin: Twin) -> None:
    signature = twin.sign(BID, MAKER)
    with refused("orders: same account"):
        twin.call(MAKER, "take", BID, signature, MAKER.account, WAD, False)
    with refused("orders: zero size"):
        twin.call(TAKER, "take", BID, signature, TAKER.account, 0, False)
    with refused("orders: wrong signer"):
        twin.call(TAKER, "take", BID, twin.sign(BID, TAKER), TAKER.account, WAD, False)


# Reduce-only and the claim epoch (rule 5)


@pytest.mark.parametrize("maker_buys", [True, False])
@pytest.mark.parametrize("maker_reduces", [True, False])
@pytest.mark.parametrize("taker_reduces", [True, False])
@pytest.mark.parametrize("other_epoch", [None, 4, 6])
def test_settle_orders__flags_each_side(
    twin: Twin, maker_buys: bool, maker_reduces: bool, taker_reduces: bool, other_epoch: int | None
) -> None:
    """An order of another claim epoch is flagged exactly like one that says reduce-only."""
    twin.set_epoch(5)

    def mark(order: Order, reduces: bool) -> Order:
        if reduces and other_epoch is not None:
            return replace(order, claim_epoch=other_epoch)
        return replace(order, reduce_only=reduces, claim_epoch=5)

    maker = mark(replace(BID, is_buy=maker_buys), maker_reduces)
    taker = mark(replace(ASK, is_buy=not maker_buys, limit_price=BID.limit_price), taker_reduces)
    twin.settle(maker, taker)
    buyer, seller = (maker_reduces, taker_reduces) if maker_buys else (taker_reduces, maker_reduces)
    assert twin.last_flags() == buyer * 1 + seller * 2 + (not maker_buys) * 4


@pytest.mark.parametrize(("epoch", "flags"), [(4, 1), (5, 0), (6, 1)])
def test_take__forces_reduce_only_on_a_maker_of_another_epoch(twin: Twin, epoch: int, flags: int) -> None:
    twin.set_epoch(5)
    maker = replace(BID, claim_epoch=epoch)
    twin.call(TAKER, "take", maker, twin.sign(maker, MAKER), TAKER.account, WAD, False)
    assert twin.last_flags() == flags


# Lanes


def test_lane__higher_seq_supersedes_lower(twin: Twin) -> None:
    higher = replace(BID, salt=make_salt(1, 9))
    other_lane = replace(BID, salt=make_salt(2, 1))
    assert twin.settle(BID, ASK, WAD) == WAD
    assert twin.settle(higher, ASK, WAD) == WAD
    with refused("orders: cancelled or superseded"):
        twin.settle(BID, ASK, WAD)
    assert twin.model.remaining(BID) == 0 == twin.send(STRANGER.address, "Orders", "remaining", BID)
    assert twin.model.remaining(higher) == 9 * WAD == twin.send(STRANGER.address, "Orders", "remaining", higher)
    assert twin.settle(other_lane, ASK, WAD) == WAD


def test_lane__same_salt_shares_the_filled_amount(twin: Twin) -> None:
    assert twin.settle(BID, ASK) == 4 * WAD
    larger = replace(BID, size=15 * WAD)
    assert twin.settle(larger, replace(ASK, salt=make_salt(8, 0), size=50 * WAD)) == 11 * WAD
    with refused("orders: filled"):
        twin.settle(BID, replace(ASK, salt=make_salt(9, 0)))


def test_lane__edges_of_lane_and_seq(twin: Twin) -> None:
    last = replace(BID, salt=make_salt(2**192 - 1, 2**64 - 1))
    assert twin.settle(last, replace(ASK, salt=0)) == 4 * WAD
    assert twin.send(STRANGER.address, "Orders", "lanes", MAKER.account, 2**192 - 1) == twin.model.lanes(
        MAKER.account, 2**192 - 1
    )
    assert twin.model.lanes(TAKER.account, 0) == 4 * WAD


def test_cancel__kills_the_seq_and_all_below(twin: Twin) -> None:
    twin.settle(BID, ASK, WAD)
    twin.call(MAKER, "cancel", MAKER.account, make_salt(1, 5))
    assert twin.model.lanes(MAKER.account, 1) == 5 << 192 | DEAD
    for seq in (1, 4, 5):
        order = replace(BID, salt=make_salt(1, seq))
        with refused("orders: cancelled or superseded"):
            twin.settle(order, ASK)
        assert twin.send(STRANGER.address, "Orders", "remaining", order) == 0
    assert twin.settle(replace(BID, salt=make_salt(1, 6)), ASK, WAD) == WAD


def test_cancel__of_the_dead_changes_nothing(twin: Twin) -> None:
    twin.call(MAKER, "cancel", MAKER.account, make_salt(1, 5))
    assert len(twin.world.events) == 1
    for seq in (5, 4, 0):
        twin.call(MAKER, "cancel", MAKER.account, make_salt(1, seq))
        assert twin.world.events == []
    assert twin.model.lanes(MAKER.account, 1) == 5 << 192 | DEAD


def test_cancel__is_for_owner_and_operator(twin: Twin) -> None:
    for function, salts in (("cancel", BID.salt), ("cancel_many", [BID.salt])):
        with refused("orders: not authorised"):
            twin.call(OPERATOR, function, MAKER.account, salts)
    twin.approve(MAKER, OPERATOR)
    twin.call(OPERATOR, "cancel", MAKER.account, BID.salt)
    with refused("orders: cancelled or superseded"):
        twin.settle(BID, ASK)


def test_cancel_many__takes_up_to_its_bound(twin: Twin) -> None:
    twin.call(MAKER, "cancel_many", MAKER.account, [make_salt(lane % 20, lane) for lane in range(32)])
    assert len(twin.world.events) == 32
    twin.call(MAKER, "cancel_many", MAKER.account, [])
    with refused(""):
        twin.call(MAKER, "cancel_many", MAKER.account, [make_salt(1, 99)] * 33)


# Signatures


def test_order_hash__is_eip_712(twin: Twin) -> None:
    names = [("bytes32", "account"), ("uint256", "market"), ("bool", "is_buy"), ("uint256", "size")]
    names += [("uint256", "limit_price"), ("bool", "reduce_only"), ("uint256", "expiry")]
    names += [("uint256", "claim_epoch"), ("uint256", "salt")]
    domain = {
        "name": "Waterfall Orders",
        "version": "1",
        "chainId": CHAIN_ID,
        "verifyingContract": twin.address,
    }
    order = replace(BID, reduce_only=True, claim_epoch=3, salt=make_salt(2**192 - 1, 2**64 - 1))
    message = dict(zip([name for _, name in names], astuple(order), strict=True))
    signable = encode_typed_data(domain, {"Order": [{"type": t, "name": n} for t, n in names]}, message)
    digest = keccak(b"\x19" + signable.version + signable.header + signable.body)
    assert digest == hash_order(order, CHAIN_ID, twin.address) == twin.model.order_hash(order)
    assert digest == twin.send(STRANGER.address, "Orders", "order_hash", order)
    assert signable.header == twin.model.domain_separator()
    assert signable.header == twin.send(STRANGER.address, "Orders", "domain_separator")
    signed = Account.from_key(MAKER.key).sign_message(signable)
    assert (signed.v, signed.r, signed.s) == sign_order(order, MAKER.key, CHAIN_ID, twin.address)


def test_max_s__is_half_the_curve_order() -> None:
    (literal,) = re.findall(r"MAX_S: constant\(uint256\) = (\d+)", (CONTRACTS / "Orders.vy").read_text())
    assert int(literal) == MAX_S == CURVE_ORDER // 2


def test_signature__of_an_operator_counts(twin: Twin) -> None:
    arguments = (BID, twin.sign(BID, OPERATOR), ASK, twin.sign(ASK, TAKER), WAD)
    with refused("orders: wrong signer"):
        twin.call(STRANGER, "settle_orders", *arguments)
    twin.approve(MAKER, OPERATOR)
    assert twin.call(STRANGER, "settle_orders", *arguments) == WAD


def test_signature__of_the_taker_is_checked_too(twin: Twin) -> None:
    with refused("orders: wrong signer"):
        twin.call(STRANGER, "settle_orders", BID, twin.sign(BID, MAKER), ASK, twin.sign(ASK, MAKER), WAD)


def flip(signature: Signature) -> Signature:
    """The other signature of the same digest and key."""
    return Signature(55 - signature.v, signature.r, CURVE_ORDER - signature.s)


def test_signature__malleable_twin_is_refused(twin: Twin) -> None:
    signature = twin.sign(BID, MAKER)
    twisted = flip(signature)
    digest = hash_order(BID, CHAIN_ID, twin.address)
    assert model.recover(digest, *astuple(twisted)) == MAKER.address, "the twin recovers, only its form is refused"
    with refused("orders: malleable signature"):
        twin.call(TAKER, "take", BID, twisted, TAKER.account, WAD, False)


@pytest.mark.parametrize(
    "change",
    [
        {"v": 0},
        {"v": 1},
        {"v": 26},
        {"v": 29},
        {"v": 27 + 256},
        {"v": 28 + 2**255},
        {"r": 0},
        {"r": CURVE_ORDER},
        {"r": UNLIMITED},
        {"s": 0},
        {"v": 0, "r": 0, "s": 0},
    ],
)
def test_signature__that_recovers_nobody_is_refused(twin: Twin, change: dict[str, int]) -> None:
    with refused("orders: bad signature"):
        twin.call(TAKER, "take", BID, replace(twin.sign(BID, MAKER), **change), TAKER.account, WAD, False)


def test_signature__account_of_the_zero_address_has_no_signer(twin: Twin) -> None:
    order = replace(BID, account=bytes(32))
    with refused("orders: bad signature"):
        twin.call(TAKER, "take", order, Signature(0, 0, 0), TAKER.account, WAD, False)


@pytest.mark.parametrize(
    "change",
    [
        {"account": MAKER.account[:-1] + b"\x01"},
        {"market": 4},
        {"is_buy": False},
        {"size": 11 * WAD},
        {"limit_price": 101 * WAD},
        {"reduce_only": True},
        {"expiry": NOW + 61},
        {"claim_epoch": 1},
        {"salt": make_salt(1, 2)},
    ],
)
def test_signature__covers_every_field(twin: Twin, change: dict[str, Any]) -> None:
    signature = twin.sign(BID, MAKER)
    with refused("orders: wrong signer"):
        twin.call(TAKER, "take", replace(BID, **change), signature, TAKER.account, WAD, False)


def test_signature__for_another_chain_or_contract_is_refused(twin: Twin) -> None:
    for chain_id, contract in ((CHAIN_ID + 1, twin.address), (CHAIN_ID, twin.stub)):
        signature = Signature(*sign_order(BID, MAKER.key, chain_id, contract))
        with refused("orders: wrong signer"):
            twin.call(TAKER, "take", BID, signature, TAKER.account, WAD, False)


def test_signature__of_the_old_chain_is_refused_on_a_fork(twin: Twin) -> None:
    """Same contracts, same addresses, another chain id: only orders signed for the new id count."""
    fork = Twin()
    fork_id = CHAIN_ID + 1
    fork.evm = pyrevm.EVM(
        env=pyrevm.Env(cfg=pyrevm.CfgEnv(chain_id=fork_id), block=pyrevm.BlockEnv(timestamp=NOW)), spec_id="CANCUN"
    )
    for address in (twin.stub, twin.address):
        fork.evm.insert_account_info(address, pyrevm.AccountInfo(nonce=1, code=twin.evm.get_code(address)))
    fork.set_answer(UNLIMITED, 0)
    fork.model.chain_id = fork_id
    assert fork.send(STRANGER.address, "Orders", "domain_separator") == fork.model.domain_separator()
    with refused("orders: wrong signer"):
        fork.call(TAKER, "take", BID, twin.sign(BID, MAKER), TAKER.account, WAD, False)
    signature = Signature(*sign_order(BID, MAKER.key, fork_id, fork.address))
    assert fork.call(TAKER, "take", BID, signature, TAKER.account, WAD, False) == WAD


# Reentrancy


@pytest.mark.parametrize(
    ("function", "locked"),
    [("cancel", True), ("cancel_many", True), ("remaining", True), ("lanes", True), ("order_hash", False)],
)
def test_fill__cannot_reach_a_lane_that_is_behind(twin: Twin, function: str, locked: bool) -> None:
    """The stub calls back from `fill`; only what touches no lane may answer."""
    own = bytes.fromhex(twin.stub[2:]) + bytes(12)
    arguments: dict[str, tuple[Any, ...]] = {
        "cancel": (own, 1),
        "cancel_many": (own, [1]),
        "remaining": (astuple(BID),),
        "lanes": (MAKER.account, 1),
        "order_hash": (astuple(BID),),
    }
    data, _ = encode_call("Orders", function, arguments[function])
    twin.send(STRANGER.address, "Stub", "set_reentry", data)
    take = (TAKER.address, "Orders", "take", BID, twin.sign(BID, MAKER), TAKER.account, WAD, False)
    if locked:
        with refused(""):
            twin.send(*take)
    else:
        assert twin.send(*take) == WAD


# Random histories

STEP = st.one_of(
    st.tuples(
        st.just("settle"),
        st.integers(0, 1),  # lane of the maker
        st.integers(0, 3),  # seq of the maker
        st.integers(0, 3),  # seq of the taker
        st.sampled_from([1, 5, 10]),  # size of both orders
        st.integers(0, 12),  # size asked
        st.sampled_from([0, 1, 3, UNLIMITED]),  # clamp
    ),
    st.tuples(st.just("cancel"), st.integers(0, 1), st.integers(0, 3)),
    st.tuples(st.just("cancel_many"), st.lists(st.tuples(st.integers(0, 1), st.integers(0, 3)), max_size=4)),
)


@settings(max_examples=25, deadline=None)
@given(st.lists(STEP, max_size=12))
def test_lanes__random_histories(steps: list[Any]) -> None:
    """Contract and model agree at every step; a seq never falls, and no order trades more than its size."""
    twin = Twin()
    traded: dict[tuple[int, int], int] = {}
    largest: dict[tuple[int, int], int] = {}
    heights: dict[int, int] = {}
    refusals: set[str] = set()
    for step in steps:
        try:
            if step[0] == "settle":
                _, lane, seq, taker_seq, size, asked, clamp = step
                twin.set_answer(clamp, 0)
                maker = replace(BID, size=size, salt=make_salt(lane, seq))
                done = twin.settle(maker, replace(ASK, size=size, salt=make_salt(0, taker_seq)), asked)
                traded[lane, seq] = traded.get((lane, seq), 0) + done
                largest[lane, seq] = max(largest.get((lane, seq), 0), size)
            elif step[0] == "cancel":
                twin.call(MAKER, "cancel", MAKER.account, make_salt(*step[1:]))
            else:
                twin.call(MAKER, "cancel_many", MAKER.account, [make_salt(*salt) for salt in step[1]])
        except Revert as refusal:
            refusals.add(refusal.reason)
        for lane in (0, 1):
            height = twin.model.lanes(MAKER.account, lane)
            assert height >= heights.get(lane, 0), "the word of a lane only rises"
            heights[lane] = height
    assert all(traded[salt] <= largest[salt] for salt in traded)
    assert refusals <= {
        "orders: filled",
        "orders: cancelled or superseded",
        "orders: zero size",
        "orders: nothing filled",
    }
