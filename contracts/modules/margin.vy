# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title Margin: equity and requirement at three edges, and the judgement of a trade
@license MIT
@notice SPEC sections 5 and 6. Value units (money * 1e18) throughout, so equity is exact; requirements
        round up.
@dev Mirror: `python_ref/margin.py`.
"""

from contracts.interfaces import IPriceOracle
from contracts.modules import bands
from contracts.modules import constants as c
from contracts.modules import fixed_math
from contracts.modules import ledger
from contracts.modules import words

uses: ledger
uses: bands


event BucketPaid:
    market: indexed(uint256)
    account: indexed(bytes32)
    amount: uint256


event FundingAccrued:
    market: indexed(uint256)
    funding: int256
    rate: int256
    index: uint256


# bit s: in state s no time passes for a market
UNPRICED: constant(uint256) = (1 << c.STATE_FROZEN) | (1 << c.STATE_SETTLEMENT)


# a market under way in one call: the prices and parameters it is judged by
struct Venue:
    id: uint256
    prices: IPriceOracle.Prices
    risk_word: uint256
    limits: words.Limits
    claim_index: uint256


# what an account is worth and what it must hold, in value units (gons)
struct Exposure:
    e_kind: int256
    m_kind: uint256
    e_index: int256
    m_index: uint256
    e_credit: int256
    im_credit: uint256
    n_credit: uint256
    # highest state among the markets of its legs
    worst: uint256


@internal
@pure
def _kind_price(prices: IPriceOracle.Prices, size: int256) -> uint256:
    """
    @notice The edge that favours a position of signed size.
    """
    if size > 0:
        return prices.high
    return prices.low


@internal
@pure
def _requirement(rate_ppm: uint256, depth: uint256, notional: uint256, claim_index: uint256) -> uint256:
    """
    @notice Margin that `notional` (value, gons) demands, rounded up; the rate grows by real notional / depth.
    """
    rate: uint256 = rate_ppm * 10**12
    if depth != 0:
        rate += fixed_math._mul_div_up(
            fixed_math._mul_div_down(notional // c.WAD, claim_index, c.INDEX_ONE), 1, depth
        )
    return fixed_math._mul_div_up(notional, rate, c.WAD)


@internal
@pure
def _price_share(equity: int256, leg_margin: uint256, total: uint256, size: int256) -> int256:
    """
    @notice The leg's share of `equity` by maintenance, per unit of size: WAD price, toward minus infinity.
    """
    if total == 0 or size == 0:
        return 0
    ratio: int256 = fixed_math._floor_div(equity * convert(c.WAD, int256), convert(total, int256))
    return fixed_math._floor_div(ratio * convert(leg_margin, int256), abs(size) * convert(c.WAD, int256))


@internal
@view
def _accrue(before: words.Market, prices: IPriceOracle.Prices) -> words.Market:
    """
    @notice A market's words with funding brought to now, on the clock that stands still without a price
            (SPEC section 6.1).
    """
    m: words.Market = before
    # the pause is told up to the last poke: right after the listing of a market without a price it may jump
    clock: uint256 = block.timestamp - prices.paused
    if clock <= m.accrued or (UNPRICED >> prices.state) & 1 == 1:
        return m
    dt: uint256 = clock - m.accrued
    if m.rate != 0:
        m.funding += fixed_math._floor_div(
            m.rate * convert(prices.index * dt, int256), convert(c.PPM * c.FUNDING_PERIOD_S, int256)
        )
    m.rate += (
        (m.sample - m.rate) * convert(min(dt, c.PREMIUM_TAU_S), int256) // convert(c.PREMIUM_TAU_S, int256)
    )
    m.accrued = clock
    return m


@internal
def _open_venue(market: uint256) -> (Venue, words.Market):
    """
    @notice Load a listed market with its prices and accrue its funding.
    """
    assert market < c.MAX_MARKETS and ledger.markets[(market << 3) | 3] >> 255 == 1, "market: not listed"
    limits: words.Limits = ledger._load_limits(market)
    prices: IPriceOracle.Prices = extcall IPriceOracle(ledger.ORACLE).prices(market)
    stored: words.Market = ledger._load_market(market)
    m: words.Market = self._accrue(stored, prices)
    if m.accrued != stored.accrued:
        log FundingAccrued(market=market, funding=m.funding, rate=m.rate, index=prices.index)
    return Venue(
        id=market,
        prices=prices,
        risk_word=ledger.markets[(market << 3) | 2],
        limits=limits,
        claim_index=ledger._claim_index(),
    ), m


@internal
def _open_to_trade(market: uint256) -> (Venue, words.Market):
    """
    @notice As `_open_venue`, refused in a FROZEN or settled market or while a receipt is open there (rule 27).
    """
    venue: Venue = empty(Venue)
    m: words.Market = empty(words.Market)
    venue, m = self._open_venue(market)
    assert venue.prices.state != c.STATE_FROZEN, "market: frozen"
    assert venue.prices.state != c.STATE_SETTLEMENT, "market: settled"
    assert venue.limits.open_receipts == 0, "market: receipt open"
    return venue, m


@internal
@pure
def _add_leg(
    before: Exposure,
    risk_word: uint256,
    prices: IPriceOracle.Prices,
    size: int256,
    claim_index: uint256,
) -> Exposure:
    """
    @notice An exposure with a leg of signed size added.
    """
    r: Exposure = before
    magnitude: uint256 = convert(abs(size), uint256)
    maintenance: uint256 = words._maintenance(risk_word)
    depth: uint256 = words._depth(risk_word)
    kind: uint256 = prices.low
    credit: uint256 = prices.credit_high
    if size > 0:
        kind = prices.high
        credit = prices.credit_low
    r.e_kind += size * convert(kind, int256)
    r.e_index += size * convert(prices.index, int256)
    r.e_credit += size * convert(credit, int256)
    r.m_kind += self._requirement(maintenance, depth, magnitude * kind, claim_index)
    r.m_index += self._requirement(maintenance, depth, magnitude * prices.index, claim_index)
    r.im_credit += self._requirement(words._initial(risk_word), depth, magnitude * credit, claim_index)
    r.n_credit += magnitude * credit
    r.worst = max(r.worst, prices.state)
    return r


@internal
def _assess(account: bytes32, word: words.Account) -> Exposure:
    """
    @notice Exposure of an account, every leg read from storage.
    """
    return self._assess_beside(account, word, c.MAX_MARKETS, empty(Exposure))


@internal
def _assess_with(account: bytes32, word: words.Account, venue: Venue, size: int256) -> Exposure:
    """
    @notice Exposure of an account whose leg in `venue` has signed `size` and nothing pending.
    """
    r: Exposure = empty(Exposure)
    if size != 0:
        r = self._add_leg(r, venue.risk_word, venue.prices, size, venue.claim_index)
    return self._assess_beside(account, word, venue.id, r)


@internal
def _assess_beside(account: bytes32, word: words.Account, skip: uint256, start: Exposure) -> Exposure:
    """
    @notice `start` with the account's cash and all its legs but the one in market `skip`.
    """
    r: Exposure = start
    claim_index: uint256 = ledger._claim_index()
    cash: int256 = word.cash
    if word.has_late:
        cash += convert(
            fixed_math._mul_div_down(ledger.accounts[account][33], c.INDEX_ONE, claim_index), int256
        )
    legs: uint256 = word.legs
    if skip < c.MAX_MARKETS:
        legs = legs & ~(1 << skip)
    for market: uint256 in range(c.MAX_MARKETS):
        if legs == 0:
            break
        if legs & 1 == 1:
            prices: IPriceOracle.Prices = extcall IPriceOracle(ledger.ORACLE).prices(market)
            m: words.Market = self._accrue(ledger._load_market(market), prices)
            leg: bands.Leg = bands._read_leg(account, market, m.funding)
            cash += leg.pending
            if leg.size != 0:
                r = self._add_leg(r, ledger.markets[(market << 3) | 2], prices, leg.size, claim_index)
        legs = legs >> 1
    base: int256 = cash * convert(c.WAD, int256)
    r.e_kind += base
    r.e_index += base
    r.e_credit += base
    return r


@internal
@pure
def _leg_margin(venue: Venue, size: int256, price: uint256) -> uint256:
    """
    @notice Maintenance of one leg at `price`.
    """
    return self._requirement(
        words._maintenance(venue.risk_word), words._depth(venue.risk_word), convert(abs(size), uint256) * price, venue.claim_index
    )


@internal
@view
def _label(venue: Venue, funding: int256, r: Exposure, size: int256, entry: uint256) -> uint256:
    """
    @notice Band label of a leg of signed size in an account of exposure `r` (SPEC section 4.5).
    """
    if venue.limits.rank == c.RANK_SINGLE:
        return 0
    if venue.limits.rank == c.RANK_PROFIT:
        return bands._band_of(venue.id, convert(entry, int256), venue.limits.octave_bits)
    x: int256 = convert(venue.prices.index, int256)
    share: int256 = self._price_share(
        r.e_index, self._leg_margin(venue, size, venue.prices.index), r.m_index, size
    )
    bankruptcy: int256 = x + share
    if size > 0:
        bankruptcy = x - share
    return bands._band_of(venue.id, bankruptcy - funding, venue.limits.octave_bits)


@internal
@pure
def _legs_within_limit(legs: uint256) -> bool:
    count: uint256 = 0
    left: uint256 = legs
    for _: uint256 in range(c.MAX_MARKETS):
        if left == 0:
            break
        left = left & (left - 1)
        count += 1
    return count <= c.MAX_LEGS


@internal
@view
def _judge_trade(venue: Venue, r: Exposure, legs: uint256, pre: int256, post: int256, cash_change: int256):
    """
    @notice Refuse a trade that took a leg from `pre` to `post` for `cash_change` (rules 13, 17 to 19).
    """
    wad: int256 = convert(c.WAD, int256)
    pre_kind: uint256 = self._kind_price(venue.prices, pre)
    post_kind: uint256 = self._kind_price(venue.prices, post)
    e_pre: int256 = (
        r.e_kind - cash_change * wad - post * convert(post_kind, int256) + pre * convert(pre_kind, int256)
    )
    assert e_pre >= 0, "margin: bankrupt"
    if post != 0:
        real: uint256 = fixed_math._mul_div_down(convert(abs(post), uint256), venue.claim_index, c.INDEX_ONE)
        assert real >= venue.limits.min_size, "fill: below minimum size"
    if (post > 0 and post > pre) or (post < 0 and post < pre):
        assert venue.prices.state == c.STATE_LIVE, "market: not live"
        assert r.worst < c.STATE_FROZEN, "margin: frozen"
        assert self._legs_within_limit(legs), "margin: too many legs"
        assert r.e_credit >= convert(r.im_credit, int256), "margin: below initial"
        return
    assert r.e_kind >= 0, "margin: would be bankrupt"
    m_pre: uint256 = (
        r.m_kind - self._leg_margin(venue, post, post_kind) + self._leg_margin(venue, pre, pre_kind)
    )
    if e_pre >= convert(m_pre, int256):
        return
    moved: int256 = post - pre
    worth: int256 = cash_change * wad + moved * convert(venue.prices.index, int256)
    e_index: int256 = r.e_index - worth
    assert e_index >= 0, "margin: insolvent at index"
    leg_margin: uint256 = self._leg_margin(venue, pre, venue.prices.index)
    m_index: uint256 = r.m_index - self._leg_margin(venue, post, venue.prices.index) + leg_margin
    share: int256 = self._price_share(e_index, leg_margin, m_index, pre)
    # value given up against the index, fee included, may be no more than the leg's share of equity
    assert -worth <= abs(moved) * share, "margin: worse than floor price"


@internal
def _trade(
    venue: Venue,
    before: words.Market,
    account: bytes32,
    old_word: words.Account,
    leg: bands.Leg,
    change: int256,
    cash_change: int256,
    price: uint256,
) -> words.Market:
    """
    @notice Change a leg by signed `change` for `cash_change`, judged as a trade; stores account and position.
    """
    m: words.Market = before
    word: words.Account = old_word
    assert not word.in_receipt, "ledger: receipt open"
    post: int256 = leg.size + change
    if leg.size != 0 and abs(post) <= convert(c.DUST_SIZE, int256):
        # what rounding left of a closed position goes to the house, or the last two could never part
        post = 0
    word.cash += leg.pending
    m.pot -= leg.pending
    word.cash += cash_change
    word.touched = block.timestamp
    word.legs = word.legs | (1 << venue.id)
    r: Exposure = self._assess_with(account, word, venue, post)
    self._judge_trade(venue, r, word.legs, leg.size, post, cash_change)
    entry: uint256 = leg.entry
    band: uint256 = leg.band
    if post != 0:
        same_side: bool = leg.size != 0 and (leg.size > 0) == (post > 0)
        if not same_side:
            entry = price
        elif abs(post) > abs(leg.size):
            entry = (
                leg.entry * convert(abs(leg.size), uint256) + price * convert(abs(change), uint256)
            ) // convert(abs(post), uint256)
        label: uint256 = self._label(venue, m.funding, r, post, entry)
        if not same_side or bands._is_riskier(venue.limits.rank, post > 0, label, band):
            band = label
    m, word = bands._place(m, venue.id, account, word, leg, post, entry, band)
    ledger._store_account(account, word)
    return m


@internal
def _shift(
    before: words.Market, market: uint256, account: bytes32, change: int256, cash_change: int256
) -> words.Market:
    """
    @notice Change a leg without judgement, keeping its band: the closing side of a default or a liquidation.
    """
    m: words.Market = before
    word: words.Account = ledger._load_account(account)
    leg: bands.Leg = bands._read_leg(account, market, m.funding)
    word.cash += leg.pending + cash_change
    m.pot -= leg.pending
    word.touched = block.timestamp
    post: int256 = leg.size + change
    if post > 0 and post <= convert(c.DUST_SIZE, int256):
        # as in a trade; a short's dust may need more residue than there is, and a default must not stop at that
        post = 0
    m, word = bands._place(m, market, account, word, leg, post, leg.entry, leg.band)
    ledger._store_account(account, word)
    return m


@internal
@view
def _oi_within_cap(venue: Venue, oi: uint256, before: uint256):
    """
    @notice Refuse open interest that grew beyond the cap.
    """
    if oi > before:
        assert (
            fixed_math._mul_div_down(oi, venue.claim_index, c.INDEX_ONE) <= venue.limits.oi_cap
        ), "fill: open interest cap"


@internal
def _bucket_available(bucket: bytes32, word: words.Account) -> uint256:
    """
    @notice Gons a bucket can pay: equity at the harsh edge beyond its initial requirement and the reserve.
    """
    r: Exposure = self._assess(bucket, word)
    free: int256 = fixed_math._floor_div(r.e_credit - convert(r.im_credit, int256), convert(c.WAD, int256))
    return convert(max(0, free - convert(c.BUCKET_RESERVE, int256)), uint256)


@internal
def _pay_from_bucket(market: uint256, account: bytes32, most: uint256) -> uint256:
    """
    @notice Let a market's bucket pay up to `most` gons to another account; gons paid (rule 15).
    """
    bucket: bytes32 = ledger._bucket_of(market)
    heir: words.Account = ledger._load_account(bucket)
    paid: uint256 = min(most, self._bucket_available(bucket, heir))
    if bucket == account or paid == 0:
        return 0
    heir.cash -= convert(paid, int256)
    ledger._store_account(bucket, heir)
    word: words.Account = ledger._load_account(account)
    word.cash += convert(paid, int256)
    ledger._store_account(account, word)
    log BucketPaid(market=market, account=account, amount=paid)
    return paid


@internal
@pure
def _profit(prices: IPriceOracle.Prices, leg: bands.Leg) -> int256:
    """
    @notice Profit of a leg against its entry price at the credit edge, value; zero for a loss.
    """
    edge: uint256 = prices.credit_high
    if leg.size > 0:
        edge = prices.credit_low
    return max(0, leg.size * (convert(edge, int256) - convert(leg.entry, int256)))


@internal
def _doubtful_profit(account: bytes32, legs: uint256) -> int256:
    """
    @notice Profit of an account's legs in DEGRADED markets, which a withdrawal does not count (SPEC section 2).
    """
    profit: int256 = 0
    for market: uint256 in range(c.MAX_MARKETS):
        if (legs >> market) & 1 == 0:
            continue
        prices: IPriceOracle.Prices = extcall IPriceOracle(ledger.ORACLE).prices(market)
        if prices.state == c.STATE_DEGRADED:
            # a size needs no funding
            profit += self._profit(prices, bands._read_leg(account, market, 0))
    return profit
