"""Who may change what to what: listing, rates, limits, policies, feeds, roles, the timelock."""

from __future__ import annotations

from dataclasses import replace

from python_ref import constants as c
from python_ref.words import Risk
from scripts.branches.coverage import CoverageChain
from scripts.branches.scene import ZERO, Scene
from scripts.branches.stops.deployment import NOBODY
from scripts.campaign.setup import GUARDIAN, calldata
from scripts.campaign.walk import STRANGER
from scripts.chain.base import account
from scripts.system import FILLER, GOVERNOR, KEEPER, LIMITS, RISK, WAD

HOUSE = "ClearingHouse"
BAD_RISK: dict[str, tuple[Risk, ...]] = {
    "market: maintenance": (replace(RISK, maintenance=0), replace(RISK, maintenance=20_000)),
    "market: initial": (replace(RISK, initial=1_000_001),),
    "market: penalty": (replace(RISK, penalty=10_000),),
    "market: fund share": (replace(RISK, fund_share=1_000_001),),
    "market: fee": (replace(RISK, taker_fee=10_000), replace(RISK, maker_fee=10_000)),
    "market: fill band": (replace(RISK, fill_band=1_000_000),),
    "market: target": (replace(RISK, target=999_999),),
    "market: backstop": (replace(RISK, backstop=1_000_000),),
}
"""What the ledger refuses of risk parameters."""


def listing_and_parameters(chain: CoverageChain) -> int:
    """Everything that a market may not be."""
    scene = Scene(chain)
    n, policy = scene.n_markets, scene.system.addresses["ProRata"]
    risk, limits = RISK.pack(), LIMITS.pack()

    def unlisted(reason: str, *args: object) -> None:
        scene.refused(reason, HOUSE, "add_market", GOVERNOR, *args)

    unlisted("market: no such slot", 16, risk, limits, WAD, policy)
    unlisted("market: already listed", 0, risk, limits, WAD, policy)
    unlisted("market: not the next slot", n + 1, risk, limits, WAD, policy)
    unlisted("market: anchor", n, risk, limits, 0, policy)
    unlisted("market: anchor", n, risk, limits, c.MAX_PRICE + 1, policy)
    unlisted("market: rank", n, risk, replace(LIMITS, rank=3).pack(), WAD, policy)
    unlisted("market: octave bits", n, risk, replace(LIMITS, octave_bits=7).pack(), WAD, policy)
    unlisted("market: minimum size", n, risk, replace(LIMITS, min_size=c.DUST_SIZE).pack(), WAD, policy)
    unlisted("market: lot", n, risk, replace(LIMITS, lot_exp=31).pack(), WAD, policy)
    unlisted("ledger: zero address", n, risk, limits, WAD, ZERO)
    for reason, words in BAD_RISK.items():
        for word in words:
            scene.refused(reason, HOUSE, "set_risk", GOVERNOR, 0, word.pack())
    for market in (n, 16):
        scene.refused("market: not listed", HOUSE, "set_risk", GOVERNOR, market, risk)
        scene.refused("market: not listed", HOUSE, "set_limits", GOVERNOR, market, limits)
        scene.refused("market: not listed", HOUSE, "set_policy", GOVERNOR, market, policy)
        scene.refused("market: not listed", HOUSE, "sweep_fees", KEEPER, market)
        for function in ("settle", "rerank", "take_over"):
            reason = "settle: no position" if function == "settle" else "market: not listed"
            scene.refused(reason, HOUSE, function, KEEPER, scene.accounts[0], market)
        taker = scene.accounts[1]
        scene.refused("market: not listed", HOUSE, "liquidate", scene.owner(1), scene.accounts[0], market, taker, WAD)
        scene.refused("market: not listed", HOUSE, "fill", FILLER, market, scene.accounts[0], taker, WAD, WAD, 0)
        scene.denied("market: not listed", "Lens", "coverage", market)
    scene.refused("market: minimum size", HOUSE, "set_limits", GOVERNOR, 0, replace(LIMITS, min_size=1).pack())
    scene.refused("ledger: zero address", HOUSE, "set_policy", GOVERNOR, 0, ZERO)
    scene.refused("ledger: zero address", HOUSE, "transfer_governor", GOVERNOR, ZERO)
    for function, args in (
        ("wire", (STRANGER, STRANGER)),
        ("set_filler", (STRANGER, True)),
        ("transfer_governor", (STRANGER,)),
        ("add_market", (n, risk, limits, WAD, policy)),
        ("set_risk", (0, risk)),
        ("set_limits", (0, limits)),
        ("set_policy", (0, policy)),
    ):
        scene.refused("ledger: not the governor", HOUSE, function, STRANGER, *args)
    scene.finish()
    return scene.calls


