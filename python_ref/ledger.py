"""Who owns what: accounts, the two counters, and the words everything is stored in.

Mirror of ``contracts/modules/ledger.vy``. Units are SPEC §1: money and sizes WAD, gons for exposed accounts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from python_ref import constants as c
from python_ref.fixed_math import mul_div_down
from python_ref.oracle_words import Prices
from python_ref.words import Account, Band, Cell, Globals, Limits, Market, Position, Risk
from python_ref.world import Revert, World, require

CONTRACT = "ClearingHouse"
NO_MARKET = c.MAX_MARKETS
"""Stands for "no leg in particular" where a market is asked for."""


class OracleLike(Protocol):
    """The oracle, as the ledger sees it."""

    def prices(self, sender: str, market: int) -> Prices:
        """Prices of ``market`` for this block."""
        ...

    def report(self, sender: str, market: int, price: int) -> None:
        """Take note of the price of a fill."""
        ...


class TokenLike(Protocol):
    """The collateral token, as the ledger sees it."""

    def balanceOf(self, sender: str, owner: str) -> int:  # noqa: N802 - the ERC-20 name
        """Atoms held by ``owner``."""
        ...

    def transfer(self, sender: str, receiver: str, amount: int) -> bool | None:
        """Move atoms of ``sender``; None where the token returns nothing."""
        ...

    def transferFrom(  # noqa: N802 - the ERC-20 name
        self, sender: str, owner: str, receiver: str, amount: int
    ) -> bool | None:
        """Move atoms of ``owner`` by allowance; None where the token returns nothing."""
        ...


@dataclass
class Venue:
    """A market under way in one call: its moving words and the prices it is judged by."""

    id: int
    words: Market
    prices: Prices
    risk: Risk
    limits: Limits


def owner_of(account: bytes) -> str:
    """Owner address of an account id."""
    return "0x" + account[:20].hex()


def account_id(owner: str, subaccount: int = 0) -> bytes:
    """Account id of ``owner``'s ``subaccount`` (12 bytes)."""
    return bytes.fromhex(owner[2:]) + subaccount.to_bytes(12, "big")


