"""NaiveOracle and StalenessOracle against their models: by examples, and over random feeds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_ref import mocks
from python_ref.baselines import AVERAGE, LATEST, MEAN, MEDIAN, NaiveOracle, StalenessOracle
from python_ref.constants import STATE_FROZEN, STATE_LIVE, WAD
from python_ref.mocks import MockFeed
from python_ref.price_oracle import Feed, Rules
from python_ref.world import Revert, World
from scripts.chain import Chain, account
from scripts.twin import Twin

GOVERNOR, STRANGER = account(1), account(2)
RULES = Rules().as_tuple()
MAX_AGE = 3_600
MODELS = {"NaiveOracle": NaiveOracle, "StalenessOracle": StalenessOracle}


class Rig:
    """An oracle with three feeds of 8, 8 and 18 decimals."""

    decimals = (8, 8, 18)

    def __init__(self, chain: Chain, name: str, *args: int) -> None:
        self.chain = chain
        self.world = World()
        self.twin = Twin(chain, self.world)
        self.contracts: dict[str, Any] = {}
        self.model = MODELS[name](self.world, GOVERNOR, self.contracts, *args)
        self.twin.bind(self.model, "PriceOracle", chain.deploy(name, GOVERNOR, *args, sender=GOVERNOR))
        for i, decimals in enumerate(self.decimals):
            address = chain.deploy("MockFeed", decimals, "feed", sender=GOVERNOR, label=f"feed{i}")
            self.contracts[address] = MockFeed(self.world, decimals, "feed", f"feed{i}")
            self.twin.bind(self.contracts[address], f"feed{i}", address)
        assert self.call("set_feeds", 0, self.feeds(), RULES).ok

    def feeds(self, **changes: int) -> tuple[Any, ...]:
        """The arguments of ``set_feeds``."""
        return tuple(
            Feed(
                **{"source": a, "decimals": d, "max_age": MAX_AGE, "heartbeat": 60, "deviation": 50, "group": i}
                | changes
            ).as_tuple()
            for i, (a, d) in enumerate(zip(self.contracts, self.decimals, strict=True))
        )

    def call(self, function: str, *args: Any, sender: str = GOVERNOR) -> Any:
        """One call of the oracle, compared."""
        return self.twin.call("PriceOracle", function, sender, *args)

    def answer(self, feed: int, price: int) -> None:
        """A feed answers ``price`` (whole money) now."""
        self.twin.call(f"feed{feed}", "set_answer", GOVERNOR, price * 10 ** self.decimals[feed])

    def price(self, market: int = 0) -> int | str:
        """What ``prices`` says in whole money, the same as ``peek``; or why it refuses."""
        try:
            peeked = self.twin.view("PriceOracle", "peek", market)
        except Revert as revert:
            peeked = revert.reason
        outcome = self.call("prices", market)
        if not outcome.ok:
            assert outcome.reason == peeked
            return str(outcome.reason)
        assert outcome.value == peeked
        assert len(set(outcome.value[:6])) == 1
        assert outcome.value[7] == 0
        return int(outcome.value[0] // WAD)


@pytest.fixture
def chain_(chain: Chain) -> Chain:
    """A chain whose first second is well above zero."""
    chain.advance(1_000)
    return chain


def test_set_feeds__refuses_strangers_and_what_does_not_fit(chain_: Chain) -> None:
    rig = Rig(chain_, "NaiveOracle", LATEST, 0)
    assert rig.call("set_feeds", 0, rig.feeds(), RULES, sender=STRANGER).reason == "oracle: not governor"
    assert rig.call("set_feeds", 0, (), RULES).reason == "oracle: no feeds"
    assert rig.call("set_feeds", 0, rig.feeds(decimals=19), RULES).reason == "oracle: feed decimals"
    assert rig.call("set_feeds", 0, rig.feeds(max_age=2**24), RULES).reason == "oracle: feed max_age"


@pytest.mark.parametrize(("name", "args"), [("NaiveOracle", (LATEST, 0)), ("StalenessOracle", ())])
def test_prices__a_market_without_feeds_has_none_and_is_frozen(chain_: Chain, name: str, args: tuple[int, ...]) -> None:
    rig = Rig(chain_, name, *args)
    assert rig.twin.view("PriceOracle", "peek", 1) == (0, 0, 0, 0, 0, 0, STATE_FROZEN, 0)
    assert rig.call("poke", 1).value == (0, 0, 0, 0, 0, 0, STATE_FROZEN, 0)


def test_naive__takes_whatever_the_first_feed_says(chain_: Chain) -> None:
    rig = Rig(chain_, "NaiveOracle", LATEST, 0)
    rig.answer(0, 2_000)
    rig.answer(1, 3_000)
    rig.twin.advance(10**6)
    assert rig.price() == 2_000
    assert rig.call("poke", 0).value[6] == STATE_LIVE
    rig.answer(0, 0)
    assert rig.price() == 0
    rig.answer(0, -1)
    assert rig.price() == ""
    rig.answer(0, 10**8)
    assert rig.price() == "oracle: out of range"


@pytest.mark.parametrize(("name", "args"), [("NaiveOracle", (LATEST, 0)), ("StalenessOracle", ())])
def test_prices__a_feed_that_fails_takes_the_oracle_with_it(chain_: Chain, name: str, args: tuple[int, ...]) -> None:
    rig = Rig(chain_, name, *args)
    rig.answer(0, 2_000)
    reasons = {mocks.FEED_REVERT: "feed: down", mocks.FEED_BOMB: 0 if name == "NaiveOracle" else "oracle: stale"}
    for mode in range(mocks.FEED_NORMAL + 1, mocks.FEED_REVERT_BOMB + 1):
        rig.twin.call("feed0", "set_mode", GOVERNOR, mode)
        assert rig.price() == reasons.get(mode, "")
    rig.twin.call("feed0", "set_mode", GOVERNOR, mocks.FEED_NORMAL)
    rig.twin.call("feed0", "set_round", GOVERNOR, 2**80, 5, 1, 1, 1)
    assert rig.price() == ""


def test_staleness__to_the_second(chain_: Chain) -> None:
    rig = Rig(chain_, "StalenessOracle")
    rig.answer(0, 2_000)
    rig.twin.advance(MAX_AGE)
    assert rig.price() == 2_000
    rig.twin.advance(1)
    assert rig.price() == "oracle: stale"
    rig.answer(0, 0)
    assert rig.price() == "oracle: stale"
    rig.twin.call("feed0", "set_round", GOVERNOR, 9, 5, 1, chain_.now + 1, 9)
    assert rig.price() == ""


@pytest.mark.parametrize(("aggregation", "two", "three"), [(MEAN, 1_500, 4_000), (MEDIAN, 1_500, 2_000)])
def test_naive__of_several(chain_: Chain, aggregation: int, two: int, three: int) -> None:
    rig = Rig(chain_, "NaiveOracle", aggregation, 0)
    assert rig.price() == "oracle: no answer"
    rig.answer(0, 2_000)
    rig.answer(1, -5)
    rig.answer(2, 1_000)
    assert rig.price() == two
    rig.answer(1, 9_000)
    assert rig.price() == three
    for mode in (mocks.FEED_REVERT, mocks.FEED_BURN_GAS, mocks.FEED_SHORT, mocks.FEED_EMPTY, mocks.FEED_REVERT_BOMB):
        rig.twin.call("feed1", "set_mode", GOVERNOR, mode)
        assert rig.price() == two


def test_naive__one_sample_after_an_idle_hour_is_nearly_the_average(chain_: Chain) -> None:
    rig = Rig(chain_, "NaiveOracle", AVERAGE, 600)
    rig.answer(0, 1_000)
    assert rig.price() == 1_000
    rig.twin.advance(3_600)
    rig.answer(0, 10_000)
    assert rig.price() == 9_977  # research oracles, finding 4: 9.98 times
    assert rig.price() == 9_977  # the same second has no weight


def test_constructor__what_it_refuses(chain_: Chain) -> None:
    for args, reason in (((4, 0), "oracle: aggregation"), ((AVERAGE, 0), "oracle: tau")):
        with pytest.raises(Revert, match=reason):
            NaiveOracle(World(), GOVERNOR, {}, *args)
        with pytest.raises(Exception, match=reason):
            chain_.deploy("NaiveOracle", GOVERNOR, *args, sender=GOVERNOR)


def test_report__and_the_settings_of_the_other_oracle_are_ignored(chain_: Chain) -> None:
    rig = Rig(chain_, "StalenessOracle")
    before = dict(rig.world.words)
    assert rig.call("report", 0, 5, sender=STRANGER).ok
    assert rig.call("set_reporter", STRANGER).ok
    assert rig.call("set_sequencer", STRANGER).ok
    assert rig.world.words == before


ANSWERS = st.one_of(st.integers(-5, 10**20), st.integers(0, 2**130))
STEPS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 7), ANSWERS, st.integers(-20, 4_000), st.integers(0, 5_000)), max_size=8
)


@given(aggregation=st.integers(0, 4), steps=STEPS)
def test_prices__over_random_feeds_contract_and_model_agree(
    random_rigs: dict[int, Rig], aggregation: int, steps: list[tuple[int, int, int, int, int]]
) -> None:
    rig = random_rigs[aggregation]
    mark = rig.twin.snapshot()
    for feed, mode, answer, age, wait in steps:
        rig.twin.call(f"feed{feed}", "set_mode", GOVERNOR, mode)
        stamp = max(0, rig.chain.now - age)
        rig.twin.call(f"feed{feed}", "set_round", GOVERNOR, 1, answer, stamp, stamp, 1)
        rig.price()
        rig.twin.advance(wait)
    rig.price()
    rig.twin.revert(mark)


@pytest.fixture
def random_rigs(chain_: Chain) -> dict[int, Rig]:
    """Each aggregation of the naive oracle, and the staleness oracle."""
    rigs = {i: Rig(chain_, "NaiveOracle", i, 600) for i in (LATEST, MEAN, MEDIAN, AVERAGE)}
    return rigs | {4: Rig(chain_, "StalenessOracle")}
