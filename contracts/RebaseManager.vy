# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title RebaseManager
@license MIT
@notice What is left of a default: bad debt, repaid by fees, gifts and the fund's buckets, or cut out of
        every exposed claim by one write to the claim index; and the end of a market. SPEC sections 9, 10 and 15.
@dev A delegate of the ClearingHouse: it runs in that contract's storage (same modules, same layout) and
     holds nothing itself. Mirror: `python_ref/rebase_manager.py`.
"""

from contracts.modules import bands
from contracts.modules import constants as c
from contracts.modules import fixed_math
from contracts.modules import ledger
from contracts.modules import margin
from contracts.modules import words

initializes: ledger
initializes: bands[ledger := ledger]
initializes: margin[ledger := ledger, bands := bands]


event FeesSwept:
    market: indexed(uint256)
    amount: uint256
    repaid: uint256


event BadDebtRepaid:
    payer: indexed(bytes32)
    units: uint256
    amount: uint256


event SettlementOpened:
    market: indexed(uint256)
    price: uint256


event SettlementClosed:
    market: indexed(uint256)


event Claimed:
    account: indexed(bytes32)
    market: indexed(uint256)
    size: int256
    cash: int256


event Rebased:
    epoch: indexed(uint256)
    index_before: uint256
    index_after: uint256
    bad_debt: uint256
    exposed: int256


@deploy
def __init__(token: address, decimals: uint256, oracle: address):
    """
    @param token Collateral, as given to the ClearingHouse.
    @param decimals Its decimals.
    @param oracle The price oracle, as given to the ClearingHouse.
    """
    ledger.__init__(token, decimals, oracle)


@external
def sweep_fees(market: uint256):
    """
    @notice Move a market's fees to its bucket; bad debt is repaid first (rule 9).
    """
    assert market < c.MAX_MARKETS and ledger._load_limits(market).listed, "market: not listed"
    m: words.Market = ledger._load_market(market)
    domain: words.Globals = ledger._load_globals()
    repaid: uint256 = min(m.fees, domain.bad_debt)
    if repaid > 0:
        domain.bad_debt -= repaid
        domain.exposed -= convert(repaid, int256)
        ledger._store_globals(domain)
    bucket: bytes32 = ledger._bucket_of(market)
    word: words.Account = ledger._load_account(bucket)
    word.cash += convert(m.fees - repaid, int256)
    ledger._store_account(bucket, word)
    log FeesSwept(market=market, amount=m.fees, repaid=repaid)
    m.fees = 0
    ledger._store_market(market, m)


@external
def repay_bad_debt(account: bytes32, amount: uint256):
    """
    @notice Give units of an exempt account of one's own towards the bad debt; rounded against the giver.
    @param account The giver's account.
    @param amount The most to give, WAD units.
    """
    ledger._only_owner(account)
    word: words.Account = ledger._load_account(account)
    assert not word.exposed, "ledger: exposed"
    domain: words.Globals = ledger._load_globals()
    repaid: uint256 = min(fixed_math._mul_div_down(amount, c.INDEX_ONE, domain.claim_index), domain.bad_debt)
    assert repaid > 0, "rebase: no bad debt"
    units: uint256 = fixed_math._mul_div_up(repaid, domain.claim_index, c.INDEX_ONE)
    assert convert(units, int256) <= word.cash, "ledger: insufficient cash"
    word.cash -= convert(units, int256)
    domain.exempt -= units
    domain.bad_debt -= repaid
    ledger._store_globals(domain)
    ledger._store_account(account, word)
    log BadDebtRepaid(payer=account, units=units, amount=repaid)


@external
def rebase_claims():
    """
    @notice Cut every exposed claim so that assets cover claims again (rules 7, 8, 10, 11, 15; SPEC section 10).
    """
    domain: words.Globals = ledger._load_globals()
    assert domain.open_receipts == 0, "rebase: receipt open"
    assert domain.bad_debt > 0, "rebase: no bad debt"
    for market: uint256 in range(c.MAX_MARKETS):
        bucket: bytes32 = ledger._bucket_of(market)
        word: words.Account = ledger._load_account(bucket)
        # a bucket is exposed from the listing of its market on
        if not word.exposed or domain.bad_debt == 0:
            break
        paid: uint256 = min(margin._bucket_available(bucket, word), domain.bad_debt)
        if paid == 0:
            continue
        word.cash -= convert(paid, int256)
        ledger._store_account(bucket, word)
        domain.bad_debt -= paid
        domain.exposed -= convert(paid, int256)
        log BadDebtRepaid(payer=bucket, units=0, amount=paid)
    if domain.bad_debt > 0:
        before: uint256 = domain.claim_index
        debt: uint256 = domain.bad_debt
        assert domain.exposed > convert(debt, int256), "rebase: settlement needed"
        exposed: uint256 = convert(domain.exposed, uint256)
        domain.claim_index = fixed_math._mul_div_down(before, exposed - debt, exposed)
        assert domain.claim_index >= c.MIN_CLAIM_INDEX, "rebase: settlement needed"
        domain.bad_debt = 0
        domain.claim_epoch += 1
        log Rebased(
            epoch=domain.claim_epoch,
            index_before=before,
            index_after=domain.claim_index,
            bad_debt=debt,
            exposed=domain.exposed,
        )
    ledger._store_globals(domain)


# ---- the end of a market -------------------------------------------------------------------------


@external
def claim(account: bytes32, market: uint256):
    """
    @notice Close an account's position in a SETTLEMENT market at its final price (SPEC section 15). Anyone may.
    @dev The first claim of a market locks releases, withdrawals from exposure and rebases, and closes the bucket,
         so that what the bucket can pay does not depend on the order of the others; the last one unlocks.
    """
    venue: margin.Venue = empty(margin.Venue)
    m: words.Market = empty(words.Market)
    venue, m = margin._open_venue(market)
    assert venue.prices.state == c.STATE_SETTLEMENT, "claim: not settled"
    assert (ledger._load_account(account).legs >> market) & 1 == 1, "settle: no position"
    bucket: bytes32 = ledger._bucket_of(market)
    if (ledger.settled >> market) & 1 == 0:
        # a receipt of its own is ended by `resolve`, to which this market is not live
        assert venue.limits.open_receipts == 0, "market: receipt open"
        self._mark_settled(1 << market, market, True)
        log SettlementOpened(market=market, price=venue.prices.index)
        m = self._claim(venue, m, bucket)
    if account != bucket:
        m = self._claim(venue, m, account)
    ledger._store_market(market, m)
    if (ledger.settled >> (16 + market)) & 1 == 0 and not self._is_open(market, m):
        self._mark_settled(1 << (16 + market), market, False)
        log SettlementClosed(market=market)


@internal
def _claim(venue: margin.Venue, before: words.Market, account: bytes32) -> words.Market:
    """
    @notice Close a position against the house; what a flat account owes is the bucket's, then bad debt.
    @dev The pot lends the price until the other side has paid it. The residue stays: until the last claim the house
         holds the difference of the sides, which nobody needs to know.
    """
    m: words.Market = before
    word: words.Account = ledger._load_account(account)
    if (word.legs >> venue.id) & 1 == 0:
        return m
    assert not word.in_receipt, "ledger: receipt open"
    size: int256 = bands._read_leg(account, venue.id, m.funding).size
    # what a long gets rounded down, what a short pays rounded up
    cash: int256 = fixed_math._floor_div(size * convert(venue.prices.index, int256), convert(c.WAD, int256))
    m = margin._shift(m, venue.id, account, -size, cash)
    m.residue = before.residue
    m.pot -= cash
    log Claimed(account=account, market=venue.id, size=size, cash=cash)
    word = ledger._load_account(account)
    if word.legs == 0 and word.cash < 0:
        if word.has_late:
            # what its owner added pays his debt before the fund does
            word = ledger._fold_late(account, word)
            ledger._store_account(account, word)
        margin._pay_from_bucket(venue.id, account, convert(max(0, -word.cash), uint256))
        ledger._write_off(account)
    return m


@internal
@view
def _is_open(market: uint256, m: words.Market) -> bool:
    """
    @notice Whether more than dust is open: of the shorts in all, of the longs in one band.
    @dev Sizes of longs are read rounded down, so their band may keep some wei that nobody can claim.
    """
    if m.oi > c.DUST_SIZE:
        return True
    left: uint256 = ledger._load_bitmap(market, True)
    for band: uint256 in range(c.N_BANDS):
        if left == 0:
            break
        if left & 1 == 1 and ledger._load_band(market, True, band).oi > c.DUST_SIZE:
            return True
        left = left >> 1
    return False


@internal
def _mark_settled(bit: uint256, market: uint256, opened: bool):
    """
    @notice Begin or end the settlement of a market, which counts as an open receipt of the domain and of the market.
    """
    ledger.settled |= bit
    domain: words.Globals = ledger._load_globals()
    if opened:
        domain.open_receipts += 1
    else:
        domain.open_receipts -= 1
    ledger._store_globals(domain)
    ledger._count_receipt(market, opened)
