"""Governor.vy against python_ref/governor.py over a stub domain: returns, reasons, events, storage."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pyrevm
import pytest
from eth_abi import decode, encode
from eth_hash.auto import keccak
from vyper import compile_code
from vyper.compiler.input_bundle import FilesystemInputBundle

from python_ref.governor import GRACE_S, MAX_DATA, ZERO_ADDRESS, Governor
from python_ref.oracle_words import Feed, Rules
from python_ref.words import Limits, Risk
from python_ref.world import Revert, World
from scripts.chain.artifacts import canonical

CONTRACTS = Path(__file__).parents[2] / "contracts"
NOW = 1_700_000_000
DELAY = 2 * 86_400
WAD = 10**18

STUB = """
# pragma version 0.4.3
# A domain that lets its governor alone write its words, and reverts when told to.
event Written:
    sender: address
    market: uint256
    word: uint256

# An oracle beside it, that tells what it was handed.
struct Feed:
    source: address
    decimals: uint256
    max_age: uint256
    heartbeat: uint256
    deviation: uint256
    group: uint256
    flux: bool
    least: uint256
    most: uint256

struct Rules:
    outlier: uint256
    soft: uint256
    jump: uint256
    clamp: uint256
    speed: uint256
    step: uint256
    tau_fast: uint256
    tau_ref: uint256
    hold: uint256
    calm: uint256
    grace: uint256
    freeze: uint256
    quote: uint256

event Handed:
    sender: address
    market: uint256
    place: uint256
    digest: bytes32

governor: address
words: public(HashMap[uint256, uint256[8]])

@external
def set_words(market: uint256, risk: uint256, limits: uint256):
    self.words[market][2] = risk
    self.words[market][3] = limits

@view
@external
def load_market(market: uint256) -> uint256[8]:
    return self.words[market]

@external
def set_risk(market: uint256, word: uint256):
    assert market < 16, "stub: no such market"
    self.words[market][2] = word
    log Written(sender=msg.sender, market=market, word=word)

@external
def set_limits(market: uint256, word: uint256):
    assert market < 16, "stub: no such market"
    self.words[market][3] = word
    log Written(sender=msg.sender, market=market, word=word)

@external
def add_market(market: uint256, risk: uint256, limits: uint256, anchor: uint256, policy: address):
    self.words[market][2] = risk
    self.words[market][3] = limits
    log Written(sender=msg.sender, market=market, word=anchor)

@external
def tighten_rules(market: uint256, rules: Rules):
    assert rules.outlier != 0, "stub: loosens"
    log Handed(sender=msg.sender, market=market, place=0, digest=keccak256(abi_encode(rules)))

@external
def replace_feed(market: uint256, i: uint256, feed: Feed):
    assert feed.source != empty(address), "stub: no feed"
    log Handed(sender=msg.sender, market=market, place=i, digest=keccak256(abi_encode(feed)))

@external
def note(amount: uint256):
    if amount == 1:
        raise
    assert amount != 0, "stub: zero"
    log Written(sender=msg.sender, market=0, word=amount)
