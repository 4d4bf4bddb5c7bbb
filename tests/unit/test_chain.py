"""The three chains do the same, and slots are where the compiler puts them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from scripts.chain import CHAIN_ID, KINDS, START, CallReverted, Chain, account, artifact, artifacts, compile_source
from scripts.chain.base import decode_reason, normalise
from scripts.chain.layout import slot, text_slots

OWNER, SPENDER, RECEIVER = account(1), account(2), account(3)

CLOCK = compile_source(
    "Clock",
    """# pragma version 0.4.3
struct Pair:
    low: uint128
    high: int256

struct Nest:
    pair: Pair
    flags: bool[3]

event Ticked:
    who: indexed(address)
    note: indexed(String[8])
    pair: Pair
    at: uint256

first: uint256
many: uint256[4]
queue: DynArray[uint256, 5]
nests: HashMap[bytes32, HashMap[address, Nest[2]]]
signed: HashMap[int256, uint256]
text: String[40]
last: uint256

@deploy
def __init__(refuse: bool):
    assert not refuse, "clock: refused"
    self.last = block.timestamp

@external
def tick(pair: Pair, values: DynArray[uint256, 5]) -> (uint256, Pair, DynArray[uint256, 5], address):
    self.last = block.timestamp
    log Ticked(who=msg.sender, note="note", pair=pair, at=block.timestamp)
    return block.timestamp, pair, values, msg.sender

@external
def fill(key: bytes32):
    self.first = 1
    self.many[3] = 2
    self.queue = [3, 4]
    self.nests[key][msg.sender][1].pair.high = -1
    self.nests[key][msg.sender][1].flags[2] = True
    self.signed[-5] = 6
    self.text = "a text of more than thirty-two bytes"

@external
def burn():
    for i: uint256 in range(2**64):
        self.first = i

@external
def raw():
    raw_revert(b"four")

@external
@view
def where() -> (uint256, uint256, uint256):
    return block.timestamp, block.number, chain.id
