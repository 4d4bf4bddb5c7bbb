"""Small books on a deployed system: fixtures, readings of the model that leave no trace, and the moves tests repeat."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest

from python_ref import constants as c
from python_ref.bands import Leg
from python_ref.invariants import check_all
from python_ref.margin import Exposure
from python_ref.mocks import FEED_NORMAL, FEED_REVERT
from python_ref.price_oracle import Prices
from python_ref.words import Account, Globals, Limits, Market, Position
from python_ref.world import Revert
from scripts.chain import Outcome, make_chain
from scripts.system import KEEPER, WAD, Actor, MarketSpec, System, actor, deploy

T = TypeVar("T")

ALICE, BOB, CAROL, DAVE = (actor(name) for name in ("alice", "bob", "carol", "dave"))
"""By habit: Alice is long, Bob is short, Carol takes over, Dave is somebody else."""


def deployed_fixture(*specs: MarketSpec, decimals: int = 18) -> Any:
    """A module's fixture ``deployed``: one system with these markets."""

    @pytest.fixture(scope="module", name="deployed")
    def deployed() -> Iterator[System]:
        with make_chain() as chain:
            yield deploy(chain, specs, decimals)

    return deployed


def system_fixture() -> Any:
    """The fixture ``system``: ``deployed``, put back after the test; its end state is compared and checked whole."""

    @pytest.fixture(name="system")
    def system(deployed: System) -> Iterator[System]:
        mark = deployed.twin.snapshot()
        try:
            yield deployed
            check(deployed)
        finally:
            deployed.twin.revert(mark)

    return system


def check(s: System) -> None:
    """Every word on both sides, and the invariants of the moment."""
    s.twin.check_all()
    vault = s.token.balanceOf(KEEPER, s.clearing_house.address) * s.unit
    check_all(s.twin.world, vault)


# ---- reading the model without a trace -------------------------------------------------------------


def probe(s: System, ask: Callable[[], T]) -> T:
    """What the model answers now; whatever it writes is undone."""
    answer: list[T] = []

    def run() -> None:
        answer.append(ask())
        raise Revert("probe")

    s.twin.advance(0)
    try:
        s.twin.world.transact(run)
    except Revert as revert:
        if not answer:
            raise revert
    return answer[0]


def prices(s: System, market: int = 0) -> Prices:
    """What the oracle answers now."""
    return probe(s, lambda: s.oracle.prices(KEEPER, market))


def exposure(s: System, account: bytes) -> Exposure:
    """Equity and requirements of an account now, value units."""
    house = s.clearing_house
    return probe(s, lambda: house._assess(account, house.load_account_word(account), None, 0))


def leg(s: System, account: bytes, market: int = 0) -> Leg:
    """A position now, with funding accrued to now."""
    house = s.clearing_house
    return probe(s, lambda: house._read_leg(account, market, house._open_venue(market).words.funding))


def word(s: System, account: bytes) -> Account:
    """Word 0 of an account."""
    return s.clearing_house.load_account_word(account)


def position(s: System, account: bytes, market: int = 0) -> Position:
    """The stored basis of a position."""
    return s.clearing_house.load_position(account, market)


def domain(s: System) -> Globals:
    """The words of the domain."""
    return s.clearing_house.load_globals_words()


def market_words(s: System, market: int = 0) -> Market:
    """The moving words of a market."""
    return s.clearing_house.load_market_words(market)


def limits(s: System, market: int = 0) -> Limits:
    """The limits of a market."""
    return s.clearing_house.load_limits(market)


# ---- moves -----------------------------------------------------------------------------------------


def refused(outcome: Outcome, reason: str) -> None:
    """The call was refused for exactly this."""
    assert outcome.reason == reason, f"{outcome.reason!r}, not {reason!r}"


def ok(outcome: Outcome) -> Outcome:
    """The call went through."""
    assert outcome.ok, outcome.reason
    return outcome


def fund(s: System, who: Actor, amount: int, subaccount: int = 0) -> bytes:
    """Deposit ``amount`` (WAD) for ``who``; the account."""
    ok(s.fund_account(who.address, amount, subaccount))
    return who.account(subaccount)


def rich(s: System, *actors: Actor, amount: int = 10**9 * WAD) -> None:
    """Deposit plenty for each."""
    for who in actors:
        fund(s, who, amount)


def move(s: System, market: int, price: int, seconds: int = 60) -> None:
    """Let time pass, then let the feeds answer ``price``."""
    s.twin.advance(seconds)
    s.set_price(market, price)


def feeds_down(s: System, market: int, count: int, seconds: int = 60) -> None:
    """Let ``count`` feeds fail and all others answer as before: 0 LIVE, 1 DEGRADED, 2 FROZEN."""
    index = prices(s, market).index
    s.twin.advance(seconds)
    s.answer(market, index)
    for feed in range(3):
        mode = FEED_REVERT if feed < count else FEED_NORMAL
        ok(s.twin.call(s.feed_name(market, feed), "set_mode", KEEPER, mode))
    ok(s.twin.call("PriceOracle", "poke", KEEPER, market))


def top_up_to(s: System, who: Actor, e_kind: int, subaccount: int = 0) -> None:
    """Deposit for ``who`` until his equity at the kind edge (value units) is the least that reaches ``e_kind``.

    The collateral must have 18 decimals and ``claim_index`` be one, so that a wei of deposit is a wei of cash.
    """
    missing = -((exposure(s, who.account(subaccount)).e_kind - e_kind) // WAD)
    assert missing > 0, f"equity exceeds the target by {-missing} wei"
    ok(s.fund_account(who.address, missing, subaccount))


def events(outcome: Outcome, name: str) -> list[dict[str, Any]]:
    """Fields of the outcome's events of that name."""
    return [log.fields for log in outcome.events if log.name == name]


def event(outcome: Outcome, name: str) -> dict[str, Any]:
    """The one event of that name."""
    (found,) = events(outcome, name)
    return found


def ceil_div(n: int, d: int) -> int:
    """Rounded up."""
    return -(-n // d)


def requirement(s: System, market: int, rate_ppm: int, notional: int) -> int:
    """Margin for ``notional`` (value) without a slope, value units."""
    assert s.specs[market].risk.depth == 0
    return ceil_div(notional * rate_ppm, c.PPM)


def calm(s: System, market: int) -> None:
    """Let the oracle's slow reference catch up with its index."""
    p = prices(s, market)
    for _ in range(45):
        if (p.credit_low, p.credit_high) == (p.low, p.high):
            return
        move(s, market, p.index, 900)
        p = prices(s, market)
    raise AssertionError("the reference does not come back")