"""


class StubModel:
    """The stub above; its words live in the world, so that a refused call rolls them back."""

    def __init__(self, world: World) -> None:
        self.world = world

    def load_market(self, sender: str, market: int) -> tuple[int, ...]:
        return tuple(self.world.get(("Stub", "words", market, i)) for i in range(8))

    def write(self, sender: str, market: int, place: int, word: int) -> None:
        if market >= 16:
            raise Revert("stub: no such market")
        self.world.set(("Stub", "words", market, place), word)
        self.world.emit("Stub", "Written", sender=sender, market=market, word=word)

    def set_risk(self, sender: str, market: int, word: int) -> None:
        self.write(sender, market, 2, word)

    def set_limits(self, sender: str, market: int, word: int) -> None:
        self.write(sender, market, 3, word)

    def add_market(self, sender: str, market: int, risk: int, limits: int, anchor: int, policy: str) -> None:
        self.world.set(("Stub", "words", market, 2), risk)
        self.world.set(("Stub", "words", market, 3), limits)
        self.world.emit("Stub", "Written", sender=sender, market=market, word=anchor)

    def tighten_rules(self, sender: str, market: int, rules: tuple[int, ...]) -> None:
        if rules[0] == 0:
            raise Revert("stub: loosens")
        self.hand(sender, market, 0, encode(["uint256"] * 13, rules))

    def replace_feed(self, sender: str, market: int, i: int, feed: tuple[Any, ...]) -> None:
        if int(feed[0], 16) == 0:
            raise Revert("stub: no feed")
        self.hand(sender, market, i, encode(["address", *["uint256"] * 5, "bool", *["uint256"] * 2], feed))

    def hand(self, sender: str, market: int, place: int, data: bytes) -> None:
        self.world.emit("Stub", "Handed", sender=sender, market=market, place=place, digest=keccak(data))

    def note(self, sender: str, amount: int) -> None:
        if amount == 1:
            raise Revert("")
        if amount == 0:
            raise Revert("stub: zero")
        self.world.emit("Stub", "Written", sender=sender, market=0, word=amount)


@cache
def compiled(name: str) -> dict[str, Any]:
    """Code, ABI and layout of the governor or of the stub."""
    source = STUB if name == "Stub" else (CONTRACTS / f"{name}.vy").read_text()
    return compile_code(
        source,
        output_formats=["bytecode", "bytecode_runtime", "abi", "layout"],
        input_bundle=FilesystemInputBundle([CONTRACTS]),
    )


def encode_call(name: str, function: str, *args: Any) -> tuple[bytes, list[str]]:
    """Calldata, and the types of the answer."""
    (entry,) = (e for e in compiled(name)["abi"] if e["type"] == "function" and e["name"] == function)
    types = [canonical(i) for i in entry["inputs"]]
    selector = keccak(f"{function}({','.join(types)})".encode())[:4]
    return selector + encode(types, args), [o["type"] for o in entry["outputs"]]


def data_of(function: str, *args: Any) -> bytes:
    """Calldata for the stub."""
    return encode_call("Stub", function, *args)[0]


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


def attempt(call: Callable[[], Any]) -> tuple[Any, str | None]:
    """The answer and None, or None and the reason of the refusal."""
    try:
        return call(), None
    except Revert as refusal:
        return None, refusal.reason


OWNER, GUARDIAN, HEIR, STRANGER = (f"0x{seed:02x}" + "00" * 18 + "01" for seed in (0x0A, 0x6A, 0x4E, 0x57))
DEPLOYER = "0x" + "de" * 20


class Twin:
    """Contract and model side by side."""

    def __init__(self) -> None:
        self.now = NOW
        self.evm = pyrevm.EVM(env=pyrevm.Env(block=pyrevm.BlockEnv(timestamp=NOW)), spec_id="CANCUN")
        self.stub = str(self.evm.deploy(DEPLOYER, bytes.fromhex(compiled("Stub")["bytecode"][2:])))
        self.governor = self.deploy(OWNER, GUARDIAN, DELAY)
        self.world = World(now=NOW)
        self.domain = StubModel(self.world)
        self.model = self.make_model(OWNER, GUARDIAN, DELAY)
        self.touched: set[tuple[Any, ...]] = set()
        self.check_storage()

    def deploy(self, owner: str, guardian: str, delay: int) -> str:
        code = bytes.fromhex(compiled("Governor")["bytecode"][2:])
        code += encode(["address", "address", "uint256"], [owner, guardian, delay])
        try:
            return str(self.evm.deploy(DEPLOYER, code))
        except RuntimeError as error:
            raise Revert(reason_of(error)) from None

    def make_model(self, owner: str, guardian: str, delay: int) -> Governor:
        return Governor(
            self.world,
            self.governor,
            owner,
            guardian,
            delay,
            self.route,
            lambda target: self.domain,
            lambda target: target in (self.stub, self.governor),
        )

    def route(self, sender: str, target: str, data: bytes) -> None:
        """The raw call, on the stub's model."""
        for entry in compiled("Stub")["abi"]:
            types = [canonical(i) for i in entry["inputs"]]
            if entry["type"] == "function" and keccak(f"{entry['name']}({','.join(types)})".encode())[:4] == data[:4]:
                values, reason = attempt(lambda types=types: decode(types, data[4:]))
                assert reason is None
                getattr(self.domain, entry["name"])(sender, *values)
                return
        raise Revert("")

    def send(self, sender: str, name: str, function: str, *args: Any) -> Any:
        """Call the contract or the stub alone."""
        data, outputs = encode_call(name, function, *args)
        self.evm.reset_transient_storage()
        try:
            answer = self.evm.message_call(sender, self.stub if name == "Stub" else self.governor, calldata=data)
        except RuntimeError as error:
            raise Revert(reason_of(error)) from None
        return decode(outputs, answer)[0] if outputs else None

    def set_words(self, market: int, risk: Risk, limits: Limits) -> None:
        """What the domain holds."""
        self.send(DEPLOYER, "Stub", "set_words", market, risk.pack(), limits.pack())
        self.world.set(("Stub", "words", market, 2), risk.pack())
        self.world.set(("Stub", "words", market, 3), limits.pack())

    def sleep(self, seconds: int) -> None:
        self.now += seconds
        self.evm.set_block_env(pyrevm.BlockEnv(timestamp=self.now))
        self.world.now = self.now

    def call(self, sender: str, function: str, *args: Any) -> Any:
        """Send to both, compare everything, return the answer or raise the refusal."""
        refusal: Revert | None = None
        expected: Any = None
        events: list[Any] = []
        try:
            expected, events = self.world.transact(lambda: getattr(self.model, function)(sender, *args))
        except Revert as error:
            refusal = error
        actual, reason = attempt(lambda: self.send(sender, "Governor", function, *args))
        assert reason == (None if refusal is None else refusal.reason), (function, args)
        if reason is None:
            assert actual == expected
            assert self.evm.result is not None
            logs = [
                (name, *decode_log(name, log))
                for log in self.evm.result.logs
                for name in ["Governor" if log.address.lower() == self.governor else "Stub"]
            ]
            assert logs == [(e.contract, e.name, e.fields) for e in events]
            assert [list(fields) for *_, fields in logs] == [list(e.fields) for e in events]
        self.check_storage()
        if refusal is not None:
            raise refusal
        return expected

    def check_storage(self) -> None:
        """Every word that the model ever wrote is the contract's; the stub's too."""
        self.touched |= {key for key in self.world.words if key[0] == "Governor"}
        layout = compiled("Governor")["layout"]["storage_layout"]
        for key in self.touched:
            _, variable, *indices = key
            slot = int(layout[variable]["slot"])
            for index in indices:
                slot = int.from_bytes(keccak(slot.to_bytes(32, "big") + index), "big")
            assert self.evm.storage(self.governor, slot) == self.world.get(key), key
        for market in range(3):
            data, _ = encode_call("Stub", "load_market", market)
            words = decode(["uint256[8]"], self.evm.message_call(DEPLOYER, self.stub, calldata=data))[0]
            assert words == self.domain.load_market("", market)


