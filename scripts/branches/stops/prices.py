"""Feeds and what the oracle makes of them: what it refuses to be told, leaps, quotes, the end of a market."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from python_ref import constants as c
from python_ref.mocks import FEED_NORMAL, FEED_REVERT, FEED_SHORT
from python_ref.oracle_words import MASK_128, MAX_BOOKS, Feed, Rules
from python_ref.world import World, require
from scripts.branches.coverage import CoverageChain
from scripts.branches.scene import ZERO, Scene
from scripts.branches.stops.defaults import plain
from scripts.branches.stops.deployment import NOBODY
from scripts.campaign.setup import ALT, FIRST_QUOTE, GUARDIAN, MAJOR, OFF, USD, with_oracle
from scripts.campaign.walk import STRANGER
from scripts.chain.artifacts import compile_source
from scripts.system import GOVERNOR, KEEPER, WAD, MarketSpec

ORACLE, HOUSE = "PriceOracle", "ClearingHouse"
PHASE = 1 << 64

WRONG_RULES = (
    {"outlier": 0},
    {"outlier": 1_001},
    *({name: 10_001} for name in ("soft", "jump", "clamp")),
    {"speed": 10_001, "step": 1},
    {"speed": 1, "step": 10_001},
    {"speed": 1},
    {"step": 1},
    {"tau_ref": 0},
    *({name: 2**16} for name in ("tau_ref", "tau_fast", "hold", "calm", "grace")),
    {"freeze": 2**32},
    {"quote": 15},
    {"quote": 32},
)
WRONG_FEEDS = (
    ("oracle: feed is no contract", {"source": NOBODY}),
    ("oracle: feed decimals", {"decimals": 19}),
    ("oracle: feed max_age", {"max_age": 0}),
    ("oracle: feed max_age", {"max_age": 172_801}),
    ("oracle: feed heartbeat", {"heartbeat": 0}),
    ("oracle: feed heartbeat", {"heartbeat": 172_801}),
    ("oracle: feed deviation", {"deviation": 1_001}),
    ("oracle: feed group", {"group": 16}),
    ("oracle: feed bounds", {"least": 5, "most": 5}),
    ("oracle: feed bounds", {"most": 2**128}),
    ("oracle: other decimals", {"decimals": 17}),
)
LOOSER = (
    *({name: 0} for name in ("soft", "jump", "clamp")),
    *({name: getattr(ALT, name) + 1} for name in ("outlier", "soft", "jump", "clamp", "speed", "step")),
    *({name: getattr(ALT, name) - 1} for name in ("hold", "calm", "grace")),
    *({name: getattr(ALT, name) + 1} for name in ("tau_fast", "tau_ref", "freeze")),
    {"speed": 0, "step": 0},
    {"quote": 16},
)


MUTE = """
# pragma version 0.4.3
is_mute: bool

@external
def set_mute():
    self.is_mute = True

@external
@view
def decimals() -> uint8:
    assert not self.is_mute
    return 18

@external
@view
def latestRoundData() -> (uint80, int256, uint256, uint256, uint80):
    return (1, 100 * 10**18, block.timestamp, block.timestamp, 1)
