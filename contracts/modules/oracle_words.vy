# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title The oracle's words: feeds, rules, books and what prices they stand for
@license MIT
@notice Stateless. Layouts: SPEC section 14.1. Prices are WAD, distances bps, times seconds.
@dev Mirror: `python_ref/oracle_words.py`.
"""

from contracts.interfaces import IPriceOracle
from contracts.modules import constants as c


struct Feed:
    source: address
    decimals: uint256
    max_age: uint256
    heartbeat: uint256
    # bps, the half-width that the feed stands for
    deviation: uint256
    # provider; none may hold a quorum
    group: uint256
    # an aggregator whose answeredInRound means something
    flux: bool
    # bounds of the feed's own answer, both excluded
    least: uint256
    most: uint256


struct Rules:
    outlier: uint256
    soft: uint256
    jump: uint256
    clamp: uint256
    # bps per second
    speed: uint256
    step: uint256
    tau_fast: uint256
    tau_ref: uint256
    hold: uint256
    calm: uint256
    grace: uint256
    freeze: uint256
    # book of the quote; 0 none
    quote: uint256


struct Book:
    index: uint256
    mark: uint256
    poked_at: uint256
    state: uint256
    width: uint256
    paused: uint256
    fast: uint256
    ref: uint256
    accepted_at: uint256
    since: uint256
    pending: uint256
    pending_at: uint256
    clear_at: uint256
    soft_at: uint256
    sample: int256
    basis: int256
    cum: uint256
    clock: uint256
    slot_at: uint256
    slots: uint256
    # of this poke alone
    cause: uint256
    restart: bool
    new_slot: bool
    elapsed: uint256


MASK_4: constant(uint256) = 2**4 - 1
MASK_10: constant(uint256) = 2**10 - 1
MASK_16: constant(uint256) = 2**16 - 1
MASK_24: constant(uint256) = 2**24 - 1
MASK_32: constant(uint256) = 2**32 - 1
MASK_40: constant(uint256) = 2**40 - 1
# a price below MAX_PRICE, and a mark one per cent above it, fits 87 bits
MASK_87: constant(uint256) = 2**87 - 1
MASK_128: constant(uint256) = 2**128 - 1


@internal
@pure
def _unpack(cached: uint256, averages: uint256) -> IPriceOracle.Prices:
    """
    @notice The prices that two words stand for: low rounds down, high up.
    """
    index: uint256 = cached & MASK_87
    mark: uint256 = (cached >> 87) & MASK_87
    state: uint256 = (cached >> 214) & MASK_4
    width: uint256 = (cached >> 218) & MASK_10
    ref: uint256 = (averages >> 87) & MASK_87
    least: uint256 = min(index, mark)
    most: uint256 = max(index, mark)
    if state != c.STATE_LIVE:
        fast: uint256 = averages & MASK_87
        least = min(least, fast)
        most = max(most, fast)
    if index == 0:
        state = c.STATE_FROZEN
    # prices < 2**87 and width <= MAX_WIDTH_BPS
    low: uint256 = unsafe_div(unsafe_mul(least, unsafe_sub(c.BPS, width)), c.BPS)
    high: uint256 = unsafe_div(unsafe_add(unsafe_mul(most, unsafe_add(c.BPS, width)), c.BPS - 1), c.BPS)
    return IPriceOracle.Prices(
        index=index,
        mark=mark,
        low=low,
        high=high,
        credit_low=min(low, ref),
        credit_high=max(high, ref),
        state=state,
        paused=cached >> 228,
    )


@internal
@pure
def _cache_word(book: Book) -> uint256:
    return (
        book.index
        | (book.mark << 87)
        | (book.poked_at << 174)
        | (book.state << 214)
        | (book.width << 218)
        | (book.paused << 228)
    )


@internal
@pure
def _averages_word(book: Book) -> uint256:
    return book.fast | (book.ref << 87) | (book.accepted_at << 174) | (book.since << 214)


@internal
@pure
def _to_24(x: int256) -> uint256:
    """
    @notice Two's complement of 24 bits; |x| is at most MAX_BASIS_PPM.
    """
    return convert(x, uint256) if x >= 0 else 2**24 - convert(-x, uint256)


@internal
@pure
def _from_24(word: uint256) -> int256:
    x: int256 = convert(word, int256)
    return x if x < 2**23 else x - 2**24


@internal
@pure
def _feed_word(feed: Feed) -> uint256:
    bounded: bool = feed.least > 0 or feed.most < MASK_128
    return (
        convert(feed.source, uint256)
        | (feed.decimals << 160)
        | (feed.max_age << 168)
        | (feed.heartbeat << 192)
        | (feed.deviation << 216)
        | (feed.group << 232)
        | (convert(feed.flux, uint256) << 236)
        | (convert(bounded, uint256) << 237)
    )


@internal
@pure
def _rules_word(r: Rules, n: uint256) -> uint256:
    return (
        n
        | (r.outlier << 4)
        | (r.soft << 20)
        | (r.jump << 36)
        | (r.clamp << 52)
        | (r.speed << 68)
        | (r.step << 84)
        | (r.tau_fast << 100)
        | (r.tau_ref << 116)
        | (r.hold << 132)
        | (r.calm << 148)
        | (r.grace << 164)
        | (r.freeze << 180)
        | (r.quote << 212)
    )


@internal
@pure
def _load_rules(word: uint256) -> Rules:
    return Rules(
        outlier=(word >> 4) & MASK_16,
        soft=(word >> 20) & MASK_16,
        jump=(word >> 36) & MASK_16,
        clamp=(word >> 52) & MASK_16,
        speed=(word >> 68) & MASK_16,
        step=(word >> 84) & MASK_16,
        tau_fast=(word >> 100) & MASK_16,
        tau_ref=(word >> 116) & MASK_16,
        hold=(word >> 132) & MASK_16,
        calm=(word >> 148) & MASK_16,
        grace=(word >> 164) & MASK_16,
        freeze=(word >> 180) & MASK_32,
        quote=word >> 212,
    )


@internal
@pure
def _load_book(cached: uint256, averages: uint256, breaker: uint256, history: uint256) -> Book:
    """
    @notice A book of its four words.
    """
    return Book(
        index=cached & MASK_87,
        mark=(cached >> 87) & MASK_87,
        poked_at=(cached >> 174) & MASK_40,
        state=(cached >> 214) & MASK_4,
        width=(cached >> 218) & MASK_10,
        paused=cached >> 228,
        fast=averages & MASK_87,
        ref=(averages >> 87) & MASK_87,
        accepted_at=(averages >> 174) & MASK_40,
        since=averages >> 214,
        pending=breaker & MASK_87,
        pending_at=(breaker >> 87) & MASK_40,
        clear_at=(breaker >> 127) & MASK_40,
        soft_at=(breaker >> 167) & MASK_40,
        sample=self._from_24((breaker >> 207) & MASK_24),
        basis=self._from_24((breaker >> 231) & MASK_24),
        cum=history & MASK_128,
        clock=(history >> 128) & MASK_40,
        slot_at=(history >> 168) & MASK_40,
        slots=history >> 208,
        cause=0,
        restart=False,
        new_slot=False,
        elapsed=0,
    )


@internal
@pure
def _breaker_word(book: Book) -> uint256:
    return (
        book.pending
        | (book.pending_at << 87)
        | (book.clear_at << 127)
        | (book.soft_at << 167)
        | (self._to_24(book.sample) << 207)
        | (self._to_24(book.basis) << 231)
    )


@internal
@pure
def _history_word(book: Book) -> uint256:
    return book.cum | (book.clock << 128) | (book.slot_at << 168) | (book.slots << 208)
