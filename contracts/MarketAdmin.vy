# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title MarketAdmin
@license MIT
@notice Roles, the listing of markets and their parameters, and raw reading.
@dev A delegate of the ClearingHouse: it runs in that contract's storage (same modules, same layout) and
     holds nothing itself. Mirror: `python_ref/market_admin.py`.
"""

from contracts.interfaces import IPriceOracle
from contracts.modules import bands
from contracts.modules import constants as c
from contracts.modules import fixed_math
from contracts.modules import ledger
from contracts.modules import margin
from contracts.modules import words

initializes: ledger
initializes: bands[ledger := ledger]
initializes: margin[ledger := ledger, bands := bands]


event Wired:
    liquidation_engine: address
    backstop: address


event FillerSet:
    filler: indexed(address)
    allowed: bool


event GovernorSet:
    governor: indexed(address)


event MarketListed:
    market: indexed(uint256)
    anchor: uint256
    policy: address


event RiskSet:
    market: indexed(uint256)
    word: uint256


event LimitsSet:
    market: indexed(uint256)
    word: uint256


event PolicySet:
    market: indexed(uint256)
    policy: address


@deploy
def __init__(token: address, decimals: uint256, oracle: address):
    """
    @param token Collateral, as given to the ClearingHouse.
    @param decimals Its decimals.
    @param oracle The price oracle, as given to the ClearingHouse.
    """
    ledger.__init__(token, decimals, oracle)


# ---- markets and roles (governor) ----------------------------------------------------------------


@internal
@view
def _only_governor():
    assert msg.sender == ledger.governor, "ledger: not the governor"


@external
def wire(liquidation_engine: address, backstop: address):
    """
    @notice Name the liquidation engine and the backstop fund, once.
    """
    self._only_governor()
    assert ledger.backstop == empty(address), "ledger: already wired"
    assert liquidation_engine != empty(address) and backstop != empty(address), "ledger: zero address"
    ledger.liquidation_engine = liquidation_engine
    ledger.backstop = backstop
    log Wired(liquidation_engine=liquidation_engine, backstop=backstop)


@external
def set_filler(filler: address, allowed: bool):
    """
    @notice Allow or forbid a contract to settle trades.
    """
    self._only_governor()
    ledger.fillers[filler] = allowed
    log FillerSet(filler=filler, allowed=allowed)


@external
def transfer_governor(governor: address):
    """
    @notice Hand the governance of the ledger over.
    """
    self._only_governor()
    assert governor != empty(address), "ledger: zero address"
    ledger.governor = governor
    log GovernorSet(governor=governor)


@external
def add_market(market: uint256, risk_word: uint256, limits_word: uint256, anchor: uint256, policy: address):
    """
    @notice List the next market; its fund bucket becomes an exposed account.
    @param market The next free slot.
    @param risk_word Packed risk parameters (SPEC section 3).
    @param limits_word Packed limits, rank and bands per octave.
    @param anchor Price of band 128, WAD.
    @param policy The deleveraging policy.
    """
    self._only_governor()
    assert market < c.MAX_MARKETS, "market: no such slot"
    assert not ledger._load_limits(market).listed, "market: already listed"
    assert market == 0 or ledger._load_limits(market - 1).listed, "market: not the next slot"
    assert ledger.backstop != empty(address), "ledger: not wired"
    assert anchor > 0 and anchor <= c.MAX_PRICE, "market: anchor"
    limits: words.Limits = words._unpack_limits(limits_word)
    limits.open_receipts = 0
    limits.listed = True
    assert limits.rank <= c.RANK_LEVERAGE, "market: rank"
    assert limits.octave_bits <= 6, "market: octave bits"
    self._check_limits(limits)
    self._check_risk(words._unpack_risk(risk_word))
    assert policy != empty(address), "ledger: zero address"
    m: words.Market = empty(words.Market)
    m.accrued = block.timestamp - (extcall IPriceOracle(ledger.ORACLE).prices(market)).paused
    ledger._store_market(market, m)
    ledger.markets[(market << 3) | 2] = risk_word
    ledger._store_limits(market, limits)
    ledger.markets[(market << 3) | 6] = anchor
    ledger.markets[(market << 3) | 7] = convert(policy, uint256)
    bucket: bytes32 = ledger._bucket_of(market)
    word: words.Account = ledger._load_account(bucket)
    if not word.exposed:
        word = ledger._expose(bucket, word)
        ledger._store_account(bucket, word)
    log MarketListed(market=market, anchor=anchor, policy=policy)


@internal
@pure
def _check_limits(limits: words.Limits):
    """
    @notice A position is never dust, and a lot is a number.
    """
    assert limits.min_size > c.DUST_SIZE, "market: minimum size"
    assert limits.lot_exp <= 30, "market: lot"


@internal
@pure
def _check_risk(risk: words.Risk):
    """
    @notice The relations that the ledger's promises rest on (rules 20, 21).
    """
    assert risk.maintenance > 0 and risk.maintenance < risk.initial, "market: maintenance"
    assert risk.initial <= c.PPM, "market: initial"
    assert risk.penalty < risk.maintenance, "market: penalty"
    assert risk.fund_share <= c.PPM, "market: fund share"
    assert risk.taker_fee < risk.maintenance and risk.maker_fee < risk.maintenance, "market: fee"
    assert risk.fill_band < c.PPM, "market: fill band"
    assert risk.target >= c.PPM, "market: target"
    assert risk.backstop < c.PPM, "market: backstop"


@internal
def _only_live(market: uint256):
    """
    @notice Nothing is loosened while the price is in doubt (SPEC section 15).
    """
    assert (extcall IPriceOracle(ledger.ORACLE).prices(market)).state == c.STATE_LIVE, "admin: not live"


@internal
@pure
def _tightens_risk(old: words.Risk, new: words.Risk) -> bool:
    """
    @notice Whether only what the Governor may tighten at once changes, and toward safety.
    """
    if new.initial < old.initial or new.maintenance < old.maintenance or new.fill_band > old.fill_band:
        return False
    if new.penalty != old.penalty or new.fund_share != old.fund_share:
        return False
    if new.taker_fee != old.taker_fee or new.maker_fee != old.maker_fee:
        return False
    if new.target != old.target or new.backstop != old.backstop:
        return False
    return old.depth == 0 or (new.depth != 0 and new.depth <= old.depth)


@external
def set_risk(market: uint256, risk_word: uint256):
    """
    @notice Change a market's risk parameters; where the market is not LIVE only what tightens them.
    """
    self._only_governor()
    assert market < c.MAX_MARKETS and ledger._load_limits(market).listed, "market: not listed"
    risk: words.Risk = words._unpack_risk(risk_word)
    self._check_risk(risk)
    if not self._tightens_risk(words._unpack_risk(ledger.markets[(market << 3) | 2]), risk):
        self._only_live(market)
    ledger.markets[(market << 3) | 2] = risk_word
    log RiskSet(market=market, word=risk_word)


@external
def set_limits(market: uint256, limits_word: uint256):
    """
    @notice Change a market's caps and minima; rank and bands are fixed by the stored labels. Where the market is not
            LIVE only what tightens them.
    """
    self._only_governor()
    assert market < c.MAX_MARKETS, "market: not listed"
    limits: words.Limits = ledger._load_limits(market)
    assert limits.listed, "market: not listed"
    changed: words.Limits = words._unpack_limits(limits_word)
    self._check_limits(changed)
    if changed.oi_cap > limits.oi_cap or changed.min_size < limits.min_size or changed.lot_exp != limits.lot_exp:
        self._only_live(market)
    limits.oi_cap = changed.oi_cap
    limits.min_size = changed.min_size
    limits.lot_exp = changed.lot_exp
    ledger._store_limits(market, limits)
    log LimitsSet(market=market, word=words._pack_limits(limits))


@external
def set_policy(market: uint256, policy: address):
    """
    @notice Change a market's deleveraging policy; never inside an open deficit, and only where it is LIVE.
    """
    self._only_governor()
    assert market < c.MAX_MARKETS, "market: not listed"
    limits: words.Limits = ledger._load_limits(market)
    assert limits.listed, "market: not listed"
    assert limits.open_receipts == 0, "market: receipt open"
    assert policy != empty(address), "ledger: zero address"
    self._only_live(market)
    ledger.markets[(market << 3) | 7] = convert(policy, uint256)
    log PolicySet(market=market, policy=policy)


# ---- reading -------------------------------------------------------------------------------------


@external
def account_equity(account: bytes32) -> int256[3]:
    """
    @notice Equity at the kind edge, the index and the credit edge: real money (WAD), floored.
    @dev Not a view only because the oracle may refresh its cache.
    """
    word: words.Account = ledger._load_account(account)
    if not word.exposed:
        return [word.cash, word.cash, word.cash]
    r: margin.Exposure = margin._assess(account, word)
    return [self._real_money(r.e_kind), self._real_money(r.e_index), self._real_money(r.e_credit)]


@internal
@view
def _real_money(equity: int256) -> int256:
    gons: int256 = fixed_math._floor_div(equity, convert(c.WAD, int256))
    return fixed_math._floor_div(
        gons * convert(ledger._claim_index(), int256), convert(c.INDEX_ONE, int256)
    )


@external
@view
@reentrant
def load_globals() -> uint256[2]:
    """
    @notice Raw words of the domain.
    """
    return ledger.global_words


@external
@view
@reentrant
def load_market(market: uint256) -> uint256[8]:
    """
    @notice Raw words of a market.
    """
    assert market < c.MAX_MARKETS
    raw: uint256[8] = empty(uint256[8])
    for i: uint256 in range(8):
        raw[i] = ledger.markets[(market << 3) | i]
    return raw


@external
@view
@reentrant
def load_account(account: bytes32) -> uint256[34]:
    """
    @notice Raw words of an account.
    """
    return ledger.accounts[account]


@external
@view
@reentrant
def load_bands(market: uint256, is_long: bool, first: uint256, count: uint256) -> DynArray[uint256, 256]:
    """
    @notice Raw words of `count` bands from `first`.
    """
    assert market < c.MAX_MARKETS
    assert first + count <= c.N_BANDS
    raw: DynArray[uint256, 256] = []
    for i: uint256 in range(count, bound=256):
        raw.append(ledger.bands[ledger._band_index(market, is_long, first + i)])
    return raw


@external
@view
@reentrant
def load_cell(market: uint256, is_long: bool, band: uint256, epoch: uint256, scale: uint256) -> uint256:
    """
    @notice Raw cash index of a (band, epoch, scale).
    """
    assert market < c.MAX_MARKETS and band < c.N_BANDS
    assert epoch < 2**16 and scale < 2**8
    return ledger.cells[ledger._cell_index(market, is_long, band, epoch, scale)]


@external
@view
@reentrant
def governor() -> address:
    """
    @notice Address that may change parameters.
    """
    return ledger.governor


@external
@view
@reentrant
def wiring() -> (address, address, address, address):
    """
    @notice Collateral token, oracle, liquidation engine and backstop fund.
    """
    return ledger.TOKEN, ledger.ORACLE, ledger.liquidation_engine, ledger.backstop


@external
@view
@reentrant
def is_filler(filler: address) -> bool:
    """
    @notice Whether a contract may settle trades.
    """
    return ledger.fillers[filler]
