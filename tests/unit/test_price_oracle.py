"""PriceOracle.vy against python_ref/price_oracle.py: returns, reasons, events and every storage word."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyrevm import AccountInfo

from python_ref import price_oracle as model
from python_ref.constants import MAX_MARKETS, MAX_PRICE, STATE_DEGRADED, STATE_FROZEN, STATE_LIVE
from python_ref.mocks import FEED_BOMB, FEED_BURN_GAS, FEED_NORMAL, FEED_REVERT, FEED_REVERT_EMPTY, FEED_SHORT, MockFeed
from python_ref.price_oracle import CACHE_S, FUTURE_S, MAX_AGE_S, TAU_S, PriceOracle, Prices
from python_ref.world import Event, Revert, World
from tests.unit.bench import Machine

NOW = 1_700_000_000
GOVERNOR, STRANGER = "0x" + "90" * 20, "0x" + "57" * 20
ZERO = "0x" + "00" * 20
WAD = 10**18
M = 3
MAX_AGE = 3_600
OUTLIER_BPS, WIDTH_BPS = 200, 30


class Codeless:
    """An address whose code is gone: a call succeeds and answers nothing."""

    def decimals(self, sender: str) -> int:
        raise Revert("")

    def latestRoundData(self, sender: str) -> bytes:  # noqa: N802
        return b""


class Twin:
    """Oracle and three feeds, twice; every step is compared."""

    def __init__(self, decimals: tuple[int, int, int] = (8, 8, 18), price: int = 2_000 * WAD, now: int = NOW) -> None:
        self.decimals = decimals
        self.machine, self.world = Machine(now), World(now=now)
        self.feeds = [self.machine.deploy("mocks/MockFeed.vy", d, "ETH / USD") for d in decimals]
        self.feed_models = [MockFeed(self.world, d, "ETH / USD", f"feed{i}") for i, d in enumerate(decimals)]
        self.addresses = [feed.address for feed in self.feeds]
        self.registry: dict[str, Any] = dict(zip(self.addresses, self.feed_models, strict=True))
        self.contract = self.machine.deploy("PriceOracle.vy", GOVERNOR)
        self.registry[self.contract.address] = Codeless()
        _, events = self.world.transact(
            lambda: setattr(self, "model", PriceOracle(self.world, GOVERNOR, self.registry))
        )
        self.model: PriceOracle
        assert self.machine.events() == events == [Event("PriceOracle", "GovernorSet", {"governor": GOVERNOR})]
        self.events: list[Event] = []
        self.compare_storage()
        for i in range(3):
            self.feed(i, "set_answer", self.scaled(i, price))

    def scaled(self, i: int, price: int) -> int:
        """``price`` (WAD) in the decimals of feed ``i``."""
        return price // 10 ** (18 - self.decimals[i])

    def feed(self, i: int, function: str, *args: int) -> None:
        """Turn a knob of feed ``i``."""
        self.feeds[i].call(STRANGER, function, *args)
        getattr(self.feed_models[i], function)(STRANGER, *args)

    def advance(self, seconds: int) -> None:
        """Let time pass."""
        self.machine.now += seconds
        self.world.now += seconds

    def refresh(self, price: int) -> None:
        """A new round at ``price`` (WAD) from all feeds."""
        for i in range(3):
            self.feed(i, "set_answer", self.scaled(i, price))

    def step(self, function: str, *args: Any, sender: str = STRANGER) -> Any:
        """One transaction on both sides; the model's value, or the reason of the revert as a str."""
        try:
            there, events = self.contract.call(sender, function, *args), None
        except Revert as refusal:
            there, events = refusal.reason, []
        try:
            here, self.events = self.world.transact(lambda: getattr(self.model, function)(sender, *args))
        except Revert as refusal:
            here, self.events = refusal.reason, []
        assert (Prices(*there) if isinstance(there, tuple) else there) == here
        assert (self.machine.events() if events is None else events) == self.events
        self.compare_storage()
        return here

    def look(self, function: str, market: int = M) -> Prices:
        """``peek``, then ``prices`` or ``poke``; the former must foretell the latter."""
        foretold = self.step("peek", market)
        assert self.events == []
        result = self.step(function, market)
        if function == "prices":
            assert result == foretold
        assert isinstance(result, Prices)
        return result

    def codes(self) -> list[int]:
        """Last code per feed."""
        return [self.world.get(("PriceOracle", "observations", M, i)) >> 248 for i in range(3)]

    def set_feeds(self, **changes: Any) -> Any:
        """``set_feeds`` by the governor with good arguments but for ``changes``."""
        good = {
            "market": M,
            "feeds": self.addresses,
            "decimals": list(self.decimals),
            "max_ages": [MAX_AGE] * 3,
            "outlier_bps": OUTLIER_BPS,
            "width_bps": WIDTH_BPS,
        }
        sender = changes.pop("sender", GOVERNOR)
        return self.step("set_feeds", *(good | changes).values(), sender=sender)

    def compare_storage(self) -> None:
        """Every word of the oracle, written or not."""
        word, get = self.contract.word, self.world.get
        assert word("governor") == get(("PriceOracle", "governor"))
        for market in (0, M):
            for variable in ("cache", "params"):
                assert word(variable, market) == get(("PriceOracle", variable, market)), variable
            for variable, i in product(("feeds", "observations"), range(3)):
                assert word(variable, market, at=i) == get(("PriceOracle", variable, market, i)), (variable, i)


