"""Names for what the oracle does: complete, in the oracle's order, and profiles that it accepts."""

from __future__ import annotations

import pytest

from python_ref import constants as c
from python_ref import price_oracle as o
from scripts.rules import CAUSES, CODES, PROFILES, STATES
from scripts.system import MarketSpec


def test_names__are_those_of_the_oracle() -> None:
    assert {name: getattr(c, f"STATE_{name}") for name in STATES} == {name: i for i, name in enumerate(STATES)}
    assert {name: getattr(o, name) for name in CODES} == {name: i for i, name in enumerate(CODES)}
    assert set(CAUSES) == {value for name, value in vars(o).items() if name.startswith("CAUSE_")}
    assert len(set(CAUSES.values())) == len(CAUSES)


@pytest.mark.parametrize("name", PROFILES)
def test_profiles__are_accepted(name: str) -> None:
    assert PROFILES[name].fits()
    assert PROFILES[name].quote == 0


def test_profiles__off_is_the_default_and_alt_is_looser_than_major() -> None:
    assert MarketSpec("", 1).rules == PROFILES["off"]
    assert MarketSpec("", 1).outlier_bps == PROFILES["off"].outlier
    assert PROFILES["major"].tightens(PROFILES["alt"])
    assert not PROFILES["alt"].tightens(PROFILES["major"])
