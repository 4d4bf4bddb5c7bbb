"""Roles, the listing of markets and their parameters, and raw reading. SPEC §3.

Mirror of ``contracts/MarketAdmin.vy``, a delegate of the ClearingHouse.
"""

from __future__ import annotations

from python_ref import constants as c
from python_ref.fixed_math import floor_div, uint
from python_ref.margin import Margin
from python_ref.words import Limits, Market, Risk
from python_ref.world import require


class MarketAdmin(Margin):
    """Roles, the listing of markets and their parameters, and raw reading."""

    # ---- markets and roles (governor) --------------------------------------------------------------

    def _only_governor(self, sender: str) -> None:
        require(sender == self._address("governor"), "ledger: not the governor")

    def wire(self, sender: str, liquidation_engine: str, backstop: str) -> None:
        """Name the liquidation engine and the backstop fund, once."""
        self._only_governor(sender)
        require(self._get("backstop") == 0, "ledger: already wired")
        require(int(liquidation_engine, 16) != 0 and int(backstop, 16) != 0, "ledger: zero address")
        self._set_address("liquidation_engine", liquidation_engine)
        self._set_address("backstop", backstop)
        self._emit("Wired", liquidation_engine=liquidation_engine, backstop=backstop)

    def set_filler(self, sender: str, filler: str, allowed: bool) -> None:
        """Allow or forbid a contract to settle trades."""
        self._only_governor(sender)
        self._set(int(allowed), "fillers", filler)
        self._emit("FillerSet", filler=filler, allowed=allowed)

    def transfer_governor(self, sender: str, governor: str) -> None:
        """Hand the governance of the ledger over."""
        self._only_governor(sender)
        require(int(governor, 16) != 0, "ledger: zero address")
        self._set_address("governor", governor)
        self._emit("GovernorSet", governor=governor)

    def add_market(self, sender: str, market: int, risk_word: int, limits_word: int, anchor: int, policy: str) -> None:
        """List the next market; its fund bucket becomes an exposed account."""
        self._only_governor(sender)
        require(0 <= market < c.MAX_MARKETS, "market: no such slot")
        require(not self.load_limits(market).listed, "market: already listed")
        require(market == 0 or self.load_limits(market - 1).listed, "market: not the next slot")
        require(self._get("backstop") != 0, "ledger: not wired")
        require(0 < anchor <= c.MAX_PRICE, "market: anchor")
        limits = Limits.unpack(limits_word)
        limits.open_receipts = 0
        limits.listed = True
        require(limits.rank <= c.RANK_LEVERAGE, "market: rank")
        require(limits.octave_bits <= 6, "market: octave bits")
        self._check_limits(limits)
        self._check_risk(Risk.unpack(risk_word))
        require(int(policy, 16) != 0, "ledger: zero address")
        paused = self.oracle.prices(self.address, market).paused
        self.store_market_words(market, Market(accrued=uint(self.world.now - paused)))
        self._set(risk_word, "markets", market << 3 | 2)
        self.store_limits(market, limits)
        self._set(anchor, "markets", market << 3 | 6)
        self._set(int(policy, 16), "markets", market << 3 | 7)
        bucket = self._bucket_of(market)
        word = self.load_account_word(bucket)
        if not word.exposed:
            self._expose(bucket, word)
            self.store_account_word(bucket, word)
        self._emit("MarketListed", market=market, anchor=anchor, policy=policy)

    @staticmethod
    def _check_limits(limits: Limits) -> None:
        """A position is never dust, and a lot is a number."""
        require(limits.min_size > c.DUST_SIZE, "market: minimum size")
        require(limits.lot_exp <= 30, "market: lot")

    @staticmethod
    def _check_risk(risk: Risk) -> None:
        """The relations that the ledger's promises rest on (rules 20, 21)."""
        require(0 < risk.maintenance < risk.initial, "market: maintenance")
        require(risk.initial <= c.PPM, "market: initial")
        require(risk.penalty < risk.maintenance, "market: penalty")
        require(risk.fund_share <= c.PPM, "market: fund share")
        require(risk.taker_fee < risk.maintenance and risk.maker_fee < risk.maintenance, "market: fee")
        require(risk.fill_band < c.PPM, "market: fill band")
        require(risk.target >= c.PPM, "market: target")
        require(risk.backstop < c.PPM, "market: backstop")

    def _only_live(self, market: int) -> None:
        """Nothing is loosened while the price is in doubt (SPEC §15)."""
        require(self.oracle.prices(self.address, market).state == c.STATE_LIVE, "admin: not live")

    @staticmethod
    def _tightens_risk(old: Risk, new: Risk) -> bool:
        """Whether only what the Governor may tighten at once changes, and toward safety."""
        if new.initial < old.initial or new.maintenance < old.maintenance or new.fill_band > old.fill_band:
            return False
        if new.penalty != old.penalty or new.fund_share != old.fund_share:
            return False
        if new.taker_fee != old.taker_fee or new.maker_fee != old.maker_fee:
            return False
        if new.target != old.target or new.backstop != old.backstop:
            return False
        return old.depth == 0 or 0 < new.depth <= old.depth

    def set_risk(self, sender: str, market: int, risk_word: int) -> None:
        """Change a market's risk parameters; where the market is not LIVE only what tightens them."""
        self._only_governor(sender)
        require(self.load_limits(market).listed, "market: not listed")
        risk = Risk.unpack(risk_word)
        self._check_risk(risk)
        if not self._tightens_risk(self.load_risk(market), risk):
            self._only_live(market)
        self._set(risk_word, "markets", market << 3 | 2)
        self._emit("RiskSet", market=market, word=risk_word)

    def set_limits(self, sender: str, market: int, limits_word: int) -> None:
        """Change a market's caps and minima; rank and bands are fixed by stored labels.

        Where the market is not LIVE only what tightens them.
        """
        self._only_governor(sender)
        old = self.load_limits(market)
        require(old.listed, "market: not listed")
        new = Limits.unpack(limits_word)
        self._check_limits(new)
        if new.oi_cap > old.oi_cap or new.min_size < old.min_size or new.lot_exp != old.lot_exp:
            self._only_live(market)
        limits = Limits(new.oi_cap, new.min_size, new.lot_exp, old.open_receipts, old.rank, old.octave_bits, True)
        self.store_limits(market, limits)
        self._emit("LimitsSet", market=market, word=limits.pack())

    def set_policy(self, sender: str, market: int, policy: str) -> None:
        """Change a market's deleveraging policy; never inside an open deficit, and only where it is LIVE."""
        self._only_governor(sender)
        limits = self.load_limits(market)
        require(limits.listed, "market: not listed")
        require(limits.open_receipts == 0, "market: receipt open")
        require(int(policy, 16) != 0, "ledger: zero address")
        self._only_live(market)
        self._set(int(policy, 16), "markets", market << 3 | 7)
        self._emit("PolicySet", market=market, policy=policy)

    # ---- judgement for others ----------------------------------------------------------------------

    def account_equity(self, sender: str, account: bytes) -> tuple[int, int, int]:
        """Equity at the kind edge, the index and the credit edge: real money, floored."""
        word = self.load_account_word(account)
        if not word.exposed:
            return (word.cash, word.cash, word.cash)
        r = self._assess(account, word, None, 0)
        claim_index = self.load_globals_words().claim_index
        kind, index, credit = (
            floor_div(floor_div(value, c.WAD) * claim_index, c.INDEX_ONE) for value in (r.e_kind, r.e_index, r.e_credit)
        )
        return (kind, index, credit)