@pytest.fixture
def bare() -> Twin:
    """Feeds that answer, but no market."""
    return Twin()


@pytest.fixture
def twin() -> Twin:
    """One market, never poked."""
    twin = Twin()
    assert twin.set_feeds() is None
    return twin


@pytest.fixture
def live(twin: Twin) -> Twin:
    """One market, just poked at 2,000."""
    assert twin.look("prices").state == STATE_LIVE
    return twin


def price_of(p: Prices) -> int:
    assert p.mark == p.index
    return p.index


# --- governance


def test_constructor__refuses_no_governor() -> None:
    with pytest.raises(Revert, match="oracle: no governor"):
        Machine(NOW).deploy("PriceOracle.vy", ZERO)
    with pytest.raises(Revert, match="oracle: no governor"):
        PriceOracle(World(), ZERO, {})


def test_set_governor(bare: Twin) -> None:
    assert bare.step("set_governor", STRANGER, sender=STRANGER) == "oracle: not governor"
    assert bare.step("set_governor", ZERO, sender=GOVERNOR) == "oracle: no governor"
    assert bare.step("set_governor", STRANGER, sender=GOVERNOR) is None
    assert bare.events == [Event("PriceOracle", "GovernorSet", {"governor": STRANGER})]
    assert bare.set_feeds() == "oracle: not governor"
    assert bare.set_feeds(sender=STRANGER) is None


def test_set_feeds__refuses_each_bad_field(bare: Twin) -> None:
    a, b, c = bare.addresses
    oracle = bare.contract.address
    cases: list[tuple[str, dict[str, Any]]] = [
        ("oracle: not governor", {"sender": STRANGER}),
        ("oracle: no such market", {"market": MAX_MARKETS}),
        ("oracle: outlier_bps", {"outlier_bps": 0}),
        ("oracle: outlier_bps", {"outlier_bps": 1_001}),
        ("oracle: width_bps", {"width_bps": 1_001}),
        ("oracle: feed is no contract", {"feeds": [a, STRANGER, c]}),
        ("oracle: feed is no contract", {"feeds": [a, b, ZERO]}),
        ("oracle: same feed twice", {"feeds": [a, a, c]}),
        ("oracle: same feed twice", {"feeds": [a, b, b], "decimals": [8, 8, 8]}),
        ("oracle: same feed twice", {"feeds": [a, b, a], "decimals": [8, 8, 8]}),
        ("oracle: feed decimals", {"decimals": [8, 19, 18]}),
        ("oracle: feed max_age", {"max_ages": [MAX_AGE, 0, MAX_AGE]}),
        ("oracle: feed max_age", {"max_ages": [MAX_AGE, MAX_AGE, MAX_AGE_S + 1]}),
        ("oracle: no decimals", {"feeds": [a, b, oracle]}),
        ("oracle: other decimals", {"decimals": [8, 18, 18]}),
    ]
    for reason, changes in cases:
        assert bare.set_feeds(**changes) == reason, changes
    extremes = {"max_ages": [1, MAX_AGE_S, MAX_AGE], "outlier_bps": 1_000, "width_bps": 1_000, "market": 0}
    assert bare.set_feeds(**extremes) is None
    assert [event.name for event in bare.events] == ["FeedsSet"]