@pytest.fixture
def twin() -> Twin:
    """Set up and sealed."""
    twin = Twin()
    twin.set_words(1, RISK, LIMITS)
    twin.call(OWNER, "seal")
    return twin


def refused(reason: str) -> Any:
    """Context in which the call must be refused with exactly this literal."""
    return pytest.raises(Revert, match=f"^{re.escape(reason)}$")


RISK = Risk(50_000, 25_000, 10_000, 500_000, 500, 200, 20_000, 1_200_000, 300_000, 10**9)
LIMITS = Limits(10**6 * WAD, WAD // 100, 15, 0, 2, 6, True)
FEED = Feed(STRANGER, 8, 3_600, 600, 10, 3, True, 1, 10**12)


# Deployment, size


def test_init(twin: Twin) -> None:
    for getter, answer in {"owner": OWNER, "guardian": GUARDIAN, "pending_owner": ZERO_ADDRESS}.items():
        assert twin.send(STRANGER, "Governor", getter) == answer
    assert twin.send(STRANGER, "Governor", "DELAY") == DELAY
    for args, reason in (
        ((ZERO_ADDRESS, GUARDIAN, DELAY), "governor: owner is zero"),
        ((OWNER, GUARDIAN, 0), "governor: delay is zero"),
    ):
        with refused(reason):
            twin.deploy(*args)
        with refused(reason):
            twin.make_model(*args)


def test_runtime_size() -> None:
    assert (len(compiled("Governor")["bytecode_runtime"]) - 2) // 2 < 24_576


# Roles


def test_ownership__moves_in_two_steps(twin: Twin) -> None:
    with refused("governor: not pending owner"):
        twin.call(HEIR, "accept_owner")
    twin.call(OWNER, "propose_owner", HEIR)
    with refused("governor: not pending owner"):
        twin.call(OWNER, "accept_owner")
    with refused("governor: not owner"):
        twin.call(HEIR, "set_guardian", HEIR)
    twin.call(HEIR, "accept_owner")
    with refused("governor: not pending owner"):
        twin.call(HEIR, "accept_owner")
    with refused("governor: not owner"):
        twin.call(OWNER, "propose_owner", OWNER)
    twin.call(HEIR, "propose_owner", OWNER)
    twin.call(HEIR, "propose_owner", ZERO_ADDRESS)
    with refused("governor: not pending owner"):
        twin.call(OWNER, "accept_owner")


def test_guardian__can_be_replaced(twin: Twin) -> None:
    twin.call(OWNER, "set_guardian", HEIR)
    with refused("governor: not guardian"):
        twin.call(GUARDIAN, "tighten_risk", twin.stub, 1, RISK.pack())
    twin.call(HEIR, "tighten_risk", twin.stub, 1, RISK.pack())
    twin.call(OWNER, "set_guardian", ZERO_ADDRESS)
    with refused("governor: not guardian"):
        twin.call(HEIR, "tighten_risk", twin.stub, 1, RISK.pack())


@pytest.mark.parametrize("sender", [GUARDIAN, STRANGER])
def test_owner_calls__refuse_others(twin: Twin, sender: str) -> None:
    data = data_of("note", 7)
    for function, args in (
        ("propose_owner", (sender,)),
        ("set_guardian", (sender,)),
        ("seal", ()),
        ("schedule", (twin.stub, data)),
        ("execute", (twin.stub, data)),
    ):
        with refused("governor: not owner"):
            twin.call(sender, function, *args)


def test_guardian_calls__refuse_strangers(twin: Twin) -> None:
    call_id = twin.call(OWNER, "schedule", twin.stub, data_of("note", 7))
    for function, args in (
        ("cancel", (call_id,)),
        ("tighten_risk", (twin.stub, 1, RISK.pack())),
        ("tighten_limits", (twin.stub, 1, LIMITS.pack())),
        ("tighten_feeds", (twin.stub, 1, Rules().as_tuple())),
        ("replace_feed", (twin.stub, 1, 2, FEED.as_tuple())),
    ):
        with refused("governor: not guardian"):
            twin.call(STRANGER, function, *args)


# Timelock


def test_before_the_seal__calls_run_at_once() -> None:
    twin = Twin()
    data = data_of("add_market", 2, RISK.pack(), LIMITS.pack(), 100 * WAD, STRANGER)
    with refused("governor: not owner"):
        twin.call(STRANGER, "execute", twin.stub, data)
    twin.call(OWNER, "execute", twin.stub, data)
    assert twin.domain.load_market("", 2)[2:4] == (RISK.pack(), LIMITS.pack())
    assert twin.world.events[-1].fields["sender"] == twin.governor
    twin.call(OWNER, "seal")
    with refused("governor: not scheduled"):
        twin.call(OWNER, "execute", twin.stub, data)
    with refused("governor: sealed"):
        twin.call(OWNER, "seal")


def test_timelock__window_is_exact(twin: Twin) -> None:
    data = data_of("note", 7)
    with refused("governor: not scheduled"):
        twin.call(OWNER, "execute", twin.stub, data)
    for wait, reason in (
        (DELAY - 1, "governor: too early"),
        (DELAY, None),
        (DELAY + GRACE_S, None),
        (DELAY + GRACE_S + 1, "governor: expired"),
    ):
        assert twin.call(OWNER, "schedule", twin.stub, data) == twin.call(STRANGER, "id_of", twin.stub, data)
        twin.sleep(wait)
        _, refusal = attempt(lambda: twin.call(OWNER, "execute", twin.stub, data))
        assert refusal == reason
        if wait < DELAY:
            twin.call(GUARDIAN, "cancel", twin.call(STRANGER, "id_of", twin.stub, data))


def test_schedule__once(twin: Twin) -> None:
    data = data_of("note", 7)
    twin.call(OWNER, "schedule", twin.stub, data)
    twin.sleep(DELAY + GRACE_S)
    with refused("governor: already scheduled"):
        twin.call(OWNER, "schedule", twin.stub, data)
    twin.sleep(1)
    twin.call(OWNER, "schedule", twin.stub, data)
    twin.sleep(DELAY)
    twin.call(OWNER, "execute", twin.stub, data)
    with refused("governor: not scheduled"):
        twin.call(OWNER, "execute", twin.stub, data)


@pytest.mark.parametrize("sender", [OWNER, GUARDIAN])
def test_cancel(twin: Twin, sender: str) -> None:
    data = data_of("note", 7)
    call_id = twin.call(OWNER, "schedule", twin.stub, data)
    twin.call(sender, "cancel", call_id)
    with refused("governor: not scheduled"):
        twin.call(sender, "cancel", call_id)
    twin.sleep(DELAY)
    with refused("governor: not scheduled"):
        twin.call(OWNER, "execute", twin.stub, data)


@pytest.mark.parametrize(("amount", "reason"), [(0, "stub: zero"), (1, "")])
def test_execute__passes_the_refusal_on(twin: Twin, amount: int, reason: str) -> None:
    data = data_of("note", amount)
    call_id = twin.call(OWNER, "schedule", twin.stub, data)
    twin.sleep(DELAY)
    with refused(reason):
        twin.call(OWNER, "execute", twin.stub, data)
    assert twin.world.get(("Governor", "ready_at", call_id)) == NOW + DELAY, "and stays scheduled"


def test_calls__need_code_at_the_target(twin: Twin) -> None:
    for function in ("schedule", "execute"):
        with refused("governor: target has no code"):
            twin.call(OWNER, function, STRANGER, data_of("note", 7))


@pytest.mark.parametrize("length", [0, 3, 4, 35, 36, 68, MAX_DATA, MAX_DATA + 1])
def test_schedule__any_length_of_data(twin: Twin, length: int) -> None:
    data = bytes(range(256)) * 17
    if length > MAX_DATA:
        with refused(""):
            twin.call(OWNER, "schedule", twin.stub, data[:length])
    else:
        twin.call(OWNER, "schedule", twin.stub, data[:length])


def test_id__tells_target_and_data_apart(twin: Twin) -> None:
    data = data_of("note", 7)
    ids = {
        twin.call(STRANGER, "id_of", target, call)
        for target in (twin.stub, STRANGER)
        for call in (data, data + b"\0", b"", b"\0")
    }
    assert len(ids) == 8


# Parameter checks

BAD_RISKS = (
    ("governor: maintenance is zero", {"maintenance": 0, "penalty": 0}),
    ("governor: initial <= maintenance", {"initial": 25_000}),
    ("governor: initial > 1", {"initial": 1_000_001}),
    ("governor: penalty >= maintenance", {"penalty": 25_000}),
    ("governor: fund_share > 1", {"fund_share": 1_000_001}),
    ("governor: target <= 1", {"target": 1_000_000}),
    ("governor: fee too high", {"taker_fee": 30_000}),
    ("governor: fee too high", {"maker_fee": 30_000}),
    ("governor: fill_band >= 1", {"fill_band": 1_000_000}),
    ("governor: backstop >= 1", {"backstop": 1_000_000}),
)
EDGE_RISKS = (
    {"initial": 25_001},
    {"initial": 1_000_000},
    {"penalty": 24_999},
    {"fund_share": 1_000_000},
    {"target": 1_000_001},
    {"taker_fee": 29_999},
    {"maker_fee": 29_999},
    {"fill_band": 999_999},
    {"backstop": 999_999},
    {"depth": 0},
)
BAD_LIMITS = (
    ("governor: min_size is dust", {"min_size": 10**6}),
    ("governor: lot_exp > 30", {"lot_exp": 31}),
    ("governor: unknown rank", {"rank": 3}),
    ("governor: octave_bits > 6", {"octave_bits": 7}),
)


@pytest.mark.parametrize(("reason", "change"), BAD_RISKS)
def test_risk__is_checked_on_every_path(twin: Twin, reason: str, change: dict[str, int]) -> None:
    word = replace(RISK, **change).pack()
    calls = (
        ("check_risk", (word,)),
        ("schedule", (twin.stub, data_of("set_risk", 1, word))),
        ("execute", (twin.stub, data_of("set_risk", 1, word))),
        ("schedule", (twin.stub, data_of("add_market", 1, word, LIMITS.pack(), WAD, STRANGER))),
        ("execute", (twin.stub, data_of("add_market", 1, word, LIMITS.pack(), WAD, STRANGER))),
        ("tighten_risk", (twin.stub, 1, word)),
    )
    for function, args in calls:
        with refused(reason):
            twin.call(OWNER, function, *args)


@pytest.mark.parametrize("change", EDGE_RISKS)
def test_risk__edges_pass(twin: Twin, change: dict[str, int]) -> None:
    twin.call(STRANGER, "check_risk", replace(RISK, **change).pack())


@pytest.mark.parametrize(("reason", "change"), BAD_LIMITS)
def test_limits__are_checked_on_every_path(twin: Twin, reason: str, change: dict[str, int]) -> None:
    word = replace(LIMITS, **change).pack()
    calls = (
        ("check_limits", (word,)),
        ("schedule", (twin.stub, data_of("set_limits", 1, word))),
        ("execute", (twin.stub, data_of("set_limits", 1, word))),
        ("schedule", (twin.stub, data_of("add_market", 1, RISK.pack(), word, WAD, STRANGER))),
        ("tighten_limits", (twin.stub, 1, word)),
    )
    for function, args in calls:
        with refused(reason):
            twin.call(OWNER, function, *args)
    edge = replace(LIMITS, min_size=10**6 + 1, lot_exp=30, rank=2, octave_bits=6)
    twin.call(STRANGER, "check_limits", edge.pack())


@pytest.mark.parametrize(
    ("function", "args", "least"),
    [
        ("set_risk", (1, RISK.pack()), 68),
        ("set_limits", (1, LIMITS.pack()), 68),
        ("add_market", (1, RISK.pack(), LIMITS.pack(), WAD, STRANGER), 164),
    ],
)
def test_short_data__is_refused(twin: Twin, function: str, args: tuple[Any, ...], least: int) -> None:
    data = data_of(function, *args)
    with refused("governor: short data"):
        twin.call(OWNER, "schedule", twin.stub, data[: least - 1])
    twin.call(OWNER, "schedule", twin.stub, data)


def test_set_risk__loosens_after_the_delay(twin: Twin) -> None:
    word = replace(RISK, initial=40_000).pack()
    with refused("governor: initial loosens"):
        twin.call(GUARDIAN, "tighten_risk", twin.stub, 1, word)
    data = data_of("set_risk", 1, word)
    twin.call(OWNER, "schedule", twin.stub, data)
    twin.sleep(DELAY)
    twin.call(OWNER, "execute", twin.stub, data)
    assert twin.domain.load_market("", 1)[2] == word


# Tightening


@pytest.mark.parametrize("sender", [OWNER, GUARDIAN])
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"initial": 50_001},
        {"maintenance": 25_001},
        {"fill_band": 19_999},
        {"depth": 10**9 - 1},
        {"initial": 90_000, "maintenance": 60_000, "fill_band": 0, "depth": 1},
    ],
)
def test_tighten_risk(twin: Twin, sender: str, change: dict[str, int]) -> None:
    word = replace(RISK, **change).pack()
    twin.call(sender, "tighten_risk", twin.stub, 1, word)
    assert twin.domain.load_market("", 1)[2] == word


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("governor: initial loosens", {"initial": 49_999}),
        ("governor: maintenance loosens", {"maintenance": 24_999}),
        ("governor: penalty changes", {"penalty": 10_001}),
        ("governor: penalty changes", {"penalty": 9_999}),
        ("governor: fund_share changes", {"fund_share": 500_001}),
        ("governor: taker_fee changes", {"taker_fee": 499}),
        ("governor: maker_fee changes", {"maker_fee": 201}),
        ("governor: fill_band loosens", {"fill_band": 20_001}),
        ("governor: target changes", {"target": 1_200_001}),
        ("governor: backstop changes", {"backstop": 299_999}),
        ("governor: depth loosens", {"depth": 10**9 + 1}),
        ("governor: depth loosens", {"depth": 0}),
    ],
)
def test_tighten_risk__refuses_every_other_change(twin: Twin, reason: str, change: dict[str, int]) -> None:
    """One field that loosens or changes spoils a word that tightens elsewhere."""
    word = replace(RISK, **{"initial": 90_000, **change}).pack()
    with refused(reason):
        twin.call(OWNER, "tighten_risk", twin.stub, 1, word)


