# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title LiquidationDesk
@license MIT
@notice Liquidation of unhealthy accounts, one or many. SPEC section 7.
@dev A delegate of the ClearingHouse: it runs in that contract's storage (same modules, same layout) and
     holds nothing itself. Mirror: `python_ref/liquidation_desk.py`.
"""

from contracts.interfaces import ILiquidationEngine
from contracts.modules import bands
from contracts.modules import constants as c
from contracts.modules import fixed_math
from contracts.modules import ledger
from contracts.modules import margin
from contracts.modules import words

initializes: ledger
initializes: bands[ledger := ledger]
initializes: margin[ledger := ledger, bands := bands]


event Liquidated:
    account: indexed(bytes32)
    market: indexed(uint256)
    taker: indexed(bytes32)
    size: int256
    quote: uint256
    fund_fee: uint256


# what one may still liquidate in a minute is kept in parts of a position
SHARES: constant(uint256) = 4096


@deploy
def __init__(token: address, decimals: uint256, oracle: address):
    """
    @param token Collateral, as given to the ClearingHouse.
    @param decimals Its decimals.
    @param oracle The price oracle, as given to the ClearingHouse.
    """
    ledger.__init__(token, decimals, oracle)


# ---- liquidation ---------------------------------------------------------------------------------


@external
def liquidate(account: bytes32, market: uint256, taker: bytes32, max_size: uint256) -> uint256:
    """
    @notice Take over part of an unhealthy position at the price of rule 17 (SPEC section 7).
    @param taker Account of the sender, or of an owner who approved him; it must pass the test of a trade.
    @param max_size The most to take, gons; clamped, never a reason to revert.
    @return Gons taken.
    """
    ledger._only_authorised(taker)
    return self._liquidate(account, market, taker, max_size, False)


@external
def liquidate_batch(accounts: DynArray[bytes32, 16], market: uint256, taker: bytes32, max_size: uint256) -> uint256:
    """
    @notice Liquidate those of `accounts` that can be, at most `max_size` gons each; the others are passed over.
    @return Gons taken in all.
    """
    ledger._only_authorised(taker)
    total: uint256 = 0
    for account: bytes32 in accounts:
        taken: uint256 = self._liquidate(account, market, taker, max_size, True)
        total += taken
    return total


@internal
def _liquidate(account: bytes32, market: uint256, taker: bytes32, max_size: uint256, skip: bool) -> uint256:
    """
    @notice One liquidation; with `skip` an account that cannot be liquidated is passed over.
    """
    assert account != taker, "liquidation: own account"
    venue: margin.Venue = empty(margin.Venue)
    m: words.Market = empty(words.Market)
    venue, m = margin._open_to_trade(market)
    assert venue.prices.state != c.STATE_RECOVERY, "market: in recovery"
    is_doubtful: bool = venue.prices.state == c.STATE_DEGRADED
    x: uint256 = venue.prices.index
    word: words.Account = ledger._load_account(account)
    leg: bands.Leg = bands._read_leg(account, market, m.funding)
    if leg.size == 0 or word.in_receipt:
        assert skip, "liquidation: no position"
        return self._pass_over(market, m)
    word.cash += leg.pending
    r: margin.Exposure = margin._assess_with(account, word, venue, leg.size)
    if r.e_kind < 0:
        assert skip, "liquidation: bankrupt"
        return self._pass_over(market, m)
    if r.e_kind >= convert(r.m_kind, int256):
        assert skip, "liquidation: healthy"
        return self._pass_over(market, m)
    is_long: bool = leg.size > 0
    q: uint256 = convert(abs(leg.size), uint256)
    most: uint256 = q
    since: uint256 = word.liquidated >> 12
    is_first: bool = is_doubtful and since + c.LIQUIDATION_DELAY_S <= block.timestamp
    if is_doubtful:
        # on a price in doubt, half in a minute, of which somebody may have had a part
        left: uint256 = word.liquidated & (SHARES - 1)
        if is_first:
            left = SHARES // 2
            since = block.timestamp
        most = fixed_math._mul_div_up(q, left, SHARES)
        if most == 0:
            assert skip, "liquidation: too soon"
            return self._pass_over(market, m)
    kind: uint256 = margin._kind_price(venue.prices, leg.size)
    leg_margin: uint256 = margin._leg_margin(venue, leg.size, kind)
    share: uint256 = convert(margin._price_share(r.e_kind, leg_margin, r.m_kind, leg.size), uint256)
    penalty: uint256 = words._penalty(venue.risk_word)
    if is_doubtful:
        penalty = penalty // 2
    price: uint256 = 0
    if is_long:
        price = max(fixed_math._mul_div_up(x, c.PPM - penalty, c.PPM), kind - min(kind, share))
    else:
        price = min(fixed_math._mul_div_down(x, c.PPM + penalty, c.PPM), kind + share)
    min_size: uint256 = fixed_math._mul_div_up(venue.limits.min_size, c.INDEX_ONE, venue.claim_index)
    size: uint256 = staticcall ILiquidationEngine(ledger.liquidation_engine).plan(
        q,
        kind,
        price,
        convert(r.e_kind, uint256),
        r.m_kind - leg_margin,
        venue.risk_word,
        venue.claim_index,
        min_size,
    )
    size = min(min(size, max_size), q)
    if is_first and q <= min_size:
        most = q
    size = min(size, most)
    assert size > 0, "liquidation: zero size"
    if q - size <= c.DUST_SIZE:
        # a rest of dust would go to the house, and leave the account a few wei short
        size = q
    quote: uint256 = 0
    discount: uint256 = 0
    if is_long:
        quote = fixed_math._mul_div_up(size, price, c.WAD)
        discount = fixed_math._mul_div_down(size, x, c.WAD)
        discount -= min(discount, quote)
    else:
        quote = fixed_math._mul_div_down(size, price, c.WAD)
        discount = quote - min(quote, fixed_math._mul_div_up(size, x, c.WAD))
    fund_fee: uint256 = fixed_math._mul_div_down(discount, words._fund_share(venue.risk_word), c.PPM)
    change: int256 = convert(size, int256)
    cash: int256 = -convert(quote, int256)
    if is_long:
        change = -change
        cash = -cash
    if is_doubtful:
        stamped: words.Account = ledger._load_account(account)
        stamped.liquidated = since << 12
        if size < most:
            stamped.liquidated |= (most - size) * SHARES // (q - size)
        ledger._store_account(account, stamped)
        # the taker may grow: the position is in the market already
        venue.prices.state = c.STATE_LIVE
    m = margin._shift(m, market, account, change, cash)
    taker_word: words.Account = ledger._ready(taker)
    taker_leg: bands.Leg = bands._read_leg(taker, market, m.funding)
    m = margin._trade(
        venue, m, taker, taker_word, taker_leg, -change, -cash - convert(fund_fee, int256), price
    )
    m.fees += fund_fee
    ledger._store_market(market, m)
    log Liquidated(account=account, market=market, taker=taker, size=change, quote=quote, fund_fee=fund_fee)
    return size


@internal
def _pass_over(market: uint256, m: words.Market) -> uint256:
    """
    @notice Keep the funding that was accrued and announced; nothing taken.
    """
    ledger._store_market(market, m)
    return 0