def test_set_feeds__pins_what_the_feed_says_now(live: Twin) -> None:
    live.feed(2, "set_decimals", 8)
    assert live.set_feeds() == "oracle: other decimals"
    assert live.set_feeds(decimals=[8, 8, 8]) is None
    live.advance(1)
    # 2000e18 read with 8 decimals is far out of range
    assert live.look("poke").state == STATE_DEGRADED
    assert live.codes() == [0, 0, model.OUT_OF_RANGE]


def test_set_feeds__keeps_the_accepted_prices_and_forgets_the_observations(live: Twin) -> None:
    before = live.look("prices")
    assert live.set_feeds(width_bps=100) is None
    assert live.look("prices") == before
    assert [live.contract.word("observations", M, at=i) for i in range(3)] == [0, 0, 0]
    live.advance(1)
    assert live.look("poke").low == 1_980 * WAD


def test_market_without_feeds__is_frozen_at_zero_and_leaves_no_trace(bare: Twin) -> None:
    for market in (0, M, MAX_MARKETS, 2**256 - 1):
        for function in ("prices", "poke"):
            assert bare.look(function, market) == Prices(0, 0, 0, 0, 0, 0, STATE_FROZEN)
            assert bare.events == []
    assert bare.contract.word("cache", M) == 0


# --- one feed


def test_first_price__live_and_seeds_the_reference(twin: Twin) -> None:
    p = twin.look("prices")
    low, high = 1_994 * WAD, 2_006 * WAD
    assert p == Prices(2_000 * WAD, 2_000 * WAD, low, high, low, high, STATE_LIVE)
    fields = {"market": M, "index": 2_000 * WAD, "low": low, "high": high, "state": STATE_LIVE}
    assert twin.events == [Event("PriceOracle", "PricePoked", fields)]


HOSTILE = [
    (FEED_REVERT, model.CALL_FAILED),
    (FEED_REVERT_EMPTY, model.CALL_FAILED),
    (FEED_BURN_GAS, model.CALL_FAILED),
    (FEED_SHORT, model.SHORT),
    (FEED_BOMB, model.NONPOSITIVE),
]


@pytest.mark.parametrize(("mode", "code"), HOSTILE)
@pytest.mark.parametrize("first", [True, False])
def test_hostile_mode__silences_the_feed_only(twin: Twin, mode: int, code: int, first: bool) -> None:
    if not first:
        twin.look("poke")
    for bad in range(3):
        twin.feed(bad, "set_mode", mode)
        twin.advance(1)
        assert twin.look("poke").state == (STATE_DEGRADED, STATE_FROZEN, STATE_FROZEN)[bad]
        assert twin.codes() == [code] * (bad + 1) + [0] * (2 - bad)
        failed = [event.fields["feed"] for event in twin.events if event.name == "FeedFailed"]
        assert failed == [bad], "only a change of code is logged"
    assert price_of(twin.look("prices")) == 2_000 * WAD
    for bad in range(3):
        twin.feed(bad, "set_mode", FEED_NORMAL)
    twin.advance(1)
    assert twin.look("poke").state == STATE_LIVE
    assert [event.name for event in twin.events] == ["FeedRecovered"] * 3 + ["PricePoked"]