def test_tighten_risk__a_slope_where_none_was(twin: Twin) -> None:
    twin.set_words(1, replace(RISK, depth=0), LIMITS)
    for depth in (0, 10**12):
        twin.call(GUARDIAN, "tighten_risk", twin.stub, 1, replace(RISK, depth=depth).pack())


@pytest.mark.parametrize("sender", [OWNER, GUARDIAN])
@pytest.mark.parametrize(
    "change", [{}, {"oi_cap": 0}, {"min_size": WAD}, {"oi_cap": WAD, "min_size": 2**80 - 1}, {"open_receipts": 3}]
)
def test_tighten_limits(twin: Twin, sender: str, change: dict[str, int]) -> None:
    word = replace(LIMITS, **change).pack()
    twin.call(sender, "tighten_limits", twin.stub, 1, word)
    assert twin.domain.load_market("", 1)[3] == word


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("governor: oi_cap loosens", {"oi_cap": LIMITS.oi_cap + 1}),
        ("governor: min_size loosens", {"min_size": LIMITS.min_size - 1}),
        ("governor: other limits change", {"lot_exp": 14}),
        ("governor: other limits change", {"rank": 1}),
        ("governor: other limits change", {"octave_bits": 5}),
        ("governor: other limits change", {"listed": False}),
    ],
)
def test_tighten_limits__refuses_every_other_change(twin: Twin, reason: str, change: dict[str, int]) -> None:
    word = replace(LIMITS, **{"oi_cap": 1, **change}).pack()
    with refused(reason):
        twin.call(OWNER, "tighten_limits", twin.stub, 1, word)


