"""``constants.vy`` against ``constants.py``, and the relations between scales that other proofs use."""

from __future__ import annotations

import re
from types import ModuleType

from python_ref import constants as c
from python_ref import liquidation_engine, policies
from scripts.chain.artifacts import CONTRACTS

LINE = re.compile(r"^(\w+): constant\(u?int256\) = (.+)$", re.MULTILINE)


def declared(name: str) -> dict[str, int]:
    """Constants of a Vyper file by name."""
    found = {}
    for key, text in LINE.findall((CONTRACTS / name).read_text()):
        if re.fullmatch(r"[\d_*+\- ]+", text):
            found[key] = int(eval(text))  # only digits and operators, as just matched
    return found


def mirrored(module: ModuleType) -> dict[str, int]:
    """Upper-case integers of a Python module."""
    return {key: value for key, value in vars(module).items() if key.isupper() and isinstance(value, int)}


def test_constants__both_files_agree() -> None:
    assert declared("modules/constants.vy") == mirrored(c)
    assert len(declared("modules/constants.vy")) > 25


def test_constants__no_line_escapes_the_comparison() -> None:
    text = (CONTRACTS / "modules" / "constants.vy").read_text()
    assert text.count("constant(") == len(declared("modules/constants.vy"))


def test_constants__policy_slice_and_engine_steps() -> None:
    """Numbers that live beside the code that uses them."""
    assert declared("LiquidationEngine.vy")["STEPS"] == liquidation_engine.STEPS
    for name in ("BandQueue.vy", "ProRata.vy"):
        assert declared(name)["PLAN_SLICE"] == policies.PLAN_SLICE
    assert c.MAX_PLAN % policies.PLAN_SLICE == 0, "a walk is cut between two answers of a policy"


def test_constants__window_of_the_size_index() -> None:
    """``A`` fits its field; one bump brings it back; a position's exact product fits the word."""
    assert c.MIN_A * c.SCALE_STEP == c.ONE_A < 2**120
    assert (2**104 - 1) * c.ONE_A < 2**256
    # what is left of a band is at least one wei of 2^104, so four bumps always suffice (a fifth is bounded in code)
    assert c.ONE_A * c.SCALE_STEP**4 // (2**104) >= c.MIN_A
    # nine scales carry any size of the word down to nothing
    assert (2**104 - 1) * c.ONE_A < c.MIN_A * c.SCALE_STEP ** (c.SCALE_SPAN + 1)


def test_constants__prices_and_sizes_fit() -> None:
    assert c.MAX_PRICE < 2**87, "entry and index are 87 bits"
    assert c.MAX_PRICE << 127 < 2**256, "the logarithm's shift"
    assert c.MAX_SIZE < 2**104
    assert c.MAX_SIZE * c.INDEX_ONE < 2**256, "from real size to gons"
    assert c.MAX_SIZE * c.MAX_PRICE < 2**255, "value is signed"


def test_constants__bands_and_markets() -> None:
    assert c.N_BANDS == 2**8
    assert c.BAND_CENTRE == c.N_BANDS // 2
    assert c.MAX_MARKETS == 16, "the leg bits"
    assert c.MAX_LEGS <= c.MAX_MARKETS


def test_constants__claims() -> None:
    assert 0 < c.MIN_CLAIM_INDEX * 1_000 == c.INDEX_ONE < 2**128
    assert 0 < c.WITHDRAW_RATIO_PPM < c.PPM
    assert 0 < c.MAX_PREMIUM_PPM < 2**23
    assert c.BUCKET_RESERVE < c.WAD, "less than a unit of money"
    flags = (c.FLAG_BUYER_REDUCE_ONLY, c.FLAG_SELLER_REDUCE_ONLY, c.FLAG_BUYER_IS_TAKER)
    assert sum(flags) == 7 == flags[0] | flags[1] | flags[2]
    assert c.RESIDENCY_S > 12, "longer than the oracle's cache, so a release never outruns a price"
