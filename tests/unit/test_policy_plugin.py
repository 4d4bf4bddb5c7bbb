"""A deleveraging policy of one's own: one contract, one Python class, `set_policy`.

What a policy may decide is who is closed first. Prices, sizes, caps and the books are the ClearingHouse's, so a bad
policy is unfair or refused until it is replaced, and never breaks conservation.
"""

from __future__ import annotations

from typing import Any

import pytest

from python_ref import constants as c
from python_ref import invariants
from python_ref.clearing_house import ClearingHouse
from python_ref.policies import Policy, Side
from scripts.chain import Chain, Outcome
from scripts.system import GOVERNOR, KEEPER, MarketSpec, System, actor, deploy

WAD = c.WAD
MAX = 2**256 - 1
PRICE = 100 * WAD
VICTIM = actor("victim")
WINNERS = [actor(f"winner {i}") for i in range(5)]
SIZES = (300, 100, 500, 200, 400)


class LargestFirst:
    """Mirror of ``contracts/mocks/LargestFirst.vy``: the band with most open interest first."""

    def __init__(self, house: ClearingHouse) -> None:
        self.house = house

    def plan(self, sender: str, side: Side) -> tuple[tuple[int, ...], tuple[int, ...], int]:
        """One band, without a bound of its own."""
        bands = [band for band in range(c.N_BANDS) if side.bitmap >> band & 1]
        largest = max(bands, key=lambda band: (self.house.load_band(side.market, side.is_long, band).oi, -band))
        return (largest,), (MAX,), 1


REPEATS, EMPTY_BANDS, ZERO_CAPS, GREEDY, SILENT, FICKLE = range(6)


