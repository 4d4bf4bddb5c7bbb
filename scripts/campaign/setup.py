"""What a campaign deploys, as plain data: a scenario or a journal can carry it and anybody can build it again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from eth_abi import decode, encode
from eth_utils import keccak

from python_ref import constants as c
from python_ref.governor import Governor
from python_ref.words import Limits, Risk
from python_ref.world import Revert
from scripts.chain import Chain, account
from scripts.chain.artifacts import artifact, canonical
from scripts.system import GOVERNOR, LIMITS, RISK, WAD, MarketSpec, System, deploy
from scripts.twin import Observer

GUARDIAN = account(9_004)
"""May tighten at once, where a Governor contract governs."""

SPECS = (
    MarketSpec("CVX", 2 * WAD, RISK, replace(LIMITS, rank=c.RANK_LEVERAGE)),
    MarketSpec("ETH", 4_000 * WAD, replace(RISK, depth=5_000_000), replace(LIMITS, rank=c.RANK_PROFIT, octave_bits=4)),
    MarketSpec("DOGE", WAD // 5, RISK, replace(LIMITS, rank=c.RANK_SINGLE), policy="ProRata"),
    MarketSpec(
        "DUST",
        100 * WAD,
        replace(RISK, taker_fee=0, maker_fee=300),
        replace(LIMITS, rank=c.RANK_LEVERAGE, lot_exp=0, min_size=c.DUST_SIZE + 1, octave_bits=2),
        policy="ProRata",
        width_bps=40,
    ),
)
"""One market of every rank and policy, and one where a position may be a few wei."""


@dataclass(frozen=True)
class Setup:
    """One deployment: everything that :func:`build` needs, and nothing of the walk upon it.

    ``decimals`` of the collateral token; ``cooldown_s`` of the fund; ``delay_s`` of the Governor contract that is
    deployed beside the domain (governing nothing until the ledger is transferred to it).
    """

    decimals: int = 6
    specs: tuple[MarketSpec, ...] = field(default=SPECS)
    cooldown_s: int = 3_600
    delay_s: int = 7_200

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON or YAML can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Setup:
        """The set-up that :meth:`as_dict` described."""
        specs = tuple(
            MarketSpec(**{**spec, "risk": Risk(**spec["risk"]), "limits": Limits(**spec["limits"])})
            for spec in data["specs"]
        )
        return cls(**{**data, "specs": specs})


def build(chain: Chain, setup: Setup, full_every: int = 100, observer: Observer | None = None) -> System:
    """Deploy ``setup`` on a fresh ``chain``; what follows are calls on the twin, which a trace can hold."""
    system = deploy(chain, setup.specs, setup.decimals, setup.cooldown_s, full_every, observer)
    address = chain.deploy("Governor", GOVERNOR, GUARDIAN, setup.delay_s, sender=GOVERNOR)
    twin = system.twin
    houses = {system.addresses["ClearingHouse"].lower(): system.clearing_house}
    governor = Governor(
        twin.world,
        address,
        GOVERNOR,
        GUARDIAN,
        setup.delay_s,
        _dispatch(system),
        lambda target: houses[target.lower()],
        lambda target: target.lower() in chain._contracts,
    )
    twin.bind(governor, "Governor", address)
    system.addresses["Governor"] = address
    return system


def calldata(contract: str, function: str, *args: Any) -> bytes:
    """The bytes of a call, as the Governor takes them."""
    (entry,) = (e for e in artifact(contract).abi if e["type"] == "function" and e["name"] == function)
    types = [canonical(i) for i in entry["inputs"]]
    return keccak(f"{function}({','.join(types)})".encode())[:4] + encode(types, args)


def _dispatch(system: System) -> Callable[[str, str, bytes], None]:
    """How the Governor's model calls the models of the ledger and the oracle: by the ABI of what lies there."""
    models = {
        system.addresses["ClearingHouse"].lower(): ("ClearingHouse", system.clearing_house),
        system.addresses["PriceOracle"].lower(): ("PriceOracle", system.oracle),
    }

    def call(sender: str, target: str, data: bytes) -> None:
        contract, model = models[target.lower()]
        for entry in artifact(contract).abi:
            if entry["type"] == "function":
                types = [canonical(i) for i in entry["inputs"]]
                if keccak(f"{entry['name']}({','.join(types)})".encode())[:4] == data[:4]:
                    getattr(model, entry["name"])(sender, *decode(types, data[4:]))
                    return
        raise Revert("")  # the contract has no such function

    return call
