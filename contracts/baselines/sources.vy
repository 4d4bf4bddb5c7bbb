# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title The feeds of a baseline oracle
@license MIT
@notice What NaiveOracle and StalenessOracle share: one `set_feeds` with PriceOracle's signature, so that one routine
        deploys any of the three, and the typed read that bubbles whatever a feed does.
@dev Mirror: `python_ref/baselines.py`.
"""

from contracts.interfaces import IAggregatorV3
from contracts.interfaces import IPriceOracle
from contracts.modules import constants as c


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


MAX_FEEDS: constant(uint256) = 7
MAX_DECIMALS: constant(uint256) = 18

# who may set the feeds
governor: public(address)

# market => how many feeds it has
counts: public(HashMap[uint256, uint256])

# market => per feed: source 160 | decimals 8 | max_age 24 (seconds)
feeds: public(HashMap[uint256, uint256[MAX_FEEDS]])


@deploy
def __init__(governor: address):
    """
    @param governor May set the feeds.
    """
    self.governor = governor


@external
def set_feeds(market: uint256, feeds: DynArray[Feed, MAX_FEEDS], rules: Rules):
    """
    @notice Replace the feeds of a market. Of a feed only source, decimals and max_age matter here, of the rules none.
    """
    assert msg.sender == self.governor, "oracle: not governor"
    assert len(feeds) > 0, "oracle: no feeds"
    words: uint256[MAX_FEEDS] = empty(uint256[MAX_FEEDS])
    count: uint256 = 0
    for feed: Feed in feeds:
        assert feed.decimals <= MAX_DECIMALS, "oracle: feed decimals"
        assert feed.max_age < 2**24, "oracle: feed max_age"
        words[count] = convert(feed.source, uint256) | (feed.decimals << 160) | (feed.max_age << 168)
        count += 1
    self.counts[market] = count
    self.feeds[market] = words


@external
def set_reporter(reporter: address):
    """
    @notice Ignored: these oracles do not lean on fills.
    """
    pass


@external
def set_sequencer(feed: address):
    """
    @notice Ignored: these oracles do not know that a sequencer can be down.
    """
    pass


@external
def report(market: uint256, price: uint256):
    """
    @notice Ignored: these oracles do not lean on fills.
    """
    pass


@view
@internal
def _ask(feed: uint256) -> (uint256, uint256):
    """
    @notice Price (WAD) and stamp of a feed's last answer. Whatever the feed reverts with comes through; a negative
            answer reverts without a reason, as Solidity's cast of it, times the scale, overflows.
    """
    round_id: uint80 = 0
    answer: int256 = 0
    started_at: uint256 = 0
    updated_at: uint256 = 0
    answered_in: uint80 = 0
    round_id, answer, started_at, updated_at, answered_in = staticcall IAggregatorV3(
        convert(feed & (2**160 - 1), address)
    ).latestRoundData()
    price: uint256 = convert(answer, uint256) * 10 ** (MAX_DECIMALS - ((feed >> 160) & 255))
    assert price < c.MAX_PRICE, "oracle: out of range"
    return price, updated_at


@pure
@internal
def _none() -> IPriceOracle.Prices:
    """
    @notice What a market without feeds has: no price, and FROZEN.
    """
    nothing: IPriceOracle.Prices = empty(IPriceOracle.Prices)
    nothing.state = c.STATE_FROZEN
    return nothing


@pure
@internal
def _flat(price: uint256) -> IPriceOracle.Prices:
    """
    @notice One number for everything, always LIVE.
    """
    return IPriceOracle.Prices(
        index=price,
        mark=price,
        low=price,
        high=price,
        credit_low=price,
        credit_high=price,
        state=c.STATE_LIVE,
        paused=0,
    )
