"""The upkeep of accounts, the fund's takeover. SPEC §2, §4, §9.

Mirror of ``contracts/AccountDesk.vy``, a delegate of the ClearingHouse.
"""

from __future__ import annotations

from python_ref import constants as c
from python_ref.bands import is_riskier
from python_ref.fixed_math import mul_div_down, mul_div_up, sint, uint
from python_ref.ledger import owner_of
from python_ref.market_admin import MarketAdmin
from python_ref.world import require


class AccountDesk(MarketAdmin):
    """The upkeep of accounts, the fund's takeover."""

    # ---- custody -----------------------------------------------------------------------------------

    def set_operator(self, sender: str, operator: str, approved: bool) -> None:
        """Let ``operator`` deposit to, trade for and cancel orders of the sender's accounts; never withdraw."""
        self._set(int(approved), "operators", sender, operator)
        self._emit("OperatorSet", owner=sender, operator=operator, approved=approved)

    def withdraw(self, sender: str, account: bytes, amount: int, to: str) -> None:
        """Pay ``amount`` atoms of ``account`` to ``to``; SPEC §2 says when an exposed account may."""
        self._only_owner(sender, account)
        require(amount > 0, "ledger: zero amount")
        self._debit(account, uint(amount * self.unit))
        require(self.token.transfer(self.address, to, amount) is not False, "token: transfer failed")
        self._emit("Withdrawn", account=account, to=to, amount=amount)

    def transfer(self, sender: str, from_account: bytes, to_account: bytes, amount: int) -> None:
        """Move ``amount`` units between two accounts of the sender, as a withdrawal and a deposit."""
        self._only_owner(sender, from_account)
        self._only_owner(sender, to_account)
        require(from_account != to_account, "ledger: same account")
        require(amount > 0, "ledger: zero amount")
        self._debit(from_account, amount)
        late = self._credit(to_account, amount)
        self._emit("Transferred", from_account=from_account, to_account=to_account, amount=amount, late=late)

    def _debit(self, account: bytes, units: int) -> None:
        """Take ``units`` of money out of an account; gons rounded up."""
        word = self.load_account_word(account)
        self._touch_late(account, word)
        domain = self.load_globals_words()
        if not word.exposed:
            require(word.cash >= sint(units), "ledger: insufficient cash")
            word.cash -= units
            domain.exempt -= units
        else:
            require(domain.bad_debt == 0 and domain.open_receipts == 0, "ledger: locked")
            require(word.touched + c.RESIDENCY_S <= self.world.now, "ledger: in residency")
            gons = mul_div_up(units, c.INDEX_ONE, domain.claim_index)
            word.cash -= gons
            domain.exposed -= gons
            r = self._assess(account, word, None, 0)
            is_bucket = owner_of(account) == self._address("backstop")
            require(r.n_credit > 0 or is_bucket, "ledger: not released")
            require(r.worst <= c.STATE_DEGRADED, "margin: frozen")
            least = max(r.im_credit, mul_div_up(r.n_credit, c.WITHDRAW_RATIO_PPM, c.PPM))
            credit = r.e_credit
            if r.worst == c.STATE_DEGRADED:
                credit -= self._doubtful_profit(account, word.legs)
            require(credit >= least, "margin: below withdrawal")
        self.store_globals(domain)
        self.store_account_word(account, word)

    def release(self, sender: str, account: bytes) -> None:
        """Make a flat exposed account exempt again (rule 4)."""
        word = self.load_account_word(account)
        require(word.exposed, "release: exempt")
        self._touch_late(account, word)
        require(word.legs == 0 and word.cash >= 0, "release: not flat")
        require(owner_of(account) != self._address("backstop"), "release: fund bucket")
        require(word.touched + c.RESIDENCY_S <= self.world.now, "ledger: in residency")
        domain = self.load_globals_words()
        require(domain.bad_debt == 0 and domain.open_receipts == 0, "ledger: locked")
        gons = word.cash
        units = mul_div_down(gons, domain.claim_index, c.INDEX_ONE)
        domain.exposed -= gons
        domain.exempt += units
        word.cash = units
        word.exposed = False
        self.store_globals(domain)
        self.store_account_word(account, word)
        self._emit("Released", account=account, gons=gons, units=units)

    def settle(self, sender: str, account: bytes, market: int) -> None:
        """Pay a position's pending cash; clear one that was wiped. Anyone; reads no price. SPEC §4.2."""
        word = self.load_account_word(account)
        require(bool(word.legs >> market & 1) if 0 <= market < c.MAX_MARKETS else False, "settle: no position")
        require(not word.in_receipt, "ledger: receipt open")
        m = self.load_market_words(market)
        leg = self._read_leg(account, market, m.funding)
        self._pay_pending(m, word, leg)
        position = self.load_position(account, market)
        if leg.size == 0:
            # zero size: nothing to take out of the band, but a long band's last dust may go
            self._place(m, market, account, word, leg, 0, 0, 0)
        else:
            band = self.load_band(market, position.is_long, position.band)
            if band.scale != position.scale:
                self._anchor(m, market, account, leg.size, leg.entry, leg.band)
            else:
                cell = self.load_cell(market, position.is_long, position.band, band.epoch, band.scale)
                position.c0 = self._c_now(cell, band.a, m.funding, position.is_long, True)
                self.store_position(account, market, position)
        self.store_account_word(account, word)
        self.store_market_words(market, m)
        self._emit("Settled", account=account, market=market, size=leg.size, cash=word.cash)

    def rerank(self, sender: str, account: bytes, market: int) -> int:
        """Move a position to the band of its present label; to a safer one only after the delay (rule 31)."""
        venue = self._open_to_trade(market)
        word = self.load_account_word(account)
        require(not word.in_receipt, "ledger: receipt open")
        leg = self._read_leg(account, market, venue.words.funding)
        require(leg.size != 0, "settle: no position")
        self._pay_pending(venue.words, word, leg)
        r = self._assess(account, word, venue, leg.size)
        label = self._label(venue, r, leg.size, leg.entry)
        require(label != leg.band, "rerank: same band")
        if not is_riskier(venue.limits.rank, leg.size > 0, label, leg.band):
            require(word.touched + c.RERANK_DELAY_S <= self.world.now, "rerank: too early")
        self._place(venue.words, market, account, word, leg, leg.size, leg.entry, label)
        self.store_account_word(account, word)
        self._close_venue(venue)
        self._emit("Reranked", account=account, market=market, old_band=leg.band, new_band=label)
        return label

    # ---- the backstop fund's accounts --------------------------------------------------------------

    def take_over(self, sender: str, account: bytes, market: int) -> None:
        """The market's bucket inherits a nearly bankrupt account whole, for no price (rule 16)."""
        venue = self._open_to_trade(market)
        require(venue.prices.state != c.STATE_RECOVERY, "market: in recovery")
        bucket = self._bucket_of(market)
        require(account != bucket, "backstop: own account")
        word = self.load_account_word(account)
        require(word.legs == 1 << market, "backstop: not a single leg")
        require(not word.in_receipt, "ledger: receipt open")
        if word.has_late:
            self._fold_late(account, word)
        leg = self._read_leg(account, market, venue.words.funding)
        self._pay_pending(venue.words, word, leg)
        r = self._assess(account, word, venue, leg.size)
        require(leg.size != 0, "backstop: no position")
        require(r.e_kind >= 0, "margin: bankrupt")
        require(r.e_kind * c.PPM < r.m_kind * venue.risk.backstop, "backstop: above threshold")
        require(r.e_index >= 0, "margin: insolvent at index")
        cash = word.cash
        word.cash = 0
        word.touched = self.world.now
        self._place(venue.words, market, account, word, leg, 0, 0, 0)
        self.store_account_word(account, word)
        heir = self.load_account_word(bucket)
        bucket_leg = self._read_leg(bucket, market, venue.words.funding)
        self._pay_pending(venue.words, heir, bucket_leg)
        heir.cash += cash
        heir.touched = self.world.now
        post = bucket_leg.size + leg.size
        b = self._assess(bucket, heir, venue, post)
        require(b.e_credit >= b.im_credit, "margin: below initial")
        entry, band = leg.entry, 0
        if post != 0:
            band = self._label(venue, b, post, entry)
        self._place(venue.words, market, bucket, heir, bucket_leg, post, entry, band)
        self.store_account_word(bucket, heir)
        self._close_venue(venue)
        self._emit("TakenOver", account=account, market=market, bucket=bucket, size=leg.size, cash=cash)