def test_tighten__passes_the_refusal_on(twin: Twin) -> None:
    with refused("stub: no such market"):
        twin.call(OWNER, "tighten_limits", twin.stub, 16, Limits(min_size=WAD).pack())


@pytest.mark.parametrize("sender", [OWNER, GUARDIAN])
def test_tighten_feeds__is_handed_on(twin: Twin, sender: str) -> None:
    twin.call(sender, "tighten_feeds", twin.stub, 1, Rules(*range(1, 14)).as_tuple())
    with refused("stub: loosens"):
        twin.call(sender, "tighten_feeds", twin.stub, 1, Rules(outlier=0).as_tuple())


@pytest.mark.parametrize("sender", [OWNER, GUARDIAN])
def test_replace_feed__is_handed_on(twin: Twin, sender: str) -> None:
    twin.call(sender, "replace_feed", twin.stub, 1, 2, FEED.as_tuple())
    with refused("stub: no feed"):
        twin.call(sender, "replace_feed", twin.stub, 1, 2, replace(FEED, source=ZERO_ADDRESS).as_tuple())


def test_tighten__an_unlisted_market_cannot_be_listed_by_it(twin: Twin) -> None:
    with refused("governor: oi_cap loosens"):
        twin.call(GUARDIAN, "tighten_limits", twin.stub, 2, LIMITS.pack())
    with refused("governor: penalty changes"):
        twin.call(GUARDIAN, "tighten_risk", twin.stub, 2, RISK.pack())


