"""The backstop fund and its rebasing claim. Mirror of ``contracts/BackstopFund.vy``.

A balance is ``shares · nav_index / 1e36``. The index moves only when the fund is recognised, at its harsh-side NAV:
``min((nav + V_UNITS)/(shares + V_SHARES), nav/shares)``, floored. The first term is the virtual deposit (a gift to an
almost empty fund goes to shares that nobody holds), the second keeps claims at or below assets. Leavers are paid by
the lowest index since their request (rule 41), which a stack of suffix minima answers by binary search.
All externals, views included, take the sender first. Money is WAD, ``amount`` of :meth:`deposit` token atoms.
"""

from __future__ import annotations

from typing import Any, Protocol

from python_ref.constants import (
    FLAG_BUYER_IS_TAKER,
    FLAG_BUYER_REDUCE_ONLY,
    FLAG_SELLER_REDUCE_ONLY,
    MAX_MARKETS,
    PPM,
    STATE_LIVE,
)
from python_ref.fixed_math import mul_div_down, mul_div_up, uint
from python_ref.words import Account, Globals, Position, Risk
from python_ref.world import Key, Revert, World, require

NAME = "Waterfall Backstop Claim"
SYMBOL = "wfBACK"
DECIMALS = 18

INDEX_SCALE = 10**36
V_UNITS = 10**12
"""Virtual deposit, money units: one millionth of a unit of money."""
V_SHARES = 10**18
"""Virtual shares: they fix the birth price at 1e6 shares per money unit (wei)."""
MIN_INDEX = 10**9
"""Below this a share is worth nothing and the next share epoch begins (rule 42)."""
CLAIM_WINDOW_S = 2 * 86_400
HOUR_S = 3_600
CAP_HOURS = 25
"""Hours that count against a cap: the running one and 24 full ones, so that no rolling day exceeds it."""
AUCTION_S = 1_800
MAX_SPREAD_PPM = 10_000
REASON_GAIN = 0
REASON_LOSS = 1
KIND = 0
CREDIT = 2

MAX_UINT = 2**256 - 1
ZERO_ADDRESS = "0x" + "00" * 20


class Token(Protocol):
    """What the fund needs of the collateral; a missing answer counts as success."""

    def transferFrom(self, sender: str, owner: str, receiver: str, amount: int) -> bool | None:  # noqa: N802
        """Pull ``amount`` atoms of ``owner``."""

    def approve(self, sender: str, spender: str, amount: int) -> bool | None:
        """Let ``spender`` pull ``amount`` atoms."""


class ClearingHouse(Protocol):
    """What the fund needs of the clearing house."""

    def deposit(self, sender: str, account: bytes, amount: int) -> None:
        """Pull ``amount`` atoms into ``account``."""

    def withdraw(self, sender: str, account: bytes, amount: int, to: str) -> None:
        """Pay ``amount`` atoms to ``to``."""

    def transfer(self, sender: str, from_account: bytes, to_account: bytes, amount: int) -> None:
        """Move ``amount`` money units between two accounts of the sender."""

    def fill(self, sender: str, market: int, buyer: bytes, seller: bytes, size: int, price: int, flags: int) -> int:
        """Trade; the size that was let through, WAD."""

    def is_authorised(self, sender: str, owner: str, actor: str) -> bool:
        """Whether ``actor`` is ``owner`` or an operator of his."""

    def account_equity(self, sender: str, account: bytes) -> tuple[int, int, int]:
        """Equity at the kind edge, the index and the credit edge, money units, floored."""

    def load_globals(self, sender: str) -> tuple[int, ...]:
        """Two words."""

    def load_market(self, sender: str, market: int) -> tuple[int, ...]:
        """Eight words."""

    def load_account(self, sender: str, account: bytes) -> tuple[int, ...]:
        """34 words."""


class Prices(Protocol):
    """The fields that the fund reads."""

    @property
    def index(self) -> int:
        """Accepted index, WAD."""

    @property
    def state(self) -> int:
        """One of the ``STATE_`` constants."""


