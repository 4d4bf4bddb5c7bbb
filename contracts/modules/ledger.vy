# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title Who owns what: accounts, the two counters, and the words everything is stored in
@license MIT
@notice Storage of the ClearingHouse. Every balance is written through this module (SPEC sections 2 and 3).
@dev Initialised by ClearingHouse and by DefaultManager, which runs in the ClearingHouse's storage by
     delegatecall: both import the same modules in the same order, so the layouts are one.
     Mirror: `python_ref/ledger.py`.
"""

from contracts.modules import constants as c
from contracts.modules import fixed_math
from contracts.modules import words


event OperatorSet:
    owner: indexed(address)
    operator: indexed(address)
    approved: bool


event Exposed:
    account: indexed(bytes32)
    units: uint256
    gons: uint256


event WrittenOff:
    account: indexed(bytes32)
    amount: uint256


event LateFolded:
    account: indexed(bytes32)
    units: uint256
    gons: uint256


# account -> word 0, two words per market, word 33 = late units; SPEC section 3
accounts: HashMap[bytes32, uint256[34]]
# market<<9 | long<<8 | band -> packed band
bands: uint256[8192]
# (band index << 16 | epoch) << 8 | scale -> packed cash index
cells: uint256[2**37]
# market<<3 | 0..7 -> packed market words
markets: uint256[128]
# claim index, bad debt, counters
global_words: uint256[2]
# owner -> operator -> may deposit, trade and cancel for him
operators: HashMap[address, HashMap[address, bool]]
# contracts that may settle trades
fillers: HashMap[address, bool]
# may change parameters; the Governor contract
governor: address
# asked how much a liquidation takes
liquidation_engine: address
# owner of the treasury and of the bucket accounts
backstop: address
# bit m: positions of market m are claimed at its final price; bit 16 + m: all have been (SPEC section 15)
settled: uint256

# collateral token
TOKEN: immutable(address)
# money units (1e-18) per token atom
UNIT: immutable(uint256)
# prices of every market
ORACLE: immutable(address)


@deploy
def __init__(token: address, decimals: uint256, oracle: address):
    """
    @param token Collateral, an ERC-20.
    @param decimals Its decimals, at most 18.
    @param oracle The price oracle.
    """
    assert decimals <= 18, "ledger: token decimals"
    TOKEN = token
    UNIT = 10 ** (18 - decimals)
    ORACLE = oracle


# ---- words ---------------------------------------------------------------------------------------


@internal
@view
def _load_account(account: bytes32) -> words.Account:
    return words._unpack_account(self.accounts[account][0])


@internal
def _store_account(account: bytes32, word: words.Account):
    self.accounts[account][0] = words._pack_account(word)


@internal
@view
def _load_position(account: bytes32, market: uint256) -> words.Position:
    # market < 16
    first: uint256 = unsafe_add(unsafe_mul(market, 2), 1)
    return words._unpack_position(self.accounts[account][first], self.accounts[account][unsafe_add(first, 1)])


@internal
def _store_position(account: bytes32, market: uint256, position: words.Position):
    first: uint256 = 0
    second: uint256 = 0
    first, second = words._pack_position(position)
    # market < 16
    at: uint256 = unsafe_add(unsafe_mul(market, 2), 1)
    self.accounts[account][at] = first
    self.accounts[account][unsafe_add(at, 1)] = second


@internal
@pure
def _band_index(market: uint256, is_long: bool, band: uint256) -> uint256:
    index: uint256 = (market << 9) | band
    if is_long:
        index |= 1 << 8
    return index


@internal
@view
def _load_band(market: uint256, is_long: bool, band: uint256) -> words.Band:
    return words._unpack_band(self.bands[self._band_index(market, is_long, band)])


@internal
def _store_band(market: uint256, is_long: bool, band: uint256, state: words.Band):
    self.bands[self._band_index(market, is_long, band)] = words._pack_band(state)


@internal
@pure
def _cell_index(market: uint256, is_long: bool, band: uint256, epoch: uint256, scale: uint256) -> uint256:
    return (((self._band_index(market, is_long, band) << 16) | epoch) << 8) | scale


@internal
@view
def _load_cell(market: uint256, is_long: bool, band: uint256, epoch: uint256, scale: uint256) -> words.Cell:
    return words._unpack_cell(self.cells[self._cell_index(market, is_long, band, epoch, scale)])


@internal
def _store_cell(market: uint256, is_long: bool, band: uint256, epoch: uint256, scale: uint256, cell: words.Cell):
    self.cells[self._cell_index(market, is_long, band, epoch, scale)] = words._pack_cell(cell)


@internal
@view
def _load_market(market: uint256) -> words.Market:
    return words._unpack_market(self.markets[market << 3], self.markets[(market << 3) | 1])


@internal
def _store_market(market: uint256, m: words.Market):
    first: uint256 = 0
    second: uint256 = 0
    first, second = words._pack_market(m)
    self.markets[market << 3] = first
    self.markets[(market << 3) | 1] = second


@internal
@view
def _load_limits(market: uint256) -> words.Limits:
    return words._unpack_limits(self.markets[(market << 3) | 3])


@internal
def _store_limits(market: uint256, limits: words.Limits):
    self.markets[(market << 3) | 3] = words._pack_limits(limits)


@internal
def _count_receipt(market: uint256, opened: bool):
    self.markets[(market << 3) | 3] = words._count_receipt(self.markets[(market << 3) | 3], opened)


@internal
@view
def _load_bitmap(market: uint256, is_long: bool) -> uint256:
    if is_long:
        return self.markets[(market << 3) | 4]
    return self.markets[(market << 3) | 5]


@internal
def _store_bitmap(market: uint256, is_long: bool, bitmap: uint256):
    if is_long:
        self.markets[(market << 3) | 4] = bitmap
    else:
        self.markets[(market << 3) | 5] = bitmap


@internal
@view
def _load_globals() -> words.Globals:
    return words._unpack_globals(self.global_words[0], self.global_words[1])


@internal
def _store_globals(domain: words.Globals):
    first: uint256 = 0
    second: uint256 = 0
    first, second = words._pack_globals(domain)
    self.global_words[0] = first
    self.global_words[1] = second


@internal
@view
def _claim_index() -> uint256:
    return self.global_words[0] & (2**128 - 1)


@internal
@view
def _bucket_of(market: uint256) -> bytes32:
    """
    @notice The fund's account for one market.
    """
    return self._account_id(self.backstop, market + 1)


# ---- rights --------------------------------------------------------------------------------------


@internal
@pure
def _owner_of(account: bytes32) -> address:
    return convert(convert(account, uint256) >> 96, address)


@internal
@pure
def _account_id(owner: address, subaccount: uint256) -> bytes32:
    return convert((convert(owner, uint256) << 96) | subaccount, bytes32)


@internal
@view
def _is_authorised(owner: address, actor: address) -> bool:
    return actor == owner or self.operators[owner][actor]


@internal
@view
def _only_authorised(account: bytes32):
    assert self._is_authorised(self._owner_of(account), msg.sender), "ledger: not authorised"


@internal
@view
def _only_owner(account: bytes32):
    assert msg.sender == self._owner_of(account), "ledger: not the owner"


# ---- the exempt / exposed boundary ---------------------------------------------------------------


@internal
def _expose(account: bytes32, exempt_word: words.Account) -> words.Account:
    """
    @notice Make an exempt account exposed (rule 5); the caller stores the word.
    """
    word: words.Account = exempt_word
    domain: words.Globals = self._load_globals()
    assert domain.bad_debt == 0 and domain.open_receipts == 0, "ledger: closed to newcomers"
    units: uint256 = convert(word.cash, uint256)
    gons: uint256 = fixed_math._mul_div_down(units, c.INDEX_ONE, domain.claim_index)
    domain.exempt -= units
    domain.exposed += convert(gons, int256)
    self._store_globals(domain)
    word.cash = convert(gons, int256)
    word.exposed = True
    log Exposed(account=account, units=units, gons=gons)
    return word


@internal
def _fold_late(account: bytes32, late_word: words.Account) -> words.Account:
    """
    @notice Turn `late` units into gons; the caller stores the word.
    """
    word: words.Account = late_word
    domain: words.Globals = self._load_globals()
    units: uint256 = self.accounts[account][33]
    gons: uint256 = fixed_math._mul_div_down(units, c.INDEX_ONE, domain.claim_index)
    domain.exempt -= units
    domain.exposed += convert(gons, int256)
    self._store_globals(domain)
    self.accounts[account][33] = 0
    word.cash += convert(gons, int256)
    word.has_late = False
    log LateFolded(account=account, units=units, gons=gons)
    return word


@internal
def _touch_late(account: bytes32, word: words.Account) -> words.Account:
    """
    @notice Fold `late` cash once the bad debt is gone (rule 6).
    """
    if word.has_late and self._load_globals().bad_debt == 0:
        return self._fold_late(account, word)
    return word


@internal
def _ready(account: bytes32) -> words.Account:
    """
    @notice An account about to trade: late cash folded, exposed. The trade stores it.
    """
    word: words.Account = self._touch_late(account, self._load_account(account))
    if not word.exposed:
        return self._expose(account, word)
    return word


@internal
def _credit(account: bytes32, units: uint256) -> bool:
    """
    @notice Add units of money to an account's claims; True if they went to `late`.
    """
    domain: words.Globals = self._load_globals()
    word: words.Account = self._load_account(account)
    assert word.legs & self.settled == 0, "market: settled"
    late: bool = False
    if not word.exposed:
        word.cash += convert(units, int256)
        domain.exempt += units
    elif domain.bad_debt > 0:
        late = True
        word.has_late = True
        self.accounts[account][33] += units
        domain.exempt += units
    else:
        gons: uint256 = fixed_math._mul_div_down(units, c.INDEX_ONE, domain.claim_index)
        word.cash += convert(gons, int256)
        domain.exposed += convert(gons, int256)
    word.touched = block.timestamp
    self._store_globals(domain)
    self._store_account(account, word)
    return late


@internal
def _write_off(account: bytes32) -> uint256:
    """
    @notice Turn the negative cash of a flat account into bad debt; gons written off (rule 13).
    """
    word: words.Account = self._load_account(account)
    if word.legs != 0:
        return 0
    if word.has_late:
        # what its owner added pays his debt before strangers do
        word = self._fold_late(account, word)
        self._store_account(account, word)
    if word.cash >= 0:
        return 0
    booked: uint256 = convert(-word.cash, uint256)
    domain: words.Globals = self._load_globals()
    domain.bad_debt += booked
    domain.exposed += convert(booked, int256)
    self._store_globals(domain)
    word.cash = 0
    self._store_account(account, word)
    log WrittenOff(account=account, amount=booked)
    return booked