# Sequences


@pytest.mark.parametrize("seed", range(4))
def test_random_histories(seed: int) -> None:
    """Contract equals model through random histories of every call, by every actor."""
    random = Random(seed)
    twin = Twin()
    for market in range(3):
        twin.set_words(market, RISK, LIMITS)
    calls = [data_of("note", amount) for amount in range(3)]
    calls.append(data_of("set_risk", 1, replace(RISK, initial=40_000).pack()))
    done = 0
    for _ in range(120):
        actor = random.choice((OWNER, OWNER, HEIR, GUARDIAN, STRANGER))
        risk = replace(RISK, initial=random.randrange(25_000, 90_000), depth=random.choice((0, 10**8, 10**9)))
        limits = replace(LIMITS, oi_cap=random.randrange(LIMITS.oi_cap * 2), rank=random.choice((2, 2, 2, 1)))
        data, market = random.choice(calls), random.randrange(3)
        function, args = random.choice(
            (
                ("propose_owner", (random.choice((OWNER, HEIR)),)),
                ("accept_owner", ()),
                ("set_guardian", (random.choice((GUARDIAN, HEIR)),)),
                ("schedule", (twin.stub, data)),
                ("schedule", (twin.stub, data)),
                ("execute", (twin.stub, data)),
                ("execute", (twin.stub, data)),
                ("cancel", (twin.call(STRANGER, "id_of", twin.stub, data),)),
                ("tighten_risk", (twin.stub, market, risk.pack())),
                ("tighten_limits", (twin.stub, market, limits.pack())),
                *((("seal", ()),) if random.random() < 0.2 else ()),
            )
        )
        _, reason = attempt(lambda actor=actor, function=function, args=args: twin.call(actor, function, *args))
        done += reason is None
        twin.sleep(random.choice((1, DELAY // 2, DELAY)))
    assert done > 10, "histories in which all is refused prove little"
