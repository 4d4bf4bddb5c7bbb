# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title DefaultManager
@license MIT
@notice Default: a bankrupt account is netted, covered by the fund, deleveraged against the winners and
        written off; the receipt proves the sum. SPEC section 8.
@dev A delegate of the ClearingHouse: it runs in that contract's storage (same modules, same layout) and
     holds nothing itself. Mirror: `python_ref/default_manager.py`.
"""

from contracts.interfaces import IPolicy
from contracts.modules import bands
from contracts.modules import constants as c
from contracts.modules import fixed_math
from contracts.modules import ledger
from contracts.modules import margin
from contracts.modules import words

initializes: ledger
initializes: bands[ledger := ledger]
initializes: margin[ledger := ledger, bands := bands]


event Netted:
    market: indexed(uint256)
    account: indexed(bytes32)
    other: indexed(bytes32)
    size: int256
    quote: uint256


event BandDeleveraged:
    receipt: indexed(uint256)
    market: indexed(uint256)
    is_long: bool
    band: uint256
    size: uint256
    quote: int256
    open_interest: uint256


event HouseClosed:
    market: indexed(uint256)
    account: indexed(bytes32)
    size: uint256
    quote: int256


event LegClosed:
    receipt: indexed(uint256)
    account: indexed(bytes32)
    market: indexed(uint256)
    size: int256
    quote: int256
    index: uint256


event ReceiptWritten:
    id: indexed(uint256)
    account: indexed(bytes32)
    deficit: uint256
    cover: uint256
    seized: int256
    booked: uint256
    legs: uint256
    bands: uint256
    largest_cut: uint256
    finished: bool


event ReceiptEnded:
    account: indexed(bytes32)


# running totals of one call of `resolve`, gons
struct Receipt:
    id: uint256
    deficit: uint256
    cover: uint256
    seized: int256
    booked: uint256
    legs: uint256
    bands: uint256
    largest_cut: uint256
    finished: bool


# one leg of a bankrupt on its way out
struct Close:
    market: uint256
    size: int256
    margin: uint256
    live: bool
    residual: uint256
    weight: uint256


# bands to close, eligible ones first, and how much of the size is eligible
struct Plan:
    bands: DynArray[uint256, 40]
    sizes: DynArray[uint256, 40]
    eligible: uint256
    finished: bool


@deploy
def __init__(token: address, decimals: uint256, oracle: address):
    """
    @param token Collateral, as given to the ClearingHouse.
    @param decimals Its decimals.
    @param oracle The price oracle, as given to the ClearingHouse.
    """
    ledger.__init__(token, decimals, oracle)


# ---- default -------------------------------------------------------------------------------------


@external
def resolve(account: bytes32, net_with: DynArray[bytes32, 8]) -> bool:
    """
    @notice Close a bankrupt account: netting, fund, winners at one price, bad debt (SPEC section 8).
    @param account Equity below zero at the kind edge, strictly.
    @param net_with Other bankrupts to net against first; those that are not are passed over.
    @return True if the receipt is finished; False if the walk needs another call.
    """
    word: words.Account = ledger._load_account(account)
    r: margin.Exposure = margin._assess(account, word)
    if r.e_kind >= 0:
        assert word.in_receipt, "resolve: not bankrupt"
        self._mark_receipt(account, word, False)
        return True
    # a receipt under way has been netted, and its legs are counted
    if not word.in_receipt and self._net(account, word.legs, net_with):
        word = ledger._load_account(account)
        r = margin._assess(account, word)
    return self._write_receipt(account, word, r)


@internal
def _net(account: bytes32, legs: uint256, net_with: DynArray[bytes32, 8]) -> bool:
    """
    @notice Close an account's legs against other bankrupts and the fund's inventory at the index (rule 25).
    """
    netted: bool = False
    for market: uint256 in range(c.MAX_MARKETS):
        if (legs >> market) & 1 == 0:
            continue
        bucket: bytes32 = ledger._bucket_of(market)
        if len(net_with) == 0 and (ledger._load_account(bucket).legs >> market) & 1 == 0:
            continue
        venue: margin.Venue = empty(margin.Venue)
        m: words.Market = empty(words.Market)
        venue, m = margin._open_venue(market)
        assert venue.limits.open_receipts == 0, "market: receipt open"
        # the others are assessed from storage, so the accrued funding goes there first
        ledger._store_market(market, m)
        if venue.prices.state >= c.STATE_FROZEN:
            continue
        for i: uint256 in range(9):
            if i > len(net_with):
                break
            is_bucket: bool = i == len(net_with)
            other: bytes32 = bucket
            if not is_bucket:
                other = net_with[i]
            word: words.Account = ledger._load_account(other)
            if other == account or word.in_receipt or (word.legs >> market) & 1 == 0:
                continue
            own: int256 = bands._read_leg(account, market, m.funding).size
            size: int256 = bands._read_leg(other, market, m.funding).size
            if own == 0 or size == 0 or (own > 0) == (size > 0):
                continue
            if not is_bucket and margin._assess(other, word).e_kind >= 0:
                continue
            closed: int256 = min(abs(own), abs(size))
            quote: uint256 = fixed_math._mul_div_down(convert(closed, uint256), venue.prices.index, c.WAD)
            change: int256 = closed
            cash: int256 = -convert(quote, int256)
            if own > 0:
                change = -closed
                cash = -cash
            m = margin._shift(m, market, account, change, cash)
            m = margin._shift(m, market, other, -change, -cash)
            ledger._store_market(market, m)
            log Netted(market=market, account=account, other=other, size=change, quote=quote)
            ledger._write_off(other)
            netted = True
    return netted


@internal
def _write_receipt(account: bytes32, start: words.Account, r: margin.Exposure) -> bool:
    """
    @notice Cover, deleverage and write off what a bankrupt lacks at the index; the receipt proves the sum.
    """
    domain: words.Globals = ledger._load_globals()
    receipt: Receipt = empty(Receipt)
    receipt.id = domain.receipts
    # E(x) <= E_kind < 0: the interval holds the index
    receipt.deficit = convert(-fixed_math._floor_div(r.e_index, convert(c.WAD, int256)), uint256)
    receipt.finished = True
    # ids come round again: a number must never stop a default
    domain.receipts = (domain.receipts + 1) % 2**24
    ledger._store_globals(domain)
    closes: DynArray[Close, 8] = []
    closes, receipt = self._share_out(account, start, r.m_index, receipt)
    closes = self._weigh(closes)
    for close: Close in closes:
        if not close.live:
            continue
        receipt = self._close_leg(account, close, receipt)
        if not receipt.finished:
            break
    if receipt.finished:
        receipt.booked = ledger._write_off(account)
    word: words.Account = ledger._load_account(account)
    if word.in_receipt == receipt.finished:
        self._mark_receipt(account, word, not receipt.finished)
    log ReceiptWritten(
        id=receipt.id,
        account=account,
        deficit=receipt.deficit,
        cover=receipt.cover,
        seized=receipt.seized,
        booked=receipt.booked,
        legs=receipt.legs,
        bands=receipt.bands,
        largest_cut=receipt.largest_cut,
        finished=receipt.finished,
    )
    return receipt.finished


@internal
def _share_out(
    account: bytes32, start: words.Account, total: uint256, totals: Receipt
) -> (DynArray[Close, 8], Receipt):
    """
    @notice Share the deficit over the legs by maintenance at the index; each bucket pays for its own (rules 14, 15).
    @dev Cumulative shares: the last leg takes the rest.
    """
    receipt: Receipt = totals
    closes: DynArray[Close, 8] = []
    cumulative: uint256 = 0
    given: uint256 = 0
    for market: uint256 in range(c.MAX_MARKETS):
        if (start.legs >> market) & 1 == 0:
            continue
        venue: margin.Venue = empty(margin.Venue)
        m: words.Market = empty(words.Market)
        venue, m = margin._open_venue(market)
        assert start.in_receipt or venue.limits.open_receipts == 0, "market: receipt open"
        close: Close = empty(Close)
        close.market = market
        close.size = bands._read_leg(account, market, m.funding).size
        close.margin = margin._leg_margin(venue, close.size, venue.prices.index)
        close.live = venue.prices.state < c.STATE_FROZEN and close.size != 0
        if close.size == 0:
            # wiped by an earlier deleveraging: no position, but its bit would hide the account's flatness
            m = margin._shift(m, market, account, 0, 0)
        ledger._store_market(market, m)
        cumulative += close.margin
        if total > 0:
            upto: uint256 = fixed_math._mul_div_down(receipt.deficit, cumulative, total)
            close.residual = upto - given
            given = upto
        if close.live:
            paid: uint256 = margin._pay_from_bucket(market, account, close.residual)
            close.residual -= paid
            receipt.cover += paid
        closes.append(close)
    return closes, receipt


@internal
def _weigh(start: DynArray[Close, 8]) -> DynArray[Close, 8]:
    """
    @notice Split what is left over the live legs by maintenance times eligible fraction (rule 24).
    """
    live: uint256 = 0
    left: uint256 = 0
    for close: Close in start:
        if close.live:
            live += 1
            left += close.residual
    if live < 2:
        return start
    closes: DynArray[Close, 8] = []
    total: uint256 = 0
    for unweighed: Close in start:
        close: Close = unweighed
        if close.live:
            venue: margin.Venue = empty(margin.Venue)
            m: words.Market = empty(words.Market)
            venue, m = margin._open_venue(close.market)
            # weights in parts of 1e18 keep the product inside the word
            close.weight = fixed_math._mul_div_down(
                close.margin // c.WAD, self._plan(venue, m, close).eligible, convert(abs(close.size), uint256)
            )
            total += close.weight
        closes.append(close)
    if total == 0:
        return start
    cumulative: uint256 = 0
    given: uint256 = 0
    for i: uint256 in range(len(closes), bound=8):
        if closes[i].live:
            cumulative += closes[i].weight
            upto: uint256 = fixed_math._mul_div_down(left, cumulative, total)
            closes[i].residual = upto - given
            given = upto
    return closes


@internal
def _plan(venue: margin.Venue, m: words.Market, close: Close) -> Plan:
    """
    @notice Ask the policy which bands a leg closes against, eligible ones at the price its residual demands.
    """
    size: uint256 = convert(abs(close.size), uint256)
    side: IPolicy.Side = self._side(venue, m, close, min(close.residual, self._gap_cap(venue, size)))
    policy: address = convert(ledger.markets[(close.market << 3) | 7], address)
    p: Plan = empty(Plan)
    for _: uint256 in range(c.MAX_PLAN):
        if side.size == 0 or side.bitmap == 0 or len(p.bands) >= c.MAX_PLAN:
            break
        chosen: DynArray[uint256, 8] = []
        caps: DynArray[uint256, 8] = []
        eligible: uint256 = 0
        chosen, caps, eligible = staticcall IPolicy(policy).plan(side)
        for i: uint256 in range(len(chosen), bound=8):
            if side.size == 0:
                break
            if (side.bitmap >> chosen[i]) & 1 == 0:
                continue
            oi: uint256 = ledger._load_band(close.market, side.is_long, chosen[i]).oi
            taken: uint256 = min(min(caps[i], oi), side.size)
            side.bitmap = side.bitmap & ~(1 << chosen[i])
            side.open_interest -= oi
            side.size -= taken
            if taken > 0:
                p.bands.append(chosen[i])
                p.sizes.append(taken)
                if i < eligible:
                    p.eligible += taken
    p.finished = side.size == 0 or side.bitmap == 0
    # a receipt that opens without progress could never be ended
    assert p.finished or len(p.bands) > 0, "resolve: empty plan"
    return p


@internal
@pure
def _gap_cap(venue: margin.Venue, size: uint256) -> uint256:
    """
    @notice Most that winners of `size` may lose against the index: the lowest maintenance rate (rule 21).
    """
    return fixed_math._mul_div_down(
        fixed_math._mul_div_down(size, venue.prices.index, c.WAD), words._maintenance(venue.risk_word), c.PPM
    )


@internal
@view
def _side(venue: margin.Venue, m: words.Market, close: Close, gap: uint256) -> IPolicy.Side:
    """
    @notice The side opposite to a leg, and the label of the price at which it would close.
    """
    is_long: bool = close.size < 0
    size: uint256 = convert(abs(close.size), uint256)
    limit: uint256 = 0
    if venue.limits.rank != c.RANK_SINGLE:
        per_unit: int256 = convert(fixed_math._mul_div_up(gap, c.WAD, size), int256)
        if is_long:
            per_unit = -per_unit
        key: int256 = convert(venue.prices.index, int256) + per_unit
        if venue.limits.rank == c.RANK_LEVERAGE:
            key -= m.funding
        limit = bands._band_of(venue.id, key, venue.limits.octave_bits)
    open_interest: uint256 = m.oi
    if is_long:
        open_interest -= convert(m.residue, uint256)
    return IPolicy.Side(
        market=venue.id,
        is_long=is_long,
        size=size,
        open_interest=open_interest,
        bitmap=ledger._load_bitmap(venue.id, is_long),
        rank=venue.limits.rank,
        limit_band=limit,
    )


@internal
def _close_leg(account: bytes32, close: Close, totals: Receipt) -> Receipt:
    """
    @notice Close a leg against the other side's bands; not finished if the walk was cut short (rule 26).
    @dev Eligible bands come first in a plan, so "eligible so far" is min(filled, plan.eligible).
    """
    receipt: Receipt = totals
    venue: margin.Venue = empty(margin.Venue)
    m: words.Market = empty(words.Market)
    venue, m = margin._open_venue(close.market)
    p: Plan = self._plan(venue, m, close)
    x: uint256 = venue.prices.index
    is_long: bool = close.size < 0
    total: uint256 = convert(abs(close.size), uint256)
    gap: uint256 = min(close.residual, self._gap_cap(venue, total))
    filled: uint256 = 0
    quoted: uint256 = 0
    gap_quoted: uint256 = 0
    for i: uint256 in range(len(p.bands), bound=40):
        filled += p.sizes[i]
        base: uint256 = self._index_quote(filled, x, is_long)
        upto: uint256 = fixed_math._mul_div_up(gap, min(filled, p.eligible), total)
        extra: int256 = convert(upto - gap_quoted, int256)
        if is_long:
            extra = -extra
        quote: int256 = convert(base - quoted, int256) + extra
        quoted = base
        gap_quoted = upto
        before: uint256 = ledger._load_band(close.market, is_long, p.bands[i]).oi
        m = bands._deleverage_band(m, close.market, is_long, p.bands[i], p.sizes[i], quote)
        receipt.bands += 1
        receipt.largest_cut = max(receipt.largest_cut, p.sizes[i] * c.PPM // before)
        log BandDeleveraged(
            receipt=receipt.id,
            market=close.market,
            is_long=is_long,
            band=p.bands[i],
            size=p.sizes[i],
            quote=quote,
            open_interest=before,
        )
    if p.finished and filled < total:
        # the house takes the rest: dust of a long, of a short no more than its residue (it may read rounded up)
        owed: uint256 = total
        bound: uint256 = filled + c.DUST_SIZE
        if is_long:
            owed = min(total, m.oi)
            bound = convert(m.residue, uint256)
        assert owed <= bound, "resolve: plan too small"
        base: uint256 = self._index_quote(total, x, is_long)
        dust: int256 = convert(base - quoted, int256)
        if not is_long:
            dust = -dust
        m.pot += dust
        log HouseClosed(market=close.market, account=account, size=total - filled, quote=dust)
        quoted = base
        filled = total
    change: int256 = convert(filled, int256)
    cash: int256 = convert(quoted, int256)
    worth: int256 = convert(self._index_quote(filled, x, not is_long), int256)
    if is_long:
        cash = -cash
        worth = -worth
    else:
        change = -change
    cash += convert(gap_quoted, int256)
    # what the winners gave up against the index, rounded against the bankrupt
    receipt.seized += cash - worth
    m = margin._shift(m, close.market, account, change, cash)
    ledger._store_market(close.market, m)
    word: words.Account = ledger._load_account(account)
    # a cut walk whose rest was dust has closed the leg all the same
    receipt.finished = (word.legs >> close.market) & 1 == 0
    if receipt.finished and word.in_receipt:
        ledger._count_receipt(close.market, False)
    receipt.legs += 1
    log LegClosed(
        receipt=receipt.id,
        account=account,
        market=close.market,
        size=change,
        quote=abs(cash),
        index=x,
    )
    return receipt


@internal
@pure
def _index_quote(size: uint256, index: uint256, is_long: bool) -> uint256:
    """
    @notice Worth of `size` at the index, rounded for the bankrupt: what longs receive down, shorts pay up.
    """
    if is_long:
        return fixed_math._mul_div_down(size, index, c.WAD)
    return fixed_math._mul_div_up(size, index, c.WAD)


@internal
def _mark_receipt(account: bytes32, start: words.Account, opened: bool):
    """
    @notice Lock or unlock the markets of an account whose receipt needs another call (rule 27).
    """
    word: words.Account = start
    word.in_receipt = opened
    ledger._store_account(account, word)
    domain: words.Globals = ledger._load_globals()
    if opened:
        domain.open_receipts += 1
    else:
        domain.open_receipts -= 1
        log ReceiptEnded(account=account)
    ledger._store_globals(domain)
    for market: uint256 in range(c.MAX_MARKETS):
        if (word.legs >> market) & 1 == 1:
            ledger._count_receipt(market, opened)
