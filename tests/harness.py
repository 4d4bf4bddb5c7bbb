"""Model of ``contracts/mocks/ModuleHarness.vy``: the same insides of ``python_ref``, and a twin that holds both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from python_ref import fixed_math
from python_ref.bands import Leg, is_riskier
from python_ref.margin import Margin, price_share, requirement
from python_ref.price_oracle import Prices
from python_ref.words import Account, Band, Cell, Globals, Limits, Market, Position, Risk
from python_ref.world import Revert, World
from scripts.chain import make_chain
from scripts.chain.base import account
from scripts.twin import Twin

CALLER = account(1)


class ModuleHarness(Margin):
    """``ModuleHarness.vy``. Anybody may write anything; units are those of the modules."""

    def __init__(self, world: World) -> None:
        """An empty ledger: unlike the real one it has no claim index."""
        self.world = world

    # ---- fixed_math

    def mul_div_down(self, x: int, y: int, d: int) -> int:
        """``fixed_math.mul_div_down``."""
        return fixed_math.mul_div_down(x, y, d)

    def mul_div_up(self, x: int, y: int, d: int) -> int:
        """``fixed_math.mul_div_up``."""
        return fixed_math.mul_div_up(x, y, d)

    def floor_div(self, n: int, d: int) -> int:
        """``fixed_math.floor_div``."""
        return fixed_math.sint(fixed_math.floor_div(n, d))

    def ceil_div(self, n: int, d: int) -> int:
        """``fixed_math.ceil_div``."""
        return fixed_math.sint(fixed_math.ceil_div(n, d))

    def log2_band(self, price: int, anchor: int, octave_bits: int) -> int:
        """``fixed_math.log2_band``."""
        return fixed_math.log2_band(price, anchor, octave_bits)

    # ---- words

    def pack_account(self, fields: Account) -> int:
        """The word."""
        return fields.pack()

    def unpack_account(self, word: int) -> Account:
        """The fields."""
        return Account.unpack(word)

    def pack_position(self, fields: Position) -> tuple[int, int]:
        """The words."""
        return fields.pack()

    def unpack_position(self, first: int, second: int) -> Position:
        """The fields."""
        return Position.unpack(first, second)

    def pack_band(self, fields: Band) -> int:
        """The word."""
        return fields.pack()

    def unpack_band(self, word: int) -> Band:
        """The fields."""
        return Band.unpack(word)

    def pack_cell(self, fields: Cell) -> int:
        """The word."""
        return fields.pack()

    def unpack_cell(self, word: int) -> Cell:
        """The fields."""
        return Cell.unpack(word)

    def pack_market(self, fields: Market) -> tuple[int, int]:
        """The words."""
        return fields.pack()

    def unpack_market(self, first: int, second: int) -> Market:
        """The fields."""
        return Market.unpack(first, second)

    def unpack_risk(self, word: int) -> Risk:
        """The fields."""
        return Risk.unpack(word)

    def pack_limits(self, fields: Limits) -> int:
        """The word."""
        return fields.pack()

    def unpack_limits(self, word: int) -> Limits:
        """The fields."""
        return Limits.unpack(word)

    def pack_globals(self, fields: Globals) -> tuple[int, int]:
        """The words."""
        return fields.pack()

    def unpack_globals(self, first: int, second: int) -> Globals:
        """The fields."""
        return Globals.unpack(first, second)

    # ---- margin

    def requirement(self, rate_ppm: int, depth: int, notional: int, claim_index: int) -> int:
        """``margin.requirement``."""
        return requirement(rate_ppm, depth, notional, claim_index)

    def price_share(self, equity: int, leg_margin: int, total: int, size: int) -> int:
        """``margin.price_share``."""
        return price_share(equity, leg_margin, total, size)

    def accrue(self, fields: Market, index: int, state: int, paused: int) -> Market:
        """``Margin._accrue`` at these prices."""
        m = Market(**vars(fields))
        self._accrue(m, Prices(index, index, 0, 0, 0, 0, state, paused), self.world.now)
        return m

    # ---- bands

    def is_riskier(self, rank: int, is_long: bool, band: int, than: int) -> bool:
        """``bands.is_riskier``."""
        return is_riskier(rank, is_long, band, than)

    def c_now(self, cell: Cell, a: int, funding: int, is_long: bool, up: bool) -> int:
        """``Bands._c_now``."""
        return fixed_math.sint(self._c_now(cell, a, funding, is_long, up))

    def put_market(self, market: int, fields: Market) -> None:
        """Write words 0 and 1 of a market."""
        self.store_market_words(market, fields)

    def put_band(self, market: int, is_long: bool, band: int, fields: Band, cell: Cell) -> None:
        """Write a band and its live cell, and set its bit."""
        self.store_band(market, is_long, band, fields)
        self.store_cell(market, is_long, band, fields.epoch, fields.scale, cell)
        self.store_bitmap(market, is_long, self.load_bitmap(market, is_long) | 1 << band)

    def put_cell(self, market: int, is_long: bool, band: int, epoch: int, scale: int, cell: Cell) -> None:
        """Write a cell."""
        self.store_cell(market, is_long, band, epoch, scale, cell)

    def put_position(self, account: bytes, market: int, fields: Position) -> None:
        """Write a position."""
        self.store_position(account, market, fields)

    def read_leg(self, account: bytes, market: int, funding: int) -> Leg:
        """``Bands._read_leg``."""
        return self._read_leg(account, market, funding)

    def place(self, account: bytes, market: int, size: int, entry: int, band: int) -> None:
        """``Bands._place`` on top of what the account has, its pending cash paid before."""
        m, word = self.load_market_words(market), self.load_account_word(account)
        leg = self._read_leg(account, market, m.funding)
        self._pay_pending(m, word, leg)
        self._place(m, market, account, word, leg, size, entry, band)
        self.store_account_word(account, word)
        self.store_market_words(market, m)

    def deleverage(self, market: int, is_long: bool, band: int, size: int, quote: int) -> None:
        """``Bands._deleverage_band``."""
        m = self.load_market_words(market)
        self._deleverage_band(m, market, is_long, band, size, quote)
        self.store_market_words(market, m)


@contextmanager
def module_twin() -> Iterator[Twin]:
    """A fresh chain with the harness, bound under the name that the modules write to."""
    with make_chain() as chain:
        world = World()
        twin = Twin(chain, world, full_every=1_000_000)
        twin.bind(ModuleHarness(world), "ClearingHouse", chain.deploy("ModuleHarness", sender=CALLER))
        yield twin


def ask(twin: Twin, function: str, *args: Any) -> Any:
    """Both answers, which agree; None where both refuse, as the compiler's checks do, without a reason."""
    try:
        return twin.view("ClearingHouse", function, *args)
    except Revert as revert:
        if revert.reason:
            raise
        return None
