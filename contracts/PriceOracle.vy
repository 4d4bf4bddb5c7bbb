# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title Median of Chainlink-compatible feeds, with an interval and a state
@license MIT
@notice Up to three feeds per market. A feed can revert, burn its gas, or answer garbage; that silences the feed
        and never reverts us. Two feeds near the median make a price; all three make the market LIVE.
@dev A poke reads the feeds; everybody else in the same CACHE_S seconds reads one packed word. Prices are WAD money
     per base unit. Mirror: `python_ref/price_oracle.py`.
"""

from contracts.interfaces import IPriceOracle
from contracts.modules import constants as c

implements: IPriceOracle


event PricePoked:
    market: indexed(uint256)
    index: uint256
    low: uint256
    high: uint256
    state: uint256


event FeedFailed:
    market: indexed(uint256)
    feed: indexed(uint256)
    code: uint256


event FeedRecovered:
    market: indexed(uint256)
    feed: indexed(uint256)


event FeedsSet:
    market: indexed(uint256)
    feeds: address[N_FEEDS]
    decimals: uint256[N_FEEDS]
    max_ages: uint256[N_FEEDS]
    outlier_bps: uint256
    width_bps: uint256


event GovernorSet:
    governor: indexed(address)


struct Reading:
    code: uint256
    # WAD, zero unless the code is OK
    price: uint256
    # the feed's own answer, round and stamp, packed as in `observations`, without the code
    seen: uint256


struct Survey:
    # the word that `cache` is to hold
    cache: uint256
    readings: Reading[N_FEEDS]


N_FEEDS: constant(uint256) = 3
QUORUM: constant(uint256) = 2
BPS: constant(uint256) = 10_000

# seconds for which one poke serves everybody: a block of the slowest chain aimed at
CACHE_S: constant(uint256) = 12
# time constant of the slow reference, seconds
TAU_S: constant(int256) = 900
# seconds by which a feed's clock may run ahead of the block's
FUTURE_S: constant(uint256) = 15
# gas that one feed may use, and the most that a hostile one can burn
FEED_GAS: constant(uint256) = 100_000
# what the call itself costs before its gas is handed over, with room to spare
CALL_GAS: constant(uint256) = 20_000

MAX_DECIMALS: constant(uint256) = 18
MAX_AGE_S: constant(uint256) = 172_800
MAX_OUTLIER_BPS: constant(uint256) = 1_000
MAX_WIDTH_BPS: constant(uint256) = 1_000

# why a feed was not counted
OK: constant(uint256) = 0
CALL_FAILED: constant(uint256) = 1
SHORT: constant(uint256) = 2
NONPOSITIVE: constant(uint256) = 3
INCOMPLETE: constant(uint256) = 4
FUTURE: constant(uint256) = 5
STALE: constant(uint256) = 6
OUT_OF_RANGE: constant(uint256) = 7

MASK_8: constant(uint256) = 2**8 - 1
MASK_16: constant(uint256) = 2**16 - 1
MASK_40: constant(uint256) = 2**40 - 1
# a price below MAX_PRICE fits 87 bits
MASK_87: constant(uint256) = 2**87 - 1
MASK_160: constant(uint256) = 2**160 - 1
MASK_248: constant(uint256) = 2**248 - 1

# who may set the feeds
governor: public(address)

# market => index 87 | ref 87 | poked_at 40 (second) | state 8 | width_bps 16; the width is that of the last accepted
# index, so that a frozen market keeps its prices. One word because every trade reads it.
cache: public(HashMap[uint256, uint256])

# market => per feed: address 160 | decimals 8 | max_age 32 (seconds)
feeds: public(HashMap[uint256, uint256[N_FEEDS]])

# market => outlier_bps 16 | width_bps 16; zero for a market without feeds
params: public(HashMap[uint256, uint256])

# market => per feed: last accepted answer 128 (feed's decimals) | its round 80 | its stamp 40 | last code 8
observations: public(HashMap[uint256, uint256[N_FEEDS]])


@deploy
def __init__(governor: address):
    """
    @notice Name the first governor; markets get their feeds by `set_feeds`.
    @param governor May set feeds and name another governor.
    """
    assert governor != empty(address), "oracle: no governor"
    self.governor = governor
    log GovernorSet(governor=governor)


@external
def prices(market: uint256) -> IPriceOracle.Prices:
    """
    @notice The prices that an operation of this block is judged by; pokes when the cache is older than CACHE_S.
    @param market Index of the market.
    @return Prices and state; all zero and FROZEN while no price was ever accepted.
    """
    cached: uint256 = self.cache[market]
    if self._age(cached) > CACHE_S:
        cached = self._poke(market, cached)
    return self._unpack(cached)


@external
def poke(market: uint256) -> IPriceOracle.Prices:
    """
    @notice Read the feeds now, at most once per second of block time: a second poke has no weight and no effect.
    @param market Index of the market.
    @return Prices and state after the poke.
    """
    cached: uint256 = self.cache[market]
    if self._age(cached) > 0:
        cached = self._poke(market, cached)
    return self._unpack(cached)


@view
@external
def peek(market: uint256) -> IPriceOracle.Prices:
    """
    @notice What `prices` would return in this block.
    @param market Index of the market.
    @return Prices and state.
    """
    cached: uint256 = self.cache[market]
    if self._age(cached) > CACHE_S:
        cached = self._survey(market, cached).cache
    return self._unpack(cached)


@external
def set_governor(governor: address):
    """
    @notice Hand the office to another address, at once.
    @param governor The next governor; not zero.
    """
    assert msg.sender == self.governor, "oracle: not governor"
    assert governor != empty(address), "oracle: no governor"
    self.governor = governor
    log GovernorSet(governor=governor)


@external
def set_feeds(
    market: uint256,
    feeds: address[N_FEEDS],
    decimals: uint256[N_FEEDS],
    max_ages: uint256[N_FEEDS],
    outlier_bps: uint256,
    width_bps: uint256,
):
    """
    @notice Replace the feeds and the parameters of a market. Accepted prices stay until the next poke.
    @dev The decimals are pinned: an answer of another scale would be a price of another asset.
    @param market Index of the market.
    @param feeds Three different contracts.
    @param decimals What each feed answers to `decimals()`, at most 18.
    @param max_ages Seconds after its stamp for which an answer of the feed counts.
    @param outlier_bps Distance from the median, in 1/10000 of it, beyond which a feed does not count.
    @param width_bps Half-width of [low, high], in 1/10000 of the index.
    """
    assert msg.sender == self.governor, "oracle: not governor"
    assert market < c.MAX_MARKETS, "oracle: no such market"
    assert outlier_bps > 0 and outlier_bps <= MAX_OUTLIER_BPS, "oracle: outlier_bps"
    assert width_bps <= MAX_WIDTH_BPS, "oracle: width_bps"
    words: uint256[N_FEEDS] = empty(uint256[N_FEEDS])
    for i: uint256 in range(N_FEEDS):
        assert feeds[i].is_contract, "oracle: feed is no contract"
        assert feeds[i] != feeds[(i + 1) % N_FEEDS], "oracle: same feed twice"
        assert decimals[i] <= MAX_DECIMALS, "oracle: feed decimals"
        assert max_ages[i] > 0 and max_ages[i] <= MAX_AGE_S, "oracle: feed max_age"
        ok: bool = False
        answer: Bytes[32] = b""
        ok, answer = raw_call(
            feeds[i],
            method_id("decimals()"),
            max_outsize=32,
            is_static_call=True,
            revert_on_failure=False,
        )
        assert ok and len(answer) == 32, "oracle: no decimals"
        assert extract32(answer, 0, output_type=uint256) == decimals[i], "oracle: other decimals"
        words[i] = convert(feeds[i], uint256) | (decimals[i] << 160) | (max_ages[i] << 168)
    self.feeds[market] = words
    self.params[market] = outlier_bps | (width_bps << 16)
    self.observations[market] = empty(uint256[N_FEEDS])
    log FeedsSet(
        market=market,
        feeds=feeds,
        decimals=decimals,
        max_ages=max_ages,
        outlier_bps=outlier_bps,
        width_bps=width_bps,
    )


@view
@internal
def _age(cached: uint256) -> uint256:
    """
    @notice Seconds since the poke that wrote the word; without end if there was none.
    """
    poked_at: uint256 = (cached >> 174) & MASK_40
    if poked_at == 0:
        return max_value(uint256)
    return block.timestamp - poked_at


@pure
@internal
def _unpack(cached: uint256) -> IPriceOracle.Prices:
    """
    @notice The prices that a cache word stands for: low rounds down, high up.
    """
    index: uint256 = cached & MASK_87
    ref: uint256 = (cached >> 87) & MASK_87
    state: uint256 = (cached >> 214) & MASK_8
    if index == 0:
        state = c.STATE_FROZEN
    width: uint256 = cached >> 222
    # index < 2**87 and width <= MAX_WIDTH_BPS
    low: uint256 = unsafe_div(unsafe_mul(index, unsafe_sub(BPS, width)), BPS)
    high: uint256 = unsafe_div(unsafe_add(unsafe_mul(index, unsafe_add(BPS, width)), BPS - 1), BPS)
    return IPriceOracle.Prices(
        index=index,
        mark=index,
        low=low,
        high=high,
        credit_low=min(low, ref),
        credit_high=max(high, ref),
        state=state,
    )


@internal
def _poke(market: uint256, cached: uint256) -> uint256:
    """
    @notice Read the feeds, store what they said and log it; returns the new cache word.
    """
    if self.params[market] == 0:
        return cached
    survey: Survey = self._survey(market, cached)
    for i: uint256 in range(N_FEEDS):
        before: uint256 = self.observations[market][i]
        code: uint256 = survey.readings[i].code
        after: uint256 = survey.readings[i].seen
        if code != OK:
            after = (before & MASK_248) | (code << 248)
        if after != before:
            self.observations[market][i] = after
        if code != before >> 248:
            if code == OK:
                log FeedRecovered(market=market, feed=i)
            else:
                log FeedFailed(market=market, feed=i, code=code)
    self.cache[market] = survey.cache
    p: IPriceOracle.Prices = self._unpack(survey.cache)
    log PricePoked(market=market, index=p.index, low=p.low, high=p.high, state=p.state)
    return survey.cache


@view
@internal
def _survey(market: uint256, cached: uint256) -> Survey:
    """
    @notice What a poke of this second reads from the feeds, and the cache word it makes of it.
    """
    survey: Survey = empty(Survey)
    params: uint256 = self.params[market]
    if params == 0:
        survey.cache = cached
        return survey

    smallest: uint256 = max_value(uint256)
    largest: uint256 = 0
    total: uint256 = 0
    valid: uint256 = 0
    for i: uint256 in range(N_FEEDS):
        survey.readings[i] = self._read(self.feeds[market][i])
        if survey.readings[i].code == OK:
            price: uint256 = survey.readings[i].price
            smallest = min(smallest, price)
            largest = max(largest, price)
            total += price
            valid += 1

    median: uint256 = 0
    agreeing: uint256 = 0
    if valid >= QUORUM:
        median = total // QUORUM if valid == QUORUM else total - smallest - largest
        for i: uint256 in range(N_FEEDS):
            if survey.readings[i].code == OK:
                price: uint256 = survey.readings[i].price
                distance: uint256 = max(price, median) - min(price, median)
                if distance * BPS <= (params & MASK_16) * median:
                    agreeing += 1

    index: uint256 = cached & MASK_87
    ref: uint256 = (cached >> 87) & MASK_87
    state: uint256 = c.STATE_FROZEN
    width: uint256 = cached >> 222
    if agreeing >= QUORUM:
        # the old index weighs in for as long as it was in force; the new one has no weight yet, and a time without
        # a price has none at all: else one bad answer before a silence would become the reference
        if index == 0:
            ref = median
        elif (cached >> 214) & MASK_8 != c.STATE_FROZEN:
            elapsed: int256 = min(convert(self._age(cached), int256), TAU_S)
            step: int256 = (convert(index, int256) - convert(ref, int256)) * elapsed // TAU_S
            ref = convert(convert(ref, int256) + step, uint256)
        index = median
        state = c.STATE_LIVE if agreeing == N_FEEDS else c.STATE_DEGRADED
        width = params >> 16
    survey.cache = index | (ref << 87) | (block.timestamp << 174) | (state << 214) | (width << 222)
    return survey


@view
@internal
def _read(feed: uint256) -> Reading:
    """
    @notice One feed's answer, or the code of the first check that it fails. Reverts only for lack of gas.
    """
    reading: Reading = empty(Reading)
    # a caller must not be able to make a healthy feed fail by handing on too little gas (63/64 rule)
    assert msg.gas > FEED_GAS * 64 // 63 + CALL_GAS, "oracle: too little gas"
    ok: bool = False
    answer: Bytes[160] = b""
    ok, answer = raw_call(
        convert(feed & MASK_160, address),
        method_id("latestRoundData()"),
        max_outsize=160,
        gas=FEED_GAS,
        is_static_call=True,
        revert_on_failure=False,
    )
    if not ok:
        reading.code = CALL_FAILED
        return reading
    if len(answer) != 160:
        reading.code = SHORT
        return reading
    # whole words: a dirty uint80 must not make the decoder revert
    round_id: uint256 = extract32(answer, 0, output_type=uint256)
    value: int256 = extract32(answer, 32, output_type=int256)
    updated: uint256 = extract32(answer, 96, output_type=uint256)
    if round_id >= 2**80 or value >= 2**128:
        reading.code = OUT_OF_RANGE
        return reading
    if value <= 0:
        reading.code = NONPOSITIVE
        return reading
    if updated == 0:
        reading.code = INCOMPLETE
        return reading
    if updated > block.timestamp + FUTURE_S:
        reading.code = FUTURE
        return reading
    if updated + (feed >> 168) < block.timestamp:
        reading.code = STALE
        return reading
    price: uint256 = convert(value, uint256) * 10 ** (MAX_DECIMALS - ((feed >> 160) & MASK_8))
    if price >= c.MAX_PRICE:
        reading.code = OUT_OF_RANGE
        return reading
    reading.price = price
    reading.seen = convert(value, uint256) | (round_id << 128) | (updated << 208)
    return reading
