# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title The typical integration: one feed, its age and its sign
@license MIT
@notice A baseline for the attacks: what consumers of a feed usually check, and nothing else. It refuses to answer
        where the answer is old or not positive, and whatever needs a price is refused with it.
@dev Mirror: `python_ref/baselines.py`.
"""

from contracts.baselines import sources
from contracts.interfaces import IPriceOracle

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


@deploy
def __init__(governor: address):
    """
    @param governor May set the feeds.
    """
    sources.__init__(governor)


@external
def prices(market: uint256) -> IPriceOracle.Prices:
    """
    @notice The first feed's latest answer.
    """
    return self._prices(market)


@view
@external
def peek(market: uint256) -> IPriceOracle.Prices:
    """
    @notice The same.
    """
    return self._prices(market)


@external
def poke(market: uint256) -> IPriceOracle.Prices:
    """
    @notice The same.
    """
    return self._prices(market)


@view
@internal
def _prices(market: uint256) -> IPriceOracle.Prices:
    """
    @notice The usual two checks. A stamp in the future underflows, as it does in the field.
    """
    if sources.counts[market] == 0:
        return sources._none()
    feed: uint256 = sources.feeds[market][0]
    price: uint256 = 0
    updated_at: uint256 = 0
    price, updated_at = sources._ask(feed)
    assert price > 0 and block.timestamp - updated_at <= feed >> 168, "oracle: stale"
    return sources._flat(price)
