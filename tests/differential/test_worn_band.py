"""A band that was cut to crumbs again and again must never block a default."""

from __future__ import annotations

from dataclasses import replace

from python_ref import constants as c
from scripts.chain import Chain
from scripts.system import RISK, WAD, MarketSpec, actor, deploy
from tests import books
from tests.books import ALICE, BOB, CAROL, DAVE

SIZE = 2_000 * WAD


def test_default__is_resolved_whatever_was_done_to_a_band(chain: Chain) -> None:
    """An attacker re-enters one band and has it cut to a crumb of 5e-10, some 240 times.

    Without a bound its scale, which has 8 bits, came to 255, and every later default that ended in the band was
    refused. Now the band takes nobody in from scale 248 on, and the bankrupts that are left are resolved.
    """
    system = deploy(chain, [MarketSpec("X", WAD, risk=replace(RISK, taker_fee=0))], 18)
    house = system.clearing_house
    books.rich(system, BOB, CAROL)
    bankrupts = [actor(f"bankrupt {i}") for i in range(275)]
    for one in bankrupts:
        books.fund(system, one, SIZE * 21 // 1000)
        size = SIZE - 10**12 if one is bankrupts[0] else SIZE
        assert system.trade(0, one.account(), BOB.account(), size, WAD).ok
    books.move(system, 0, WAD * 975 // 1000, 13)
    books.fund(system, ALICE, SIZE * 4 // 10 + 10**15)
    reason, band, rounds = None, 0, 0
    while reason is None:
        equity = books.exposure(system, ALICE.account()).e_index // WAD
        books.fund(system, ALICE, max(1, SIZE * 4 // 10 - equity))
        reason = system.trade(0, CAROL.account(), ALICE.account(), SIZE, books.prices(system).index).reason
        if reason is None:
            band = books.position(system, ALICE.account()).band
            assert system.call("resolve", DAVE.address, bankrupts[rounds].account(), ()).ok
            rounds += 1
    assert reason == "bands: worn out"
    assert house.load_band(0, False, band).scale >= c.WORN_SCALE
    for one in bankrupts[rounds:]:
        assert system.call("resolve", DAVE.address, one.account(), ()).ok
    system.twin.check_all()
