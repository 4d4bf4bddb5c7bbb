# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title The backstop fund and its rebasing claim
@license MIT
@notice Liquidity providers deposit collateral and hold an ERC-20 whose balance is `shares * nav_index / 1e36`: one
        token claims one money unit of the fund at its harsh valuation. A loss shrinks every balance, income grows
        them. Leaving takes a request and a cooldown, in which the leaver bears losses and earns nothing.
@dev The money lies in the ClearingHouse: a treasury (`fund ‖ 0`, exempt) and a bucket per market (`fund ‖ m + 1`,
     exposed). Both change only through the ClearingHouse, so tokens sent to this contract count for nothing.
     Why a stored index and not `shares * NAV / supply` at read time: a balance must not change between two
     recognitions (a rebase is an event), and the running minimum of rule 41 needs values to take the minimum of.
     `nav_index = min((nav + V_UNITS) / (shares + V_SHARES), nav / shares)`, floored. The first term is the virtual
     deposit: who inflates an empty fund gives his gift to shares that nobody holds. The second stops the
     virtual deposit from paying losses: claims never exceed assets, exactly.
     Minting divides by the same formula at the kind-side NAV, rounded up, and by no less than `nav_index` (rule 40).
     The running minimum is a stack of suffix minima, (serial, index), strictly rising in both. A new value replaces
     all that are not below it, found by binary search and cut off by a length: O(log n) even when a crash
     follows a long climb, and one slot written. The minimum since serial r is the first entry not older than r.
     Known limits: a deposit made just before a recognition shares its gain, for the price of one cooldown at
     risk; anyone may spend a market's daily top-up, which makes treasury cash illiquid but not smaller.
     Mirror: `python_ref/backstop_fund.py`.
