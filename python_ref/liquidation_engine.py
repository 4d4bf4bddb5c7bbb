"""How much of an unhealthy position a liquidation takes. Pure judgement; SPEC §7, rule 20.

Mirror of ``contracts/LiquidationEngine.vy``.
"""

from __future__ import annotations

from python_ref import constants as c
from python_ref.fixed_math import mul_div_up
from python_ref.margin import requirement
from python_ref.words import Risk

STEPS = 2**16
"""A position is liquidated in parts of 1/65536, so that the search takes 16 halvings."""


class LiquidationEngine:
    """Stateless planner."""

    def plan(
        self,
        sender: str,
        size: int,
        kind_price: int,
        price: int,
        e_kind: int,
        m_other: int,
        risk_word: int,
        claim_index: int,
        min_size: int,
    ) -> int:
        """Least part of ``size`` (gons, rounded up to 1/65536 of it) after which ``E' >= k·M'``.

        ``price`` is what the account gets per unit, ``kind_price`` the edge its leg is valued at, ``m_other``
        the maintenance of its other legs, ``min_size`` in gons: a smaller rest is taken as well. Returns the
        whole size if no part suffices.
        """
        risk = Risk.unpack(risk_word)
        gap = abs(kind_price - price)

        def heals(part: int) -> bool:
            margin = m_other + requirement(risk.maintenance, risk.depth, (size - part) * kind_price, claim_index)
            return (e_kind - part * gap) * c.PPM >= margin * risk.target

        low, high = 0, STEPS
        for _ in range(16):
            middle = (low + high) // 2
            if heals(mul_div_up(size, middle, STEPS)):
                high = middle
            else:
                low = middle
        part = mul_div_up(size, high, STEPS)
        return size if size - part < min_size else part
