"""One feed's answer: the twenty hostile reads, the boundaries between codes, and what is remembered of a feed."""

from __future__ import annotations

from typing import Any

import pytest
from pyrevm import AccountInfo

from python_ref import price_oracle as model
from python_ref.constants import MAX_PRICE, STATE_DEGRADED, STATE_FROZEN, STATE_LIVE, WAD
from python_ref.mocks import (
    FEED_BOMB,
    FEED_BURN_GAS,
    FEED_EMPTY,
    FEED_NORMAL,
    FEED_REVERT,
    FEED_REVERT_BOMB,
    FEED_REVERT_EMPTY,
    FEED_SHORT,
)
from python_ref.price_oracle import FUTURE_S, QUARANTINE
from python_ref.world import Revert
from scripts.chain import START, Artifact, compile_source
from tests.unit.oracle_bench import MAX_AGE, MAJOR, STRANGER, Bench, M

NOW = START
P8 = 2_000 * 10**8


# ---- modes of not answering ----------------------------------------------------------------------------

HOSTILE = {
    FEED_REVERT: model.CALL_FAILED,
    FEED_REVERT_EMPTY: model.CALL_FAILED,
    FEED_BURN_GAS: model.CALL_FAILED,
    FEED_REVERT_BOMB: model.CALL_FAILED,
    FEED_SHORT: model.SHORT,
    FEED_EMPTY: model.SHORT,
    FEED_BOMB: model.NONPOSITIVE,
}


@pytest.mark.parametrize("mode", HOSTILE)
@pytest.mark.parametrize("first", [True, False])
def test_read__hostile_mode_silences_the_feed_only(mode: int, first: bool) -> None:
    bench, code = Bench(), HOSTILE[mode]
    if not first:
        bench.poke()
    for bad in range(3):
        bench.mode(mode, bad)
        # the first price is not moved by a feed that is silent from the start
        assert bench.step(1).state == (STATE_DEGRADED, STATE_FROZEN, STATE_FROZEN)[bad]
        assert bench.codes() == [code] * (bad + 1) + [0] * (2 - bad)
        assert bench.named("FeedFailed") == [{"market": M, "feed": bad, "code": code}], "only a change of code is told"
    assert bench.poke().index == 2_000 * WAD
    bench.mode(FEED_NORMAL)
    assert bench.step(1).state != STATE_FROZEN
    assert [fields["feed"] for fields in bench.named("FeedRecovered")] == [0, 1, 2]


# ---- code that no mock has -----------------------------------------------------------------------------


class Wire:
    """A feed by what it answers: bytes, or None for a call that fails."""

    def __init__(self, latest: bytes | None, decimals: int | None = 8) -> None:
        self.latest, self.of_decimals = latest, decimals

    def latestRoundData(self, sender: str) -> bytes:  # noqa: N802
        if self.latest is None:
            raise Revert("")
        return self.latest

    def decimals(self, sender: str) -> int:
        if self.of_decimals is None:
            raise Revert("")
        return self.of_decimals


def raw_feed(tail: str) -> Artifact:
    """Code that answers 8 to ``decimals()`` and else runs ``tail`` (hex)."""
    # selector == decimals()? 8 : fall through
    code = bytes.fromhex("5f3560e01c63313ce56714601057" + tail)
    jump = len(code)
    code = code[:12] + bytes([jump]) + code[13:] + bytes.fromhex("5b60085f5260205ff3")
    init = bytes.fromhex(f"61{len(code):04x}80600a5f395ff3")
    return Artifact("RawFeed", (), init + code, code, len(code), {})


RAW: dict[str, tuple[str, bytes | None, int]] = {
    "returns 1 MB": ("620f42405ff3", None, model.CALL_FAILED),
    "returns 150 kB of zeros": ("620249f05ff3", bytes(150_000), model.NONPOSITIVE),
    "returns 159 bytes": ("609f5ff3", bytes(159), model.SHORT),
    "returns 161 bytes of zeros": ("60a15ff3", bytes(161), model.NONPOSITIVE),
    "returns nothing": ("00", b"", model.SHORT),
    "reverts with 150 kB": ("620249f05ffd", None, model.CALL_FAILED),
    "reverts with 1 MB": ("620f42405ffd", None, model.CALL_FAILED),
    "writes storage": ("60015f5560a05ff3", None, model.CALL_FAILED),
    "destroys itself": ("5fff", None, model.CALL_FAILED),
    "loops for ever": ("5b600e56", None, model.CALL_FAILED),
    "calls itself for ever": ("5f5f60045f305afa60a05ff3", bytes(160), model.NONPOSITIVE),
}


@pytest.mark.parametrize("name", RAW)
def test_read__raw_code(name: str) -> None:
    tail, answer, code = RAW[name]
    bench = Bench(configured=False)
    feeds = [*bench.feeds[M][:2], bench.odd(raw_feed(tail), Wire(answer), group=2)]
    assert bench.configure(feeds=feeds) is None
    assert bench.prices().state == STATE_DEGRADED
    assert bench.codes() == [0, 0, code]