""",
)


def play(chain: Chain) -> list[Any]:
    """A scripted sequence with every kind of result; what it observed."""
    seen: list[Any] = []
    token = chain.deploy("MockToken", "USD", 6, sender=OWNER)
    clock = chain.deploy(CLOCK, False, sender=OWNER, label="clock")
    with pytest.raises(CallReverted) as refused:
        chain.deploy(CLOCK, True, sender=OWNER)
    again = chain.deploy(CLOCK, False, sender=OWNER, label="again")
    seen += [token, clock, refused.value.reason, again]

    def call(sender: str, address: str, function: str, *args: Any) -> None:
        outcome = chain.call(sender, address, function, *args)
        seen.append((chain.now, chain.block, outcome.value, outcome.reason, outcome.events))

    call(OWNER, token, "mint", OWNER, 1_000)
    call(OWNER, token, "approve", SPENDER, 300)
    call(SPENDER, token, "transferFrom", OWNER, RECEIVER, 200)
    call(SPENDER, token, "transferFrom", OWNER, RECEIVER, 200)
    call(RECEIVER, token, "transfer", OWNER, 201)
    call(OWNER, token, "set_mode", 99)
    for seconds in (0, 1, 0, 3_600, 0):
        chain.advance(seconds)
        call(SPENDER, clock, "tick", (7, -8), [1, 2, 3])
    call(OWNER, clock, "burn")
    call(OWNER, clock, "raw")
    mark = chain.snapshot()
    chain.advance(10)
    call(OWNER, clock, "fill", b"k" * 32)
    inner = chain.snapshot()
    call(OWNER, token, "mint", SPENDER, 5)
    seen.append(chain.view(token, "balanceOf", SPENDER))
    chain.revert(inner)
    seen.append((chain.view(token, "balanceOf", SPENDER), chain.storage(clock, range(12))))
    chain.snapshot()
    chain.revert(mark)
    seen.append((chain.now, chain.block, chain.storage(clock, range(12)), chain.view(clock, "where")))
    seen.append(chain.simulate(OWNER, token, "mint", OWNER, 9).value)
    seen.append((chain.view(token, "totalSupply"), chain.view(token, "balanceOf", OWNER)))
    call(OWNER, clock, "tick", (1, 1), [])
    seen.append(chain.deploy(CLOCK, False, sender=OWNER))
    return seen


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "revm"])
def test_chains__a_script_has_the_same_outcomes(kind: str, open_chain: Callable[[str], Chain]) -> None:
    expected, got = play(open_chain("revm")), play(open_chain(kind))
    for ours, theirs in zip(expected, got, strict=True):
        assert ours == theirs


def test_chains__gas_of_anvil_and_ape_is_that_of_a_transaction(open_chain: Callable[[str], Chain]) -> None:
    gas = []
    for kind in ("anvil", "ape"):
        chain = open_chain(kind)
        token = chain.deploy("MockToken", "USD", 6, sender=OWNER)
        gas.append([chain.call(OWNER, token, "mint", OWNER, 1_000).gas for _ in range(2)])
    assert gas[0] == gas[1]
    assert gas[0][0] > gas[0][1] > 21_000


def test_call__decodes_values_events_and_reasons(any_chain: Chain) -> None:
    clock = any_chain.deploy(CLOCK, False, sender=OWNER, label="clock")
    any_chain.advance(17)
    outcome = any_chain.call(SPENDER, clock, "tick", (7, -8), [1, 2])
    assert outcome.ok
    assert outcome.value == (START + 17, (7, -8), (1, 2), SPENDER)
    (log,) = outcome.events
    assert (log.contract, log.name) == ("clock", "Ticked")
    assert list(log.fields) == ["who", "note", "pair", "at"]
    assert (log.fields["who"], log.fields["pair"], log.fields["at"]) == (SPENDER, (7, -8), START + 17)
    assert any_chain.call(OWNER, clock, "raw").reason == ""
    assert any_chain.view(clock, "where") == (START + 17, any_chain.block, CHAIN_ID)


def test_call__same_second_does_not_move_the_clock(any_chain: Chain) -> None:
    clock = any_chain.deploy(CLOCK, False, sender=OWNER)
    times = [any_chain.call(OWNER, clock, "tick", (0, 0), []).value[0] for _ in range(3)]
    assert times == [START] * 3
    with pytest.raises(ValueError, match="go back"):
        any_chain.advance(-1)


def test_deploy__names_a_contract_that_is_too_large(chain: Chain) -> None:
    with pytest.raises(ValueError, match="Clock has 24,577 bytes"):
        chain.deploy(replace(CLOCK, size=24_577), False, sender=OWNER)


def test_simulate__keeps_nothing(any_chain: Chain) -> None:
    clock = any_chain.deploy(CLOCK, False, sender=OWNER)
    any_chain.advance(5)
    before, block = any_chain.storage(clock, range(12)), any_chain.block
    assert any_chain.simulate(OWNER, clock, "tick", (1, 2), []).value[0] == START + 5
    assert any_chain.storage(clock, range(12)) == before
    assert any_chain.block == block


def test_view__raises_with_the_reason(chain: Chain) -> None:
    token = chain.deploy("MockToken", "USD", 6, sender=OWNER)
    with pytest.raises(CallReverted) as refused:
        chain.view(token, "set_mode", 99)
    assert refused.value.reason == "token: no such mode"


def test_revm__transient_locks_and_snapshots_survive_many_calls(chain: Chain) -> None:
    token = chain.deploy("MockToken", "USD", 6, sender=OWNER)
    for i in range(1_200):
        mark = chain.snapshot()
        assert chain.call(OWNER, token, "mint", OWNER, i + 1).ok
        chain.revert(mark)
    assert chain.view(token, "totalSupply") == 0


def test_revert__needs_a_known_snapshot(chain: Chain) -> None:
    with pytest.raises(ValueError, match="no snapshot"):
        chain.revert(0)


def test_slot__finds_every_word_that_the_contract_wrote(any_chain: Chain) -> None:
    clock = any_chain.deploy(CLOCK, False, sender=OWNER)
    key = b"k" * 32
    assert any_chain.call(OWNER, clock, "fill", key).ok
    expected = {
        ("first",): 1,
        ("many", 3): 2,
        ("queue",): 2,
        ("queue", 0): 3,
        ("queue", 1): 4,
        ("nests", key, OWNER, 1, "pair", "high"): 2**256 - 1,
        ("nests", key, OWNER, 1, "flags", 2): 1,
        ("signed", -5): 6,
        ("last",): START,
    }
    slots = {slot(CLOCK.layout, *place): word for place, word in expected.items()}
    assert any_chain.storage(clock, slots) == slots
    stored = any_chain.dump(clock)
    if stored is not None:  # ape's machine keeps only the hashes of slots
        assert {at: word for at, word in stored.items() if at not in text_slots(CLOCK.layout)} == slots
    assert any_chain.kind == "ape" or stored is not None


@pytest.mark.parametrize(
    ("place", "error"),
    [
        (("many",), IndexError),
        (("many", 4), IndexError),
        (("first", 0), IndexError),
        (("nests", b"k"), IndexError),
        (("absent",), KeyError),
    ],
)
def test_slot__refuses_what_is_not_a_word(place: tuple[Any, ...], error: type[Exception]) -> None:
    with pytest.raises(error):
        slot(CLOCK.layout, *place)


def test_artifact__cache_is_keyed_by_content(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "BUILD", tmp_path)
    source = "# pragma version 0.4.3\n@external\ndef f() -> uint256:\n    return {}\n"
    one, two = compile_source("Same", source.format(1)), compile_source("Same", source.format(2))
    assert one.runtime != two.runtime
    assert compile_source("Same", source.format(1)) == one
    assert len(list(tmp_path.glob("Same-*.json"))) == 2
    assert not list(tmp_path.glob("*.tmp"))


def test_artifact__digest_follows_imports(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "BUILD", tmp_path / "build")
    monkeypatch.setattr(artifacts, "ROOT", tmp_path)
    (tmp_path / "lib").mkdir()
    main = "# pragma version 0.4.3\nfrom lib import outer\n@external\ndef f() -> uint256:\n    return outer._g()\n"
    (tmp_path / "lib" / "outer.vy").write_text("from . import inner\ndef _g() -> uint256:\n    return inner.K\n")
    codes = []
    for value in (1, 2):
        (tmp_path / "lib" / "inner.vy").write_text(f"K: constant(uint256) = {value}\n")
        codes.append(compile_source("Top", main).runtime)
    assert codes[0] != codes[1]


def test_artifact__sizes_count_immutables() -> None:
    source = """# pragma version 0.4.3