"""

from ethereum.ercs import IERC20
from ethereum.ercs import IERC20Detailed

from contracts.interfaces import IClearingHouse
from contracts.interfaces import IPriceOracle
from contracts.modules import constants as c
from contracts.modules import words

implements: IERC20
implements: IERC20Detailed


event Transfer:
    sender: indexed(address)
    receiver: indexed(address)
    value: uint256


event Approval:
    owner: indexed(address)
    spender: indexed(address)
    value: uint256


event SharesTransferred:
    sender: indexed(address)
    receiver: indexed(address)
    shares: uint256


event Rebase:
    epoch: indexed(uint256)
    supply_before: uint256
    supply_after: uint256
    reason: uint256


event Deposited:
    owner: indexed(address)
    amount: uint256
    shares: uint256


event WithdrawalRequested:
    owner: indexed(address)
    shares: uint256
    opens_at: uint256
    closes_at: uint256


event WithdrawalCancelled:
    owner: indexed(address)
    shares: uint256


event WithdrawalClaimed:
    owner: indexed(address)
    shares: uint256
    amount: uint256
    low_index: uint256


event BucketToppedUp:
    market: indexed(uint256)
    amount: uint256


event BucketSkimmed:
    market: indexed(uint256)
    amount: uint256


event CapSet:
    market: indexed(uint256)
    cap: uint256


event AuctionStarted:
    market: indexed(uint256)
    started_at: uint256


event InventorySold:
    market: indexed(uint256)
    buyer_account: indexed(bytes32)
    size: uint256
    price: uint256


name: public(constant(String[24])) = "Waterfall Backstop Claim"
symbol: public(constant(String[6])) = "wfBACK"
decimals: public(constant(uint8)) = 18

INDEX_SCALE: constant(uint256) = 10**36
# Virtual deposit: a millionth of a money unit at 1e6 shares per wei. As many as 1e18 shares keep the grain of a
# share fine even where the fund earned much before anyone owned it.
V_UNITS: constant(uint256) = 10**12
V_SHARES: constant(uint256) = 10**18
# Below 1e-21 of the birth value a share is worth nothing and its own rounding is too coarse: new share epoch (rule 42)
MIN_INDEX: constant(uint256) = 10**9
CLAIM_WINDOW_S: constant(uint256) = 2 * 86_400
HOUR_S: constant(uint256) = 3_600
# An hour's spending is forgotten when 24 full hours have passed since its end: no rolling day exceeds the cap
CAP_HOURS: constant(uint256) = 25
AUCTION_S: constant(uint256) = 1_800
MAX_SPREAD_PPM: constant(uint256) = 10_000
REASON_GAIN: constant(uint256) = 0
REASON_LOSS: constant(uint256) = 1
KIND: constant(uint256) = 0
CREDIT: constant(uint256) = 2

# The collateral that the ClearingHouse holds
TOKEN: public(immutable(address))
CLEARING_HOUSE: public(immutable(address))
ORACLE: public(immutable(address))
# Sets caps and takes money back from buckets; its own ownership moves in two steps, so it need not move here
GOVERNOR: public(immutable(address))
# Seconds between request and claim; a parameter so that a demonstration can shorten it
COOLDOWN_S: public(immutable(uint256))
# Money units (WAD) per token atom
UNIT: immutable(uint256)

# Owner, spender: token units. Not cut by a rebase
allowance: public(HashMap[address, HashMap[address, uint256]])
# Share epoch, owner: shares. By epoch so that a fund that lost all can start afresh (rule 42)
shares: HashMap[uint256, HashMap[address, uint256]]
# Shares of the current epoch that somebody holds
total_shares: public(uint256)
# Times that the fund lost all
share_epoch: public(uint256)
# Money units per share at the last recognition, 1e36-scaled, harsh side
nav_index: public(uint256)
# Serial of the last change of nav_index; orders requests among them
serial: public(uint256)
# Stack of suffix minima: serial << 192 | index
lows: HashMap[uint256, uint256]
# Height of that stack
n_lows: public(uint256)
# Share epoch, owner: shares that are waiting to leave; they stay in `shares` but cannot be moved
requested: HashMap[uint256, HashMap[address, uint256]]
# Owner: serial << 64 | second of the request
request_mark: HashMap[address, uint256]
# Market: units that its bucket may get from the treasury in any rolling day
cap: public(HashMap[uint256, uint256])
# Market, hour since 1970: units moved to the bucket in it
spent: HashMap[uint256, HashMap[uint256, uint256]]
# Market: second at which the running or last auction of its bucket began, 0 if sold out
auction_start: public(HashMap[uint256, uint256])


@deploy
def __init__(token: address, clearing_house: address, oracle: address, governor: address, cooldown_s: uint256):
    """
    @notice The parties and the cooldown are fixed for the life of the fund.
    @param cooldown_s Seconds between a withdrawal request and its claim; one day in production.
    """
    TOKEN = token
    CLEARING_HOUSE = clearing_house
    ORACLE = oracle
    GOVERNOR = governor
    COOLDOWN_S = cooldown_s
    token_decimals: uint8 = staticcall IERC20Detailed(token).decimals()
    assert token_decimals <= 18, "fund: too many decimals"
    UNIT = 10 ** convert(18 - token_decimals, uint256)
    self._set_index(self._index_of(0, 0))


# Shares in, shares out


@external
def deposit(amount: uint256) -> uint256:
    """
    @notice Pay `amount` token atoms into the treasury and receive shares at the kind-side NAV, rounded down.
    @return Shares minted.
    """
    self._require_unlocked()
    kind_nav: uint256 = self._recognise()
    units: uint256 = amount * UNIT
    index: uint256 = max(self._mint_index_of(kind_nav, self.total_shares), self.nav_index)
    minted: uint256 = units * INDEX_SCALE // index
    assert minted > 0, "fund: zero shares"

    assert extcall IERC20(TOKEN).transferFrom(
        msg.sender, self, amount, default_return_value=True
    ), "fund: token refused"
    assert extcall IERC20(TOKEN).approve(CLEARING_HOUSE, amount, default_return_value=True), "fund: token refused"
    extcall IClearingHouse(CLEARING_HOUSE).deposit(self._account(0), amount)

    self.shares[self.share_epoch][msg.sender] += minted
    self.total_shares += minted
    log Deposited(owner=msg.sender, amount=units, shares=minted)
    self._log_move(empty(address), msg.sender, self._value_of(minted), minted)
    return minted


@external
def request_withdrawal(share_amount: uint256):
    """
    @notice Announce that `share_amount` shares leave. They stay put until `claim_withdrawal` or `cancel_withdrawal`;
            an unused request lapses two days after the cooldown.
    """
    self._recognise()
    assert share_amount > 0, "fund: zero shares"
    assert self._pending(msg.sender) == 0, "fund: request pending"
    epoch: uint256 = self.share_epoch
    assert share_amount <= self.shares[epoch][msg.sender], "fund: balance"
    self.requested[epoch][msg.sender] = share_amount
    self.request_mark[msg.sender] = (self.serial << 64) | block.timestamp
    opens_at: uint256 = block.timestamp + COOLDOWN_S
    log WithdrawalRequested(
        owner=msg.sender, shares=share_amount, opens_at=opens_at, closes_at=opens_at + CLAIM_WINDOW_S
    )


@external
def cancel_withdrawal():
    """
    @notice Take the request back; the shares are ordinary again at the current index.
    """
    pending: uint256 = self._pending(msg.sender)
    assert pending > 0, "fund: no request"
    self.requested[self.share_epoch][msg.sender] = 0
    self.request_mark[msg.sender] = 0
    log WithdrawalCancelled(owner=msg.sender, shares=pending)


@external
def claim_withdrawal() -> uint256:
    """
    @notice Redeem the requested shares at the lowest index since the request (rule 41), as far as treasury cash goes.
    @dev What cash cannot pay stays requested, within the same window.
    @return Money units paid.
    """
    self._require_unlocked()
    self._require_live()
    self._recognise()
    pending: uint256 = self._pending(msg.sender)
    assert pending > 0, "fund: no request"
    mark: uint256 = self.request_mark[msg.sender]
    assert block.timestamp >= (mark & (2**64 - 1)) + COOLDOWN_S, "fund: cooling down"

    low: uint256 = self._low_since(mark >> 64)
    due: uint256 = pending * low // INDEX_SCALE
    cash: uint256 = self._equity(0, CREDIT)
    atoms: uint256 = min(due, cash) // UNIT
    assert atoms > 0, "fund: nothing to pay"
    paid: uint256 = atoms * UNIT
    burned: uint256 = pending
    if due > cash:
        burned = min(pending, (paid * INDEX_SCALE + low - 1) // low)

    epoch: uint256 = self.share_epoch
    self.shares[epoch][msg.sender] -= burned
    self.total_shares -= burned
    self.requested[epoch][msg.sender] = pending - burned
    if burned == pending:
        self.request_mark[msg.sender] = 0
    extcall IClearingHouse(CLEARING_HOUSE).withdraw(self._account(0), atoms, msg.sender)

    log WithdrawalClaimed(owner=msg.sender, shares=burned, amount=paid, low_index=low)
    self._log_move(msg.sender, empty(address), self._value_of(burned), burned)
    return paid


@external
def recognise() -> uint256:
    """
    @notice Value the fund now and rebase the supply to it; anyone.
    @return The index after it.
    """
    self._recognise()
    return self.nav_index


# Buckets


@external
def top_up(market: uint256, amount: uint256) -> uint256:
    """
    @notice Move up to `amount` money units from the treasury to a market's bucket; anyone.
    @dev Clamped to what the cap leaves and the treasury holds, so that a one-wei front-run does not make it fail.
    @return Money units moved.
    """
    self._require_live()
    bucket: bytes32 = self._bucket(market)
    used: uint256 = self._used(market)
    limit: uint256 = self.cap[market]
    moved: uint256 = 0
    if limit > used:
        moved = min(min(amount, limit - used), self._equity(0, CREDIT))
    assert moved > 0, "fund: nothing to move"
    self.spent[market][block.timestamp // HOUR_S] += moved
    extcall IClearingHouse(CLEARING_HOUSE).transfer(self._account(0), bucket, moved)
    log BucketToppedUp(market=market, amount=moved)
    self._recognise()
    return moved


@external
def skim(market: uint256, amount: uint256):
    """
    @notice Move `amount` money units from a market's bucket back to the treasury; governor. The ClearingHouse refuses
            what the bucket's margin needs.
    """
    self._require_governor()
    self._require_live()
    extcall IClearingHouse(CLEARING_HOUSE).transfer(self._bucket(market), self._account(0), amount)
    log BucketSkimmed(market=market, amount=amount)
    self._recognise()


@external
def set_cap(market: uint256, cap: uint256):
    """
    @notice Set how many money units a market's bucket may get in any rolling day; governor.
    """
    self._require_governor()
    assert market < c.MAX_MARKETS, "fund: no such market"
    self.cap[market] = cap
    log CapSet(market=market, cap=cap)


@external
def start_auction(market: uint256):
    """
    @notice Offer a bucket's inventory: from a premium to a discount within AUCTION_S; anyone, when none is running.
    @dev An auction ends, so that inventory taken over later does not start at the deepest discount.
    """
    held: bool = False
    is_long: bool = False
    held, is_long = self._inventory(market)
    assert held, "fund: no inventory"
    assert not self._is_running(market), "fund: auction runs"
    self.auction_start[market] = block.timestamp
    log AuctionStarted(market=market, started_at=block.timestamp)


@external
def sell_inventory(market: uint256, buyer_account: bytes32, size: uint256) -> uint256:
    """
    @notice Take up to `size` of a bucket's inventory at the auction's price; for the account's owner or operator.
    @dev The bucket only reduces; margin, price band and lots are judged by the ClearingHouse.
    @return Size taken, WAD.
    """
    assert staticcall IClearingHouse(CLEARING_HOUSE).is_authorised(
        convert(convert(buyer_account, uint256) >> 96, address), msg.sender
    ), "fund: not authorised"
    held: bool = False
    is_long: bool = False
    held, is_long = self._inventory(market)
    assert held, "fund: no inventory"
    assert self._is_running(market), "fund: no auction"
    now_prices: IPriceOracle.Prices = extcall IPriceOracle(ORACLE).prices(market)
    price: uint256 = self._auction_price(market, is_long, now_prices.index)

    bucket: bytes32 = self._bucket(market)
    sold: uint256 = 0
    if is_long:
        sold = extcall IClearingHouse(CLEARING_HOUSE).fill(
            market, buyer_account, bucket, size, price, c.FLAG_SELLER_REDUCE_ONLY | c.FLAG_BUYER_IS_TAKER
        )
    else:
        sold = extcall IClearingHouse(CLEARING_HOUSE).fill(
            market, bucket, buyer_account, size, price, c.FLAG_BUYER_REDUCE_ONLY
        )
    held, is_long = self._inventory(market)
    if not held:
        self.auction_start[market] = 0
    log InventorySold(market=market, buyer_account=buyer_account, size=sold, price=price)
    self._recognise()
    return sold


# ERC-20


@external
def transfer(to: address, amount: uint256) -> bool:
    """
    @notice Move `amount` token units; as many shares as that takes, rounded up, so the sender never keeps any of it.
    """
    self._move(msg.sender, to, self._shares_for(amount), amount)
    return True


@external
def transferFrom(owner: address, to: address, amount: uint256) -> bool:
    """
    @notice Move `amount` token units of `owner` out of the caller's allowance.
    @dev The allowance pays what the moved shares are worth: where one share is worth more than a token wei, moving
         one wei at a time would otherwise carry off the rest for nothing.
    """
    moved: uint256 = self._shares_for(amount)
    allowed: uint256 = self.allowance[owner][msg.sender]
    if allowed != max_value(uint256):
        charge: uint256 = max(amount, self._value_of(moved))
        assert charge <= allowed, "fund: allowance"
        self.allowance[owner][msg.sender] = allowed - charge
    self._move(owner, to, moved, amount)
    return True


@external
def transfer_shares(to: address, share_amount: uint256) -> uint256:
    """
    @notice Move `share_amount` shares; sweeps what `transfer` of a whole balance leaves below one wei.
    @return Their worth in token units, rounded down.
    """
    worth: uint256 = self._value_of(share_amount)
    self._move(msg.sender, to, share_amount, worth)
    return worth


@external
def approve(spender: address, amount: uint256) -> bool:
    """
    @notice Let `spender` move `amount` token units; the highest number is never used up.
    """
    self.allowance[msg.sender][spender] = amount
    log Approval(owner=msg.sender, spender=spender, value=amount)
    return True


@view
@external
def balanceOf(owner: address) -> uint256:
    """
    @notice Money units that the owner's shares claimed at the last recognition, rounded down; what waits to leave
            is included.
    """
    return self._value_of(self.shares[self.share_epoch][owner])


@view
@external
def totalSupply() -> uint256:
    """
    @notice Money units that all shares claimed at the last recognition, rounded down.
    """
    return self._value_of(self.total_shares)


@view
@external
def shares_of(owner: address) -> uint256:
    """
    @notice Shares of the current epoch.
    """
    return self.shares[self.share_epoch][owner]


@view
@external
def withdrawal_of(owner: address) -> (uint256, uint256, uint256, uint256):
    """
    @notice The owner's request: shares, lowest index since, first and last second in which it can be claimed.
    @dev All zero if there is none or it has lapsed.
    """
    pending: uint256 = self._pending(owner)
    if pending == 0:
        return 0, 0, 0, 0
    mark: uint256 = self.request_mark[owner]
    opens_at: uint256 = (mark & (2**64 - 1)) + COOLDOWN_S
    return pending, self._low_since(mark >> 64), opens_at, opens_at + CLAIM_WINDOW_S


@view
@external
def auction_price(market: uint256) -> uint256:
    """
    @notice Price at which `sell_inventory` would trade in this block, WAD.
    """
    held: bool = False
    is_long: bool = False
    held, is_long = self._inventory(market)
    assert held, "fund: no inventory"
    assert self._is_running(market), "fund: no auction"
    now_prices: IPriceOracle.Prices = staticcall IPriceOracle(ORACLE).peek(market)
    return self._auction_price(market, is_long, now_prices.index)


@view
@external
def used_cap(market: uint256) -> uint256:
    """
    @notice Money units of a market's cap that the last day has used up.
    """
    return self._used(market)


@view
@external
def is_locked() -> bool:
    """
    @notice Whether deposits and claims wait for a default to be settled.
    """
    return self._is_locked()


# NAV


@internal
def _recognise() -> uint256:
    """
    @notice Set the index to the harsh-side NAV; the kind-side NAV is returned for a mint.
    """
    harsh: uint256 = self._equity(0, CREDIT)
    kind: uint256 = harsh
    for market: uint256 in range(c.MAX_MARKETS):
        equity: int256[3] = extcall IClearingHouse(CLEARING_HOUSE).account_equity(self._account(market + 1))
        harsh += convert(max(equity[CREDIT], 0), uint256)
        kind += convert(max(equity[KIND], 0), uint256)

    old: uint256 = self.nav_index
    held: uint256 = self.total_shares
    index: uint256 = self._index_of(harsh, held)
    if held > 0 and index < MIN_INDEX:
        log Rebase(
            epoch=self.share_epoch, supply_before=self._value_of(held), supply_after=0, reason=REASON_LOSS
        )
        self.share_epoch += 1
        self.total_shares = 0
        # requests died with their shares, so no minimum older than this is ever asked for
        self.n_lows = 0
        self._set_index(self._index_of(harsh, 0))
    elif index != old:
        before: uint256 = self._value_of(held)
        self._set_index(index)
        after: uint256 = self._value_of(held)
        if after > before:
            log Rebase(epoch=self.share_epoch, supply_before=before, supply_after=after, reason=REASON_GAIN)
        elif after < before:
            log Rebase(epoch=self.share_epoch, supply_before=before, supply_after=after, reason=REASON_LOSS)
    return kind


@internal
def _set_index(index: uint256):
    """
    @notice Store a new index and put it on the stack of suffix minima.
    """
    serial: uint256 = self.serial + 1
    low: uint256 = 0
    high: uint256 = self.n_lows
    for _: uint256 in range(64):
        if low == high:
            break
        middle: uint256 = (low + high) // 2
        if (self.lows[middle] & (2**192 - 1)) < index:
            low = middle + 1
        else:
            high = middle
    # the range check keeps an index out of the serial's bits
    self.lows[low] = (serial << 192) | convert(convert(index, uint192), uint256)
    self.n_lows = low + 1
    self.serial = serial
    self.nav_index = index


@view
@internal
def _low_since(serial: uint256) -> uint256:
    """
    @notice The lowest index from the value numbered `serial` until now.
    """
    low: uint256 = 0
    high: uint256 = self.n_lows
    for _: uint256 in range(64):
        if low == high:
            break
        middle: uint256 = (low + high) // 2
        if (self.lows[middle] >> 192) < serial:
            low = middle + 1
        else:
            high = middle
    return self.lows[low] & (2**192 - 1)


@pure
@internal
def _index_of(nav: uint256, held: uint256) -> uint256:
    """
    @notice Money units per share, 1e36-scaled, rounded down: what a leaver and a balance get.
    """
    index: uint256 = (nav + V_UNITS) * INDEX_SCALE // (held + V_SHARES)
    if held > 0:
        index = min(index, nav * INDEX_SCALE // held)
    return index


@pure
@internal
def _mint_index_of(nav: uint256, held: uint256) -> uint256:
    """
    @notice The same, rounded up: what a newcomer pays.
    """
    index: uint256 = ((nav + V_UNITS) * INDEX_SCALE + held + V_SHARES - 1) // (held + V_SHARES)
    if held > 0:
        index = min(index, (nav * INDEX_SCALE + held - 1) // held)
    return index


@view
@internal
def _value_of(share_amount: uint256) -> uint256:
    """
    @notice Token units that shares are worth, rounded down.
    """
    return share_amount * self.nav_index // INDEX_SCALE


@view
@internal
def _shares_for(amount: uint256) -> uint256:
    """
    @notice Shares that are worth at least `amount` token units.
    """
    return (amount * INDEX_SCALE + self.nav_index - 1) // self.nav_index


@internal
def _equity(subaccount: uint256, edge: uint256) -> uint256:
    """
    @notice Equity of one of the fund's accounts in money units, zero if negative.
    """
    equity: int256[3] = extcall IClearingHouse(CLEARING_HOUSE).account_equity(self._account(subaccount))
    return convert(max(equity[edge], 0), uint256)


# Shares


@view
@internal
def _pending(owner: address) -> uint256:
    """
    @notice Shares that wait to leave; a request that outlived its window has lapsed without anyone's call.
    """
    requested_at: uint256 = self.request_mark[owner] & (2**64 - 1)
    if block.timestamp > requested_at + COOLDOWN_S + CLAIM_WINDOW_S:
        return 0
    return self.requested[self.share_epoch][owner]


@internal
def _move(owner: address, to: address, share_amount: uint256, amount: uint256):
    assert to != empty(address) and to != self, "fund: bad receiver"
    epoch: uint256 = self.share_epoch
    held: uint256 = self.shares[epoch][owner]
    assert share_amount <= held - self._pending(owner), "fund: balance"
    self.shares[epoch][owner] = held - share_amount
    # read again: owner and receiver may be the same
    self.shares[epoch][to] += share_amount
    self._log_move(owner, to, amount, share_amount)


@internal
def _log_move(owner: address, to: address, amount: uint256, share_amount: uint256):
    log Transfer(sender=owner, receiver=to, value=amount)
    log SharesTransferred(sender=owner, receiver=to, shares=share_amount)


# Accounts, locks, auctions


@view
@internal
def _account(subaccount: uint256) -> bytes32:
    return convert((convert(self, uint256) << 96) | subaccount, bytes32)


@view
@internal
def _bucket(market: uint256) -> bytes32:
    assert market < c.MAX_MARKETS, "fund: no such market"
    return self._account(market + 1)


@view
@internal
def _used(market: uint256) -> uint256:
    hour: uint256 = block.timestamp // HOUR_S
    used: uint256 = 0
    for back: uint256 in range(CAP_HOURS):
        used += self.spent[market][hour - back]
    return used


@view
@internal
def _is_locked() -> bool:
    """
    @notice While there is bad debt or an open receipt.
    """
    raw: uint256[2] = staticcall IClearingHouse(CLEARING_HOUSE).load_globals()
    domain: words.Globals = words._unpack_globals(raw[0], raw[1])
    return domain.bad_debt != 0 or domain.open_receipts != 0


@view
@internal
def _require_unlocked():
    assert not self._is_locked(), "fund: locked"


@internal
def _require_live():
    """
    @notice No money leaves the treasury or a bucket while a market in which a bucket has a position is not LIVE: the
            fund's worth is in doubt. A market that never had a price has no positions.
    """
    for market: uint256 in range(c.MAX_MARKETS):
        told: IPriceOracle.Prices = extcall IPriceOracle(ORACLE).prices(market)
        if told.state == c.STATE_LIVE or told.index == 0:
            continue
        held: bool = False
        is_long: bool = False
        held, is_long = self._inventory(market)
        assert not held, "fund: market not live"


@view
@internal
def _require_governor():
    assert msg.sender == GOVERNOR, "fund: not governor"


@view
@internal
def _inventory(market: uint256) -> (bool, bool):
    """
    @notice Whether the bucket holds a position, and whether it is long.
    """
    raw: uint256[34] = staticcall IClearingHouse(CLEARING_HOUSE).load_account(self._bucket(market))
    position: words.Position = words._unpack_position(raw[1 + 2 * market], raw[2 + 2 * market])
    return (words._unpack_account(raw[0]).legs >> market) & 1 == 1, position.is_long


@view
@internal
def _is_running(market: uint256) -> bool:
    started_at: uint256 = self.auction_start[market]
    return started_at != 0 and block.timestamp <= started_at + AUCTION_S


@view
@internal
def _auction_price(market: uint256, is_long: bool, index: uint256) -> uint256:
    """
    @notice A long is sold from x(1 + s) down to x(1 - s), a short bought back from x(1 - s) up to x(1 + s);
            s is 1 % or the market's maintenance rate. Rounded for the fund.
    """
    elapsed: uint256 = block.timestamp - self.auction_start[market]
    raw: uint256[8] = staticcall IClearingHouse(CLEARING_HOUSE).load_market(market)
    spread: uint256 = min(MAX_SPREAD_PPM, words._maintenance(raw[2]))
    whole: uint256 = c.PPM * AUCTION_S
    if is_long:
        return (index * (whole + spread * AUCTION_S - 2 * spread * elapsed) + whole - 1) // whole
    return index * (whole - spread * AUCTION_S + 2 * spread * elapsed) // whole