class RottenPolicy:
    """Mirror of ``contracts/mocks/RottenPolicy.vy``."""

    def __init__(self, mode: int) -> None:
        self.mode = mode

    def plan(self, sender: str, side: Side) -> tuple[tuple[int, ...], tuple[int, ...], int]:
        """A bad answer."""
        if self.mode == SILENT:
            return (), (), 0
        if self.mode == EMPTY_BANDS:
            return (256, MAX), (side.size, side.size), MAX
        order = range(c.N_BANDS - 1, -1, -1) if side.is_long else range(c.N_BANDS)
        found = [band for band in order if side.bitmap >> band & 1]
        if self.mode == REPEATS:
            return (found[0],) * 8, (side.size // 3 + 1,) * 8, MAX
        if self.mode == ZERO_CAPS:
            return tuple(found[:8]), (0,) * len(found[:8]), MAX
        if self.mode == GREEDY:
            return (found[-1],), (MAX,), MAX
        return (found[0],), (side.size,), 0 if len(found) > 1 and side.limit_band % 2 == 0 else MAX


def plug_in(system: System, name: str, model: Any, *args: Any) -> None:
    """Deploy a policy, tell the model's registry, and let the governor choose it for market 0."""
    address = system.chain.deploy(name, *args, sender=GOVERNOR)
    policy: Policy = model
    system.clearing_house.registry.policies[address] = policy
    system.must("set_policy", GOVERNOR, 0, address)


def bankrupt_market(chain: Chain, is_long: bool = True, percent: int = 5) -> System:
    """A market where ``VICTIM`` is bankrupt, beyond what the fund has, against winners in bands of their own."""
    system = deploy(chain, [MarketSpec("PLUG", PRICE)])
    system.fund_account(VICTIM.address, 4_000 * WAD)
    for winner, size, cash in zip(WINNERS, SIZES, (2_000, 3_000, 12_000, 12_000, 36_000), strict=True):
        system.fund_account(winner.address, cash * WAD)
        pair = (VICTIM, winner) if is_long else (winner, VICTIM)
        assert system.trade(0, pair[0].account(), pair[1].account(), size * WAD, PRICE).ok
    system.twin.advance(30)
    system.set_price(0, PRICE * (100 - percent if is_long else 100 + percent) // 100)
    return system


def resolve(system: System) -> Outcome:
    """Resolve ``VICTIM`` on both sides and check every invariant that a call can break."""
    house = system.clearing_house
    before = invariants.Snapshot(system.twin.world)
    outcome = system.call("resolve", KEEPER, VICTIM.account(), ())
    vault = system.token.balanceOf(house.address, house.address) * system.unit
    index = {0: system.oracle.peek(KEEPER, 0).index}
    invariants.check_all(system.twin.world, vault, before=before, events=outcome.events, acted_for=set(), index=index)
    system.twin.check_all()
    return outcome


def closed(outcome: Outcome) -> list[tuple[int, int, int]]:
    """Band, size and open interest of every cut."""
    return [
        (e.fields["band"], e.fields["size"], e.fields["open_interest"])
        for e in outcome.events
        if e.name == "BandDeleveraged"
    ]


@pytest.mark.parametrize("is_long", [True, False])
def test_own_policy__closes_in_its_own_order_and_the_receipt_adds_up(chain: Chain, is_long: bool) -> None:
    system = bankrupt_market(chain, is_long)
    plug_in(system, "LargestFirst", LargestFirst(system.clearing_house))
    outcome = resolve(system)
    assert outcome.value is True
    cuts = closed(outcome)
    sizes = [oi for _, _, oi in cuts]
    assert sizes == sorted(sizes, reverse=True)
    assert len(cuts) == len(SIZES)
    assert sum(size for _, size, _ in cuts) == sum(SIZES) * WAD
    receipt = next(e.fields for e in outcome.events if e.name == "ReceiptWritten")
    over = receipt["seized"] + receipt["cover"] + receipt["booked"] - receipt["deficit"]
    assert 0 <= over <= receipt["legs"]


def test_own_policy__is_the_governors_choice(chain: Chain) -> None:
    system = bankrupt_market(chain)
    address = system.chain.deploy("LargestFirst", sender=GOVERNOR)
    assert system.call("set_policy", KEEPER, 0, address).reason == "ledger: not the governor"


@pytest.mark.parametrize("is_long", [True, False])
@pytest.mark.parametrize("mode", [REPEATS, GREEDY, FICKLE])
def test_rotten_policy__is_only_unfair(chain: Chain, mode: int, is_long: bool) -> None:
    system = bankrupt_market(chain, is_long)
    plug_in(system, "RottenPolicy", RottenPolicy(mode), mode)
    outcome = resolve(system)
    if mode == REPEATS:
        # each band gives a third of what is left, at most once: what none of them gave nobody can take
        assert outcome.reason == "resolve: plan too small"
        return
    assert outcome.value is True
    cuts = closed(outcome)
    assert len({band for band, _, _ in cuts}) == len(cuts), "no band is closed twice"
    assert all(size <= oi for _, size, oi in cuts)
    assert sum(size for _, size, _ in cuts) == sum(SIZES) * WAD


def test_rotten_policy__cannot_take_more_than_the_gap_cap(chain: Chain) -> None:
    system = bankrupt_market(chain, percent=30)
    plug_in(system, "RottenPolicy", RottenPolicy(GREEDY), GREEDY)
    outcome = resolve(system)
    receipt = next(e.fields for e in outcome.events if e.name == "ReceiptWritten")
    index = PRICE * 70 // 100
    cap = sum(SIZES) * index * system.specs[0].risk.maintenance // c.PPM
    assert cap <= receipt["seized"] <= cap + 1
    assert receipt["booked"] >= receipt["deficit"] - cap - 1


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        (SILENT, "resolve: empty plan"),
        (EMPTY_BANDS, "resolve: empty plan"),
        (ZERO_CAPS, "resolve: plan too small"),
    ],
)
def test_rotten_policy__that_closes_nothing_is_refused_and_can_be_replaced(
    chain: Chain, mode: int, reason: str
) -> None:
    system = bankrupt_market(chain)
    plug_in(system, "RottenPolicy", RottenPolicy(mode), mode)
    assert resolve(system).reason == reason
    system.must("set_policy", GOVERNOR, 0, system.addresses["BandQueue"])
    assert resolve(system).value is True