class Oracle(Protocol):
    """What the fund needs of the oracle."""

    def prices(self, sender: str, market: int) -> Prices:
        """Prices of this block; may refresh the cache."""

    def peek(self, sender: str, market: int) -> Prices:
        """The same without a write."""


def index_of(nav: int, held: int) -> int:
    """Money units per share, 1e36-scaled, rounded down: what a leaver and a balance get."""
    index = mul_div_down(uint(nav + V_UNITS), INDEX_SCALE, uint(held + V_SHARES))
    if held > 0:
        index = min(index, mul_div_down(nav, INDEX_SCALE, held))
    return index


def mint_index_of(nav: int, held: int) -> int:
    """The same, rounded up: what a newcomer pays."""
    index = mul_div_up(uint(nav + V_UNITS), INDEX_SCALE, uint(held + V_SHARES))
    if held > 0:
        index = min(index, mul_div_up(nav, INDEX_SCALE, held))
    return index


class BackstopFund:
    """The contract ``BackstopFund`` at ``address``. Words: ``("BackstopFund", variable, *indices)``."""

    def __init__(
        self,
        world: World,
        address: str,
        token: Token,
        token_decimals: int,
        clearing_house: ClearingHouse,
        clearing_house_address: str,
        oracle: Oracle,
        governor: str,
        cooldown_s: int,
    ) -> None:
        """Parties and cooldown (seconds) are fixed for life. ``fund: too many decimals``."""
        require(token_decimals <= 18, "fund: too many decimals")
        self.world = world
        self.address = address
        self.token = token
        self.clearing_house = clearing_house
        self.clearing_house_address = clearing_house_address
        self.oracle = oracle
        self.governor = governor
        self.cooldown_s = cooldown_s
        self.unit: int = 10 ** (18 - token_decimals)
        self._set_index(index_of(0, 0))

    # ---- shares in, shares out ---------------------------------------------------------------------

    def deposit(self, sender: str, amount: int) -> int:
        """Pay ``amount`` atoms into the treasury; shares minted at the kind-side NAV, rounded down (rule 40).

        ``fund: locked``, ``fund: zero shares``, ``fund: token refused``, and what token and ClearingHouse refuse.
        """
        self._require_unlocked()
        kind_nav = self._recognise()
        units = uint(amount * self.unit)
        index = max(mint_index_of(kind_nav, self._get("total_shares")), self._get("nav_index"))
        minted = mul_div_down(units, INDEX_SCALE, index)
        require(minted > 0, "fund: zero shares")

        pulled = self.token.transferFrom(self.address, sender, self.address, amount)
        require(pulled is not False, "fund: token refused")
        approved = self.token.approve(self.address, self.clearing_house_address, amount)
        require(approved is not False, "fund: token refused")
        self.clearing_house.deposit(self.address, self._account(0), amount)

        epoch = self._get("share_epoch")
        self._add(minted, "shares", epoch, sender)
        self._add(minted, "total_shares")
        self._emit("Deposited", owner=sender, amount=units, shares=minted)
        self._log_move(ZERO_ADDRESS, sender, self._value_of(minted), minted)
        return minted

    def request_withdrawal(self, sender: str, share_amount: int) -> None:
        """Announce that shares leave. ``fund: zero shares``, ``fund: request pending``, ``fund: balance``."""
        self._recognise()
        require(share_amount > 0, "fund: zero shares")
        require(self._pending(sender) == 0, "fund: request pending")
        epoch = self._get("share_epoch")
        require(share_amount <= self._get("shares", epoch, sender), "fund: balance")
        self._set(share_amount, "requested", epoch, sender)
        self._set(self._get("serial") << 64 | self.world.now, "request_mark", sender)
        opens_at = uint(self.world.now + self.cooldown_s)
        self._emit(
            "WithdrawalRequested",
            owner=sender,
            shares=share_amount,
            opens_at=opens_at,
            closes_at=uint(opens_at + CLAIM_WINDOW_S),
        )

    def cancel_withdrawal(self, sender: str) -> None:
        """Take the request back. ``fund: no request``."""
        pending = self._pending(sender)
        require(pending > 0, "fund: no request")
        self._set(0, "requested", self._get("share_epoch"), sender)
        self._set(0, "request_mark", sender)
        self._emit("WithdrawalCancelled", owner=sender, shares=pending)

    def claim_withdrawal(self, sender: str) -> int:
        """Redeem at the lowest index since the request, as far as treasury cash goes; money units paid.

        Rounded down to whole atoms. What cash cannot pay stays requested within the same window.
        ``fund: locked``, ``fund: market not live``, ``fund: no request``, ``fund: cooling down``,
        ``fund: nothing to pay``.
        """
        self._require_unlocked()
        self._require_live()
        self._recognise()
        pending = self._pending(sender)
        require(pending > 0, "fund: no request")
        serial, requested_at = divmod(self._get("request_mark", sender), 2**64)
        require(self.world.now >= requested_at + self.cooldown_s, "fund: cooling down")

        low = self._low_since(serial)
        due = mul_div_down(pending, low, INDEX_SCALE)
        cash = self._equity(0, CREDIT)
        atoms = min(due, cash) // self.unit
        require(atoms > 0, "fund: nothing to pay")
        paid = atoms * self.unit
        burned = pending
        if due > cash:
            burned = min(pending, mul_div_up(paid, INDEX_SCALE, low))

        epoch = self._get("share_epoch")
        self._add(-burned, "shares", epoch, sender)
        self._add(-burned, "total_shares")
        self._set(pending - burned, "requested", epoch, sender)
        if burned == pending:
            self._set(0, "request_mark", sender)
        self.clearing_house.withdraw(self.address, self._account(0), atoms, sender)

        self._emit("WithdrawalClaimed", owner=sender, shares=burned, amount=paid, low_index=low)
        self._log_move(sender, ZERO_ADDRESS, self._value_of(burned), burned)
        return paid

    def recognise(self, sender: str) -> int:
        """Value the fund now and rebase the supply to it; the index after it."""
        self._recognise()
        return self._get("nav_index")

    # ---- buckets -----------------------------------------------------------------------------------

    def top_up(self, sender: str, market: int, amount: int) -> int:
        """Treasury to bucket, clamped to cap and cash; money units moved.

        ``fund: market not live``, ``fund: no such market``, ``fund: nothing to move``.
        """
        self._require_live()
        bucket = self._bucket(market)
        used = self._used(market)
        limit = self._get("cap", market)
        moved = 0
        if limit > used:
            moved = min(amount, limit - used, self._equity(0, CREDIT))
        require(moved > 0, "fund: nothing to move")
        self._add(moved, "spent", market, self.world.now // HOUR_S)
        self.clearing_house.transfer(self.address, self._account(0), bucket, moved)
        self._emit("BucketToppedUp", market=market, amount=moved)
        self._recognise()
        return moved

    def skim(self, sender: str, market: int, amount: int) -> None:
        """Bucket to treasury, money units.

        ``fund: not governor``, ``fund: market not live``, ``fund: no such market``.
        """
        self._require_governor(sender)
        self._require_live()
        self.clearing_house.transfer(self.address, self._bucket(market), self._account(0), amount)
        self._emit("BucketSkimmed", market=market, amount=amount)
        self._recognise()

    def set_cap(self, sender: str, market: int, cap: int) -> None:
        """Money units a bucket may get in any rolling day. ``fund: not governor``, ``fund: no such market``."""
        self._require_governor(sender)
        require(market < MAX_MARKETS, "fund: no such market")
        self._set(cap, "cap", market)
        self._emit("CapSet", market=market, cap=cap)

    def start_auction(self, sender: str, market: int) -> None:
        """Offer a bucket's inventory. ``fund: no such market``, ``fund: no inventory``, ``fund: auction runs``."""
        held, _ = self._inventory(market)
        require(held, "fund: no inventory")
        require(not self._is_running(market), "fund: auction runs")
        self._set(self.world.now, "auction_start", market)
        self._emit("AuctionStarted", market=market, started_at=self.world.now)

    def sell_inventory(self, sender: str, market: int, buyer_account: bytes, size: int) -> int:
        """Take up to ``size`` (WAD) at the auction's price; the size taken.

        ``fund: not authorised``, ``fund: no such market``, ``fund: no inventory``, ``fund: no auction``.
        """
        owner = "0x" + buyer_account[:20].hex()
        require(self.clearing_house.is_authorised(self.address, owner, sender), "fund: not authorised")
        held, is_long = self._inventory(market)
        require(held, "fund: no inventory")
        require(self._is_running(market), "fund: no auction")
        price = self._auction_price(market, is_long, self.oracle.prices(self.address, market).index)

        bucket = self._bucket(market)
        if is_long:
            flags = FLAG_SELLER_REDUCE_ONLY | FLAG_BUYER_IS_TAKER
            sold = self.clearing_house.fill(self.address, market, buyer_account, bucket, size, price, flags)
        else:
            flags = FLAG_BUYER_REDUCE_ONLY
            sold = self.clearing_house.fill(self.address, market, bucket, buyer_account, size, price, flags)
        held, _ = self._inventory(market)
        if not held:
            self._set(0, "auction_start", market)
        self._emit("InventorySold", market=market, buyer_account=buyer_account, size=sold, price=price)
        self._recognise()
        return sold

    # ---- ERC-20 ------------------------------------------------------------------------------------

    def transfer(self, sender: str, to: str, amount: int) -> bool:
        """Move token units; shares rounded up. ``fund: bad receiver``, ``fund: balance``."""
        self._move(sender, to, self._shares_for(amount), amount)
        return True

    def transferFrom(self, sender: str, owner: str, to: str, amount: int) -> bool:  # noqa: N802
        """Move token units out of the allowance, which pays what the moved shares are worth.

        ``fund: allowance``, ``fund: bad receiver``, ``fund: balance``.
        """
        moved = self._shares_for(amount)
        allowed = self._get("allowance", owner, sender)
        if allowed != MAX_UINT:
            charge = max(amount, self._value_of(moved))
            require(charge <= allowed, "fund: allowance")
            self._set(allowed - charge, "allowance", owner, sender)
        self._move(owner, to, moved, amount)
        return True

    def transfer_shares(self, sender: str, to: str, share_amount: int) -> int:
        """Move shares; their worth in token units, floored. ``fund: bad receiver``, ``fund: balance``."""
        worth = self._value_of(share_amount)
        self._move(sender, to, share_amount, worth)
        return worth

    def approve(self, sender: str, spender: str, amount: int) -> bool:
        """Let ``spender`` move token units; the highest number is never used up."""
        self._set(amount, "allowance", sender, spender)
        self._emit("Approval", owner=sender, spender=spender, value=amount)
        return True

    def allowance(self, sender: str, owner: str, spender: str) -> int:
        """Token units that ``spender`` may still move."""
        return self._get("allowance", owner, spender)

    def balanceOf(self, sender: str, owner: str) -> int:  # noqa: N802
        """Money units claimed at the last recognition, floored."""
        return self._value_of(self._get("shares", self._get("share_epoch"), owner))

    def totalSupply(self, sender: str) -> int:  # noqa: N802
        """Money units that all shares claim, floored."""
        return self._value_of(self._get("total_shares"))

    def shares_of(self, sender: str, owner: str) -> int:
        """Shares of the current epoch."""
        return self._get("shares", self._get("share_epoch"), owner)

    def total_shares(self, sender: str) -> int:
        """Shares of the current epoch that somebody holds."""
        return self._get("total_shares")

    def nav_index(self, sender: str) -> int:
        """Money units per share at the last recognition, 1e36-scaled."""
        return self._get("nav_index")

    def share_epoch(self, sender: str) -> int:
        """Times that the fund lost all."""
        return self._get("share_epoch")

    def withdrawal_of(self, sender: str, owner: str) -> tuple[int, int, int, int]:
        """Shares, lowest index since the request, first and last second of its claim; zeros if there is none."""
        pending = self._pending(owner)
        if pending == 0:
            return 0, 0, 0, 0
        serial, requested_at = divmod(self._get("request_mark", owner), 2**64)
        opens_at = requested_at + self.cooldown_s
        return pending, self._low_since(serial), opens_at, opens_at + CLAIM_WINDOW_S

    def auction_price(self, sender: str, market: int) -> int:
        """Price of :meth:`sell_inventory` in this block, WAD; its reasons."""
        held, is_long = self._inventory(market)
        require(held, "fund: no inventory")
        require(self._is_running(market), "fund: no auction")
        return self._auction_price(market, is_long, self.oracle.peek(self.address, market).index)

    def used_cap(self, sender: str, market: int) -> int:
        """Money units of a cap that the last day has used up."""
        return self._used(market)

    def is_locked(self, sender: str) -> bool:
        """Whether deposits and claims wait for a default to be settled."""
        return self._is_locked()

    # ---- NAV ---------------------------------------------------------------------------------------

    def _recognise(self) -> int:
        """Set the index to the harsh-side NAV; the kind-side NAV is returned for a mint."""
        harsh = self._equity(0, CREDIT)
        kind = harsh
        for market in range(MAX_MARKETS):
            equity = self.clearing_house.account_equity(self.address, self._account(market + 1))
            harsh = uint(harsh + max(equity[CREDIT], 0))
            kind = uint(kind + max(equity[KIND], 0))

        old = self._get("nav_index")
        held = self._get("total_shares")
        epoch = self._get("share_epoch")
        index = index_of(harsh, held)
        if held > 0 and index < MIN_INDEX:
            self._emit("Rebase", epoch=epoch, supply_before=self._value_of(held), supply_after=0, reason=REASON_LOSS)
            self._set(epoch + 1, "share_epoch")
            self._set(0, "total_shares")
            # requests died with their shares, so no minimum older than this is ever asked for
            self._set(0, "n_lows")
            self._set_index(index_of(harsh, 0))
        elif index != old:
            before = self._value_of(held)
            self._set_index(index)
            after = self._value_of(held)
            if after != before:
                reason = REASON_GAIN if after > before else REASON_LOSS
                self._emit("Rebase", epoch=epoch, supply_before=before, supply_after=after, reason=reason)
        return kind

    def _set_index(self, index: int) -> None:
        """Store a new index and put it on the stack of suffix minima."""
        serial = self._get("serial") + 1
        low, high = 0, self._get("n_lows")
        while low < high:
            middle = (low + high) // 2
            if self._get("lows", middle) % 2**192 < index:
                low = middle + 1
            else:
                high = middle
        if index >= 2**192:
            raise Revert("")
        self._set(serial << 192 | index, "lows", low)
        self._set(low + 1, "n_lows")
        self._set(serial, "serial")
        self._set(index, "nav_index")

    def _low_since(self, serial: int) -> int:
        """The lowest index from the value numbered ``serial`` until now."""
        low, high = 0, self._get("n_lows")
        while low < high:
            middle = (low + high) // 2
            if self._get("lows", middle) >> 192 < serial:
                low = middle + 1
            else:
                high = middle
        return self._get("lows", low) % 2**192

    def _value_of(self, share_amount: int) -> int:
        return mul_div_down(share_amount, self._get("nav_index"), INDEX_SCALE)

    def _shares_for(self, amount: int) -> int:
        return mul_div_up(amount, INDEX_SCALE, self._get("nav_index"))

    def _equity(self, subaccount: int, edge: int) -> int:
        return max(self.clearing_house.account_equity(self.address, self._account(subaccount))[edge], 0)

    # ---- shares ------------------------------------------------------------------------------------

    def _pending(self, owner: str) -> int:
        """Shares that wait to leave; a request that outlived its window has lapsed."""
        requested_at = self._get("request_mark", owner) % 2**64
        if self.world.now > uint(requested_at + self.cooldown_s + CLAIM_WINDOW_S):
            return 0
        return self._get("requested", self._get("share_epoch"), owner)

    def _move(self, owner: str, to: str, share_amount: int, amount: int) -> None:
        require(to not in (ZERO_ADDRESS, self.address), "fund: bad receiver")
        epoch = self._get("share_epoch")
        require(share_amount <= self._get("shares", epoch, owner) - self._pending(owner), "fund: balance")
        self._add(-share_amount, "shares", epoch, owner)
        self._add(share_amount, "shares", epoch, to)
        self._log_move(owner, to, amount, share_amount)

    def _log_move(self, owner: str, to: str, amount: int, share_amount: int) -> None:
        self._emit("Transfer", sender=owner, receiver=to, value=amount)
        self._emit("SharesTransferred", sender=owner, receiver=to, shares=share_amount)

    # ---- accounts, locks, auctions, words -------------------------------------------------------------

    def _account(self, subaccount: int) -> bytes:
        return bytes.fromhex(self.address[2:]) + subaccount.to_bytes(12, "big")

    def _bucket(self, market: int) -> bytes:
        require(market < MAX_MARKETS, "fund: no such market")
        return self._account(market + 1)

    def _used(self, market: int) -> int:
        hour = self.world.now // HOUR_S
        return uint(sum(self._get("spent", market, uint(hour - back)) for back in range(CAP_HOURS)))

    def _is_locked(self) -> bool:
        first, second = self.clearing_house.load_globals(self.address)
        state = Globals.unpack(first, second)
        return state.bad_debt != 0 or state.open_receipts != 0

    def _require_unlocked(self) -> None:
        require(not self._is_locked(), "fund: locked")

    def _require_live(self) -> None:
        """No money leaves treasury or bucket while a market in which a bucket has a position is not LIVE."""
        for market in range(MAX_MARKETS):
            prices = self.oracle.prices(self.address, market)
            # a market that never had a price has no positions
            if prices.state != STATE_LIVE and prices.index != 0:
                require(not self._inventory(market)[0], "fund: market not live")

    def _require_governor(self, sender: str) -> None:
        require(sender == self.governor, "fund: not governor")

    def _inventory(self, market: int) -> tuple[bool, bool]:
        """Whether the bucket holds a position, and whether it is long."""
        words = self.clearing_house.load_account(self.address, self._bucket(market))
        position = Position.unpack(words[1 + 2 * market], words[2 + 2 * market])
        return bool(Account.unpack(words[0]).legs >> market & 1), position.is_long

    def _is_running(self, market: int) -> bool:
        started_at = self._get("auction_start", market)
        return started_at != 0 and self.world.now <= started_at + AUCTION_S

    def _auction_price(self, market: int, is_long: bool, index: int) -> int:
        """A long from x(1 + s) down to x(1 − s), rounded up; a short from x(1 − s) up to x(1 + s), rounded down."""
        elapsed = self.world.now - self._get("auction_start", market)
        risk = Risk.unpack(self.clearing_house.load_market(self.address, market)[2])
        spread = min(MAX_SPREAD_PPM, risk.maintenance)
        whole = PPM * AUCTION_S
        if is_long:
            return mul_div_up(index, whole + spread * AUCTION_S - 2 * spread * elapsed, whole)
        return mul_div_down(index, whole - spread * AUCTION_S + 2 * spread * elapsed, whole)

    @staticmethod
    def _key(variable: str, *indices: int | str) -> Key:
        return ("BackstopFund", variable, *indices)

    def _get(self, variable: str, *indices: int | str) -> int:
        return self.world.get(self._key(variable, *indices))

    def _set(self, value: int, variable: str, *indices: int | str) -> None:
        self.world.set(self._key(variable, *indices), uint(value))

    def _add(self, change: int, variable: str, *indices: int | str) -> None:
        self._set(self._get(variable, *indices) + change, variable, *indices)

    def _emit(self, event: str, **fields: Any) -> None:
        self.world.emit("BackstopFund", event, **fields)
