# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title The naive integration: whatever the feed says
@license MIT
@notice A baseline for the attacks: no check at all, one number for everything, always LIVE. How several feeds, or
        several moments, become one number is chosen at deployment; incidents name each of these.
@dev LATEST: the first feed's answer whatever its age; zero is a price, a revert of the feed is ours.
     MEAN, MEDIAN: of the feeds that answer something positive, however few they are.
     AVERAGE: an exponential average of the first feed in which the present sample has the weight of the time since
     the last one: after an idle hour one sample is nearly all of it. Mirror: `python_ref/baselines.py`.
"""

from contracts.baselines import sources
from contracts.interfaces import IPriceOracle
from contracts.modules import constants as c
from contracts.modules import fixed_math

initializes: sources
implements: IPriceOracle

exports: (
    sources.governor,
    sources.counts,
    sources.feeds,
    sources.set_feeds,
    sources.set_reporter,
    sources.set_sequencer,
    sources.report,
)

LATEST: constant(uint256) = 0
MEAN: constant(uint256) = 1
MEDIAN: constant(uint256) = 2
AVERAGE: constant(uint256) = 3

MAX_FEEDS: constant(uint256) = 7
# of MEAN and MEDIAN, so that one feed that burns its gas leaves some for the others
FEED_GAS: constant(uint256) = 100_000

# one of the constants above
AGGREGATION: public(immutable(uint256))
# time constant of AVERAGE, seconds
TAU_S: public(immutable(uint256))

# market => average 87 (WAD) | sampled_at 40
averages: public(HashMap[uint256, uint256])


@deploy
def __init__(governor: address, aggregation: uint256, tau: uint256):
    """
    @param governor May set the feeds.
    @param aggregation 0 latest, 1 mean, 2 median, 3 average.
    @param tau Time constant of the average, seconds; not used by the others.
    """
    assert aggregation <= AVERAGE, "oracle: aggregation"
    assert aggregation != AVERAGE or tau > 0, "oracle: tau"
    sources.__init__(governor)
    AGGREGATION = aggregation
    TAU_S = tau


@external
def prices(market: uint256) -> IPriceOracle.Prices:
    """
    @notice The feeds' answers as they are now.
    """
    return self._poke(market)


@external
def poke(market: uint256) -> IPriceOracle.Prices:
    """
    @notice The same.
    """
    return self._poke(market)


@view
@external
def peek(market: uint256) -> IPriceOracle.Prices:
    """
    @notice The same, keeping nothing.
    """
    if sources.counts[market] == 0:
        return sources._none()
    return sources._flat(self._price(market))


@internal
def _poke(market: uint256) -> IPriceOracle.Prices:
    """
    @notice The price of now; an average keeps it.
    """
    if sources.counts[market] == 0:
        return sources._none()
    price: uint256 = self._price(market)
    if AGGREGATION == AVERAGE:
        self.averages[market] = price | (block.timestamp << 87)
    return sources._flat(price)


@view
@internal
def _price(market: uint256) -> uint256:
    """
    @notice One number, WAD.
    """
    if AGGREGATION == MEAN or AGGREGATION == MEDIAN:
        return self._of_many(market)
    price: uint256 = sources._ask(sources.feeds[market][0])[0]
    if AGGREGATION == LATEST or self.averages[market] == 0:
        return price
    average: uint256 = self.averages[market] & (2**87 - 1)
    weight: uint256 = fixed_math._decay(block.timestamp - (self.averages[market] >> 87), TAU_S)
    return (price * (c.WAD - weight) + average * weight) // c.WAD


@view
@internal
def _of_many(market: uint256) -> uint256:
    """
    @notice Mean or median of what is positive; the mean of the two middles where their number is even.
    """
    sorted: uint256[MAX_FEEDS] = empty(uint256[MAX_FEEDS])
    count: uint256 = 0
    total: uint256 = 0
    for i: uint256 in range(sources.counts[market], bound=MAX_FEEDS):
        feed: uint256 = sources.feeds[market][i]
        ok: bool = False
        answer: Bytes[160] = b""
        ok, answer = raw_call(
            convert(feed & (2**160 - 1), address),
            method_id("latestRoundData()"),
            max_outsize=160,
            gas=FEED_GAS,
            is_static_call=True,
            revert_on_failure=False,
        )
        if not ok or len(answer) < 160 or extract32(answer, 32, output_type=int256) <= 0:
            continue
        price: uint256 = extract32(answer, 32, output_type=uint256) * 10 ** (18 - ((feed >> 160) & 255))
        assert price < c.MAX_PRICE, "oracle: out of range"
        at: uint256 = count
        for _: uint256 in range(MAX_FEEDS):
            if at == 0 or sorted[at - 1] <= price:
                break
            sorted[at] = sorted[at - 1]
            at -= 1
        sorted[at] = price
        count += 1
        total += price
    assert count > 0, "oracle: no answer"
    if AGGREGATION == MEAN:
        return total // count
    return (sorted[(count - 1) // 2] + sorted[count // 2]) // 2
