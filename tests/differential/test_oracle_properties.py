"""What must hold of the oracle whatever its feeds do, searched over feeds, faults and time; contract and model in step.

First the oracle alone, with feeds that can do anything. Then the whole system twice, with PriceOracle and with the
typical integration of one feed, on the same truth and under the same faults: who is liquidated, and should he be?
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from python_ref.constants import (
    STATE_DEGRADED,
    STATE_FROZEN,
    STATE_LIVE,
    STATE_RECOVERY,
    WAD,
)
from python_ref.mocks import FEED_NORMAL, FEED_REVERT_BOMB
from python_ref.oracle_words import Prices
from python_ref.price_oracle import OK
from python_ref.world import Revert
from scripts.chain import Chain, make_chain
from scripts.rules import PROFILES
from scripts.system import KEEPER, MarketSpec, System, actor, deploy
from tests.books import exposure
from tests.unit.oracle_bench import QUOTE, Bench, M

START = 2_000 * WAD
EXAMPLES = max(10, settings().max_examples // 3)
"""Per property and number of feeds: each is a story of its own."""

# ---- the oracle alone ----------------------------------------------------------------------------------------

MODES = st.integers(FEED_NORMAL, FEED_REVERT_BOMB)
BPS = st.sampled_from((0, 1, 50, 149, 199, 200, 201, 250, 499, 1_000, 1_499, 5_000, 9_999, 10**6))
"""How far a liar lies: about the edges of bands and gates."""

CORRUPT = st.one_of(
    st.tuples(st.just("lie"), BPS, st.booleans()),
    st.tuples(st.just("mode"), MODES),
    st.tuples(
        st.just("words"),
        st.sampled_from((0, 1, 7, 2**64 + 1, 2**80 - 1, 2**80, 2**255)),
        st.sampled_from((-(2**255), -1, 0, 1, 2**128, 2**200)),
        st.sampled_from((0, 1, -3_601, -3_600, -13, 0, 15, 16, 2**255)),
    ),
    st.tuples(st.just("decimals"), st.sampled_from((0, 8, 18, 255))),
)
"""What a feed in the attacker's hand does."""


@dataclass(frozen=True)
class Moment:
    """One step: time, a move of the truth, which honest feeds are silenced, what the corrupt ones do."""

    seconds: int
    bps: int
    silenced: int
    deeds: tuple[tuple[Any, ...], ...]
    uptime: int


MOMENT = st.builds(
    Moment,
    st.sampled_from((1, 5, 12, 13, 60, 61, 300, 1_800, 3_601)),
    st.sampled_from((0, 0, 0, 3, -3, 40, -40, 400, -450, 1_400, -1_600, 2_600, 9_900)),
    st.sampled_from((0, 0, 0, 1, 2, 4, 64, 127)),
    st.tuples(CORRUPT, CORRUPT, CORRUPT),
    st.sampled_from((0, 0, 0, 0, 0, 1)),
)


