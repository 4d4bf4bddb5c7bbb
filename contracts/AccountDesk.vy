# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title AccountDesk
@license MIT
@notice The upkeep of accounts: withdraw, transfer, release, settle, rerank; the fund's takeover.
        SPEC sections 2, 4.2, 4.5 and 9.
@dev A delegate of the ClearingHouse: it runs in that contract's storage (same modules, same layout) and
     holds nothing itself. Mirror: `python_ref/account_desk.py`.
"""

from ethereum.ercs import IERC20

from contracts.modules import bands
from contracts.modules import constants as c
from contracts.modules import fixed_math
from contracts.modules import ledger
from contracts.modules import margin
from contracts.modules import words

initializes: ledger
initializes: bands[ledger := ledger]
initializes: margin[ledger := ledger, bands := bands]


event Withdrawn:
    account: indexed(bytes32)
    to: indexed(address)
    amount: uint256


event Transferred:
    from_account: indexed(bytes32)
    to_account: indexed(bytes32)
    amount: uint256
    late: bool


event Released:
    account: indexed(bytes32)
    gons: uint256
    units: uint256


event Settled:
    account: indexed(bytes32)
    market: indexed(uint256)
    size: int256
    cash: int256


event Reranked:
    account: indexed(bytes32)
    market: indexed(uint256)
    old_band: uint256
    new_band: uint256


event TakenOver:
    account: indexed(bytes32)
    market: indexed(uint256)
    bucket: bytes32
    size: int256
    cash: int256


# the next contract to ask for a selector unknown here
NEXT: immutable(address)


@deploy
def __init__(token: address, decimals: uint256, oracle: address, next_delegate: address):
    """
    @param token Collateral, as given to the ClearingHouse.
    @param decimals Its decimals.
    @param oracle The price oracle, as given to the ClearingHouse.
    @param next_delegate Where selectors unknown here are forwarded.
    """
    ledger.__init__(token, decimals, oracle)
    assert next_delegate.is_contract, "ledger: next delegate"
    NEXT = next_delegate


@external
@reentrant
@raw_return
def __default__() -> Bytes[8256]:
    """
    @notice Forward to the next delegate, in the ClearingHouse's storage.
    """
    return raw_call(NEXT, msg.data, is_delegate_call=True, max_outsize=8256)


# ---- custody -------------------------------------------------------------------------------------


@external
def set_operator(operator: address, approved: bool):
    """
    @notice Let `operator` deposit to, trade for and cancel orders of the sender's accounts; never withdraw.
    """
    ledger.operators[msg.sender][operator] = approved
    log ledger.OperatorSet(owner=msg.sender, operator=operator, approved=approved)


@external
def withdraw(account: bytes32, amount: uint256, to: address):
    """
    @notice Pay `amount` token atoms of the sender's `account` to `to`; SPEC section 2 says when it may.
    """
    ledger._only_owner(account)
    assert amount > 0, "ledger: zero amount"
    self._debit(account, amount * ledger.UNIT)
    assert extcall IERC20(ledger.TOKEN).transfer(to, amount, default_return_value=True), "token: transfer failed"
    log Withdrawn(account=account, to=to, amount=amount)


@external
def transfer(from_account: bytes32, to_account: bytes32, amount: uint256):
    """
    @notice Move `amount` units (WAD) between two accounts of the sender, as a withdrawal and a deposit.
    """
    ledger._only_owner(from_account)
    ledger._only_owner(to_account)
    assert from_account != to_account, "ledger: same account"
    assert amount > 0, "ledger: zero amount"
    self._debit(from_account, amount)
    late: bool = ledger._credit(to_account, amount)
    log Transferred(from_account=from_account, to_account=to_account, amount=amount, late=late)


@internal
def _debit(account: bytes32, units: uint256):
    """
    @notice Take units of money out of an account; gons rounded up.
    """
    word: words.Account = ledger._touch_late(account, ledger._load_account(account))
    domain: words.Globals = ledger._load_globals()
    if not word.exposed:
        assert word.cash >= convert(units, int256), "ledger: insufficient cash"
        word.cash -= convert(units, int256)
        domain.exempt -= units
    else:
        assert domain.bad_debt == 0 and domain.open_receipts == 0, "ledger: locked"
        assert word.touched + c.RESIDENCY_S <= block.timestamp, "ledger: in residency"
        gons: int256 = convert(fixed_math._mul_div_up(units, c.INDEX_ONE, domain.claim_index), int256)
        word.cash -= gons
        domain.exposed -= gons
        r: margin.Exposure = margin._assess(account, word)
        assert r.n_credit > 0 or ledger._owner_of(account) == ledger.backstop, "ledger: not released"
        assert r.worst <= c.STATE_DEGRADED, "margin: frozen"
        least: uint256 = max(r.im_credit, fixed_math._mul_div_up(r.n_credit, c.WITHDRAW_RATIO_PPM, c.PPM))
        credit: int256 = r.e_credit
        if r.worst == c.STATE_DEGRADED:
            credit -= margin._doubtful_profit(account, word.legs)
        assert credit >= convert(least, int256), "margin: below withdrawal"
    ledger._store_globals(domain)
    ledger._store_account(account, word)


# ---- upkeep --------------------------------------------------------------------------------------


@external
def release(account: bytes32):
    """
    @notice Make a flat exposed account exempt again (rule 4). Anyone may.
    """
    word: words.Account = ledger._load_account(account)
    assert word.exposed, "release: exempt"
    word = ledger._touch_late(account, word)
    assert word.legs == 0 and word.cash >= 0, "release: not flat"
    assert ledger._owner_of(account) != ledger.backstop, "release: fund bucket"
    assert word.touched + c.RESIDENCY_S <= block.timestamp, "ledger: in residency"
    domain: words.Globals = ledger._load_globals()
    assert domain.bad_debt == 0 and domain.open_receipts == 0, "ledger: locked"
    gons: uint256 = convert(word.cash, uint256)
    units: uint256 = fixed_math._mul_div_down(gons, domain.claim_index, c.INDEX_ONE)
    domain.exposed -= word.cash
    domain.exempt += units
    word.cash = convert(units, int256)
    word.exposed = False
    ledger._store_globals(domain)
    ledger._store_account(account, word)
    log Released(account=account, gons=gons, units=units)


@external
def settle(account: bytes32, market: uint256):
    """
    @notice Pay a position's pending cash; clear one that was wiped. Anyone may; reads no price (SPEC 4.2).
    """
    word: words.Account = ledger._load_account(account)
    assert market < c.MAX_MARKETS and (word.legs >> market) & 1 == 1, "settle: no position"
    assert not word.in_receipt, "ledger: receipt open"
    m: words.Market = ledger._load_market(market)
    leg: bands.Leg = bands._read_leg(account, market, m.funding)
    word.cash += leg.pending
    m.pot -= leg.pending
    if leg.size == 0:
        # zero size: nothing to take out of the band
        m, word = bands._place(m, market, account, word, leg, 0, 0, 0)
    else:
        position: words.Position = ledger._load_position(account, market)
        band: words.Band = ledger._load_band(market, position.is_long, position.band)
        if band.scale != position.scale:
            bands._anchor(m, market, account, leg.size, leg.entry, leg.band)
        else:
            cell: words.Cell = ledger._load_cell(market, position.is_long, position.band, band.epoch, band.scale)
            position.c0 = bands._c_now(cell, band.a, m.funding, position.is_long, True)
            ledger._store_position(account, market, position)
    ledger._store_account(account, word)
    ledger._store_market(market, m)
    log Settled(account=account, market=market, size=leg.size, cash=word.cash)


@external
def rerank(account: bytes32, market: uint256) -> uint256:
    """
    @notice Move a position to the band of its present label; to a safer one only after the delay (rule 31).
    @return The new band.
    """
    venue: margin.Venue = empty(margin.Venue)
    m: words.Market = empty(words.Market)
    venue, m = margin._open_to_trade(market)
    word: words.Account = ledger._load_account(account)
    assert not word.in_receipt, "ledger: receipt open"
    leg: bands.Leg = bands._read_leg(account, market, m.funding)
    assert leg.size != 0, "settle: no position"
    word.cash += leg.pending
    m.pot -= leg.pending
    r: margin.Exposure = margin._assess_with(account, word, venue, leg.size)
    label: uint256 = margin._label(venue, m.funding, r, leg.size, leg.entry)
    assert label != leg.band, "rerank: same band"
    if not bands._is_riskier(venue.limits.rank, leg.size > 0, label, leg.band):
        assert word.touched + c.RERANK_DELAY_S <= block.timestamp, "rerank: too early"
    m, word = bands._place(m, market, account, word, leg, leg.size, leg.entry, label)
    ledger._store_account(account, word)
    ledger._store_market(market, m)
    log Reranked(account=account, market=market, old_band=leg.band, new_band=label)
    return label


# ---- the backstop fund's accounts ----------------------------------------------------------------


@external
def take_over(account: bytes32, market: uint256):
    """
    @notice The market's bucket inherits a nearly bankrupt account whole, for no price (rule 16).
    @param account An account whose only leg is in `market`.
    @param market The market.
    """
    venue: margin.Venue = empty(margin.Venue)
    m: words.Market = empty(words.Market)
    venue, m = margin._open_to_trade(market)
    assert venue.prices.state != c.STATE_RECOVERY, "market: in recovery"
    bucket: bytes32 = ledger._bucket_of(market)
    assert account != bucket, "backstop: own account"
    word: words.Account = ledger._load_account(account)
    assert word.legs == 1 << market, "backstop: not a single leg"
    assert not word.in_receipt, "ledger: receipt open"
    if word.has_late:
        word = ledger._fold_late(account, word)
    leg: bands.Leg = bands._read_leg(account, market, m.funding)
    word.cash += leg.pending
    m.pot -= leg.pending
    r: margin.Exposure = margin._assess_with(account, word, venue, leg.size)
    assert leg.size != 0, "backstop: no position"
    assert r.e_kind >= 0, "margin: bankrupt"
    assert r.e_kind * convert(c.PPM, int256) < convert(
        r.m_kind * words._backstop(venue.risk_word), int256
    ), "backstop: above threshold"
    assert r.e_index >= 0, "margin: insolvent at index"
    cash: int256 = word.cash
    word.cash = 0
    word.touched = block.timestamp
    m, word = bands._place(m, market, account, word, leg, 0, 0, 0)
    ledger._store_account(account, word)
    heir: words.Account = ledger._load_account(bucket)
    bucket_leg: bands.Leg = bands._read_leg(bucket, market, m.funding)
    heir.cash += bucket_leg.pending + cash
    m.pot -= bucket_leg.pending
    heir.touched = block.timestamp
    post: int256 = bucket_leg.size + leg.size
    b: margin.Exposure = margin._assess_with(bucket, heir, venue, post)
    assert b.e_credit >= convert(b.im_credit, int256), "margin: below initial"
    band: uint256 = 0
    if post != 0:
        band = margin._label(venue, m.funding, b, post, leg.entry)
    m, heir = bands._place(m, market, bucket, heir, bucket_leg, post, leg.entry, band)
    ledger._store_account(bucket, heir)
    ledger._store_market(market, m)
    log TakenOver(account=account, market=market, bucket=bucket, size=leg.size, cash=cash)