def bucket_before_its_market(chain: CoverageChain) -> int:
    """A bucket that traded before its own market was listed is exposed already."""
    scene = Scene(chain)
    market = scene.n_markets
    bucket = scene.bucket(market)
    scene.done("BackstopFund", "set_cap", GOVERNOR, market, 10_000 * WAD)
    scene.fund("deposit", 0, 0, 1_000_000)
    scene.done("BackstopFund", "top_up", KEEPER, market, 1_000 * WAD, acted=(bucket, scene.treasury))
    scene.rich(0)
    args = (0, bucket, scene.accounts[0], WAD, scene.prices[0], 0)
    scene.done(HOUSE, "fill", FILLER, *args, acted=(bucket, scene.accounts[0]))
    listing = (market, RISK.pack(), LIMITS.pack(), WAD, scene.system.addresses["ProRata"])
    scene.done(HOUSE, "add_market", GOVERNOR, *listing, acted=(bucket,))
    return scene.calls


def raw_getters(chain: CoverageChain) -> int:
    """Raw words of places that there are and of places that there are not."""
    scene = Scene(chain)
    scene.rich(0, 1)
    scene.open(0, 0, 1, WAD)
    scene.denied("", HOUSE, "load_market", 16)
    scene.ask(HOUSE, "load_market", 15)
    for market, first, count in ((16, 0, 1), (0, 250, 7)):
        scene.denied("", HOUSE, "load_bands", market, True, first, count)
    for count in (0, 1, 256):
        scene.ask(HOUSE, "load_bands", 0, True, 0, count)
    position = scene.system.clearing_house.load_position(scene.accounts[0], 0)
    house = scene.house_address
    # the model reads cells by their fields, so the words are held against the storage
    at = (0, position.is_long, position.band, position.epoch, position.scale)
    word = chain.view(house, "load_cell", *at)
    assert word == scene.system.clearing_house.load_cell(*at).pack(), "load_cell"
    for wrong in ((16, True, 0, 0, 0), (0, True, 256, 0, 0), (0, True, 0, 2**16, 0), (0, True, 0, 0, 2**8)):
        assert chain.simulate(KEEPER, house, "load_cell", *wrong).reason == "", wrong
    wiring = chain.view(house, "wiring")
    names = ("Token", "PriceOracle", "LiquidationEngine", "BackstopFund")
    assert wiring == tuple(scene.system.addresses[name] for name in names), "wiring"
    assert [chain.view(house, "is_filler", who) for who in (FILLER, STRANGER)] == [True, False]
    scene.ask(HOUSE, "is_authorised", scene.owner(0), scene.owner(0))
    scene.ask(HOUSE, "is_authorised", scene.owner(0), STRANGER)
    return scene.calls


def little_gas(chain: CoverageChain) -> int:
    """A caller who hands on too little gas is refused before a feed can be made to fail. Gas has no model."""
    scene = Scene(chain)
    scene.advance(60)
    reasons = set()
    for gas in range(60_000, 400_000, 4_000):
        with chain.gas_of(gas):
            reasons.add(chain.simulate(KEEPER, scene.address("PriceOracle"), "poke", 0).reason)
    assert "oracle: too little gas" in reasons, reasons
    return scene.calls


def rules_between_rates(chain: CoverageChain) -> int:
    """What the Governor's own checks refuse."""
    scene = Scene(chain)
    strict = replace(RISK, target=1_200_000)
    bad = {
        "maintenance is zero": replace(strict, maintenance=0),
        "initial <= maintenance": replace(strict, initial=10_000),
        "initial > 1": replace(strict, initial=1_000_001),
        "penalty >= maintenance": replace(strict, penalty=10_000),
        "fund_share > 1": replace(strict, fund_share=1_000_001),
        "target <= 1": replace(strict, target=1_000_000),
        "fee too high": replace(strict, taker_fee=12_000),
        "fill_band >= 1": replace(strict, fill_band=1_000_000),
        "backstop >= 1": replace(strict, backstop=1_000_000),
    }
    for reason, risk in bad.items():
        scene.denied(f"governor: {reason}", "Governor", "check_risk", risk.pack())
    scene.ask("Governor", "check_risk", strict.pack())
    for reason, limits in {
        "min_size is dust": replace(LIMITS, min_size=c.DUST_SIZE),
        "lot_exp > 30": replace(LIMITS, lot_exp=31),
        "unknown rank": replace(LIMITS, rank=3),
        "octave_bits > 6": replace(LIMITS, octave_bits=7),
    }.items():
        scene.denied(f"governor: {reason}", "Governor", "check_limits", limits.pack())
    scene.ask("Governor", "check_limits", LIMITS.pack())
    return scene.calls


