"""Contract and model in step over everything that can be done, in whatever order is found.

Two drivers of the same operations: a hypothesis machine, which shrinks what it finds, and seeded walks, which
are steered into crashes and give a fixed number of steps. After every step return, revert reason, events and
state are compared, the invariants are checked, and the exact ledger bounds the drift.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from python_ref import constants as c
from python_ref.mocks import FEED_NORMAL, FEED_REVERT
from scripts.campaign.operations import Operations
from scripts.campaign.regimes import BY_NAME
from scripts.campaign.setup import SPECS, Setup
from scripts.campaign.steering import Steering
from scripts.chain import Chain

TRADERS = 7
WHO = st.integers(0, TRADERS + 1)
TRADER = st.integers(0, TRADERS - 1)
MARKET = st.integers(0, len(SPECS) - 1)
MONEY = st.sampled_from((1, 999, 30_000, 250_000, 1_000_000))
PERCENT = st.sampled_from((1, 33, 50, 100))


def machine_on(operations: Operations) -> type[RuleBasedStateMachine]:
    """A machine that starts every example from the fresh deployment."""

    class Machine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.do = operations
            self.steer = Steering(operations, BY_NAME["rebase"], Random(0))
            self.mark = operations.mark()

        def teardown(self) -> None:
            self.do.finish()
            self.do.restart(self.mark)

        @rule(seconds=st.sampled_from((1, 12, 13, 60, 3_600, 86_400)))
        def advance(self, seconds: int) -> None:
            self.do.advance(seconds)

        @rule(market=MARKET, bps=st.integers(-3_000, 3_000), feeds=st.sampled_from((3, 3, 3, 3, 2)))
        def price(self, market: int, bps: int, feeds: int) -> None:
            self.do.price(market, bps, feeds)

        @rule(market=MARKET, feed=st.integers(0, 2), mode=st.sampled_from((FEED_NORMAL, FEED_REVERT)))
        def feed(self, market: int, feed: int, mode: int) -> None:
            self.do.feed_mode(market, feed, mode)

        @rule(who=WHO, money=MONEY)
        def deposit(self, who: int, money: int) -> None:
            self.do.deposit(who, money)

        @rule(who=WHO, percent=PERCENT)
        def withdraw(self, who: int, percent: int) -> None:
            self.do.withdraw(who, percent)

        @rule(who=WHO, to=WHO, money=MONEY)
        def transfer(self, who: int, to: int, money: int) -> None:
            self.do.transfer(who, to, money)

        @rule(
            market=MARKET,
            buyer=WHO,
            seller=WHO,
            notional=st.sampled_from((5, 900, 9_000, 90_000, 400_000)),
            bps=st.integers(-250, 250),
            flags=st.integers(0, 7),
            odd=st.integers(0, 3),
        )
        def trade(self, market: int, buyer: int, seller: int, notional: int, bps: int, flags: int, odd: int) -> None:
            self.do.trade(market, buyer, seller, notional, bps, flags, odd)

        @rule(buyer=WHO, seller=WHO, size=st.integers(0, 50))
        def speck(self, buyer: int, seller: int, size: int) -> None:
            self.do.fill(3, buyer, seller, c.DUST_SIZE + size, self.do.prices[3])

        @rule(market=MARKET, who=WHO, other=WHO, percent=PERCENT)
        def close(self, market: int, who: int, other: int, percent: int) -> None:
            self.do.close(market, who, other, percent)

        @rule(market=MARKET, maker=TRADER, taker=TRADER, notional=st.sampled_from((50, 4_000)), buys=st.booleans())
        def signed_trade(self, market: int, maker: int, taker: int, notional: int, buys: bool) -> None:
            do, size = self.do, self.do.size_of(market, notional * c.WAD) * (1 if buys else -1)
            first = self.steer.book.sign(maker, market, size, do.prices[market])
            self.steer.book.cross(first, self.steer.book.sign(taker, market, -size, do.prices[market]), abs(size))

        @rule(market=MARKET, maker=TRADER, taker=TRADER, reduce_only=st.booleans())
        def take(self, market: int, maker: int, taker: int, reduce_only: bool) -> None:
            size = self.do.size_of(market, 500 * c.WAD)
            resting = self.steer.book.sign(maker, market, size, self.do.prices[market], reduce_only=reduce_only)
            self.steer.book.take(resting, taker, size // 2)

        @rule(who=WHO, market=MARKET, by=WHO, percent=PERCENT)
        def liquidate(self, who: int, market: int, by: int, percent: int) -> None:
            self.do.liquidate(who, market, by, percent)

        @rule(market=MARKET, by=WHO)
        def liquidate_batch(self, market: int, by: int) -> None:
            self.do.liquidate_batch(market, by)

        @rule(who=WHO, market=MARKET)
        def take_over(self, who: int, market: int) -> None:
            self.do.take_over(who, market)

        @rule(who=st.integers(0, TRADERS + 1 + len(SPECS)), others=st.lists(WHO, max_size=3))
        def resolve(self, who: int, others: list[int]) -> None:
            self.do.resolve(who, others)

        @rule(seed=st.integers(0, 2**32))
        def press(self, seed: int) -> None:
            self.steer.r = Random(seed)
            self.steer.press()

        @rule()
        def rebase(self) -> None:
            self.do.rebase()

        @rule(market=MARKET)
        def sweep(self, market: int) -> None:
            self.do.sweep(market)

        @rule(who=WHO, money=MONEY)
        def repay(self, who: int, money: int) -> None:
            self.do.repay(who, money)

        @rule(who=WHO)
        def release(self, who: int) -> None:
            self.do.release(who)

        @rule(who=WHO, market=MARKET)
        def settle(self, who: int, market: int) -> None:
            self.do.settle(who, market)

        @rule(who=WHO, market=MARKET)
        def rerank(self, who: int, market: int) -> None:
            self.do.rerank(who, market)

        @rule(
            what=st.sampled_from(
                (
                    "deposit",
                    "request_withdrawal",
                    "claim_withdrawal",
                    "cancel_withdrawal",
                    "recognise",
                    "top_up",
                    "skim",
                    "start_auction",
                    "sell_inventory",
                )
            ),
            who=TRADER,
            market=MARKET,
            money=MONEY,
        )
        def fund(self, what: str, who: int, market: int, money: int) -> None:
            self.do.fund(what, who, market, money)

    return Machine


def started(chain: Chain, decimals: int) -> Operations:
    """A fresh deployment with money in every account."""
    operations = Operations(chain, Setup(decimals=decimals))
    operations.open()
    return operations


def test_machine__contract_and_model_agree(chain: Chain) -> None:
    operations = started(chain, 6)
    budget = settings(max_examples=40, stateful_step_count=60, deadline=None)
    run_state_machine_as_test(machine_on(operations), settings=budget)
    assert operations.steps >= 1_500, operations.steps


@pytest.mark.parametrize("decimals", [6, 18])
@pytest.mark.parametrize("first_seed", [0, 100])
def test_walk__every_stage_is_reached_and_agrees(chain: Chain, decimals: int, first_seed: int) -> None:
    operations = started(chain, decimals)
    mark = operations.mark()
    for seed in range(first_seed, first_seed + 12):
        steering = Steering(operations, BY_NAME["rebase"], Random(seed))
        for _ in range(300):
            steering.move()
        operations.finish()
        operations.restart(mark)
        mark = operations.mark()
    marks = operations.judge.marks
    stages = ("Liquidated", "BucketPaid", "BandDeleveraged", "WrittenOff", "Rebased", "LateFolded", "Released")
    missing = [stage for stage in stages if not marks[f"event:ClearingHouse.{stage}"]]
    assert not missing, missing


@pytest.mark.parametrize("seed", range(4))
def test_walk__agrees_on_the_chain_that_ape_brings(open_chain: Callable[[str], Chain], seed: int) -> None:
    """1,300 compared steps each, 5,200 in all, on ape's in-process chain."""
    operations = started(open_chain("ape"), (6, 18)[seed % 2])
    steering = Steering(operations, BY_NAME["cascade"], Random(seed))
    while operations.steps < 1_300:
        steering.move()
    operations.finish()


def test_walk__agrees_on_anvil(open_chain: Callable[[str], Chain]) -> None:
    operations = started(open_chain("anvil"), 6)
    steering = Steering(operations, BY_NAME["trading"], Random(77))
    while operations.steps < 400:
        steering.move()
    operations.finish()