class Ledger:
    """Storage of the ClearingHouse and the only code that writes it."""

    def __init__(
        self, world: World, address: str, token: TokenLike, decimals: int, oracle: OracleLike, governor: str
    ) -> None:
        """``decimals`` of the collateral, at most 18 (``ledger: token decimals``)."""
        require(decimals <= 18, "ledger: token decimals")
        self.world = world
        self.address = address
        self.token = token
        self.unit = 10 ** (18 - decimals)
        self.oracle = oracle
        self.store_globals(Globals(claim_index=c.INDEX_ONE))
        self._set_address("governor", governor)

    # ---- words -------------------------------------------------------------------------------------

    def _get(self, *key: object) -> int:
        return self.world.get((CONTRACT, *key))

    def _set(self, value: int, *key: object) -> None:
        self.world.set((CONTRACT, *key), value)

    def _address(self, name: str) -> str:
        return f"0x{self._get(name):040x}"

    def _set_address(self, name: str, value: str) -> None:
        self._set(int(value, 16), name)

    def _emit(self, name: str, **fields: object) -> None:
        self.world.emit(CONTRACT, name, **fields)

    def load_account_word(self, account: bytes) -> Account:
        """Word 0 of an account."""
        return Account.unpack(self._get("accounts", account, 0))

    def store_account_word(self, account: bytes, word: Account) -> None:
        """Write word 0 of an account."""
        self._set(word.pack(), "accounts", account, 0)

    def load_position(self, account: bytes, market: int) -> Position:
        """Stored basis of a position."""
        first = self._get("accounts", account, 1 + 2 * market)
        return Position.unpack(first, self._get("accounts", account, 2 + 2 * market))

    def store_position(self, account: bytes, market: int, position: Position) -> None:
        """Write the basis of a position; an all-zero one clears it."""
        first, second = position.pack()
        self._set(first, "accounts", account, 1 + 2 * market)
        self._set(second, "accounts", account, 2 + 2 * market)

    @staticmethod
    def _band_index(market: int, is_long: bool, band: int) -> int:
        return market << 9 | int(is_long) << 8 | band

    def load_band(self, market: int, is_long: bool, band: int) -> Band:
        """State of a band."""
        return Band.unpack(self._get("bands", self._band_index(market, is_long, band)))

    def store_band(self, market: int, is_long: bool, band: int, state: Band) -> None:
        """Write the state of a band."""
        self._set(state.pack(), "bands", self._band_index(market, is_long, band))

    def _cell_index(self, market: int, is_long: bool, band: int, epoch: int, scale: int) -> int:
        return (self._band_index(market, is_long, band) << 16 | epoch) << 8 | scale

    def load_cell(self, market: int, is_long: bool, band: int, epoch: int, scale: int) -> Cell:
        """Cash index of a (band, epoch, scale)."""
        return Cell.unpack(self._get("cells", self._cell_index(market, is_long, band, epoch, scale)))

    def store_cell(self, market: int, is_long: bool, band: int, epoch: int, scale: int, cell: Cell) -> None:
        """Write a cash index."""
        self._set(cell.pack(), "cells", self._cell_index(market, is_long, band, epoch, scale))

    def load_market_words(self, market: int) -> Market:
        """Words 0 and 1 of a market."""
        return Market.unpack(self._get("markets", market << 3), self._get("markets", market << 3 | 1))

    def store_market_words(self, market: int, words: Market) -> None:
        """Write words 0 and 1 of a market."""
        first, second = words.pack()
        self._set(first, "markets", market << 3)
        self._set(second, "markets", market << 3 | 1)

    def load_risk(self, market: int) -> Risk:
        """Word 2 of a market."""
        return Risk.unpack(self._get("markets", market << 3 | 2))

    def load_limits(self, market: int) -> Limits:
        """Word 3 of a market."""
        return Limits.unpack(self._get("markets", market << 3 | 3))

    def store_limits(self, market: int, limits: Limits) -> None:
        """Write word 3 of a market."""
        self._set(limits.pack(), "markets", market << 3 | 3)

    def _count_receipt(self, market: int, change: int) -> None:
        """One open receipt of a market more or less."""
        limits = self.load_limits(market)
        limits.open_receipts += change
        self.store_limits(market, limits)

    def load_bitmap(self, market: int, is_long: bool) -> int:
        """Bit b: band b of the side holds open interest."""
        return self._get("markets", market << 3 | (4 if is_long else 5))

    def store_bitmap(self, market: int, is_long: bool, bitmap: int) -> None:
        """Write the bitmap of a side."""
        self._set(bitmap, "markets", market << 3 | (4 if is_long else 5))

    def load_anchor(self, market: int) -> int:
        """Price of band 128, WAD."""
        return self._get("markets", market << 3 | 6)

    def load_globals_words(self) -> Globals:
        """The two words of the domain."""
        return Globals.unpack(self._get("global_words", 0), self._get("global_words", 1))

    def store_globals(self, words: Globals) -> None:
        """Write the two words of the domain."""
        first, second = words.pack()
        self._set(first, "global_words", 0)
        self._set(second, "global_words", 1)

    def _bucket_of(self, market: int) -> bytes:
        """The fund's account for one market."""
        return account_id(self._address("backstop"), market + 1)

    # ---- rights ------------------------------------------------------------------------------------

    def is_authorised(self, sender: str, owner: str, actor: str) -> bool:
        """Whether ``actor`` is ``owner`` or an operator he approved."""
        return actor == owner or bool(self._get("operators", owner, actor))

    def _only_authorised(self, sender: str, account: bytes) -> None:
        require(self.is_authorised(sender, owner_of(account), sender), "ledger: not authorised")

    def _only_owner(self, sender: str, account: bytes) -> None:
        require(sender == owner_of(account), "ledger: not the owner")

    # ---- the exempt / exposed boundary -------------------------------------------------------------

    def _expose(self, account: bytes, word: Account) -> None:
        """Make an exempt account exposed (rule 5); changes ``word``, which the caller stores."""
        domain = self.load_globals_words()
        require(domain.bad_debt == 0 and domain.open_receipts == 0, "ledger: closed to newcomers")
        units = word.cash
        gons = mul_div_down(units, c.INDEX_ONE, domain.claim_index)
        domain.exempt -= units
        domain.exposed += gons
        self.store_globals(domain)
        word.cash = gons
        word.exposed = True
        self._emit("Exposed", account=account, units=units, gons=gons)

    def _fold_late(self, account: bytes, word: Account) -> None:
        """Turn ``late`` units into gons; changes ``word``, which the caller stores."""
        domain = self.load_globals_words()
        units = self._get("accounts", account, 33)
        gons = mul_div_down(units, c.INDEX_ONE, domain.claim_index)
        domain.exempt -= units
        domain.exposed += gons
        self.store_globals(domain)
        self._set(0, "accounts", account, 33)
        word.cash += gons
        word.has_late = False
        self._emit("LateFolded", account=account, units=units, gons=gons)

    def _touch_late(self, account: bytes, word: Account) -> None:
        """Fold ``late`` cash once the bad debt is gone (rule 6)."""
        if word.has_late and self.load_globals_words().bad_debt == 0:
            self._fold_late(account, word)

    def _ready(self, account: bytes) -> Account:
        """An account about to trade: late cash folded, exposed."""
        word = self.load_account_word(account)
        self._touch_late(account, word)
        if not word.exposed:
            self._expose(account, word)
        return word

    def _credit(self, account: bytes, units: int) -> bool:
        """Add ``units`` of money to an account's claims; True if they went to ``late``."""
        domain = self.load_globals_words()
        word = self.load_account_word(account)
        require(word.legs & self._get("settled") == 0, "market: settled")
        late = False
        if not word.exposed:
            word.cash += units
            domain.exempt += units
        elif domain.bad_debt > 0:
            late = True
            word.has_late = True
            self._set(self._get("accounts", account, 33) + units, "accounts", account, 33)
            domain.exempt += units
        else:
            gons = mul_div_down(units, c.INDEX_ONE, domain.claim_index)
            word.cash += gons
            domain.exposed += gons
        word.touched = self.world.now
        self.store_globals(domain)
        self.store_account_word(account, word)
        return late

    def _write_off(self, account: bytes) -> int:
        """Turn the negative cash of a flat account into bad debt; gons written off (rule 13)."""
        word = self.load_account_word(account)
        if word.legs != 0:
            return 0
        if word.has_late:
            # what its owner added pays his debt before strangers do
            self._fold_late(account, word)
            self.store_account_word(account, word)
        if word.cash >= 0:
            return 0
        booked = -word.cash
        domain = self.load_globals_words()
        domain.bad_debt += booked
        domain.exposed += booked
        self.store_globals(domain)
        word.cash = 0
        self.store_account_word(account, word)
        self._emit("WrittenOff", account=account, amount=booked)
        return booked

    # ---- views -------------------------------------------------------------------------------------

    def claim_epoch(self, sender: str) -> int:
        """Rebases so far."""
        return self.load_globals_words().claim_epoch

    def governor(self, sender: str) -> str:
        """Address that may change parameters."""
        return self._address("governor")

    def load_globals(self, sender: str) -> tuple[int, ...]:
        """Raw words of the domain."""
        return (self._get("global_words", 0), self._get("global_words", 1))

    def load_market(self, sender: str, market: int) -> tuple[int, ...]:
        """Raw words of a market."""
        if not 0 <= market < c.MAX_MARKETS:
            raise Revert("")
        return tuple(self._get("markets", market << 3 | i) for i in range(8))

    def load_account(self, sender: str, account: bytes) -> tuple[int, ...]:
        """Raw words of an account."""
        return tuple(self._get("accounts", account, i) for i in range(34))

    def load_bands(self, sender: str, market: int, is_long: bool, first: int, count: int) -> tuple[int, ...]:
        """Raw words of ``count`` bands from ``first``."""
        if not (0 <= market < c.MAX_MARKETS and first + count <= c.N_BANDS):
            raise Revert("")
        return tuple(self._get("bands", self._band_index(market, is_long, first + i)) for i in range(count))