P8 = 2_000 * 10**8
ROUNDS = [
    ("honest", (7, P8, NOW, NOW, 7), model.OK),
    ("old round answered", (7, P8, NOW, NOW, 6), model.OK),
    ("last uint80", (2**80 - 1, P8, NOW, NOW, 7), model.OK),
    ("dirty round", (2**80, P8, NOW, NOW, 7), model.OUT_OF_RANGE),
    ("dirty round, no price", (2**256 - 1, 0, 0, 0, 0), model.OUT_OF_RANGE),
    ("dirty answered in", (7, P8, 2**256 - 1, NOW, 2**256 - 1), model.OK),
    ("zero", (7, 0, NOW, NOW, 7), model.NONPOSITIVE),
    ("negative", (7, -1, NOW, NOW, 7), model.NONPOSITIVE),
    ("lowest", (7, -(2**255), NOW, 0, 7), model.NONPOSITIVE),
    ("beyond 128 bits", (7, 2**128, NOW, NOW, 7), model.OUT_OF_RANGE),
    ("beyond 128 bits, incomplete", (7, 2**128, NOW, 0, 7), model.OUT_OF_RANGE),
    ("highest", (7, 2**255 - 1, NOW, 0, 7), model.OUT_OF_RANGE),
    ("just within 128 bits", (7, 2**128 - 1, NOW, NOW, 7), model.OUT_OF_RANGE),
    ("highest price", (7, MAX_PRICE // 10**10 - 1, NOW, NOW, 7), model.OK),
    ("beyond the highest price", (7, MAX_PRICE // 10**10, NOW, NOW, 7), model.OUT_OF_RANGE),
    ("incomplete", (7, P8, NOW, 0, 7), model.INCOMPLETE),
    ("future within the skew", (7, P8, NOW, NOW + FUTURE_S, 7), model.OK),
    ("future", (7, P8, NOW, NOW + FUTURE_S + 1, 7), model.FUTURE),
    ("far future", (7, P8, NOW, 2**256 - 1, 7), model.FUTURE),
    ("far future, out of range", (7, 2**127, NOW, 2**255, 7), model.FUTURE),
    ("as old as allowed", (7, P8, NOW, NOW - MAX_AGE, 7), model.OK),
    ("stale", (7, P8, NOW, NOW - MAX_AGE - 1, 7), model.STALE),
    ("from 1970", (7, P8, NOW, 1, 7), model.STALE),
]


@pytest.mark.parametrize(("name", "round_data", "code"), ROUNDS, ids=[name for name, _, _ in ROUNDS])
def test_round__first_failing_check_names_it(twin: Twin, name: str, round_data: tuple[int, ...], code: int) -> None:
    twin.feed(1, "set_round", *round_data)
    twin.look("prices")
    assert twin.codes() == [0, code, 0]
    seen = twin.contract.word("observations", M, at=1)
    if code == model.OK:
        round_id, answer, _, updated, _ = round_data
        assert seen == answer | round_id << 128 | updated << 208
    else:
        assert seen == code << 248


def test_observation__keeps_the_last_accepted_answer(live: Twin) -> None:
    before = live.contract.word("observations", M, at=0)
    live.feed(0, "set_round", 9, -5, NOW, NOW, 9)
    live.advance(1)
    live.look("poke")
    assert live.contract.word("observations", M, at=0) == before | model.NONPOSITIVE << 248


def test_stale__by_the_clock_alone(live: Twin) -> None:
    live.advance(MAX_AGE)
    assert live.look("poke").state == STATE_LIVE
    live.advance(1)
    assert live.look("poke").state == STATE_FROZEN
    assert live.codes() == [model.STALE] * 3


@pytest.mark.parametrize("decimals", [(0, 8, 18), (18, 18, 18), (8, 8, 8), (1, 17, 6)])
def test_decimals__all_scales_agree(decimals: tuple[int, int, int]) -> None:
    twin = Twin(decimals, price=31 * WAD)
    twin.set_feeds()
    assert twin.look("prices").state == STATE_LIVE
    assert price_of(twin.look("prices")) == 31 * WAD


def test_codeless_feed__is_short(live: Twin) -> None:
    address = live.addresses[0]
    live.machine.evm.insert_account_info(address, AccountInfo())
    live.registry[address] = Codeless()
    live.advance(1)
    assert live.look("poke").state == STATE_DEGRADED
    assert live.codes() == [model.SHORT, 0, 0]


@pytest.mark.parametrize("function", ["prices", "poke", "peek"])
def test_starved_caller__cannot_silence_a_healthy_feed(twin: Twin, function: str) -> None:
    twin.feed(0, "set_mode", FEED_BURN_GAS)
    served = refused = 0
    for gas in range(60_000, 560_000, 3_000):
        mark = twin.machine.evm.snapshot()
        try:
            state = twin.contract.call(STRANGER, function, M, gas=gas)[-1]
            served += 1
        except Revert as refusal:
            state = STATE_DEGRADED  # of a refused call nothing remains
            refused += refusal.reason == "oracle: too little gas"
        assert state == STATE_DEGRADED, gas
        twin.machine.evm.revert(mark)
    assert served > 20
    assert refused > 20


# --- median, agreement, state


@pytest.mark.parametrize("ever", [False, True])
@pytest.mark.parametrize("down", list(product([False, True], repeat=3)))
def test_subset_of_feeds_down(twin: Twin, down: tuple[bool, ...], ever: bool) -> None:
    if ever:
        twin.look("poke")
        twin.advance(CACHE_S + 1)
    for i, price in enumerate((2_010, 2_000, 2_020)):
        twin.feed(i, "set_answer", twin.scaled(i, price * WAD))
        twin.feed(i, "set_mode", FEED_REVERT if down[i] else FEED_NORMAL)
    p = twin.look("prices")
    up = [price for price, gone in zip((2_010, 2_000, 2_020), down, strict=True) if not gone]
    if len(up) == 3:
        assert (p.state, p.index) == (STATE_LIVE, 2_010 * WAD)
    elif len(up) == 2:
        assert (p.state, p.index) == (STATE_DEGRADED, sum(up) * WAD // 2)
    else:
        assert (p.state, p.index) == (STATE_FROZEN, 2_000 * WAD if ever else 0)
        assert ever or p == Prices(0, 0, 0, 0, 0, 0, STATE_FROZEN)


# 200 bps of the median 10_000 are 200
DISPERSION = [
    ((9_800, 10_000, 10_200), STATE_LIVE, 10_000),
    ((9_799, 10_000, 10_200), STATE_DEGRADED, 10_000),
    ((9_800, 10_000, 10_201), STATE_DEGRADED, 10_000),
    ((1, 10_000, 10_000), STATE_DEGRADED, 10_000),
    ((10_000, 10_000, 10**20), STATE_DEGRADED, 10_000),
    ((9_799, 10_000, 10_201), STATE_FROZEN, 0),
    ((9_800, None, 10_200), STATE_DEGRADED, 10_000),
    ((9_799, None, 10_200), STATE_FROZEN, 0),  # mean 9,999: 201 above it is too far
    ((9_799, None, 10_201), STATE_FROZEN, 0),
    ((10_000, None, 10_001), STATE_DEGRADED, 10_000),
    ((1, None, 2), STATE_FROZEN, 0),
    ((1, 1, 1), STATE_LIVE, 1),
]


@pytest.mark.parametrize(("answers", "state", "index"), DISPERSION)
@pytest.mark.parametrize("turn", range(3))
def test_dispersion(answers: tuple[int | None, ...], state: int, index: int, turn: int) -> None:
    twin = Twin((18, 18, 18))
    twin.set_feeds()
    for i, answer in enumerate(answers[turn:] + answers[:turn]):
        twin.feed(i, "set_answer", answer or 0)
    p = twin.look("prices")
    assert (p.state, p.index) == (state, index)


def test_interval__low_rounds_down_and_high_up() -> None:
    twin = Twin((18, 18, 18), price=10_001)
    twin.set_feeds()
    p = twin.look("prices")
    assert (p.low, p.high) == (9_970, 10_032)


def test_interval__of_the_highest_price_fits() -> None:
    twin = Twin((18, 18, 18), price=MAX_PRICE - 1)
    twin.set_feeds(width_bps=1_000)
    p = twin.look("prices")
    assert (p.state, p.low) == (STATE_LIVE, (MAX_PRICE - 1) * 9 // 10)
    twin.refresh(1)
    twin.advance(TAU_S)
    assert twin.look("prices").credit_high == MAX_PRICE - 1


def test_frozen__keeps_all_prices_of_the_last_accepted_poke(live: Twin) -> None:
    live.advance(20)
    live.refresh(2_100 * WAD)
    accepted = live.look("poke")
    live.set_feeds(width_bps=500)
    for i in range(2):
        live.feed(i, "set_mode", FEED_REVERT)
    for gap in (1, CACHE_S + 1, TAU_S):
        live.advance(gap)
        frozen = live.look("prices" if gap > CACHE_S else "poke")
        assert frozen.state == STATE_FROZEN
        assert [*vars(frozen).values()][:-1] == [*vars(accepted).values()][:-1]


# --- cache and reference


def test_cache__is_read_to_its_last_second(live: Twin) -> None:
    live.refresh(2_100 * WAD)
    live.advance(CACHE_S)
    assert price_of(live.look("prices")) == 2_000 * WAD
    assert live.events == []
    live.advance(1)
    assert price_of(live.look("prices")) == 2_100 * WAD
    assert len(live.events) == 1


def test_cache__that_was_never_written_is_old_even_when_the_clock_is_young() -> None:
    twin = Twin(now=CACHE_S)
    twin.set_feeds()
    assert twin.look("prices").state == STATE_LIVE


def test_poke__in_the_same_second_is_the_cache(live: Twin) -> None:
    live.refresh(2_100 * WAD)
    assert price_of(live.look("poke")) == 2_000 * WAD
    assert live.events == []
    live.advance(1)
    assert price_of(live.look("poke")) == 2_100 * WAD


def ref_of(p: Prices) -> tuple[int, int]:
    """How far the credit edges reach beyond the interval."""
    return p.low - p.credit_low, p.credit_high - p.high


def test_reference__new_index_has_no_weight_until_time_passes(live: Twin) -> None:
    live.advance(100)
    live.refresh(2_900 * WAD)
    p = live.look("poke")
    assert (p.credit_low, p.credit_high) == (2_000 * WAD, p.high), "2,000 was in force for all of the 100 seconds"
    live.advance(90)
    live.refresh(2_000 * WAD)
    p = live.look("poke")
    assert p.credit_high == 2_090 * WAD, "900 · 90/900 of the jump"
    live.advance(10 * TAU_S)
    live.refresh(2_000 * WAD)
    p = live.look("poke")
    assert ref_of(p) == (0, 0), "after TAU_S the reference is the index"


def test_reference__truncates_toward_zero_both_ways() -> None:
    for start, after, expected in ((1_000, 1_899, 1_000), (1_899, 1_000, 1_899)):
        twin = Twin((18, 18, 18), price=start)
        twin.set_feeds(width_bps=0)
        twin.look("poke")
        twin.advance(1)
        twin.refresh(after)
        twin.look("poke")
        twin.advance(1)
        # 899 · 1/900 truncates to nothing from either side
        twin.refresh(after)
        p = twin.look("poke")
        assert (p.credit_low if after > start else p.credit_high) == expected
        twin.advance(2)
        twin.refresh(after)
        p = twin.look("poke")
        assert (p.credit_low if after > start else p.credit_high) == expected + (1 if after > start else -1)


def test_reference__time_without_a_price_has_no_weight(live: Twin) -> None:
    live.advance(1)
    live.refresh(2_900 * WAD)
    assert live.look("poke").credit_low == 2_000 * WAD
    for i in range(3):
        live.feed(i, "set_mode", FEED_REVERT)
    for _ in range(3):
        live.advance(TAU_S)
        assert live.look("prices").state == STATE_FROZEN
    for i in range(3):
        live.feed(i, "set_mode", FEED_NORMAL)
    live.advance(TAU_S)
    live.refresh(2_900 * WAD)
    p = live.look("prices")
    assert (p.state, p.credit_low) == (STATE_LIVE, 2_000 * WAD), "one answer before a silence is not the reference"


# --- everything at once

PRICES = st.sampled_from([1, 1_960, 1_999, 2_000, 2_001, 2_040, 2_900, 10**8 - 1, 10**8])
WHICH = st.integers(0, 2)
STEP = st.one_of(
    st.tuples(st.just("advance"), st.sampled_from([0, 1, CACHE_S, CACHE_S + 1, 60, TAU_S, MAX_AGE])),
    st.tuples(st.just("answer"), WHICH, PRICES),
    st.tuples(st.just("refresh"), PRICES),
    st.tuples(st.just("mode"), WHICH, st.integers(0, 5)),
    st.tuples(st.just("heal")),
    st.tuples(st.just("round"), WHICH, st.sampled_from([0, 1, 2**80]), PRICES, st.integers(-MAX_AGE - 1, FUTURE_S + 1)),
    st.tuples(st.just("width"), st.sampled_from([0, 30, 1_000])),
)


@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(STEP, st.sampled_from(["prices", "poke"])), min_size=10, max_size=25))
def test_random_walk(steps: list[tuple[tuple[Any, ...], str]]) -> None:
    twin = Twin()
    twin.set_feeds()
    for (kind, *args), function in steps:
        if kind == "advance":
            twin.advance(args[0])
        elif kind == "answer":
            twin.feed(args[0], "set_answer", twin.scaled(args[0], args[1] * WAD))
        elif kind == "refresh":
            twin.refresh(args[0] * WAD)
        elif kind == "mode":
            twin.feed(args[0], "set_mode", args[1])
        elif kind == "heal":
            for i in range(3):
                twin.feed(i, "set_mode", FEED_NORMAL)
        elif kind == "round":
            i, round_id, price, offset = args
            stamp = twin.world.now + offset
            twin.feed(i, "set_round", round_id, twin.scaled(i, price * WAD), stamp, stamp, round_id)
        else:
            twin.set_feeds(width_bps=args[0])
        p = twin.look(function)
        assert p.credit_low <= p.low <= p.index <= p.high <= p.credit_high
