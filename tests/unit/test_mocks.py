"""The mocks against their models: returns, reasons, events and storage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from eth_abi import decode
from eth_hash.auto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from python_ref.mocks import (
    BOMB_BYTES,
    FEED_BOMB,
    FEED_BURN_GAS,
    FEED_EMPTY,
    FEED_REVERT_BOMB,
    FEED_SHORT,
    MockFeed,
    MockToken,
    NoReturnToken,
)
from python_ref.world import Revert, World
from tests.unit.bench import Contract, Machine

NOW = 1_000_000
ALICE, BOB, CAROL = ("0x" + c * 40 for c in "abc")
PEOPLE = (ALICE, BOB, CAROL)
LATEST_ROUND_DATA = keccak(b"latestRoundData()")[:4]
MAX_UINT = 2**256 - 1


def outcome(call: Callable[[], Any]) -> Any:
    """What a call returns, or why it does not."""
    try:
        return call()
    except Revert as refusal:
        return refusal.reason, "reverted"


class Pair:
    """A token and its model."""

    def __init__(self, path: str, model: type[NoReturnToken]) -> None:
        self.machine, self.world = Machine(NOW), World(now=NOW)
        self.contract = self.machine.deploy(f"mocks/{path}.vy", "USD", 6)
        self.model = model(self.world, "USD", 6)

    def step(self, function: str, sender: str, *args: Any) -> Any:
        """One transaction on both sides."""
        there = outcome(lambda: self.contract.call(sender, function, *args))
        here = outcome(lambda: self.world.transact(lambda: getattr(self.model, function)(sender, *args)))
        if isinstance(here, tuple) and here[1] == "reverted":
            assert there == here
            return here
        assert (there, self.machine.events()) == here
        for who in PEOPLE:
            owner = int(who, 16)
            assert self.contract.word("balanceOf", owner) == self.model.balanceOf(who, who)
            for spender in PEOPLE:
                word = self.contract.word("allowance", owner, int(spender, 16))
                assert word == self.model.allowance(who, who, spender)
        assert self.contract.word("totalSupply") == self.model.totalSupply(ALICE)
        return there


@pytest.fixture
def feed() -> Contract:
    return Machine(NOW).deploy("mocks/MockFeed.vy", 8, "ETH / USD")


def answers(contract: Contract, model: MockFeed) -> bytes:
    """The bytes both answer."""
    raw = contract.raw(ALICE, LATEST_ROUND_DATA)
    assert raw == model.latestRoundData(ALICE)
    return raw


def test_feed__answers_on_the_wire_as_chainlink_does(feed: Contract) -> None:
    model = MockFeed(World(now=NOW), 8, "ETH / USD")
    for side in (feed.call(ALICE, "set_answer", 2000 * 10**8), model.set_answer(ALICE, 2000 * 10**8)):
        assert side is None
    words = decode(["uint80", "int256", "uint256", "uint256", "uint80"], answers(feed, model))
    assert words == (1, 2000 * 10**8, NOW, NOW, 1)
    assert feed.call(ALICE, "decimals") == model.decimals(ALICE) == 8
    assert feed.call(ALICE, "description") == model.description == "ETH / USD"
    assert feed.call(ALICE, "version") == model.version(ALICE) == 4


def test_feed__answers_what_no_honest_feed_would(feed: Contract) -> None:
    model = MockFeed(World(now=NOW), 8, "ETH / USD")
    dirty = (2**80, -(2**255), 0, MAX_UINT, MAX_UINT)
    feed.call(ALICE, "set_round", *dirty)
    model.set_round(ALICE, *dirty)
    assert decode(["uint256", "int256", "uint256", "uint256", "uint256"], answers(feed, model)) == dirty
    feed.call(ALICE, "set_decimals", 18)
    model.set_decimals(ALICE, 18)
    assert feed.call(ALICE, "decimals") == model.decimals(ALICE) == 18


def test_feed__round_overflow_reverts(feed: Contract) -> None:
    model = MockFeed(World(now=NOW), 8, "ETH / USD")
    feed.call(ALICE, "set_round", MAX_UINT, 1, 0, 0, 0)
    model.set_round(ALICE, MAX_UINT, 1, 0, 0, 0)
    assert outcome(lambda: feed.call(ALICE, "set_answer", 1)) == ("", "reverted")
    assert outcome(lambda: model.set_answer(ALICE, 1)) == ("", "reverted")


def test_feed__every_mode(feed: Contract) -> None:
    model = MockFeed(World(now=NOW), 8, "ETH / USD")
    feed.call(ALICE, "set_answer", 5)
    model.set_answer(ALICE, 5)
    seen = []
    for mode in range(FEED_REVERT_BOMB + 2):
        there = outcome(lambda: feed.call(ALICE, "set_mode", mode))  # noqa: B023
        assert there == outcome(lambda: model.set_mode(ALICE, mode))  # noqa: B023
        there = outcome(lambda: feed.raw(ALICE, LATEST_ROUND_DATA))
        assert there == outcome(lambda: model.latestRoundData(ALICE))
        seen.append(there)
        if mode in (FEED_SHORT, FEED_BOMB):
            assert len(there) == (64 if mode == FEED_SHORT else BOMB_BYTES)
    assert seen[1:4] == [("feed: down", "reverted"), ("", "reverted"), ("", "reverted")]
    assert seen[FEED_EMPTY] == b""
    assert seen[FEED_REVERT_BOMB + 1] == seen[FEED_REVERT_BOMB] == ("", "reverted"), "a refused mode must not stick"


def test_feed__burning_mode_leaves_no_gas(feed: Contract) -> None:
    feed.call(ALICE, "set_mode", FEED_BURN_GAS)
    with pytest.raises(RuntimeError, match=r"InvalidFEOpcode.*gas_used: 77777"):
        feed.machine.evm.message_call(ALICE, feed.address, calldata=LATEST_ROUND_DATA, gas=77_777)


def test_token__names_itself() -> None:
    for path in ("MockToken", "NoReturnToken"):
        token = Machine(NOW).deploy(f"mocks/{path}.vy", "USD", 6)
        assert (token.call(ALICE, "symbol"), token.call(ALICE, "decimals")) == ("USD", 6)


def test_token__modes() -> None:
    pair = Pair("MockToken", MockToken)
    assert pair.step("mint", ALICE, BOB, 1_000) is None
    assert pair.step("transfer", ALICE, BOB, 1) == ("token: balance", "reverted")
    assert pair.step("transferFrom", ALICE, BOB, CAROL, 1) == ("token: allowance", "reverted")
    assert pair.step("set_mode", ALICE, 1) is None
    assert pair.step("transfer", ALICE, BOB, 1) is False
    assert pair.step("transferFrom", ALICE, BOB, CAROL, 1) is False
    assert pair.step("approve", BOB, ALICE, 2_000) is True
    assert pair.step("transferFrom", ALICE, BOB, CAROL, 1_001) is False
    assert pair.step("transferFrom", ALICE, BOB, CAROL, 1) is True
    assert pair.step("set_mode", ALICE, 2) is None
    assert pair.step("transferFrom", ALICE, BOB, CAROL, 199) is True
    assert pair.model.balanceOf(ALICE, CAROL) == 1 + 198
    assert pair.model.totalSupply(ALICE) == 999
    assert pair.model.allowance(ALICE, BOB, ALICE) == 1_800
    assert pair.step("set_mode", ALICE, 3) == ("token: no such mode", "reverted")


def test_no_return_token__answers_nothing() -> None:
    pair = Pair("NoReturnToken", NoReturnToken)
    pair.step("mint", ALICE, BOB, 1_000)
    for function in ("transfer", "transferFrom", "approve"):
        assert pair.contract.functions[function]["outputs"] == []
    assert pair.step("approve", BOB, ALICE, MAX_UINT) is None
    assert pair.step("transferFrom", ALICE, BOB, CAROL, 600) is None
    assert pair.model.allowance(ALICE, BOB, ALICE) == MAX_UINT
    assert pair.step("transfer", CAROL, ALICE, 601) == ("token: balance", "reverted")
    assert pair.step("transferFrom", CAROL, BOB, ALICE, 1) == ("token: allowance", "reverted")


AMOUNTS = st.sampled_from([0, 1, 99, 100, 1_000, 10**18, MAX_UINT - 1, MAX_UINT])
WHO = st.sampled_from(PEOPLE)
STEPS = st.one_of(
    st.tuples(st.sampled_from(["mint", "transfer", "approve"]), WHO, WHO, AMOUNTS),
    st.tuples(st.just("transferFrom"), WHO, WHO, WHO, AMOUNTS),
)


@settings(max_examples=12, deadline=None)
@given(st.booleans(), st.lists(st.one_of(STEPS, st.tuples(st.just("set_mode"), WHO, st.integers(0, 3))), max_size=15))
def test_token__random_walk(plain: bool, steps: list[tuple[Any, ...]]) -> None:
    pair = Pair("NoReturnToken", NoReturnToken) if plain else Pair("MockToken", MockToken)
    for step in steps:
        if not (plain and step[0] == "set_mode"):
            pair.step(*step)