class Walk:
    """A market whose first ``corrupt`` feeds are the attacker's; the others tell the truth or nothing."""

    def __init__(self, n: int, corrupt: int, profile: str, quoted: bool) -> None:
        rules = replace(PROFILES[profile], quote=QUOTE if quoted else 0)
        self.bench = Bench([8, 18, 8, 18, 8, 18, 8][:n], rules, configured=False, heartbeat=300)
        if quoted:
            self.bench.add(QUOTE, (8, 8, 8), WAD, PROFILES["off"])
        assert self.bench.configure() is None
        self.n, self.quorum, self.corrupt, self.truth = n, n // 2 + 1, corrupt, START
        self.uptime = self.bench.contracts[self.bench.feed(0).source].name
        self.say_uptime(0)
        self.bench.poke()
        assert self.bench.reason("set_sequencer", self.bench.twin.address(self.uptime)) is None
        self.began = self.bench.chain.now

    def say_uptime(self, down: int) -> None:
        """What the sequencer's feed says."""
        assert self.bench.twin.call(self.uptime, "set_round", KEEPER, 1, down, 1, 1, 1).ok

    def price_of(self, place: int) -> int:
        """What a feed answers, WAD, by its words."""
        feed = self.bench.feeds[M][place]
        name = self.bench.contracts[feed.source].name
        return int(self.bench.world.get((name, "answer"))) * 10 ** (18 - feed.decimals)

    def act(self, moment: Moment) -> None:
        """The step without its checks."""
        bench = self.bench
        bench.advance(moment.seconds)
        self.truth = max(10**15, self.truth * (10_000 + moment.bps) // 10_000)
        self.say_uptime(moment.uptime)
        if bench.rules[M].quote:
            bench.answer(WAD, book=QUOTE)
        for place in range(self.n):
            if place < self.corrupt:
                self.corrupt_deed(place, moment.deeds[place % len(moment.deeds)])
            elif moment.silenced >> place & 1:
                bench.mode(1 + place % 5, place)
            else:
                bench.mode(FEED_NORMAL, place)
                bench.answer(self.truth, place)

    def corrupt_deed(self, place: int, deed: tuple[Any, ...]) -> None:
        """One act of an attacker's feed."""
        bench, (kind, *args) = self.bench, deed
        if kind == "mode":
            bench.mode(args[0], place)
            return
        bench.mode(FEED_NORMAL, place)
        if kind == "lie":
            bps, up = args
            lie = self.truth * (10_000 + bps) // 10_000 if up else self.truth * 10_000 // (10_000 + bps)
            bench.answer(max(lie, 10**10), place)
        elif kind == "words":
            round_id, answer, stamp = args
            when = stamp if stamp in (0, 1, 2**255) else bench.chain.now + stamp
            bench.set(place, "set_round", round_id, answer, when, when, round_id)
        else:
            bench.set(place, "set_decimals", args[0])


def check_stands_still(before: Any, after: Any) -> None:
    """A market that was and is FROZEN keeps everything but its clocks."""
    for name in ("index", "mark", "width", "fast", "ref", "basis", "cum", "clock", "slot_at", "slots", "accepted_at"):
        assert getattr(before, name) == getattr(after, name), name


@pytest.mark.parametrize("n", [3, 5, 7])
@settings(max_examples=EXAMPLES)
@given(
    st.data(),
    st.sampled_from(sorted(PROFILES)),
    st.booleans(),
    st.lists(st.tuples(MOMENT, st.sampled_from(("poke", "prices"))), min_size=8, max_size=25),
)
def test_oracle__whatever_the_feeds_do(
    n: int, data: Any, profile: str, quoted: bool, steps: list[tuple[Moment, str]]
) -> None:
    """I1 (INV-16); no revert; ``peek`` foretells; monotone memory; FROZEN stands still; time is priced or paused."""
    corrupt = data.draw(st.integers(0, n - (n // 2 + 1)), label="corrupt feeds")
    walk = Walk(n, corrupt, profile, quoted)
    bench, was_down = walk.bench, False
    for moment, function in steps:
        before, seen = bench.book(), [bench.seen(place) for place in range(n)]
        walk.act(moment)
        # each asserts that nothing reverts, and compares with peek where it promises the same
        p: Prices = getattr(bench, function)()
        after = bench.book()
        assert p.credit_low <= p.low <= p.index <= p.high <= p.credit_high
        assert p.low <= p.mark <= p.high
        assert p.state in (STATE_LIVE, STATE_DEGRADED, STATE_FROZEN, STATE_RECOVERY)
        for place, (old, new) in enumerate(zip(seen, (bench.seen(i) for i in range(n)), strict=True)):
            assert new.stamp >= old.stamp, place
            assert new.round >= old.round, place
        if after.accepted_at == bench.chain.now:
            agree = [
                place
                for place in range(n)
                if bench.seen(place).code == OK
                and abs(walk.price_of(place) - p.index) * 10_000 <= bench.rules[M].outlier * p.index
            ]
            assert len(agree) >= walk.quorum
            assert any(place >= corrupt for place in agree), "near an honest feed that is alive"
        if before.state == after.state == STATE_FROZEN:
            check_stands_still(before, after)
        if before.index:
            assert after.clock + after.paused == after.poked_at - walk.began
        was_down |= moment.uptime == 1
        if not moment.silenced and not was_down and function == "poke" and profile == "off":
            assert p.state != STATE_FROZEN, "n − q corrupt feeds do not stop a market"


# ---- the whole system, twice ---------------------------------------------------------------------------------

DEVIATION = 50
OUTLIER = 200
HEARTBEAT = 600
LEVERAGES = (3, 8, 15, 25, 35)
SIZE = 10 * WAD
"""Of each position; opened at the first price against a counterparty that cannot fail."""


def spec(n: int) -> MarketSpec:
    """A market with all of the protection."""
    return MarketSpec(
        "ETH",
        START,
        n_feeds=n,
        heartbeat_s=HEARTBEAT,
        max_age_s=HEARTBEAT + 300,
        outlier_bps=OUTLIER,
        width_bps=DEVIATION,
        rules=PROFILES["major"],
    )


TRADERS = {(side, leverage): actor(f"{side} {leverage}") for side in (1, -1) for leverage in LEVERAGES}
ACCOUNTS = {key: who.account() for key, who in TRADERS.items()}
COUNTERPARTY, TAKER = actor("counterparty"), actor("taker")


def staged(chain: Chain, oracle: str, n: int) -> System:
    """The positions of all traders, on one of the oracles."""
    system = deploy(chain, [spec(n)], 18, full_every=10**9, oracle=oracle)
    for who in (COUNTERPARTY, TAKER):
        assert system.fund_account(who.address, 10**9 * WAD).ok
    for (side, leverage), who in TRADERS.items():
        assert system.fund_account(who.address, SIZE * START // WAD // leverage).ok
        buyer, seller = (who, COUNTERPARTY) if side > 0 else (COUNTERPARTY, who)
        outcome = system.trade(0, buyer.account(), seller.account(), SIZE, START)
        assert outcome.ok, (leverage, outcome.reason)
    return system


@pytest.fixture(scope="module", params=[3, 5])
def stages(request: pytest.FixtureRequest) -> Iterator[tuple[System, System]]:
    """The same market on both oracles."""
    with make_chain() as ours, make_chain() as theirs:
        yield staged(ours, "PriceOracle", request.param), staged(theirs, "StalenessOracle", request.param)


class Truth:
    """An oracle that knows."""

    def __init__(self, price: int) -> None:
        self.price = price

    def prices(self, sender: str, market: int) -> Prices:
        return Prices(*[self.price] * 6, state=STATE_LIVE)


@contextmanager
def judged_at(system: System, price: int) -> Iterator[None]:
    """The model's oracle tells ``price`` meanwhile."""
    house, oracle = system.clearing_house, system.clearing_house.oracle
    house.oracle = Truth(price)  # type: ignore[assignment]
    try:
        yield
    finally:
        house.oracle = oracle


def healthy(system: System, side: int, account: bytes, price: int, band: int) -> bool:
    """Whether an account has its maintenance margin at a price, and wherever that lies within a band (bps) of it."""
    with judged_at(system, price * 10_000 // (10_000 + side * band)):
        r = exposure(system, account)
    return r.e_kind >= r.m_kind


@dataclass(frozen=True)
class Turn:
    """One step of a story: the truth moves, feeds follow it or do not, keepers look at once."""

    seconds: int
    bps: int
    fault: tuple[str, int]
    silenced: int = 0


@dataclass
class Play:
    """One system under a story. ``faulty`` feeds share a fault; honest ones follow the truth as Chainlink's do."""

    system: System
    faulty: frozenset[int]
    eager: bool = True  # feeds differ in how far the truth has to move until they answer
    band: int = 0  # bps by which the oracle may be off
    truth: int = START
    answered: dict[int, tuple[int, int]] = field(default_factory=dict)
    liquidated: set[bytes] = field(default_factory=set)
    wrongful: set[bytes] = field(default_factory=set)
    deleveraged: set[bytes] = field(default_factory=set)
    """Whose position a default of somebody else cut."""
    frozen: int = 0

    def __post_init__(self) -> None:
        now = self.system.chain.now
        self.answered = dict.fromkeys(range(self.system.specs[0].n_feeds), (START, now))

    def say(self, feed: int, price: int) -> None:
        """A new round."""
        self.system.answer(0, price, [feed])
        self.answered[feed] = (price, self.system.chain.now)

    def mode(self, feed: int, mode: int) -> None:
        """How a feed answers."""
        assert self.system.twin.call(self.system.feed_name(0, feed), "set_mode", KEEPER, mode).ok

    def follow(self, feed: int) -> None:
        """An honest feed answers when the truth has left it, or it is time."""
        last, at = self.answered[feed]
        limit = DEVIATION * (feed + 1) // 5 if self.eager else DEVIATION
        if abs(self.truth - last) * 10_000 > limit * last or self.system.chain.now - at >= HEARTBEAT:
            self.say(feed, self.truth)

    def take(self, turn: Turn) -> None:
        """One turn: time, truth, feeds, then the keepers."""
        self.system.twin.advance(turn.seconds)
        # in the feeds' own unit, so that an answer can be the truth
        self.truth = max(10**12, self.truth * (10_000 + turn.bps) // 10_000) // 10**10 * 10**10
        kind, amount = turn.fault
        for feed in self.answered:
            if feed not in self.faulty:
                silent = turn.silenced >> feed & 1
                self.mode(feed, FEED_REVERT_BOMB if silent else FEED_NORMAL)
                self.follow(feed)
                continue
            self.mode(feed, amount if kind == "mode" else FEED_NORMAL)
            if kind == "none":
                self.follow(feed)
            elif kind == "lie":
                self.say(feed, max(10**10, self.truth * (10_000 + amount) // 10_000))
        self.system.twin.call("PriceOracle", "poke", KEEPER, 0)
        self.keepers()

    def state(self) -> int | None:
        """What the oracle says now; None if it refuses to say."""
        try:
            return int(self.system.twin.view("PriceOracle", "peek", 0)[6])
        except Revert:
            return None

    def keepers(self) -> None:
        """Whatever can be liquidated or resolved is."""
        system, state = self.system, self.state()
        fine = {
            account: healthy(system, side, account, self.truth, self.band) for (side, _), account in ACCOUNTS.items()
        }
        before, accounts = self.positions(), tuple(ACCOUNTS.values())
        outcome = system.call("liquidate_batch", TAKER.address, accounts, 0, TAKER.account(), 2**255)
        hit = {log.fields["account"] for log in outcome.events if log.name == "Liquidated"}
        for account in accounts:
            held = system.clearing_house.load_position(account, 0)
            # one whose market has no price gets a receipt that moves nothing
            if self.bankrupt(account) and system.call("resolve", KEEPER, account, ()).ok:
                hit |= {account} if held != system.clearing_house.load_position(account, 0) else set()
        if state == STATE_FROZEN:
            self.frozen += 1
            assert not hit
            assert self.positions() == before, "FROZEN moves no position"
        held = dict(zip(accounts, before, strict=False))
        now = dict(zip(accounts, self.positions(), strict=False))
        self.deleveraged |= {account for account in accounts if held[account] != now[account]} - hit
        self.liquidated |= hit
        self.wrongful |= {account for account in hit if fine[account]}

    def bankrupt(self, account: bytes) -> bool:
        """Whether the oracle's prices leave an account less than nothing; False where it refuses to say."""
        try:
            return exposure(self.system, account).e_kind < 0
        except Revert:
            return False

    def positions(self) -> list[Any]:
        """Every trader's stored position."""
        house = self.system.clearing_house
        return [house.load_position(account, 0) for account in (*ACCOUNTS.values(), COUNTERPARTY.account())]


FAULTS = st.one_of(
    st.tuples(st.just("none"), st.just(0)),
    st.tuples(st.just("none"), st.just(0)),
    st.tuples(st.just("still"), st.just(0)),
    st.tuples(st.just("mode"), st.integers(1, FEED_REVERT_BOMB)),
    st.tuples(
        st.just("lie"), st.sampled_from((-9_999, -3_000, -1_400, -500, -201, -150, 150, 201, 500, 1_400, 9_000, 10**6))
    ),
)


def turns(silenced: st.SearchStrategy[int]) -> st.SearchStrategy[list[Turn]]:
    """A story: keepers come after at least a cache's time, so that what they are judged by is what feeds say now."""
    moves = st.sampled_from((0, 0, 0, 20, -20, 130, -130, 350, -350, 1_200, -1_100, -2_500, 3_000))
    return st.lists(
        st.builds(Turn, st.sampled_from((13, 13, 30, 61, 300, 700)), moves, FAULTS, silenced), min_size=6, max_size=12
    )


@contextmanager
def untouched(system: System) -> Iterator[System]:
    """Put back after the story."""
    mark = system.twin.snapshot()
    try:
        yield system
    finally:
        system.twin.revert(mark)


@settings(max_examples=EXAMPLES)
@given(turns(st.just(0)), st.data())
def test_liquidation__never_wrongful_while_liars_are_a_minority(
    stages: tuple[System, System], story: list[Turn], data: Any
) -> None:
    """Up to n − q faulty feeds, in whatever way: nobody is liquidated who is healthy at the true price."""
    n = stages[0].specs[0].n_feeds
    count = data.draw(st.integers(1, n - (n // 2 + 1)), label="faulty feeds")
    with untouched(stages[0]) as system:
        play = Play(system, frozenset(range(count)))
        for turn in story:
            play.take(turn)
        assert play.wrongful == set()


@settings(max_examples=EXAMPLES)
@given(turns(st.sampled_from((0, 0, 1, 2, 4, 8, 16, 31))), st.data())
def test_liquidation__is_within_the_outlier_band_even_if_honest_feeds_are_silenced(
    stages: tuple[System, System], story: list[Turn], data: Any
) -> None:
    """I1 in money: liars and silence together move the price by the band at most, or there is none."""
    n = stages[0].specs[0].n_feeds
    count = data.draw(st.integers(1, n - (n // 2 + 1)), label="faulty feeds")
    with untouched(stages[0]) as system:
        play = Play(system, frozenset(range(count)), band=OUTLIER + 1)
        for turn in story:
            play.take(turn)
        assert play.wrongful == set()


@settings(max_examples=EXAMPLES)
@given(turns(st.just(0)), st.data())
def test_liquidation__never_more_wrongful_than_with_one_checked_feed(
    stages: tuple[System, System], story: list[Turn], data: Any
) -> None:
    """Whoever is liquidated though healthy would have been liquidated with the typical integration, too.

    The faulty feeds share their fault, as feeds of one provider do, and the first, which the baseline reads, is one of
    them; also a majority. Compared is with all whose position the baseline moved: who was rightly liquidated or
    deleveraged there in a move that this oracle sat out can be hit wrongly here later.
    """
    n = stages[0].specs[0].n_feeds
    faulty = frozenset(range(data.draw(st.integers(1, n), label="faulty feeds")))
    with untouched(stages[0]) as ours, untouched(stages[1]) as theirs:
        defended, typical = Play(ours, faulty, eager=False), Play(theirs, faulty, eager=False)
        for turn in story:
            defended.take(turn)
            typical.take(turn)
        assert defended.wrongful - defended.deleveraged <= typical.liquidated | typical.deleveraged


@pytest.mark.parametrize("bps", [-1_400, 1_400, -9_999, 10**6])
def test_liquidation__one_liar_ruins_the_typical_integration_alone(stages: tuple[System, System], bps: int) -> None:
    """That the searches above can find what they look for."""
    story = [Turn(13, 0, ("none", 0)), *[Turn(61, 0, ("lie", bps))] * 4, Turn(61, 0, ("none", 0))]
    with untouched(stages[0]) as ours, untouched(stages[1]) as theirs:
        defended, typical = Play(ours, frozenset({0})), Play(theirs, frozenset({0}))
        for turn in story:
            defended.take(turn)
            typical.take(turn)
        assert (defended.liquidated, defended.frozen) == (set(), 0)
        # nothing happened to the price, and half of the book is gone
        side = 1 if bps < 0 else -1
        assert typical.wrongful == typical.liquidated
        assert {ACCOUNTS[side, leverage] for leverage in (8, 15, 25, 35)} <= typical.wrongful


def test_liquidation__majority_of_liars_freezes_beyond_the_gate(stages: tuple[System, System]) -> None:
    with untouched(stages[0]) as system:
        play = Play(system, frozenset(range(system.specs[0].n_feeds)))
        for _ in range(10):
            play.take(Turn(61, 0, ("lie", -9_000)))
        assert (play.liquidated, play.frozen) == (set(), 10)


@pytest.mark.parametrize("mode", range(1, FEED_REVERT_BOMB + 1))
def test_operations__no_feed_alone_stands_in_the_way(stages: tuple[System, System], mode: int) -> None:
    """n − q broken feeds leave a market in which one reduces and liquidates; all broken, one still deposits."""
    with untouched(stages[0]) as system:
        n = system.specs[0].n_feeds
        broken = frozenset(range(n - (n // 2 + 1)))
        play = Play(system, broken, eager=False)
        long, short, bystander = ACCOUNTS[1, 3], ACCOUNTS[-1, 3], actor("bystander")
        assert system.fund_account(bystander.address, 2 * WAD).ok
        price = START * 9_700 // 10_000
        for moved in (START, price, price, price):
            system.twin.advance(300)  # until the averages are there
            for feed in broken:
                play.mode(feed, mode)
            system.set_price(0, moved, [feed for feed in range(n) if feed not in broken])
        assert play.state() == STATE_DEGRADED
        assert system.trade(0, short, long, WAD, price).ok
        assert system.call("withdraw", bystander.address, bystander.account(), WAD, bystander.address).ok
        assert system.fund_account(TRADERS[1, 35].address, 1).ok
        hit = system.call("liquidate", TAKER.address, ACCOUNTS[1, 35], 0, TAKER.account(), 2**255)
        assert hit.ok, hit.reason
        for feed in range(n):
            play.mode(feed, mode)
        system.twin.advance(13)
        assert system.fund_account(TRADERS[1, 25].address, WAD).ok
        assert system.call("withdraw", bystander.address, bystander.account(), WAD, bystander.address).ok
        assert system.trade(0, short, long, WAD, price).reason == "market: frozen"
        assert play.state() == STATE_FROZEN
