"""What the ledger says of everybody at one moment, in real money."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from python_ref.constants import INDEX_ONE, STATE_FROZEN, WAD
from python_ref.invariants import EffectiveLeg, Snapshot, Standing
from python_ref.ledger import account_id
from scripts.system import KEEPER, System


@dataclass(frozen=True)
class LedgerView:
    """A snapshot of the words with the prices that the oracle would answer now."""

    snapshot: Snapshot
    index: dict[int, int]
    high: dict[int, int]
    low: dict[int, int]
    frozen: bool
    vault: int  # units

    @classmethod
    def of(cls, system: System) -> LedgerView:
        """The system as it stands."""
        prices = {m: system.oracle.peek(KEEPER, m) for m in range(len(system.specs))}
        return cls(
            Snapshot(system.twin.world),
            {m: p.index for m, p in prices.items()},
            {m: p.high for m, p in prices.items()},
            {m: p.low for m, p in prices.items()},
            any(p.state == STATE_FROZEN for p in prices.values()),
            system.token.balanceOf(KEEPER, system.clearing_house.address) * system.unit,
        )

    @cached_property
    def funding(self) -> dict[int, int]:
        """Funding indices brought to now."""
        return self.snapshot.funding_at_end(self.index)

    def real(self, gons: int) -> int:
        """Worth of gons, floored."""
        return gons * self.snapshot.domain.claim_index // INDEX_ONE

    def legs(self, account: bytes) -> dict[int, EffectiveLeg]:
        """Positions of an account that are not wiped."""
        return {m: leg for m, leg in self.snapshot.legs(account, self.funding).items() if leg.size}

    def cash(self, account: bytes) -> int:
        """Cash with what positions have pending, without late money; WAD."""
        word = self.snapshot.accounts.get(account)
        if word is None:
            return 0
        if not word.exposed:
            return word.cash
        return self.real(word.cash + sum(leg.pending for leg in self.snapshot.legs(account, self.funding).values()))

    def equity(self, account: bytes) -> int:
        """Cash, late money and positions at the index; WAD."""
        word = self.snapshot.accounts.get(account)
        if word is None:
            return 0
        if not word.exposed:
            return word.cash + self.snapshot.late(account)
        return self.real(self.snapshot.standing(account, self.index, self.funding).equity // WAD)

    def standing(self, account: bytes) -> Standing:
        """Equity and maintenance at the edges that favour the account, gons times 1e18."""
        kind = {m: (self.high if leg.size > 0 else self.low)[m] for m, leg in self.legs(account).items()}
        return self.snapshot.standing(account, {**self.index, **kind}, self.funding)

    def size(self, account: bytes, market: int) -> int:
        """Signed real size."""
        leg = self.legs(account).get(market)
        if leg is None:
            return 0
        return self.real(leg.size) if leg.size > 0 else -self.real(-leg.size)

    def surplus(self) -> int:
        """Assets less claims: vault and bad debt beyond every signed claim; WAD, floored, zero or rounding dust."""
        d = self.snapshot.domain
        gap = self.vault * INDEX_ONE + d.bad_debt * d.claim_index - d.exempt * INDEX_ONE - d.exposed * d.claim_index
        return gap // INDEX_ONE

    def in_transit(self) -> int:
        """Fees not yet swept, and what rounding left in the pots; WAD."""
        transit = 0
        pending = {m: sum(legs[m].pending for legs in self.snapshot.all_legs.values() if m in legs) for m in self.index}
        for market, words in self.snapshot.markets.items():
            transit += words.fees + words.pot - pending[market]
        return self.real(transit)


def treasury(system: System) -> bytes:
    """The fund's own account."""
    return account_id(system.fund.address)
