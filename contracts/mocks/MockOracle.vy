# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title An oracle that says what it is told
@license MIT
@notice For tests: anybody may set any prices and any state, so that what the ledger does in each state can be tried
        without feeds. It takes feeds as the baselines do, so that one routine deploys it, and never asks them.
@dev Mirror: `python_ref/mocks.py`.
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
)

# market => what to answer
told: public(HashMap[uint256, IPriceOracle.Prices])
# market => price of the last fill
reported: public(HashMap[uint256, uint256])


@deploy
def __init__(governor: address):
    """
    @param governor May set the feeds.
    """
    sources.__init__(governor)


@external
def set_prices(market: uint256, told: IPriceOracle.Prices):
    """
    @notice Answer this from now on.
    """
    self.told[market] = told


@external
def prices(market: uint256) -> IPriceOracle.Prices:
    """
    @notice What was told.
    """
    return self.told[market]


@external
def poke(market: uint256) -> IPriceOracle.Prices:
    """
    @notice The same.
    """
    return self.told[market]


@view
@external
def peek(market: uint256) -> IPriceOracle.Prices:
    """
    @notice The same.
    """
    return self.told[market]


@external
def report(market: uint256, price: uint256):
    """
    @notice Keep the price of a fill, whoever tells it.
    """
    self.reported[market] = price