def tightening(chain: CoverageChain) -> int:
    """What the guardian may do at once, and everything that he may not."""
    scene = Scene(chain)
    house = scene.house_address
    scene.done(HOUSE, "transfer_governor", GOVERNOR, scene.address("Governor"))

    def tighten(what: str, word: int, reason: str | None = None, market: int = 0, sender: str = GUARDIAN) -> None:
        if reason is None:
            scene.done("Governor", f"tighten_{what}", sender, house, market, word)
        else:
            scene.refused(f"governor: {reason}", "Governor", f"tighten_{what}", sender, house, market, word)

    old = scene.risk(0)
    tighten("risk", old.pack(), "not guardian", sender=STRANGER)
    for reason, new in {
        "initial loosens": replace(old, initial=old.initial - 1),
        "maintenance loosens": replace(old, maintenance=old.maintenance - 1),
        "penalty changes": replace(old, penalty=old.penalty - 1),
        "fund_share changes": replace(old, fund_share=old.fund_share - 1),
        "taker_fee changes": replace(old, taker_fee=old.taker_fee - 1),
        "maker_fee changes": replace(old, maker_fee=old.maker_fee + 1),
        "fill_band loosens": replace(old, fill_band=old.fill_band + 1),
        "target changes": replace(old, target=old.target + 1),
        "backstop changes": replace(old, backstop=old.backstop - 1),
    }.items():
        tighten("risk", new.pack(), reason)
    sloped = scene.risk(1)
    assert sloped.depth > 0, "market 1 has a slope"
    tighten("risk", replace(sloped, depth=0).pack(), "depth loosens", market=1)
    tighten("risk", replace(sloped, depth=sloped.depth + 1).pack(), "depth loosens", market=1)
    tighten("risk", replace(sloped, depth=sloped.depth - 1).pack(), market=1)
    tighten("risk", replace(old, initial=old.initial + 1, depth=10**9).pack(), sender=GOVERNOR)
    limits = scene.limits(0)
    tighten("limits", replace(limits, oi_cap=limits.oi_cap + 1).pack(), "oi_cap loosens")
    tighten("limits", replace(limits, min_size=limits.min_size - 1).pack(), "min_size loosens")
    tighten("limits", replace(limits, lot_exp=limits.lot_exp - 1).pack(), "other limits change")
    tighten("limits", replace(limits, min_size=limits.min_size + 1).pack())
    scene.finish()
    return scene.calls


def timelock(chain: CoverageChain) -> int:
    """Scheduled, too early, executed, expired, cancelled; what may not be scheduled at all."""
    scene = Scene(chain)
    house = scene.house_address
    scene.done(HOUSE, "transfer_governor", GOVERNOR, scene.address("Governor"))
    owner, risk, limits = GOVERNOR, RISK.pack(), LIMITS.pack()
    governor = "Governor"
    scene.refused("governor: target has no code", governor, "schedule", owner, NOBODY, b"")
    set_risk = calldata(HOUSE, "set_risk", 0, risk)
    set_limits = calldata(HOUSE, "set_limits", 0, limits)
    listing = (scene.n_markets, risk, limits, WAD, scene.system.addresses["ProRata"])
    add_market = calldata(HOUSE, "add_market", *listing)
    for data in (set_risk[:67], set_limits[:67], add_market[:163], add_market[:67]):
        scene.refused("governor: short data", governor, "schedule", owner, house, data)
    scene.refused("governor: maintenance is zero", governor, "schedule", owner, house, set_risk[:36] + bytes(32))
    # before `seal` a call needs no announcement; a refusal of the target is passed on
    scene.done(governor, "execute", owner, house, add_market)
    scene.refused("market: already listed", governor, "execute", owner, house, add_market)
    scene.refused("", governor, "execute", owner, house, b"abc")
    scene.refused("governor: not owner", governor, "seal", STRANGER)
    scene.done(governor, "seal", owner)
    scene.refused("governor: sealed", governor, "seal", owner)
    scene.refused("governor: not scheduled", governor, "execute", owner, house, set_risk)
    scene.done(governor, "schedule", owner, house, set_risk)
    scene.refused("governor: already scheduled", governor, "schedule", owner, house, set_risk)
    scene.refused("governor: too early", governor, "execute", owner, house, set_risk)
    scene.advance(scene.setup.delay_s)
    scene.done(governor, "execute", owner, house, set_risk)
    scene.done(governor, "schedule", owner, house, set_limits)
    scene.advance(scene.setup.delay_s + 365 * 86_400)
    scene.refused("governor: expired", governor, "execute", owner, house, set_limits)
    scene.done(governor, "schedule", owner, house, set_limits)
    number = scene.ask(governor, "id_of", house, set_limits)
    scene.refused("governor: not guardian", governor, "cancel", STRANGER, number)
    scene.done(governor, "cancel", GUARDIAN, number)
    scene.refused("governor: not scheduled", governor, "cancel", owner, number)
    scene.finish()
    return scene.calls


def owners(chain: CoverageChain) -> int:
    """The Governor's owner and guardian change hands."""
    scene = Scene(chain)
    heir, guardian = account(7_301), account(7_302)
    for function, args in (("propose_owner", (heir,)), ("set_guardian", (heir,)), ("execute", (heir, b""))):
        scene.refused("governor: not owner", "Governor", function, STRANGER, *args)
    scene.refused("governor: not pending owner", "Governor", "accept_owner", heir)
    scene.done("Governor", "propose_owner", GOVERNOR, heir)
    scene.done("Governor", "accept_owner", heir)
    scene.done("Governor", "set_guardian", heir, guardian)
    scene.refused("governor: not owner", "Governor", "seal", GOVERNOR)
    scene.finish()
    return scene.calls
