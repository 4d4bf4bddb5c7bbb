# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title A feed behind a proxy, as Chainlink deploys them
@license MIT
@notice For tests and devnets: the proxy's round is `phase << 64 | round of the aggregator`, and a new aggregator, once
        proposed and confirmed, is a new phase whose rounds begin anew. Anybody may do either.
@dev An aggregator that reverts, or answers no five words, reverts the proxy. Mirror: `python_ref/mocks.py`.
"""

from contracts.interfaces import IAggregatorV3

implements: IAggregatorV3

# the present phase, from 1 on
phaseId: public(uint256)
# whom the present phase asks
aggregator: public(address)
# whom the next one may ask; zero for none
proposedAggregator: public(address)
# phase => aggregator
phaseAggregators: public(HashMap[uint256, address])


@deploy
def __init__(aggregator: address):
    """
    @notice Begin phase 1.
    @param aggregator Whom to ask.
    """
    self._begin(aggregator)


@external
def proposeAggregator(aggregator: address):
    """
    @notice Name who may be asked next.
    @param aggregator Its answers can be read before it is confirmed.
    """
    self.proposedAggregator = aggregator


@external
def confirmAggregator(aggregator: address):
    """
    @notice Ask the proposed aggregator from now on, in a phase of its own.
    @param aggregator The one proposed.
    """
    assert aggregator == self.proposedAggregator, "proxy: not proposed"
    self.proposedAggregator = empty(address)
    self._begin(aggregator)


@view
@external
def latestRoundData() -> (uint80, int256, uint256, uint256, uint80):
    """
    @notice The aggregator's last round, numbered within its phase.
    @return roundId, answer, startedAt, updatedAt, answeredInRound.
    """
    round_id: uint80 = 0
    answer: int256 = 0
    started_at: uint256 = 0
    updated_at: uint256 = 0
    answered_in: uint80 = 0
    round_id, answer, started_at, updated_at, answered_in = staticcall IAggregatorV3(
        self.aggregator
    ).latestRoundData()
    return self._numbered(round_id), answer, started_at, updated_at, self._numbered(answered_in)


@view
@external
def decimals() -> uint8:
    """
    @notice Decimals of the answer: the present aggregator's.
    """
    return staticcall IAggregatorV3(self.aggregator).decimals()


@view
@external
def description() -> String[64]:
    """
    @notice The pair, for people: the present aggregator's.
    """
    return staticcall IAggregatorV3(self.aggregator).description()


@view
@external
def version() -> uint256:
    """
    @notice Version of the feed's interface: the present aggregator's.
    """
    return staticcall IAggregatorV3(self.aggregator).version()


@internal
def _begin(aggregator: address):
    self.phaseId += 1
    self.aggregator = aggregator
    self.phaseAggregators[self.phaseId] = aggregator


@view
@internal
def _numbered(round_id: uint80) -> uint80:
    """
    @notice A round within the present phase; an aggregator's rounds have 64 bits.
    """
    number: uint256 = convert(round_id, uint256) & (2**64 - 1)
    return convert((self.phaseId << 64) | number, uint80)
