"""Accounts of a run judged at any price: what the metrics compare the deployment with is the true one.

Reads the model's words, which are the chain's. Money is real (not gons), WAD.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from python_ref import constants as c
from python_ref.ledger import account_id
from python_ref.margin import Exposure, requirement
from python_ref.world import Revert
from scripts.system import KEEPER, System


@dataclass(frozen=True)
class Standing:
    """What an account is worth at given prices, and what it must hold there."""

    equity: int
    maintenance: int

    @property
    def healthy(self) -> bool:
        """Whether nobody might touch it."""
        return self.equity >= self.maintenance

    @property
    def bankrupt(self) -> bool:
        """Whether it owes."""
        return self.equity < 0


class _Discard(Revert):
    """Ends a look at the model, so that the world rolls back what the look wrote."""


class Accounts:
    """Reads and judges the accounts of a system."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.house = system.clearing_house

    def claim_index(self) -> int:
        """Real money per gon, 1e36-scaled."""
        return self.house.load_globals_words().claim_index

    def real(self, gons: int) -> int:
        """Worth of gons."""
        return gons * self.claim_index() // c.INDEX_ONE

    def sizes(self, account: bytes) -> dict[int, int]:
        """Signed real sizes by market, without wiped positions."""
        word = self.house.load_account_word(account)
        found = {}
        for market in range(len(self.system.specs)):
            if word.legs >> market & 1:
                size = self.house._read_leg(account, market, self.house.load_market_words(market).funding).size
                if size:
                    found[market] = self.real(size) if size > 0 else -self.real(-size)
        return found

    def standing(self, account: bytes, prices: Mapping[int, int]) -> Standing:
        """At ``prices`` (WAD, by market)."""
        word = self.house.load_account_word(account)
        late = self.system.twin.world.get(("ClearingHouse", "accounts", account, 33)) if word.has_late else 0
        if not word.exposed:
            return Standing(word.cash + late, 0)
        index = self.claim_index()
        value, margin = word.cash * c.WAD, 0
        for market in range(len(self.system.specs)):
            if not word.legs >> market & 1:
                continue
            leg = self.house._read_leg(account, market, self.house.load_market_words(market).funding)
            risk = self.system.specs[market].risk
            value += leg.pending * c.WAD + leg.size * prices[market]
            margin += requirement(risk.maintenance, risk.depth, abs(leg.size) * prices[market], index)
        return Standing(self.real(value // c.WAD) + late, self.real(margin // c.WAD))

    def judged(self, account: bytes) -> Exposure | None:
        """What the deployment itself thinks of the account now; None if its oracle makes that impossible."""
        found: list[Exposure] = []

        def look() -> None:
            found.append(self.house._assess(account, self.house.load_account_word(account), None, 0))
            raise _Discard("")

        try:
            self.system.twin.world.transact(look)
        except _Discard:
            return found[0]
        except Revert:
            return None
        raise AssertionError("unreachable")

    def would(self, contract: str, function: str, sender: str, *args: object) -> bool:
        """Whether the model would let the call through; nothing is kept."""
        model = self.system.twin.model(contract)

        def look() -> None:
            self.system.twin._invoke(model, function, sender, args)
            raise _Discard("")

        try:
            self.system.twin.world.transact(look)
        except _Discard:
            return True
        except Revert:
            return False
        raise AssertionError("unreachable")

    def most(self, contract: str, function: str, sender: str, args: tuple[object, ...], place: int, top: int) -> int:
        """The highest number up to ``top`` at ``args[place]`` with which the call goes through; 0 if none does."""
        low, high = 0, top
        while low < high:
            middle = (low + high + 1) // 2
            if self.would(contract, function, sender, *(*args[:place], middle, *args[place + 1 :])):
                low = middle
            else:
                high = middle - 1
        return low

    def fund(self, prices: Mapping[int, int]) -> int:
        """Worth of the fund: treasury and buckets."""
        accounts = [account_id(self.system.fund.address)]
        accounts += [self.system.bucket(market) for market in range(len(self.system.specs))]
        return sum(self.standing(account, prices).equity for account in accounts)

    def wallet(self, owner: str) -> int:
        """Tokens held outside, WAD."""
        return self.system.token.balanceOf(KEEPER, owner.lower()) * self.system.unit