X: immutable(uint256)
Y: immutable(address)

@deploy
def __init__():
    X = 1
    Y = self

@external
def f() -> uint256:
    return X
"""
    code = compile_source("Fixed", source)
    assert code.size == len(code.runtime) + 64


def test_artifact__merge_adds_only_what_is_missing() -> None:
    head = compile_source(
        "Head", "# pragma version 0.4.3\n@external\ndef f():\n    pass\n@external\ndef g():\n    pass\n"
    )
    tail = compile_source(
        "Tail", "# pragma version 0.4.3\n@external\ndef g():\n    pass\n@external\ndef h():\n    pass\n"
    )
    names = [entry["name"] for entry in artifacts.merge(head, tail).abi]
    assert sorted(names) == ["f", "g", "h"]


def test_artifact__is_data(chain: Chain) -> None:
    code = artifact("MockToken")
    assert json.loads(json.dumps(code.layout)) == code.layout
    assert chain.contract(chain.deploy(code, "USD", 6, sender=OWNER)).label == "MockToken"


def test_decode_reason__anything_but_an_error_string_is_empty() -> None:
    assert decode_reason(b"") == ""
    assert decode_reason(b"\x4e\x48\x7b\x71" + b"\0" * 32) == ""
    assert decode_reason(b"\x08\xc3\x79\xa0" + b"\xff" * 32) == ""


def test_normalise__one_form() -> None:
    assert normalise([1, ("0xAB", [b"x"])]) == (1, ("0xab", (b"x",)))
