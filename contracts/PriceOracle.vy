# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title Prices by quorum of Chainlink-compatible feeds, with an interval, a breaker and five states
@license MIT
@notice SPEC section 14. A feed can revert, burn its gas, or answer garbage; that silences the feed and never reverts
        us. Agreement is counted against the feeds configured, not against those alive. Prices are WAD money per base
        unit, distances bps, times seconds.
@dev A poke reads the feeds; everybody else in the same CACHE_S seconds reads two packed words. Mirror:
     `python_ref/price_oracle.py`.
"""

from contracts.interfaces import IPriceOracle
from contracts.modules import constants as c
from contracts.modules import fixed_math
from contracts.modules import oracle_words

implements: IPriceOracle


event PricePoked:
    market: indexed(uint256)
    index: uint256
    mark: uint256
    low: uint256
    high: uint256
    state: uint256


event StateChanged:
    market: indexed(uint256)
    before: uint256
    after: uint256
    cause: uint256


event MarketSettled:
    market: indexed(uint256)
    price: uint256


event FeedFailed:
    market: indexed(uint256)
    feed: indexed(uint256)
    code: uint256


event FeedRecovered:
    market: indexed(uint256)
    feed: indexed(uint256)


event FeedsSet:
    market: indexed(uint256)
    feeds: DynArray[oracle_words.Feed, MAX_FEEDS]
    rules: oracle_words.Rules


event FeedReplaced:
    market: indexed(uint256)
    place: indexed(uint256)
    feed: oracle_words.Feed


event RulesTightened:
    market: indexed(uint256)
    rules: oracle_words.Rules


event GovernorSet:
    governor: indexed(address)


event ReporterSet:
    reporter: indexed(address)


event SequencerSet:
    feed: indexed(address)


struct Reading:
    code: uint256
    # WAD, also of a feed in quarantine
    price: uint256
    # answer, round and stamp packed as in `observations`
    seen: uint256
    stamp: uint256
    is_new: bool
    moved_phase: bool
    agrees: bool


# what the feeds say together; price 0 if there is none
struct Verdict:
    price: uint256
    width: uint256
    few: bool
    old: bool


# another book that prices the unit of collateral; 1 and LIVE where there is none
struct Quote:
    price: uint256
    width: uint256
    state: uint256


struct Survey:
    book: oracle_words.Book
    readings: Reading[MAX_FEEDS]
    n: uint256


MAX_FEEDS: constant(uint256) = 7
MAX_BOOKS: constant(uint256) = 32

# seconds for which one poke serves everybody: a block of the slowest chain aimed at
CACHE_S: constant(uint256) = 12
# seconds by which a feed's clock may run ahead of the block's
FUTURE_S: constant(uint256) = 15
# gas that one feed may use for its answer and for its decimals, and the most that a hostile one can burn
FEED_GAS: constant(uint256) = 100_000
DECIMALS_GAS: constant(uint256) = 50_000
# what the calls themselves cost before their gas is handed over, with room to spare
CALL_GAS: constant(uint256) = 20_000
# seconds beyond its heartbeat after which an answer widens the interval
FRESH_S: constant(uint256) = 60
AGE_S_PER_BPS: constant(uint256) = 10
MAX_AGED_BPS: constant(uint256) = 300
MAX_WIDTH_BPS: constant(uint256) = 1_000
BASIS_TAU_S: constant(uint256) = 150
MAX_BASIS_PPM: constant(int256) = 10_000
SLOTS: constant(uint256) = 64
SLOT_S: constant(uint256) = 60
RESEED_S: constant(uint256) = 1_800
MAX_JUMP_BPS: constant(uint256) = 5_000
CONFIRM_S: constant(uint256) = 300
CONFIRM_FAR_S: constant(uint256) = 900
CONFIRM_FAR_BPS: constant(uint256) = 10_000
PENDING_BPS: constant(uint256) = 500
QUARANTINE: constant(uint256) = 3
NEW_ROUNDS: constant(uint256) = 2
MAX_PAUSED_S: constant(uint256) = 2**28 - 1

MAX_DECIMALS: constant(uint256) = 18
MAX_AGE_S: constant(uint256) = 172_800
MAX_OUTLIER_BPS: constant(uint256) = 1_000
MAX_GROUPS: constant(uint256) = 16

# why a feed was not counted
OK: constant(uint256) = 0
CALL_FAILED: constant(uint256) = 1
SHORT: constant(uint256) = 2
NONPOSITIVE: constant(uint256) = 3
INCOMPLETE: constant(uint256) = 4
FUTURE: constant(uint256) = 5
STALE: constant(uint256) = 6
OUT_OF_RANGE: constant(uint256) = 7
BOUND: constant(uint256) = 8
REGRESS: constant(uint256) = 9
PHASE: constant(uint256) = 10
DECIMALS: constant(uint256) = 11

# why a state was entered
CAUSE_FIRST: constant(uint256) = 1
CAUSE_QUORUM: constant(uint256) = 2
CAUSE_SEQUENCER: constant(uint256) = 3
CAUSE_QUOTE: constant(uint256) = 4
CAUSE_TRIP: constant(uint256) = 5
CAUSE_CALM: constant(uint256) = 6
CAUSE_CONFIRMED: constant(uint256) = 7
CAUSE_GRACE: constant(uint256) = 8
CAUSE_FEW: constant(uint256) = 9
CAUSE_SOFT: constant(uint256) = 10
CAUSE_OLD: constant(uint256) = 11
CAUSE_HOLD: constant(uint256) = 12
CAUSE_SETTLED: constant(uint256) = 13

MASK_2: constant(uint256) = 2**2 - 1
MASK_8: constant(uint256) = 2**8 - 1
MASK_80: constant(uint256) = 2**80 - 1
MASK_160: constant(uint256) = 2**160 - 1
MASK_248: constant(uint256) = 2**248 - 1

# who may set the feeds
governor: public(address)
# whose fills lean on the mark: the ClearingHouse
reporter: public(address)
# the L2's uptime feed; zero on a chain that has none
sequencer: public(address)

# book => index 87 | mark 87 | poked_at 40 | state 4 | width_bps 10 | paused 28 (seconds without a price, in all)
cache: public(HashMap[uint256, uint256])

# book => fast 87 | ref 87 | accepted_at 40 | since 40 (entry into the state)
averages: public(HashMap[uint256, uint256])

# book => pending 87 | pending_at 40 | clear_at 40 | soft_at 40 | sample int24 | basis int24 (ppm)
breaker: public(HashMap[uint256, uint256])

# book => cum 128 (index * seconds with a price) | clock 40 (seconds with a price) | slot_at 40 | slots 32
history: public(HashMap[uint256, uint256])

# book => ring of cum 128 | clock 40
ring: HashMap[uint256, uint256[SLOTS]]

# book => n 4 | the fields of Rules in their order, 16 bits each but freeze 32 and quote 8; zero without feeds
rules: public(HashMap[uint256, uint256])

# book => per feed: source 160 | decimals 8 | max_age 24 | heartbeat 24 | deviation 16 | group 4 | flux 1 | bounded 1
feeds: public(HashMap[uint256, uint256[MAX_FEEDS]])

# book => per feed: least 128 | most 128
bounds: public(HashMap[uint256, uint256[MAX_FEEDS]])

# book => per feed: last seen answer 128 | round 80 | stamp 40 | last code 4 | quarantine 2 | rounds 2
observations: public(HashMap[uint256, uint256[MAX_FEEDS]])


@deploy
def __init__(governor: address):
    """
    @notice Name the first governor; markets get their feeds by `set_feeds`.
    @param governor May set feeds and name another governor.
    """
    assert governor != empty(address), "oracle: no governor"
    self.governor = governor
    log GovernorSet(governor=governor)


# ---- prices --------------------------------------------------------------------------------------


@external
def prices(market: uint256) -> IPriceOracle.Prices:
    """
    @notice The prices that an operation of this block is judged by; pokes when the cache is older than CACHE_S.
    @param market Index of the market, or a quote's book.
    @return Prices and state; all zero and FROZEN while no price was ever accepted.
    """
    cached: uint256 = self.cache[market]
    if self._is_older(cached, CACHE_S):
        cached = self._poke(market)
    return oracle_words._unpack(cached, self.averages[market])


@external
def poke(market: uint256) -> IPriceOracle.Prices:
    """
    @notice Read the feeds now, at most once per second of block time: a second poke has no weight and no effect.
    @param market Index of the market, or a quote's book.
    @return Prices and state after the poke.
    """
    cached: uint256 = self.cache[market]
    if self._is_older(cached, 0):
        cached = self._poke(market)
    return oracle_words._unpack(cached, self.averages[market])


@view
@external
def peek(market: uint256) -> IPriceOracle.Prices:
    """
    @notice What `prices` would return in this block.
    @param market Index of the market, or a quote's book.
    @return Prices and state.
    """
    book: oracle_words.Book = self._load(market)
    if self._is_older(self.cache[market], CACHE_S):
        quote: Quote = self._stored_quote(0)
        other: uint256 = self.rules[market] >> 212
        if other != 0:
            other_book: oracle_words.Book = self._load(other)
            if self._is_older(self.cache[other], CACHE_S):
                other_book = self._survey(other, other_book, quote).book
            quote = self._as_quote(oracle_words._cache_word(other_book))
        book = self._survey(market, book, quote).book
    return oracle_words._unpack(oracle_words._cache_word(book), oracle_words._averages_word(book))


@view
@external
def twap(market: uint256, window: uint256) -> uint256:
    """
    @notice Mean index of at least the last `window` seconds that had a price, as of the last poke; never spot.
    @return WAD, rounded down; 0 if the ring does not reach so far.
    """
    return self._twap(market, self._load(market), window)


@external
def report(market: uint256, price: uint256):
    """
    @notice Tell the price of a fill; its premium over the index has weight from now on. ClearingHouse only.
    @param market Index of the market.
    @param price WAD.
    """
    assert msg.sender == self.reporter, "oracle: not reporter"
    index: int256 = convert(self.cache[market] & oracle_words.MASK_87, int256)
    if index == 0:
        return
    premium: int256 = (convert(price, int256) - index) * convert(c.PPM, int256) // index
    premium = max(-MAX_BASIS_PPM, min(MAX_BASIS_PPM, premium))
    word: uint256 = self.breaker[market]
    after: uint256 = (word & ~(oracle_words.MASK_24 << 207)) | (oracle_words._to_24(premium) << 207)
    if after != word:
        self.breaker[market] = after


@external
def settle(market: uint256) -> uint256:
    """
    @notice End a market whose price is gone: anyone after `freeze` seconds of FROZEN, the governor at any time.
    @dev The mean of the last 1,800 seconds that had a price; of the whole life if that is shorter; else the index.
    @param market Index of the market.
    @return The final price, WAD.
    """
    if self._is_older(self.cache[market], 0):
        self._poke(market)
    book: oracle_words.Book = self._load(market)
    assert book.index != 0, "oracle: no price"
    assert book.state != c.STATE_SETTLEMENT, "oracle: settled"
    if msg.sender != self.governor:
        freeze: uint256 = (self.rules[market] >> 180) & oracle_words.MASK_32
        assert (
            book.state == c.STATE_FROZEN and freeze != 0 and block.timestamp - book.since > freeze
        ), "oracle: not settleable"
    price: uint256 = self._twap(market, book, RESEED_S)
    if price == 0:
        price = book.index
        if book.clock > 0:
            price = book.cum // book.clock
    before: uint256 = book.state
    book.index = price
    book.mark = price
    book.fast = price
    book.ref = price
    book.width = 0
    book.pending = 0
    book.pending_at = 0
    book.sample = 0
    book.basis = 0
    book = self._move(book, c.STATE_SETTLEMENT, CAUSE_SETTLED)
    self._store(market, book)
    log StateChanged(market=market, before=before, after=book.state, cause=CAUSE_SETTLED)
    log MarketSettled(market=market, price=price)
    return price


# ---- the governor's ------------------------------------------------------------------------------


@external
def set_governor(governor: address):
    """
    @notice Hand the office to another address, at once.
    @param governor The next governor; not zero.
    """
    self._only_governor()
    assert governor != empty(address), "oracle: no governor"
    self.governor = governor
    log GovernorSet(governor=governor)


@external
def set_reporter(reporter: address):
    """
    @notice Name the contract whose fills lean on the mark.
    @param reporter The ClearingHouse; zero for none.
    """
    self._only_governor()
    self.reporter = reporter
    log ReporterSet(reporter=reporter)


@external
def set_sequencer(feed: address):
    """
    @notice Name the L2's uptime feed: answer 0 is up, startedAt is when that began.
    @param feed Chainlink-compatible; zero for none.
    """
    self._only_governor()
    assert feed == empty(address) or feed.is_contract, "oracle: feed is no contract"
    self.sequencer = feed
    log SequencerSet(feed=feed)


@external
def set_feeds(market: uint256, feeds: DynArray[oracle_words.Feed, MAX_FEEDS], rules: oracle_words.Rules):
    """
    @notice Replace the feeds and the rules of a book. Accepted prices stay until the next poke; where there is one,
            the market must be LIVE and the new feeds agree with it.
    @dev The decimals are pinned: an answer of another scale would be a price of another asset.
    @param market Index of the market, or 16 to 31 for a quote's book.
    @param feeds Three, five or seven different contracts; no group holds a quorum.
    @param rules See SPEC section 14; zero switches some off.
    """
    self._only_governor()
    assert market < MAX_BOOKS, "oracle: no such market"
    self._check_rules(rules)
    assert rules.quote == 0 or market < c.MAX_MARKETS, "oracle: rules"
    n: uint256 = len(feeds)
    assert n == 3 or n == 5 or n == 7, "oracle: number of feeds"
    packed: uint256[MAX_FEEDS] = empty(uint256[MAX_FEEDS])
    limits: uint256[MAX_FEEDS] = empty(uint256[MAX_FEEDS])
    for i: uint256 in range(n, bound=MAX_FEEDS):
        self._check_feed(feeds[i])
        for j: uint256 in range(i, bound=MAX_FEEDS):
            assert feeds[i].source != feeds[j].source, "oracle: same feed twice"
        packed[i] = oracle_words._feed_word(feeds[i])
        limits[i] = feeds[i].least | (feeds[i].most << 128)
    self._check_groups(packed, n)
    word: uint256 = oracle_words._rules_word(rules, n)
    book: oracle_words.Book = self._load(market)
    if book.index != 0:
        assert book.state == c.STATE_LIVE, "oracle: not live"
        readings: Reading[MAX_FEEDS] = empty(Reading[MAX_FEEDS])
        for i: uint256 in range(n, bound=MAX_FEEDS):
            readings[i] = self._read(packed[i], limits[i], 0)
        verdict: Verdict = empty(Verdict)
        verdict, readings = self._judge(packed, word, self._stored_quote(word), readings)
        assert verdict.price != 0 and self._within(verdict.price, book.index, rules.outlier), "oracle: disagrees"
    self.feeds[market] = packed
    self.bounds[market] = limits
    self.observations[market] = empty(uint256[MAX_FEEDS])
    self.rules[market] = word
    log FeedsSet(market=market, feeds=feeds, rules=rules)


@external
def replace_feed(market: uint256, i: uint256, feed: oracle_words.Feed):
    """
    @notice Put a feed in the place of one that fails, at once, in a market that is not LIVE; it starts in quarantine.
    @param market Index of the market, or a quote's book.
    @param i Place of the failing feed.
    @param feed Answers within the outlier band of the index.
    """
    self._only_governor()
    book: oracle_words.Book = self._load(market)
    assert book.index != 0, "oracle: no price"
    assert book.state != c.STATE_LIVE and book.state != c.STATE_SETTLEMENT, "oracle: not replaceable"
    word: uint256 = self.rules[market]
    n: uint256 = word & oracle_words.MASK_4
    assert i < n, "oracle: no such feed"
    self._check_feed(feed)
    packed: uint256[MAX_FEEDS] = self.feeds[market]
    for j: uint256 in range(n, bound=MAX_FEEDS):
        assert convert(packed[j] & MASK_160, address) != feed.source, "oracle: same feed twice"
    old: Reading = self._read(packed[i], self.bounds[market][i], self.observations[market][i])
    assert old.code != OK, "oracle: feed answers"
    packed[i] = oracle_words._feed_word(feed)
    self._check_groups(packed, n)
    limits: uint256 = feed.least | (feed.most << 128)
    reading: Reading = self._read(packed[i], limits, 0)
    quote: Quote = self._stored_quote(word)
    assert (
        reading.code == OK
        and quote.price != 0
        and self._within(reading.price * c.WAD // quote.price, book.index, (word >> 4) & oracle_words.MASK_16)
    ), "oracle: disagrees"
    self.feeds[market][i] = packed[i]
    self.bounds[market][i] = limits
    self.observations[market][i] = reading.seen | (PHASE << 248) | (QUARANTINE << 252)
    log FeedReplaced(market=market, place=i, feed=feed)


@external
def tighten_rules(market: uint256, rules: oracle_words.Rules):
    """
    @notice Replace a book's rules by tighter ones, at once; what is neither looser nor tighter stays.
    @param market Index of the market, or a quote's book.
    @param rules Distances no greater (and not off where they were on), times no shorter.
    """
    self._only_governor()
    word: uint256 = self.rules[market]
    assert word != 0, "oracle: no feeds"
    self._check_rules(rules)
    old: oracle_words.Rules = oracle_words._load_rules(word)
    assert (
        self._narrower(rules.outlier, old.outlier)
        and self._narrower(rules.soft, old.soft)
        and self._narrower(rules.jump, old.jump)
        and self._narrower(rules.clamp, old.clamp)
        and self._narrower(rules.speed, old.speed)
        and self._narrower(rules.step, old.step)
        and rules.tau_fast == old.tau_fast
        and rules.tau_ref == old.tau_ref
        and rules.hold >= old.hold
        and rules.calm >= old.calm
        and rules.grace >= old.grace
        and rules.freeze == old.freeze
        and rules.quote == old.quote
    ), "oracle: loosens"
    self.rules[market] = oracle_words._rules_word(rules, word & oracle_words.MASK_4)
    log RulesTightened(market=market, rules=rules)


# ---- words ---------------------------------------------------------------------------------------


@view
@internal
def _is_older(cached: uint256, seconds: uint256) -> bool:
    """
    @notice Whether the poke that wrote a cache word is more than `seconds` ago, or there was none.
    """
    poked_at: uint256 = (cached >> 174) & oracle_words.MASK_40
    return poked_at == 0 or block.timestamp - poked_at > seconds


@view
@internal
def _load(market: uint256) -> oracle_words.Book:
    return oracle_words._load_book(
        self.cache[market], self.averages[market], self.breaker[market], self.history[market]
    )


@internal
def _store(market: uint256, book: oracle_words.Book):
    self.cache[market] = oracle_words._cache_word(book)
    self.averages[market] = oracle_words._averages_word(book)
    breaker: uint256 = oracle_words._breaker_word(book)
    if breaker != self.breaker[market]:
        self.breaker[market] = breaker
    self.history[market] = oracle_words._history_word(book)


# ---- checks --------------------------------------------------------------------------------------


@view
@internal
def _only_governor():
    assert msg.sender == self.governor, "oracle: not governor"


@pure
@internal
def _check_rules(r: oracle_words.Rules):
    """
    @notice Every field within what the oracle accepts, so that packing loses nothing.
    """
    assert (
        r.outlier > 0
        and r.outlier <= MAX_OUTLIER_BPS
        and max(max(r.soft, r.jump), max(r.clamp, max(r.speed, r.step))) <= c.BPS
        and (r.speed == 0) == (r.step == 0)
        and r.tau_ref > 0
        and max(r.tau_ref, r.tau_fast) <= oracle_words.MASK_16
        and max(r.hold, max(r.calm, r.grace)) <= oracle_words.MASK_16
        and r.freeze <= oracle_words.MASK_32
        and (r.quote == 0 or (r.quote >= c.MAX_MARKETS and r.quote < MAX_BOOKS))
    ), "oracle: rules"


@view
@internal
def _check_feed(feed: oracle_words.Feed):
    assert feed.source.is_contract, "oracle: feed is no contract"
    assert feed.decimals <= MAX_DECIMALS, "oracle: feed decimals"
    assert feed.max_age > 0 and feed.max_age <= MAX_AGE_S, "oracle: feed max_age"
    assert feed.heartbeat > 0 and feed.heartbeat <= MAX_AGE_S, "oracle: feed heartbeat"
    assert feed.deviation <= MAX_WIDTH_BPS, "oracle: feed deviation"
    assert feed.group < MAX_GROUPS, "oracle: feed group"
    assert feed.least < feed.most and feed.most <= oracle_words.MASK_128, "oracle: feed bounds"
    answered: bool = False
    decimals: uint256 = 0
    answered, decimals = self._ask_decimals(feed.source)
    assert answered, "oracle: no decimals"
    assert decimals == feed.decimals, "oracle: other decimals"


@pure
@internal
def _check_groups(packed: uint256[MAX_FEEDS], n: uint256):
    """
    @notice No provider may hold a quorum alone; so a quorum spans two at least.
    """
    counts: uint256 = 0
    for i: uint256 in range(n, bound=MAX_FEEDS):
        place: uint256 = ((packed[i] >> 232) & oracle_words.MASK_4) << 2
        counts += 1 << place
        assert (counts >> place) & oracle_words.MASK_4 <= n // 2, "oracle: group has quorum"


@pure
@internal
def _narrower(now: uint256, before: uint256) -> bool:
    """
    @notice Whether a limit is no looser; 0 is none.
    """
    return before == 0 or (now != 0 and now <= before)


@pure
@internal
def _within(a: uint256, b: uint256, bps: uint256) -> bool:
    return (max(a, b) - min(a, b)) * c.BPS <= bps * b


# ---- a poke --------------------------------------------------------------------------------------


@internal
def _poke(market: uint256) -> uint256:
    """
    @notice Read the feeds, the quote's first, store what they said and log it; returns the new cache word.
    """
    quote: Quote = self._stored_quote(0)
    other: uint256 = self.rules[market] >> 212
    if other != 0 and (self.cache[market] >> 214) & oracle_words.MASK_4 != c.STATE_SETTLEMENT:
        cached: uint256 = self.cache[other]
        if self._is_older(cached, CACHE_S):
            cached = self._poke_book(other, quote)
        quote = self._as_quote(cached)
    return self._poke_book(market, quote)


@internal
def _poke_book(market: uint256, quote: Quote) -> uint256:
    before: oracle_words.Book = self._load(market)
    rules: uint256 = self.rules[market]
    if rules == 0 or before.state == c.STATE_SETTLEMENT:
        return oracle_words._cache_word(before)
    survey: Survey = self._survey(market, before, quote)
    book: oracle_words.Book = survey.book
    for i: uint256 in range(survey.n, bound=MAX_FEEDS):
        self._remember(market, i, survey.readings[i], book, quote, (rules >> 4) & oracle_words.MASK_16)
    self._store(market, book)
    if book.new_slot:
        self.ring[market][(book.slots - 1) % SLOTS] = book.cum | (book.clock << 128)
    old_state: uint256 = before.state
    if before.index == 0:
        old_state = c.STATE_FROZEN
    if book.state != old_state:
        log StateChanged(market=market, before=old_state, after=book.state, cause=book.cause)
    cached: uint256 = oracle_words._cache_word(book)
    p: IPriceOracle.Prices = oracle_words._unpack(cached, oracle_words._averages_word(book))
    log PricePoked(market=market, index=p.index, mark=p.mark, low=p.low, high=p.high, state=p.state)
    return cached


@internal
def _remember(market: uint256, i: uint256, reading: Reading, book: oracle_words.Book, quote: Quote, outlier: uint256):
    """
    @notice Store what was seen of one feed; a quarantined one works off its rounds.
    """
    before: uint256 = self.observations[market][i]
    old_code: uint256 = (before >> 248) & oracle_words.MASK_4
    code: uint256 = reading.code
    quarantine: uint256 = (before >> 252) & MASK_2
    after: uint256 = before & MASK_248
    if code == OK or code == PHASE:
        after = reading.seen
    if code == PHASE:
        if reading.moved_phase:
            quarantine = QUARANTINE
        elif reading.is_new and book.index != 0 and quote.price != 0:
            # against what the others say: the index, or what waits for confirmation
            base: uint256 = book.pending
            if base == 0:
                base = book.index
            if self._within(reading.price * c.WAD // quote.price, base, outlier):
                quarantine -= 1
            else:
                quarantine = QUARANTINE
    rounds: uint256 = 0
    if not book.restart:
        rounds = self._rounds(before, reading, book.pending)
    after |= (code << 248) | (quarantine << 252) | (rounds << 254)
    if after != before:
        self.observations[market][i] = after
    if code != old_code:
        if code == OK:
            log FeedRecovered(market=market, feed=i)
        else:
            log FeedFailed(market=market, feed=i, code=code)


@pure
@internal
def _rounds(observation: uint256, reading: Reading, pending: uint256) -> uint256:
    """
    @notice New rounds of an agreeing feed since a price is pending, two at most.
    """
    rounds: uint256 = observation >> 254
    if pending != 0 and reading.is_new and reading.agrees:
        rounds += 1
    return min(rounds, NEW_ROUNDS)


@view
@internal
def _survey(market: uint256, before: oracle_words.Book, quote: Quote) -> Survey:
    """
    @notice What a poke of this second reads, and the book that it makes of it.
    """
    survey: Survey = empty(Survey)
    survey.book = before
    rules: uint256 = self.rules[market]
    if rules == 0 or before.state == c.STATE_SETTLEMENT:
        return survey
    n: uint256 = rules & oracle_words.MASK_4
    survey.n = n
    packed: uint256[MAX_FEEDS] = self.feeds[market]
    for i: uint256 in range(n, bound=MAX_FEEDS):
        limits: uint256 = 0
        if packed[i] >> 237 == 1:
            limits = self.bounds[market][i]
        survey.readings[i] = self._read(packed[i], limits, self.observations[market][i])
    verdict: Verdict = empty(Verdict)
    verdict, survey.readings = self._judge(packed, rules, quote, survey.readings)
    blind: uint256 = 0
    if self._sequencer_is_blind(before.poked_at):
        blind = CAUSE_SEQUENCER
    elif quote.price == 0 or quote.state == c.STATE_FROZEN or quote.state == c.STATE_SETTLEMENT:
        blind = CAUSE_QUOTE
    elif verdict.price == 0:
        blind = CAUSE_QUORUM
    confirming: uint256 = 0
    for i: uint256 in range(n, bound=MAX_FEEDS):
        if survey.readings[i].agrees:
            if self._rounds(self.observations[market][i], survey.readings[i], before.pending) >= NEW_ROUNDS:
                confirming += 1
    r: oracle_words.Rules = oracle_words._load_rules(rules)
    book: oracle_words.Book = self._let_time_pass(before, r)
    survey.book = self._advance(market, book, r, verdict, quote.state, blind, confirming > n // 2)
    return survey


@view
@internal
def _let_time_pass(before: oracle_words.Book, r: oracle_words.Rules) -> oracle_words.Book:
    """
    @notice Give the index in force its weight for the time since the last poke: left Riemann, so today's sample has
            none yet, and a time without a price never has any.
    """
    book: oracle_words.Book = before
    if book.poked_at != 0:
        book.elapsed = block.timestamp - book.poked_at
    book.poked_at = block.timestamp
    if book.index == 0 or book.elapsed == 0:
        return book
    if book.state == c.STATE_FROZEN:
        book.paused = min(book.paused + book.elapsed, MAX_PAUSED_S)
        return book
    if r.tau_fast != 0:
        book.fast = self._mix(book.index, book.fast, fixed_math._decay(book.elapsed, r.tau_fast))
    sample: uint256 = book.index
    if r.clamp != 0:
        sample = self._clamp(sample, book.ref, r.clamp)
    book.ref = self._mix(sample, book.ref, fixed_math._decay(book.elapsed, r.tau_ref))
    if book.sample != book.basis:
        weight: int256 = convert(fixed_math._decay(book.elapsed, BASIS_TAU_S), int256)
        wad: int256 = convert(c.WAD, int256)
        book.basis = (book.sample * (wad - weight) + book.basis * weight) // wad
    book.cum += book.index * book.elapsed
    book.clock += book.elapsed
    if book.clock - book.slot_at >= SLOT_S:
        book.slot_at = book.clock
        book.slots += 1
        book.new_slot = True
    return book


@pure
@internal
def _clamp(x: uint256, centre: uint256, bps: uint256) -> uint256:
    """
    @notice `x`, but no further than `bps` from `centre`.
    """
    return max(centre * (c.BPS - bps) // c.BPS, min(centre * (c.BPS + bps) // c.BPS, x))


@pure
@internal
def _mix(x: uint256, average: uint256, weight: uint256) -> uint256:
    return (x * (c.WAD - weight) + average * weight) // c.WAD


@view
@internal
def _move(before: oracle_words.Book, state: uint256, cause: uint256) -> oracle_words.Book:
    """
    @notice Enter a state.
    """
    book: oracle_words.Book = before
    book.state = state
    book.since = block.timestamp
    book.clear_at = 0
    book.soft_at = 0
    book.cause = cause
    return book


@view
@internal
def _advance(
    market: uint256, before: oracle_words.Book, r: oracle_words.Rules, verdict: Verdict, quote_state: uint256, blind: uint256, confirmed: bool
) -> oracle_words.Book:
    """
    @notice One step of the state machine (SPEC section 14.5).
    """
    book: oracle_words.Book = before
    price: uint256 = verdict.price
    if book.index == 0:
        if blind != 0:
            book.state = c.STATE_FROZEN
            return book
        book.mark = price
        book.fast = price
        book.ref = price
        book.slots = 1
        book.new_slot = True
        book = self._move(book, c.STATE_LIVE, CAUSE_FIRST)
    elif book.state == c.STATE_FROZEN:
        thawed: bool = False
        thawed, book = self._thaw(book, r, price, blind, confirmed)
        if not thawed:
            return book
    else:
        trips: bool = blind == 0 and self._trips(book, r.jump, price)
        if blind != 0 or trips:
            book = self._move(book, c.STATE_FROZEN, blind)
            if trips:
                book.cause = CAUSE_TRIP
                book.pending = price
                book.pending_at = block.timestamp
                book.restart = True
            return book
    # accept: the price is the index, and the mark follows as fast as it may
    book.index = price
    book.width = verdict.width
    book.accepted_at = block.timestamp
    if r.tau_fast == 0:
        book.fast = price
    mark: uint256 = price * convert(convert(c.PPM, int256) + book.basis, uint256) // c.PPM
    if r.speed != 0:
        mark = self._clamp(mark, book.mark, min(r.speed * book.elapsed, r.step))
    book.mark = mark
    if book.state == c.STATE_RECOVERY:
        if block.timestamp - book.since < r.grace:
            return book
        book = self._move(book, c.STATE_DEGRADED, CAUSE_GRACE)
    return self._doubt(market, book, r, verdict, quote_state)


@view
@internal
def _trips(book: oracle_words.Book, jump: uint256, price: uint256) -> bool:
    """
    @notice Whether a price is too far from the last accepted one; a bp more is allowed each second.
    """
    if jump == 0:
        return False
    return self._jump(price, book.index) > min(
        jump + block.timestamp - book.accepted_at, max(jump, MAX_JUMP_BPS)
    )


@pure
@internal
def _jump(a: uint256, b: uint256) -> uint256:
    """
    @notice Distance in bps of the smaller, so that twice and half are both 10,000.
    """
    return (max(a, b) - min(a, b)) * c.BPS // min(a, b)


@view
@internal
def _thaw(before: oracle_words.Book, r: oracle_words.Rules, price: uint256, blind: uint256, confirmed: bool) -> (bool, oracle_words.Book):
    """
    @notice Whether a FROZEN market has a price again; enters RECOVERY if so.
    """
    book: oracle_words.Book = before
    if blind != 0:
        book.clear_at = 0
        book.pending = 0
        book.pending_at = 0
        return False, book
    cause: uint256 = CAUSE_CALM
    if not self._trips(book, r.jump, price):
        if book.clear_at == 0:
            book.clear_at = block.timestamp
        book.pending = 0
        book.pending_at = 0
        if block.timestamp - book.clear_at < r.calm:
            return False, book
    else:
        book.clear_at = 0
        near: uint256 = r.soft
        if near == 0:
            near = PENDING_BPS
        if book.pending == 0 or not self._within(price, book.pending, near):
            book.pending = price
            book.pending_at = block.timestamp
            book.restart = True
            return False, book
        far: uint256 = self._jump(price, book.index)
        wait: uint256 = CONFIRM_S
        if far > MAX_JUMP_BPS:
            wait = CONFIRM_FAR_S
        if far > CONFIRM_FAR_BPS or not confirmed or block.timestamp - book.pending_at < wait:
            return False, book
        cause = CAUSE_CONFIRMED
    book.pending = 0
    book.pending_at = 0
    book = self._move(book, c.STATE_RECOVERY, cause)
    return True, book


@view
@internal
def _doubt(market: uint256, before: oracle_words.Book, r: oracle_words.Rules, verdict: Verdict, quote_state: uint256) -> oracle_words.Book:
    """
    @notice LIVE or DEGRADED: whether one more feed may fail, and the price is near its own past.
    """
    book: oracle_words.Book = before
    if book.soft_at != 0 and block.timestamp - book.soft_at >= RESEED_S:
        if self._within(book.index, book.fast, r.soft):
            # a real move leaves the slow reference behind for hours
            mean: uint256 = self._twap(market, book, RESEED_S)
            if mean != 0:
                book.ref = mean
    cause: uint256 = 0
    if verdict.few:
        cause = CAUSE_FEW
    elif verdict.old:
        cause = CAUSE_OLD
    elif quote_state != c.STATE_LIVE:
        cause = CAUSE_QUOTE
    soft_alone: bool = cause == 0 and r.soft != 0 and not self._within(book.index, book.ref, r.soft)
    if soft_alone:
        cause = CAUSE_SOFT
    if cause != 0:
        if book.state == c.STATE_LIVE:
            if book.cause == CAUSE_FIRST:
                cause = CAUSE_FIRST
            book = self._move(book, c.STATE_DEGRADED, cause)
        book.clear_at = 0
        if not soft_alone:
            book.soft_at = 0
        elif book.soft_at == 0:
            book.soft_at = block.timestamp
    elif book.state == c.STATE_DEGRADED:
        book.soft_at = 0
        if book.clear_at == 0:
            book.clear_at = block.timestamp
        if block.timestamp - book.clear_at >= r.hold:
            book = self._move(book, c.STATE_LIVE, CAUSE_HOLD)
    return book


@view
@internal
def _twap(market: uint256, book: oracle_words.Book, window: uint256) -> uint256:
    """
    @notice Mean index since the youngest slot at least `window` seconds of clock ago; 0 if there is none.
    """
    for back: uint256 in range(min(book.slots, SLOTS), bound=SLOTS):
        word: uint256 = self.ring[market][(book.slots - 1 - back) % SLOTS]
        if back == 0 and book.new_slot:
            # this poke's own, not stored yet
            word = book.cum | (book.clock << 128)
        span: uint256 = book.clock - (word >> 128)
        if span >= max(window, 1):
            return (book.cum - (word & oracle_words.MASK_128)) // span
    return 0


# ---- feeds ---------------------------------------------------------------------------------------


@view
@internal
def _stored_quote(rules: uint256) -> Quote:
    """
    @notice The quote's last accepted price, unread; 1 and LIVE where there is none.
    """
    if rules >> 212 == 0:
        return Quote(price=c.WAD, width=0, state=c.STATE_LIVE)
    return self._as_quote(self.cache[rules >> 212])


@pure
@internal
def _as_quote(cached: uint256) -> Quote:
    return Quote(price=cached & oracle_words.MASK_87, width=(cached >> 218) & oracle_words.MASK_10, state=(cached >> 214) & oracle_words.MASK_4)


@view
@internal
def _sequencer_is_blind(poked_at: uint256) -> bool:
    """
    @notice Whether the L2 is down, unknown, or came back after the last poke.
    """
    feed: address = self.sequencer
    if feed == empty(address):
        return False
    ok: bool = False
    answer: Bytes[160] = b""
    ok, answer = self._ask(feed)
    if not ok or len(answer) != 160:
        return True
    started: uint256 = extract32(answer, 64, output_type=uint256)
    if extract32(answer, 32, output_type=uint256) != 0 or started == 0:
        return True
    return poked_at != 0 and started > poked_at


@view
@internal
def _ask(source: address) -> (bool, Bytes[160]):
    """
    @notice A feed's bytes on the wire. Reverts only for lack of gas.
    """
    # a caller must not be able to make a healthy feed fail by handing on too little gas (63/64 rule)
    assert msg.gas > (FEED_GAS + DECIMALS_GAS) * 64 // 63 + CALL_GAS, "oracle: too little gas"
    ok: bool = False
    answer: Bytes[160] = b""
    ok, answer = raw_call(
        source,
        method_id("latestRoundData()"),
        max_outsize=160,
        gas=FEED_GAS,
        is_static_call=True,
        revert_on_failure=False,
    )
    return ok, answer


@view
@internal
def _ask_decimals(source: address) -> (bool, uint256):
    """
    @notice A feed's decimals, and whether it said any.
    """
    ok: bool = False
    answer: Bytes[32] = b""
    ok, answer = raw_call(
        source,
        method_id("decimals()"),
        max_outsize=32,
        gas=DECIMALS_GAS,
        is_static_call=True,
        revert_on_failure=False,
    )
    if not ok or len(answer) != 32:
        return False, 0
    return True, extract32(answer, 0, output_type=uint256)


@view
@internal
def _judge(
    packed: uint256[MAX_FEEDS], rules: uint256, quote: Quote, given: Reading[MAX_FEEDS]
) -> (Verdict, Reading[MAX_FEEDS]):
    """
    @notice Median, agreement counted against the feeds configured, and the width; marks the readings that agree.
    """
    readings: Reading[MAX_FEEDS] = given
    verdict: Verdict = empty(Verdict)
    n: uint256 = rules & oracle_words.MASK_4
    quorum: uint256 = n // 2 + 1
    valid: DynArray[uint256, MAX_FEEDS] = []
    for i: uint256 in range(n, bound=MAX_FEEDS):
        if readings[i].code == OK:
            valid = self._insert(valid, readings[i].price)
    count: uint256 = len(valid)
    if count < quorum or quote.price == 0:
        return verdict, readings
    median: uint256 = valid[count // 2]
    if count % 2 == 0:
        median = (valid[count // 2 - 1] + median) // 2
    ages: DynArray[uint256, MAX_FEEDS] = []
    deviations: DynArray[uint256, MAX_FEEDS] = []
    heartbeat: uint256 = 0
    for i: uint256 in range(n, bound=MAX_FEEDS):
        if readings[i].code != OK or not self._within(readings[i].price, median, (rules >> 4) & oracle_words.MASK_16):
            continue
        readings[i].agrees = True
        ages = self._insert(ages, block.timestamp - min(readings[i].stamp, block.timestamp))
        deviations = self._insert(deviations, (packed[i] >> 216) & oracle_words.MASK_16)
        heartbeat = max(heartbeat, (packed[i] >> 192) & oracle_words.MASK_24)
    if len(ages) < quorum:
        return verdict, readings
    price: uint256 = median * c.WAD // quote.price
    if price == 0 or price >= c.MAX_PRICE:
        return verdict, readings
    width: uint256 = deviations[quorum - 1]
    fresh: uint256 = heartbeat + FRESH_S
    if ages[quorum - 1] > fresh:
        verdict.old = True
        aged: uint256 = (ages[quorum - 1] - fresh) // AGE_S_PER_BPS
        if aged > 0 and width + aged > MAX_AGED_BPS:
            return empty(Verdict), readings
        width += aged
    verdict.price = price
    verdict.width = min(width + quote.width, MAX_WIDTH_BPS)
    verdict.few = len(ages) < min(n, quorum + 1)
    return verdict, readings


@pure
@internal
def _insert(sorted: DynArray[uint256, MAX_FEEDS], x: uint256) -> DynArray[uint256, MAX_FEEDS]:
    """
    @notice A rising list with one more element.
    """
    result: DynArray[uint256, MAX_FEEDS] = sorted
    result.append(x)
    for back: uint256 in range(len(sorted), bound=MAX_FEEDS):
        i: uint256 = len(sorted) - back
        if result[i - 1] <= x:
            break
        result[i] = result[i - 1]
        result[i - 1] = x
    return result


@view
@internal
def _read(feed: uint256, limits: uint256, observation: uint256) -> Reading:
    """
    @notice One feed's answer, or the code of the first check that it fails (SPEC section 14.2).
    """
    reading: Reading = empty(Reading)
    source: address = convert(feed & MASK_160, address)
    ok: bool = False
    answer: Bytes[160] = b""
    ok, answer = self._ask(source)
    if not ok:
        reading.code = CALL_FAILED
        return reading
    if len(answer) != 160:
        reading.code = SHORT
        return reading
    # whole words: a dirty uint80 must not make the decoder revert
    round_id: uint256 = extract32(answer, 0, output_type=uint256)
    value: int256 = extract32(answer, 32, output_type=int256)
    stamp: uint256 = extract32(answer, 96, output_type=uint256)
    if round_id >= 2**80 or value >= 2**128:
        reading.code = OUT_OF_RANGE
        return reading
    if value <= 0:
        reading.code = NONPOSITIVE
        return reading
    if stamp == 0 or ((feed >> 236) & 1 == 1 and extract32(answer, 128, output_type=uint256) < round_id):
        reading.code = INCOMPLETE
        return reading
    if stamp > block.timestamp + FUTURE_S:
        reading.code = FUTURE
        return reading
    if stamp + ((feed >> 168) & oracle_words.MASK_24) < block.timestamp:
        reading.code = STALE
        return reading
    answered: uint256 = convert(value, uint256)
    if feed >> 237 == 1 and (answered <= limits & oracle_words.MASK_128 or answered >= limits >> 128):
        reading.code = BOUND
        return reading
    seen_round: uint256 = (observation >> 128) & MASK_80
    seen_stamp: uint256 = (observation >> 208) & oracle_words.MASK_40
    if (
        round_id < seen_round
        or stamp < seen_stamp
        or (seen_stamp != 0 and round_id == seen_round and answered != observation & oracle_words.MASK_128)
    ):
        reading.code = REGRESS
        return reading
    # 1e18 at most times 2**128 fits
    price: uint256 = answered * 10 ** (MAX_DECIMALS - ((feed >> 160) & MASK_8))
    if price >= c.MAX_PRICE:
        reading.code = OUT_OF_RANGE
        return reading
    decimals: uint256 = 0
    ok, decimals = self._ask_decimals(source)
    if not ok or decimals != (feed >> 160) & MASK_8:
        reading.code = DECIMALS
        return reading
    reading.moved_phase = seen_stamp != 0 and round_id >> 64 != seen_round >> 64
    if reading.moved_phase or (observation >> 252) & MASK_2 != 0:
        reading.code = PHASE
    reading.price = price
    reading.stamp = stamp
    reading.is_new = round_id != seen_round
    reading.seen = answered | (round_id << 128) | (stamp << 208)
    return reading
