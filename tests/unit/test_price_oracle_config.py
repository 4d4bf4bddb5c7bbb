"""Who may change feeds and rules, what is refused and why, and what a change leaves as it was."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import product

import pytest

from python_ref import price_oracle as model
from python_ref.constants import (
    MAX_MARKETS,
    STATE_DEGRADED,
    STATE_FROZEN,
    STATE_LIVE,
    STATE_RECOVERY,
    WAD,
)
from python_ref.mocks import FEED_NORMAL, FEED_REVERT, FEED_SHORT
from python_ref.oracle_words import Feed, Rules
from python_ref.price_oracle import MAX_AGE_S, PriceOracle
from python_ref.world import Revert, World
from scripts.chain import CallReverted, make_chain
from scripts.rules import PROFILES
from tests.unit.oracle_bench import GOVERNOR, MAJOR, PLAIN, QUOTE, STRANGER, ZERO, Bench, M

W18 = (18, 18, 18)


# ---- the office --------------------------------------------------------------------------------------------


def test_constructor__refuses_no_governor() -> None:
    with pytest.raises(CallReverted, match="oracle: no governor"):
        make_chain("revm").deploy("PriceOracle", ZERO, sender=GOVERNOR)
    with pytest.raises(Revert, match="oracle: no governor"):
        PriceOracle(World(), ZERO, {})


def test_set_governor__hands_the_office_over() -> None:
    bench = Bench(configured=False)
    assert bench.reason("set_governor", STRANGER, sender=STRANGER) == "oracle: not governor"
    assert bench.reason("set_governor", ZERO) == "oracle: no governor"
    assert bench.reason("set_governor", STRANGER) is None
    assert bench.events == [("GovernorSet", {"governor": STRANGER})]
    assert bench.configure() == "oracle: not governor"
    assert bench.configure(sender=STRANGER) is None


# ---- words -------------------------------------------------------------------------------------------------

FULL = Rules(
    1_000, 10_000, 9_999, 9_998, 9_997, 9_996, 2**16 - 1, 2**16 - 2, 2**16 - 3, 2**16 - 4, 2**16 - 5, 2**32 - 1
)


@pytest.mark.parametrize("rules", [FULL, Rules(1), replace(FULL, quote=31), *PROFILES.values()])
@pytest.mark.parametrize("n", [3, 5, 7])
def test_words__keep_every_field(rules: Rules, n: int) -> None:
    bench = Bench([18] * n, rules, configured=False)
    extremes = {"max_age": MAX_AGE_S, "heartbeat": MAX_AGE_S, "deviation": 1_000, "flux": True}
    feeds = [
        replace(bench.feeds[M][0], **extremes, group=15, least=2**128 - 2, most=2**128 - 1),
        replace(bench.feeds[M][1], max_age=1, heartbeat=1, deviation=0, group=14),
        *(replace(feed, group=i) for i, feed in enumerate(bench.feeds[M][2:])),
    ]
    assert bench.configure(feeds=feeds) is None
    stored = bench.world.get(("PriceOracle", "rules", M))
    assert (stored & 15, Rules.unpack(stored)) == (n, rules)
    assert bench.model._feeds(M) == feeds
    bench.twin.check_all()


# ---- set_feeds ---------------------------------------------------------------------------------------------


def test_set_feeds__refuses_each_bad_feed() -> None:
    bench = Bench(configured=False)
    a, b, c = bench.feeds[M]
    other = bench.oracle  # has code, and no decimals
    bench.contracts[other] = NoFeed()
    cases: list[tuple[str, list[Feed]]] = [
        ("oracle: number of feeds", []),
        ("oracle: number of feeds", [a]),
        ("oracle: number of feeds", [a, b]),
        ("oracle: number of feeds", [a, b, c, replace(a, source=STRANGER)]),
        ("oracle: number of feeds", [a] * 6),
        ("oracle: feed is no contract", [a, replace(b, source=STRANGER), c]),
        ("oracle: feed is no contract", [a, b, replace(c, source=ZERO)]),
        ("oracle: same feed twice", [a, replace(a, group=1), c]),
        ("oracle: same feed twice", [a, b, replace(b, group=2)]),
        ("oracle: same feed twice", [a, b, replace(a, group=2)]),
        ("oracle: feed decimals", [a, replace(b, decimals=19), c]),
        ("oracle: feed decimals", [a, replace(b, decimals=2**256 - 1), c]),
        ("oracle: feed max_age", [a, replace(b, max_age=0), c]),
        ("oracle: feed max_age", [a, b, replace(c, max_age=MAX_AGE_S + 1)]),
        ("oracle: feed heartbeat", [a, replace(b, heartbeat=0), c]),
        ("oracle: feed heartbeat", [a, replace(b, heartbeat=MAX_AGE_S + 1), c]),
        ("oracle: feed deviation", [replace(a, deviation=1_001), b, c]),
        ("oracle: feed group", [replace(a, group=16), b, c]),
        ("oracle: feed bounds", [replace(a, least=5, most=5), b, c]),
        ("oracle: feed bounds", [replace(a, least=6, most=5), b, c]),
        ("oracle: feed bounds", [replace(a, most=2**128), b, c]),
        ("oracle: feed bounds", [replace(a, least=2**256 - 1, most=2**256 - 1), b, c]),
        ("oracle: no decimals", [a, b, replace(c, source=other)]),
        ("oracle: other decimals", [a, replace(b, decimals=18), c]),
        ("oracle: group has quorum", [a, replace(b, group=0), c]),
        ("oracle: group has quorum", [a, b, replace(c, group=1)]),
    ]
    for n, (reason, feeds) in enumerate(cases):
        assert bench.configure(feeds=feeds) == reason, n
    assert bench.configure(sender=STRANGER) == "oracle: not governor"
    assert bench.configure() is None


class NoFeed:
    """The model of a contract that is no feed."""

    def decimals(self, sender: str) -> int:
        raise Revert("")

    def latestRoundData(self, sender: str) -> bytes:  # noqa: N802
        raise Revert("")


@pytest.mark.parametrize(("n", "groups"), [(5, "00123"), (5, "01012"), (7, "0001112"), (7, "1110002"), (3, "012")])
def test_set_feeds__group_may_hold_less_than_a_quorum(n: int, groups: str) -> None:
    bench = Bench([8] * n, configured=False)
    feeds = [replace(feed, group=int(g)) for feed, g in zip(bench.feeds[M], groups, strict=True)]
    assert bench.configure(feeds=feeds) is None


@pytest.mark.parametrize(("n", "groups"), [(5, "00012"), (5, "10001"), (7, "0000123"), (7, "1020300"), (3, "022")])
def test_set_feeds__group_may_not_hold_a_quorum(n: int, groups: str) -> None:
    bench = Bench([8] * n, configured=False)
    feeds = [replace(feed, group=int(g)) for feed, g in zip(bench.feeds[M], groups, strict=True)]
    assert bench.configure(feeds=feeds) == "oracle: group has quorum"
    wide = [replace(feed, group=15) for feed in feeds]
    assert bench.configure(feeds=wide) == "oracle: group has quorum"


BAD_RULES: list[dict[str, int]] = [
    {"outlier": 0},
    {"outlier": 1_001},
    {"soft": 10_001},
    {"jump": 10_001},
    {"clamp": 10_001},
    {"speed": 10_001, "step": 1},
    {"speed": 1, "step": 10_001},
    {"speed": 1, "step": 0},
    {"speed": 0, "step": 1},
    {"tau_ref": 0},
    {"tau_ref": 2**16},
    {"tau_fast": 2**16},
    {"hold": 2**16},
    {"calm": 2**16},
    {"grace": 2**16},
    {"freeze": 2**32},
    {"quote": 15},
    {"quote": 32},
    {"quote": 2**256 - 1},
]


@pytest.mark.parametrize("change", BAD_RULES, ids=str)
def test_set_feeds__refuses_each_bad_rule(change: dict[str, int]) -> None:
    bench = Bench(configured=False)
    assert bench.configure(**change) == "oracle: rules"
    assert bench.configure() is None
    assert bench.reason("tighten_rules", M, replace(PLAIN, **change).as_tuple()) == "oracle: rules"


def test_set_feeds__refuses_a_book_that_there_is_not_and_a_quote_of_a_quote() -> None:
    bench = Bench(configured=False)
    for book in (32, 2**256 - 1):
        tuples = [feed.as_tuple() for feed in bench.feeds[M]]
        assert bench.reason("set_feeds", book, tuples, PLAIN.as_tuple()) == "oracle: no such market"
    assert MAX_MARKETS == 16
    bench.feeds[15] = bench.feeds[16] = bench.feeds[31] = bench.feeds[M]
    bench.rules[15] = bench.rules[16] = bench.rules[31] = PLAIN
    assert bench.configure(16, quote=17) == "oracle: rules"
    assert bench.configure(31, quote=16) == "oracle: rules"
    assert bench.configure(15, quote=31) is None
    assert bench.configure(31) is None


def test_set_feeds__says_what_it_set() -> None:
    bench = Bench()
    told = {"market": M, "feeds": tuple(feed.as_tuple() for feed in bench.feeds[M]), "rules": PLAIN.as_tuple()}
    assert bench.events == [("FeedsSet", told)]


# ---- live agreement ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("price", "agrees"), [(2_040, True), (1_960, True), (2_041, False), (1_959, False)])
def test_set_feeds__new_ones_have_to_agree_with_the_index(price: int, agrees: bool) -> None:
    bench = Bench()
    bench.poke()
    feeds = [bench.feed(18, group) for group in range(5)]
    for i, feed in enumerate(feeds):
        name = bench.contracts[feed.source].name
        answer = price * WAD if i < 3 else 1
        assert bench.twin.call(name, "set_answer", STRANGER, answer).ok
    assert bench.configure(feeds=feeds) == (None if agrees else "oracle: disagrees")


def test_set_feeds__new_ones_without_a_quorum_disagree() -> None:
    bench = Bench()
    bench.poke()
    bench.mode(FEED_REVERT, 0)
    assert bench.configure() is None, "two of three are a quorum"
    bench.mode(FEED_REVERT, 1)
    assert bench.configure() == "oracle: disagrees"


def test_set_feeds__agreement_is_in_money_of_the_market() -> None:
    """The same feeds in another collateral are another price."""
    bench = Bench()
    bench.add(QUOTE, (8, 8, 8), WAD // 2, PLAIN)
    bench.poke()
    assert bench.configure(quote=QUOTE) == "oracle: disagrees", "a quote without a price is none"
    bench.poke(QUOTE)
    assert bench.configure(quote=QUOTE) == "oracle: disagrees"
    bench.answer(1_000 * WAD)
    assert bench.configure(quote=QUOTE) is None


def test_set_feeds__only_while_live() -> None:
    bench = Bench(rules=replace(PLAIN, calm=60, grace=60, hold=60))
    bench.poke()
    bench.mode(FEED_REVERT, 0)
    assert bench.step(1).state == STATE_DEGRADED
    assert bench.configure() == "oracle: not live"
    bench.mode(FEED_REVERT)
    assert bench.step(1).state == STATE_FROZEN
    assert bench.configure() == "oracle: not live"
    bench.mode(FEED_NORMAL)
    bench.step(1)
    assert bench.step(60).state == STATE_RECOVERY
    assert bench.configure() == "oracle: not live"


def test_set_feeds__frozen_without_ever_a_price_may_be_changed() -> None:
    bench = Bench()
    bench.mode(FEED_REVERT)
    assert bench.poke().state == STATE_FROZEN
    assert bench.configure(outlier=300) is None


def test_set_feeds__keeps_prices_and_averages_and_forgets_observations() -> None:
    bench = Bench([8] * 5, MAJOR)
    bench.poke()
    bench.step(13, 2_010 * WAD)
    before, words = bench.prices(), bench.book()
    assert bench.configure(feeds=bench.feeds[M][:3], soft=0) is None
    assert (bench.peek(), bench.book()) == (before, words)
    assert [bench.seen(i).pack() for i in range(5)] == [0] * 5
    for i in (3, 4):
        assert bench.world.get(("PriceOracle", "feeds", M, i)) == 0
        assert bench.world.get(("PriceOracle", "bounds", M, i)) == 0
    bench.feeds[M] = bench.feeds[M][:3]
    assert bench.step(1).state == STATE_LIVE


def test_set_feeds__pins_what_the_feed_says_now() -> None:
    bench = Bench()
    bench.poke()
    bench.set(2, "set_decimals", 8)
    assert bench.configure() == "oracle: other decimals"
    feeds = [*bench.feeds[M][:2], replace(bench.feeds[M][2], decimals=8)]
    # 2000e18 read with 8 decimals is far out of range
    assert bench.configure(feeds=feeds) is None
    assert bench.step(1).state == STATE_DEGRADED
    assert bench.codes() == [0, 0, model.OUT_OF_RANGE]


# ---- replace_feed ------------------------------------------------------------------------------------------


def failing(n: int = 3, **rules: int) -> tuple[Bench, Feed]:
    """A market whose feed 1 is down, and a new feed that answers as the others do."""
    bench = Bench([18] * n, replace(PLAIN, **rules))
    bench.poke()
    bench.mode(FEED_REVERT, 1)
    if n == 3:
        assert bench.step(1).state == STATE_DEGRADED
    spare = bench.feed(8, 9)
    name = bench.contracts[spare.source].name
    assert bench.twin.call(name, "set_answer", STRANGER, 2_000 * 10**8).ok
    return bench, spare


def answer(bench: Bench, feed: Feed, value: int) -> None:
    """A round of a feed that is in no book yet."""
    assert bench.twin.call(bench.contracts[feed.source].name, "set_answer", STRANGER, value).ok


def test_replace_feed__starts_in_quarantine_and_comes_to_count() -> None:
    bench, spare = failing()
    assert bench.reason("replace_feed", M, 1, spare.as_tuple()) is None
    assert bench.events == [("FeedReplaced", {"market": M, "place": 1, "feed": spare.as_tuple()})]
    bench.feeds[M][1] = spare
    seen = bench.seen(1)
    assert (seen.code, seen.quarantine, seen.answer, seen.round) == (model.PHASE, 3, 2_000 * 10**8, 1)
    for left in (2, 1, 0):
        assert bench.step(10, 2_000 * WAD).state == STATE_DEGRADED
        assert bench.seen(1).quarantine == left
    assert bench.step(10, 2_000 * WAD).state == STATE_LIVE
    assert bench.named("FeedRecovered") == [{"market": M, "feed": 1}]


def test_replace_feed__refusals() -> None:
    bench, spare = failing()

    def ask(i: int = 1, feed: Feed = spare, book: int = M, sender: str = GOVERNOR) -> str | None:
        return bench.reason("replace_feed", book, i, feed.as_tuple(), sender=sender)

    assert ask(sender=STRANGER) == "oracle: not governor"
    for book in (0, QUOTE, 32, 2**256 - 1):
        assert ask(book=book) == "oracle: no price"
    for i in (3, 6, 7, 2**256 - 1):
        assert ask(i=i) == "oracle: no such feed"
    assert ask(feed=replace(spare, source=STRANGER)) == "oracle: feed is no contract"
    assert ask(feed=replace(spare, heartbeat=0)) == "oracle: feed heartbeat"
    assert ask(feed=replace(spare, decimals=7)) == "oracle: other decimals"
    for taken in bench.feeds[M]:
        assert ask(feed=taken) == "oracle: same feed twice"
    assert ask(i=0) == "oracle: feed answers"
    assert ask(feed=replace(spare, group=0)) == "oracle: group has quorum"
    assert ask() is None
    assert ask() == "oracle: same feed twice"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (2_040 * 10**8, None),
        (1_960 * 10**8, None),
        (2_040 * 10**8 + 1, "oracle: disagrees"),
        (1_960 * 10**8 - 1, "oracle: disagrees"),
        (0, "oracle: disagrees"),
        (2**127, "oracle: disagrees"),
    ],
)
def test_replace_feed__has_to_agree_with_the_index(value: int, reason: str | None) -> None:
    bench, spare = failing()
    answer(bench, spare, value)
    assert bench.reason("replace_feed", M, 1, spare.as_tuple()) == reason


def test_replace_feed__does_not_answer() -> None:
    bench, spare = failing()
    assert bench.twin.call(bench.contracts[spare.source].name, "set_mode", STRANGER, FEED_SHORT).ok
    assert bench.reason("replace_feed", M, 1, spare.as_tuple()) == "oracle: disagrees"


def test_replace_feed__not_in_a_live_market() -> None:
    bench, spare = failing(n=5)
    assert bench.step(1).state == STATE_LIVE
    assert bench.codes() == [0, 1, 0, 0, 0]
    assert bench.reason("replace_feed", M, 1, spare.as_tuple()) == "oracle: not replaceable"


def test_replace_feed__thaws_a_frozen_market_only_after_its_quarantine() -> None:
    bench, spare = failing()
    bench.mode(FEED_REVERT, 2)
    assert bench.step(1).state == STATE_FROZEN
    assert bench.reason("replace_feed", M, 1, spare.as_tuple()) is None
    bench.feeds[M][1] = spare
    for _ in range(3):
        assert bench.step(10, 2_000 * WAD).state == STATE_FROZEN
    assert bench.step(10, 2_000 * WAD).state != STATE_FROZEN


def test_replace_feed__in_a_market_with_a_quote() -> None:
    bench = Bench(W18, replace(PLAIN, quote=QUOTE), configured=False)
    bench.add(QUOTE, W18, WAD // 2, PLAIN)
    assert bench.configure() is None
    bench.poke()
    bench.mode(FEED_REVERT, 1)
    assert bench.step(13).state == STATE_DEGRADED
    spare = bench.feed(18, 9)
    answer(bench, spare, 4_000 * WAD)
    assert bench.reason("replace_feed", M, 1, spare.as_tuple()) == "oracle: disagrees"
    answer(bench, spare, 2_000 * WAD)
    assert bench.reason("replace_feed", M, 1, spare.as_tuple()) is None


# ---- tighten_rules -----------------------------------------------------------------------------------------

DISTANCES = ("outlier", "soft", "jump", "clamp", "speed", "step")
TIMES = ("hold", "calm", "grace")
FIXED = ("tau_fast", "tau_ref", "freeze", "quote")
MIDDLE = replace(MAJOR, quote=QUOTE)


def test_tighten_rules__every_field_has_a_direction() -> None:
    assert {f.name for f in fields(Rules)} == {*DISTANCES, *TIMES, *FIXED}


def tighten(old: Rules, new: Rules) -> str | None:
    """What changing ``old`` to ``new`` at once is refused with."""
    bench = Bench(rules=old)
    reason = bench.reason("tighten_rules", M, new.as_tuple())
    stored = bench.world.get(("PriceOracle", "rules", M))
    assert Rules.unpack(stored) == (old if reason else new)
    assert stored & 15 == 3
    assert reason or bench.events == [("RulesTightened", {"market": M, "rules": new.as_tuple()})]
    return reason


@pytest.mark.parametrize(("name", "by"), [*product(DISTANCES, (-1, 0, 1)), *product(TIMES, (-1, 0, 1))])
def test_tighten_rules__one_way_only(name: str, by: int) -> None:
    loosens = by > 0 if name in DISTANCES else by < 0
    new = replace(MIDDLE, **{name: getattr(MIDDLE, name) + by})
    assert tighten(MIDDLE, new) == ("oracle: loosens" if loosens else None)


@pytest.mark.parametrize(("name", "by"), list(product(FIXED, (-1, 1))))
def test_tighten_rules__what_has_no_direction_stays(name: str, by: int) -> None:
    old = replace(MIDDLE, quote=QUOTE + 1)
    assert tighten(old, replace(old, **{name: getattr(old, name) + by})) == "oracle: loosens"


@pytest.mark.parametrize("off", [("soft",), ("jump",), ("clamp",), ("speed", "step")])
def test_tighten_rules__switching_a_limit_off_loosens_and_on_tightens(off: tuple[str, ...]) -> None:
    without = replace(MIDDLE, **dict.fromkeys(off, 0))
    assert tighten(MIDDLE, without) == "oracle: loosens"
    assert tighten(without, MIDDLE) is None


def test_tighten_rules__in_every_state_by_the_governor_alone() -> None:
    bench = Bench(rules=MAJOR)
    assert bench.reason("tighten_rules", M, MAJOR.as_tuple(), sender=STRANGER) == "oracle: not governor"
    for book in (0, QUOTE, 32, 2**256 - 1):
        assert bench.reason("tighten_rules", book, MAJOR.as_tuple()) == "oracle: no feeds"
    bench.poke()
    bench.mode(FEED_REVERT)
    bench.step(1)
    assert bench.reason("tighten_rules", M, replace(MAJOR, grace=900).as_tuple()) is None
    bench.mode(FEED_NORMAL)
    bench.answer(2_000 * WAD)
    bench.step(1)
    bench.step(60)
    assert bench.step(899).state == STATE_RECOVERY
    assert bench.step(1).state == STATE_DEGRADED


def test_set_reporter__by_the_governor_alone() -> None:
    bench = Bench()
    assert bench.reason("set_reporter", STRANGER, sender=STRANGER) == "oracle: not governor"
    assert bench.reason("set_reporter", STRANGER) is None
    bench.poke()
    assert bench.reason("report", M, 2_010 * WAD, sender=GOVERNOR) == "oracle: not reporter"
    assert bench.reason("report", M, 2_010 * WAD, sender=STRANGER) is None
    assert bench.reason("set_reporter", ZERO) is None
    assert bench.reason("report", M, 2_010 * WAD, sender=STRANGER) == "oracle: not reporter"