"""
"""A feed that answers well and forgets its decimals."""


class Mute:
    """Its model."""

    name = "Mute"

    def __init__(self, world: World) -> None:
        self.world = world

    def set_mute(self, sender: str) -> None:
        """No decimals from now on."""
        self.world.set((self.name, "is_mute"), 1)

    def decimals(self, sender: str) -> int:
        """Refused once it is mute."""
        require(self.world.get((self.name, "is_mute")) == 0, "")
        return 18

    def latestRoundData(self, sender: str) -> bytes:  # noqa: N802
        """Always 100, always now."""
        now = self.world.now
        return b"".join(word.to_bytes(32, "big") for word in (1, 100 * WAD, now, now, 1))


def mute(scene: Scene, market: int, others: list[Feed]) -> None:
    """A book one of whose feeds says no decimals any more."""
    address = scene.system.chain.deploy(compile_source("Mute", MUTE), sender=GOVERNOR, label="Mute")
    model = Mute(scene.twin.world)
    scene.system.oracle.contracts[address] = model  # type: ignore[index]
    scene.twin.bind(model, "Mute", address)
    feeds = [replace(others[0], source=address), *others[1:3]]
    scene.done(ORACLE, "set_feeds", GOVERNOR, market, *told(feeds, OFF))
    scene.poke(market)
    scene.twin.call("Mute", "set_mute", KEEPER)
    scene.advance(1)
    scene.poke(market)


def told(feeds: list[Feed], rules: Rules) -> tuple[object, object]:
    """Feeds and rules as ``set_feeds`` takes them."""
    return tuple(feed.as_tuple() for feed in feeds), rules.as_tuple()


def judged(rules: Rules, *names: str, n: int = 3) -> tuple[MarketSpec, ...]:
    """Markets of that name at 100, whose feeds are judged by ``rules``."""
    return with_oracle([plain(name) for name in names], n, rules)


def feeds_that_will_not_do(chain: CoverageChain) -> int:
    """What the oracle refuses to be told, and a market that it knows nothing of."""
    scene = Scene(chain, *judged(replace(ALT, freeze=60), "A", "B"))
    feeds, rules = scene.feeds(0), scene.rules(0)

    def refuse(reason: str, given: list[Feed], by: Rules = rules, market: int = 0, sender: str = GOVERNOR) -> None:
        scene.refused(reason, ORACLE, "set_feeds", sender, market, *told(given, by))

    refuse("oracle: not governor", feeds, sender=STRANGER)
    refuse("oracle: no such market", feeds, market=MAX_BOOKS)
    for changed in WRONG_RULES:
        refuse("oracle: rules", feeds, replace(OFF, **changed))
        scene.refused("oracle: rules", ORACLE, "tighten_rules", GOVERNOR, 0, replace(OFF, **changed).as_tuple())
    refuse("oracle: rules", feeds, replace(OFF, quote=17), market=16)
    for reason, changed in WRONG_FEEDS:
        refuse(reason, [replace(feeds[0], **changed), *feeds[1:]])
    refuse("oracle: number of feeds", feeds[:2])
    refuse("oracle: number of feeds", [])
    refuse("oracle: same feed twice", [feeds[0], feeds[1], feeds[1]])
    refuse("oracle: group has quorum", [replace(feed, group=4) for feed in feeds])
    silent = [replace(feeds[1 + m], source=scene.address(scene.spare(m))) for m in range(2)]
    refuse("oracle: disagrees", [feeds[0], *silent])
    # a price by feeds of another market, which agree with each other
    scene.set_price(1, 150 * WAD)
    refuse("oracle: disagrees", scene.feeds(1))
    # the model knows feeds only; that a contract without `decimals` is refused shows on the chain alone
    mute = [replace(feeds[0], source=scene.system.addresses["LiquidationEngine"]), *feeds[1:]]
    reason = chain.simulate(GOVERNOR, scene.address(ORACLE), "set_feeds", 0, *told(mute, rules)).reason
    assert reason == "oracle: no decimals", reason
    for function in ("set_governor", "set_reporter", "set_sequencer"):
        scene.refused("oracle: not governor", ORACLE, function, STRANGER, STRANGER)
    scene.refused("oracle: no governor", ORACLE, "set_governor", GOVERNOR, ZERO)
    scene.refused("oracle: feed is no contract", ORACLE, "set_sequencer", GOVERNOR, NOBODY)
    scene.refused("oracle: not reporter", ORACLE, "report", STRANGER, 0, WAD)
    scene.refused("oracle: no price", ORACLE, "settle", GOVERNOR, 9)
    scene.refused("oracle: not settleable", ORACLE, "settle", STRANGER, 0)
    for function in ("prices", "poke"):
        scene.done(ORACLE, function, KEEPER, 9)
    for market in (9, 0, 40):
        scene.ask(ORACLE, "peek", market)
    scene.advance(60)
    scene.ask(ORACLE, "peek", 0)
    # feeds that have not been read yet, and cannot be; then they can, and are told of a fill before and after
    scene.done(ORACLE, "set_feeds", GOVERNOR, 9, *told(feeds, rules))
    for feed in range(3):
        scene.feed(0, feed, "set_mode", FEED_REVERT)
    for function in ("poke", "prices"):
        scene.done(ORACLE, function, KEEPER, 9)
    scene.ask(ORACLE, "peek", 9)
    scene.done(ORACLE, "set_reporter", GOVERNOR, KEEPER)
    scene.done(ORACLE, "report", KEEPER, 9, 100 * WAD)
    for price in (99, 101, 101, 50, 200):
        scene.done(ORACLE, "report", KEEPER, 0, price * WAD)
        scene.at(1, 150 * WAD)
        scene.done(ORACLE, "poke", KEEPER, 0)
    for feed in range(3):
        scene.feed(0, feed, "set_mode", FEED_NORMAL)
    scene.at(0, 100 * WAD)
    scene.done(ORACLE, "poke", KEEPER, 9)
    scene.finish()
    return scene.calls


def readings(chain: CoverageChain) -> int:
    """Every way in which a feed is not counted, on both sides of its edge, and rounds that count."""
    scene = Scene(chain, *with_oracle([plain("A")], 5, OFF))
    feeds = scene.feeds(0)
    terms = [replace(feed, flux=i == 0, least=90 * WAD, most=110 * WAD) for i, feed in enumerate(feeds)]
    scene.done(ORACLE, "set_feeds", GOVERNOR, 0, *told(terms, scene.rules(0)))
    scene.at(0, 100 * WAD)
    for one in _rounds(scene):
        scene.advance(20)
        for name in scene.sources(0)[1:]:
            scene.answer(0, name, 100 * WAD)
        scene.source(scene.sources(0)[0], "set_round", *one)
        scene.ask(ORACLE, "peek", 0)
        scene.poke(0)
    for name in scene.sources(0):
        scene.source(name, "set_decimals", 17)
    scene.at(0, 100 * WAD)
    for name in scene.sources(0):
        scene.source(name, "set_decimals", 18)
    # a feed whose prices would be a number too great, and one that has no words
    scene.done(ORACLE, "set_feeds", GOVERNOR, 9, *told([replace(f, decimals=18) for f in feeds[:3]], OFF))
    for name in scene.sources(9):
        scene.source(name, "set_round", 2**70, c.MAX_PRICE, scene.now, scene.now, 2**70)
    scene.poke(9)
    for name in scene.sources(9):
        scene.source(name, "set_round", 2**70 + 1, c.MAX_PRICE - 1, scene.now, scene.now, 2**70 + 1)
    scene.advance(1)
    scene.poke(9)
    scene.feed(0, 4, "set_mode", FEED_SHORT)
    scene.poke(0)
    # a phase changes before there is a price, and a first price is in doubt; nobody ends what is never to be ended
    three = [replace(feed, decimals=18) for feed in feeds[:3]]
    for market in (10, 11):
        scene.done(ORACLE, "set_feeds", GOVERNOR, market, *told(three, OFF))
    names = scene.sources(10)
    for name in names[1:]:
        scene.source(name, "set_mode", FEED_REVERT)
    scene.answer(0, names[0], 100 * WAD)
    for moved in (0, PHASE, 1):
        scene.advance(1)
        round_id = scene.last_seen(10, names[0]) + moved
        scene.source(names[0], "set_round", round_id, 100 * WAD, scene.now, scene.now, round_id)
        scene.poke(10)
    scene.source(names[1], "set_mode", FEED_NORMAL)
    for name in names[:2]:
        scene.answer(0, name, 100 * WAD)
    scene.poke(11)
    scene.source(names[1], "set_mode", FEED_REVERT)
    scene.advance(1)
    scene.poke(11)
    scene.refused("oracle: not settleable", ORACLE, "settle", STRANGER, 11)
    scene.ask(ORACLE, "twap", 12, 60)
    for name in names:
        scene.source(name, "set_mode", FEED_NORMAL)
    for name in scene.sources(0):
        scene.answer(0, name, 100 * WAD)
    mute(scene, 12, three)
    # a mean of two middles, and feeds too far apart
    for spread in (1, 900):
        scene.advance(1)
        for i, name in enumerate(scene.sources(0)):
            scene.answer(0, name, (100 + (i - 2) * spread // 100) * WAD)
        scene.poke(0)
    scene.finish()
    return scene.calls


def _rounds(scene: Scene) -> Iterator[tuple[int, int, int, int, int]]:
    """Rounds of the first feed, each after the one before was read."""

    def seen() -> int:
        return scene.last_seen(0, scene.sources(0)[0])

    good = 100 * WAD
    for answer in (good, 0, -1, 2**128, 90 * WAD, 90 * WAD + 1, 110 * WAD, 110 * WAD - 1):
        yield seen() + 1, answer, scene.now, scene.now, seen() + 1
    for stamp in (0, scene.now + 35, scene.now + 36, scene.now, 1):
        yield seen() + 1, good, scene.now, stamp, seen() + 1
    yield seen() + 1, good, scene.now, scene.now, seen()
    yield seen() - 1, good, scene.now, scene.now, seen() - 1
    yield seen() + 1, good, scene.now, scene.now - 60, seen() + 1
    yield seen(), good - 1, scene.now, scene.now, seen()
    yield 2**80, good, scene.now, scene.now, 2**80
    yield seen() + PHASE, good, scene.now, scene.now, seen() + PHASE
    # three new rounds near the others' price; one beyond it starts anew
    for answer in (good, 108 * WAD, good, good, good, good):
        yield seen() + 1, answer, scene.now, scene.now, seen() + 1


def leaps(chain: CoverageChain) -> int:
    """A price beyond the breaker comes back, stays, moves on, or is too far away ever to be believed."""
    scene = Scene(chain, *judged(MAJOR, "A"), *judged(replace(MAJOR, soft=0), "B"), traders=4, seconds=1)
    for price in (200, 190, 150, 150, 150, 150, 150):
        scene.at(1, price * WAD, 160)
    scene.rich(0, 1)
    scene.open(0, 0, 1, WAD)
    begin = scene.mark()
    calls = 0
    for price, rounds, pause in (
        (130, 5, 100),
        (60, 12, 100),
        (40, 12, 100),
        (201, 14, 100),
        (130, 2, 10),
        (112, 1, 1),
    ):
        scene.restart(begin)
        begin = scene.mark()
        scene.at(0, price * WAD, 1)
        if scene.state(0) != c.STATE_LIVE:
            same = told(scene.feeds(0), scene.rules(0))
            scene.refused("oracle: not live", ORACLE, "set_feeds", GOVERNOR, 0, *same)
        for i in range(rounds):
            scene.ask(ORACLE, "peek", 0)
            # one provider's new rounds alone confirm nothing
            scene.at(0, price * WAD, pause, feeds=1 if i == 0 else 3)
        scene.at(0, (price * 106 // 100) * WAD, 1)
        scene.at(0, 100 * WAD, 31)
        for pause_s in (61, 61, 599, 1, 121):
            scene.at(0, 100 * WAD, pause_s)
        for feed in range(3):
            scene.feed(0, feed, "set_mode", FEED_REVERT)
        scene.at(0, 100 * WAD, 1)
        for feed in range(3):
            scene.feed(0, feed, "set_mode", FEED_NORMAL)
        for pause_s in (1, 61, 601, 121, 121):
            scene.at(0, 100 * WAD, pause_s)
        scene.ask(ORACLE, "twap", 0, 60)
        calls += scene.calls
    # away from its own past for so long that the slow reference is seeded anew; in RECOVERY and back
    scene.restart(begin)
    for i in range(8):
        scene.at(0, (100 + i) * WAD, 15)
    for _ in range(70):
        scene.at(0, 112 * WAD, 61)
    for window in (0, 60, 1_800, 10**6):
        scene.ask(ORACLE, "twap", 0, window)
    scene.finish()
    return calls + scene.calls


def ages(chain: CoverageChain) -> int:
    """Answers that are old but count widen the interval, until they do not count."""
    specs = [replace(spec, heartbeat_s=60, max_age_s=7_200) for spec in judged(OFF, "A", "B")]
    scene = Scene(chain, specs[0], replace(specs[1], width_bps=1_000))
    for pause in (100, 19, 1, 9, 1, 500, 2_500, 1_000, 4_000):
        scene.advance(pause)
        for market in (0, 1):
            scene.ask(ORACLE, "peek", market)
            scene.poke(market)
    scene.at(0, 100 * WAD)
    scene.finish()
    return scene.calls


def quotes(chain: CoverageChain) -> int:
    """A price in a unit that has one of its own: doubtful, gone, not there yet; and an L2 that stands still."""
    markets = judged(replace(ALT, quote=FIRST_QUOTE, calm=13, grace=60, hold=60), "A", "B")
    usd = with_oracle([replace(USD, width_bps=995)], 3, replace(MAJOR, calm=13, grace=60, hold=60))
    scene = Scene(chain, *markets, quotes=usd, sequencer=True)
    book = FIRST_QUOTE
    in_itself = told(scene.feeds(book), replace(scene.rules(0), quote=17))
    scene.refused("oracle: rules", ORACLE, "set_feeds", GOVERNOR, book, *in_itself)
    for price, feeds in ((WAD, 3), (WAD * 98 // 100, 3), (WAD, 2), (WAD * 9 // 10, 2), (WAD, 1), (WAD, 3)):
        scene.advance(20)
        scene.ask(ORACLE, "peek", 0)
        scene.set_price(book, price, feeds)
        scene.ask(ORACLE, "peek", 0)
        scene.at(0, scene.prices[0], 1)
        scene.done(ORACLE, "prices", KEEPER, 1)
    for market in (book, 0):
        for feed in range(2):
            scene.feed(market, feed, "set_mode", FEED_REVERT)
        scene.advance(13)
        scene.ask(ORACLE, "peek", 0)
        scene.poke(0)
        for feed in range(2):
            scene.feed(market, feed, "set_mode", FEED_NORMAL)
        for _ in range(4):
            scene.advance(61)
            scene.set_price(book, WAD)
            scene.set_price(0, scene.prices[0])
    # a quote that was never priced, or has ended
    scene.done(ORACLE, "set_feeds", GOVERNOR, 17, *told(scene.feeds(book), scene.rules(book)))
    in_nothing = told(scene.feeds(0), replace(scene.rules(0), quote=18))
    scene.refused("oracle: disagrees", ORACLE, "set_feeds", GOVERNOR, 0, *in_nothing)
    scene.done(ORACLE, "set_feeds", GOVERNOR, 9, *in_nothing)
    scene.poke(9)
    # a price that is nothing in its quote, and one that is too great
    for price, answer in ((10**22, 1), (10**9, 10**17)):
        book = FIRST_QUOTE + 2 + (answer > 1)
        scene.done(ORACLE, "set_feeds", GOVERNOR, book, *told(scene.feeds(1), OFF))
        for name in scene.sources(book):
            scene.source(name, "set_answer", price)
        scene.advance(1)
        scene.poke(book)
        market = 10 + (answer > 1)
        scene.done(ORACLE, "set_feeds", GOVERNOR, market, *told(scene.feeds(1), replace(OFF, quote=book)))
        for name in scene.sources(market):
            scene.source(name, "set_answer", answer)
        scene.poke(market)
    book = FIRST_QUOTE
    for answer, since in ((1, scene.now), (0, 0), (0, scene.now + 60), (0, scene.now - 1)):
        scene.sequencer(answer, since)
        scene.advance(30)
        scene.ask(ORACLE, "peek", 0)
        scene.set_price(book, WAD)
        scene.set_price(0, scene.prices[0])
    for mode in (FEED_REVERT, FEED_SHORT, FEED_NORMAL):
        scene.source(scene.uptime, "set_mode", mode)
        scene.at(0, scene.prices[0], 31)
    scene.done(ORACLE, "set_sequencer", GOVERNOR, ZERO)
    for _ in range(4):
        scene.advance(61)
        scene.set_price(book, WAD)
        scene.set_price(0, scene.prices[0])
    scene.done(ORACLE, "settle", GOVERNOR, book)
    scene.at(0, scene.prices[0])
    scene.refused("oracle: not replaceable", ORACLE, "replace_feed", GOVERNOR, book, 0, scene.feeds(book)[0].as_tuple())
    scene.finish()
    return scene.calls


def replaced_feeds(chain: CoverageChain) -> int:
    """A dead feed is replaced, by the governor or through his contract; rules are tightened at once, never loosened."""
    scene = Scene(chain, *judged(ALT, "A", "B"))
    feeds = scene.feeds(0)
    spare = replace(feeds[0], source=scene.address(scene.spare(0)))
    dead, other = scene.sources(0)[0], scene.sources(0)[1]

    def refuse(reason: str, feed: Feed, place: int = 0, market: int = 0, sender: str = GOVERNOR) -> None:
        scene.refused(reason, ORACLE, "replace_feed", sender, market, place, feed.as_tuple())

    refuse("oracle: not governor", spare, sender=STRANGER)
    refuse("oracle: no price", spare, market=9)
    refuse("oracle: no price", spare, market=MAX_BOOKS)
    refuse("oracle: not replaceable", spare)
    scene.source(dead, "set_mode", FEED_REVERT)
    scene.advance(1)
    scene.poke(0)
    refuse("oracle: no such feed", spare, place=3)
    for reason, changed in WRONG_FEEDS:
        refuse(reason, replace(spare, **changed))
    refuse("oracle: same feed twice", feeds[1])
    refuse("oracle: feed answers", spare, place=1)
    refuse("oracle: group has quorum", replace(spare, group=feeds[1].group))
    refuse("oracle: disagrees", spare)
    name = scene.spare(0)
    scene.source(name, "set_answer", 106 * WAD)
    refuse("oracle: disagrees", spare)
    scene.source(name, "set_answer", 104 * WAD)
    scene.done(ORACLE, "replace_feed", GOVERNOR, 0, 0, spare.as_tuple())
    for price in (100, 100, 108, 100, 100, 100, 100):
        for one in scene.sources(0)[1:]:
            scene.answer(0, one, 100 * WAD)
        scene.source(name, "set_answer", price * WAD)
        scene.advance(1)
        scene.poke(0)
    rules = scene.rules(0)
    for market in (9, MAX_BOOKS):
        scene.refused("oracle: no feeds", ORACLE, "tighten_rules", GOVERNOR, market, rules.as_tuple())
    scene.refused("oracle: not governor", ORACLE, "tighten_rules", STRANGER, 0, rules.as_tuple())
    for changed in LOOSER:
        scene.refused("oracle: loosens", ORACLE, "tighten_rules", GOVERNOR, 0, replace(rules, **changed).as_tuple())
    scene.done(ORACLE, "tighten_rules", GOVERNOR, 0, replace(rules, outlier=499, hold=200, soft=900).as_tuple())
    scene.done(ORACLE, "set_governor", GOVERNOR, scene.address("Governor"))
    oracle = scene.address(ORACLE)
    stricter = replace(scene.rules(0), jump=2_000, speed=40).as_tuple()
    again = replace(feeds[1], source=scene.address(dead)).as_tuple()
    for function, args in (("tighten_feeds", (oracle, 0, stricter)), ("replace_feed", (oracle, 0, 1, again))):
        scene.refused("governor: not guardian", "Governor", function, STRANGER, *args)
    scene.done("Governor", "tighten_feeds", GUARDIAN, oracle, 0, stricter)
    scene.refused("oracle: loosens", "Governor", "tighten_feeds", GOVERNOR, oracle, 0, rules.as_tuple())
    scene.source(other, "set_mode", FEED_REVERT)
    scene.source(dead, "set_mode", FEED_NORMAL)
    scene.source(dead, "set_answer", 100 * WAD)
    scene.advance(1)
    scene.poke(0)
    scene.done("Governor", "replace_feed", GUARDIAN, oracle, 0, 1, again)
    # bounds that every answer keeps are none
    assert scene.feeds(0)[1].most == MASK_128, scene.feeds(0)[1]
    scene.finish()
    return scene.calls
