"""One feed's answer: the twenty hostile reads, the boundaries between codes, and what is remembered of a feed."""

from __future__ import annotations

from typing import Any

import pytest
from pyrevm import AccountInfo

from python_ref import price_oracle as model
from python_ref.constants import MAX_PRICE, STATE_DEGRADED, STATE_FROZEN, STATE_LIVE, STATE_RECOVERY, WAD
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
from python_ref.world import Revert
from scripts.chain import START, Artifact, compile_source
from tests.unit.oracle_bench import MAJOR, MAX_AGE, STRANGER, Bench, M

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


def test_read__code_that_is_gone() -> None:
    bench = Bench()
    bench.poke()
    address = bench.feeds[M][0].source
    bench.chain._evm.insert_account_info(address, AccountInfo())  # type: ignore[attr-defined]
    del bench.contracts[address]
    assert bench.step(1).state == STATE_DEGRADED
    assert bench.codes() == [model.SHORT, 0, 0]


# ---- five words, and the first check that they fail ------------------------------------------------------

ROUNDS = [
    ("honest", (7, P8, NOW, NOW, 7), model.OK),
    ("an older round answered", (7, P8, NOW, NOW, 6), model.OK),
    ("last uint80", (2**80 - 1, P8, NOW, NOW, 7), model.OK),
    ("dirty round", (2**80, P8, NOW, NOW, 7), model.OUT_OF_RANGE),
    ("dirty round, no price", (2**256 - 1, 0, 0, 0, 0), model.OUT_OF_RANGE),
    ("dirty stamps of no interest", (7, P8, 2**256 - 1, NOW, 2**256 - 1), model.OK),
    ("zero", (7, 0, NOW, NOW, 7), model.NONPOSITIVE),
    ("negative", (7, -1, NOW, NOW, 7), model.NONPOSITIVE),
    ("lowest", (7, -(2**255), NOW, 0, 7), model.NONPOSITIVE),
    ("one", (7, 1, NOW, NOW, 7), model.OK),
    ("beyond 128 bits", (7, 2**128, NOW, NOW, 7), model.OUT_OF_RANGE),
    ("2^200", (7, 2**200, NOW, NOW, 7), model.OUT_OF_RANGE),
    ("beyond 128 bits, incomplete", (7, 2**128, NOW, 0, 7), model.OUT_OF_RANGE),
    ("highest", (7, 2**255 - 1, NOW, 0, 7), model.OUT_OF_RANGE),
    ("just within 128 bits", (7, 2**128 - 1, NOW, NOW, 7), model.OUT_OF_RANGE),
    ("highest price", (7, MAX_PRICE // 10**10 - 1, NOW, NOW, 7), model.OK),
    ("beyond the highest price", (7, MAX_PRICE // 10**10, NOW, NOW, 7), model.OUT_OF_RANGE),
    ("incomplete", (7, P8, NOW, 0, 7), model.INCOMPLETE),
    ("future within the skew", (7, P8, NOW, NOW + 15, 7), model.OK),
    ("future", (7, P8, NOW, NOW + 16, 7), model.FUTURE),
    ("stamp 2^255", (7, P8, NOW, 2**255, 7), model.FUTURE),
    ("last stamp, whose sum with an age overflows", (7, P8, NOW, 2**256 - 1, 7), model.FUTURE),
    ("far future, out of range", (7, 2**127, NOW, 2**255, 7), model.FUTURE),
    ("as old as allowed", (7, P8, NOW, NOW - MAX_AGE, 7), model.OK),
    ("stale", (7, P8, NOW, NOW - MAX_AGE - 1, 7), model.STALE),
    ("from 1970", (7, P8, NOW, 1, 7), model.STALE),
]


@pytest.mark.parametrize(("name", "words", "code"), ROUNDS, ids=[name for name, _, _ in ROUNDS])
def test_read__first_failing_check_names_it(name: str, words: tuple[int, ...], code: int) -> None:
    bench = Bench()
    bench.set(1, "set_round", *words)
    bench.prices()
    assert bench.codes() == [0, code, 0]
    seen = bench.seen(1)
    kept = (words[1], words[0], words[3]) if code == model.OK else (0, 0, 0)
    assert (seen.answer, seen.round, seen.stamp) == kept


def test_read__stale_by_the_clock_alone() -> None:
    bench = Bench()
    bench.poke()
    assert bench.step(MAX_AGE).state == STATE_LIVE
    assert bench.step(1).state == STATE_FROZEN
    assert bench.codes() == [model.STALE] * 3


@pytest.mark.parametrize(("answer", "code"), [(999, 8), (1_000, 8), (1_001, 0), (2_999, 0), (3_000, 8), (3_001, 8)])
def test_read__bounds_are_excluded(answer: int, code: int) -> None:
    bench = Bench((18, 18, 18), configured=False, least=1_000, most=3_000)
    assert bench.configure() is None
    bench.set(2, "set_answer", answer)
    bench.prices()
    assert bench.codes()[2] == code


def test_read__lower_bound_alone_leaves_no_upper_one() -> None:
    bench = Bench((18, 18, 18), price=2**100, least=1)
    bench.set(0, "set_answer", 1)
    bench.prices()
    assert bench.codes()[0] == model.BOUND
    bench.set(0, "set_answer", MAX_PRICE - 1)
    bench.step(1)
    assert bench.codes()[0] == model.OK


@pytest.mark.parametrize(("flux", "code"), [(False, model.OK), (True, model.INCOMPLETE)])
def test_read__answered_in_an_older_round(flux: bool, code: int) -> None:
    bench = Bench(flux=flux)
    bench.set(0, "set_round", 7, P8, NOW, NOW, 6)
    bench.prices()
    assert bench.codes() == [code, 0, 0]
    bench.set(0, "set_round", 7, P8, NOW, NOW, 7)
    bench.step(1)
    assert bench.codes() == [0, 0, 0]


# ---- against what was seen before ----------------------------------------------------------------------

REGRESS = [
    ("the same again", (9, P8, NOW), model.OK),
    ("the same round stamped later", (9, P8, NOW + 1), model.OK),
    ("the same round, another answer", (9, P8 + 1, NOW), model.REGRESS),
    ("the same round, another answer, later", (9, P8 + 1, NOW + 1), model.REGRESS),
    ("an earlier round", (8, P8, NOW), model.REGRESS),
    ("an earlier round, later stamp", (8, P8, NOW + 1), model.REGRESS),
    ("a later round, earlier stamp", (10, P8, NOW - 1), model.REGRESS),
    ("a later round, same stamp", (10, P8 + 1, NOW), model.OK),
    ("a later round", (10, P8 + 1, NOW + 1), model.OK),
]


@pytest.mark.parametrize(("name", "words", "code"), REGRESS, ids=[name for name, _, _ in REGRESS])
def test_read__regress(name: str, words: tuple[int, int, int], code: int) -> None:
    bench = Bench()
    bench.set(0, "set_round", 9, P8, NOW, NOW, 9)
    bench.poke()
    before = bench.seen(0)
    round_id, answer, stamp = words
    bench.set(0, "set_round", round_id, answer, stamp, stamp, round_id)
    bench.step(1)
    assert bench.codes() == [code, 0, 0]
    after = bench.seen(0)
    expected = (answer, round_id, stamp) if code == model.OK else (before.answer, before.round, before.stamp)
    assert (after.answer, after.round, after.stamp) == expected


def test_read__round_zero_before_anything_was_seen_is_no_regress() -> None:
    bench = Bench()
    bench.set(0, "set_round", 0, P8, NOW, NOW, 0)
    bench.poke()
    assert bench.codes() == [0, 0, 0]
    bench.set(0, "set_round", 0, P8 + 1, NOW, NOW, 0)
    bench.step(1)
    assert bench.codes() == [model.REGRESS, 0, 0]


def test_read__stored_stamps_and_rounds_never_go_back() -> None:
    bench = Bench()
    seen = [bench.seen(0)]
    for k, (round_id, offset) in enumerate([(5, 0), (4, 1), (6, -3), (6, 2), (2**64, 3), (7, 9), (2**64 + 1, 4)]):
        stamp = NOW + offset
        bench.set(0, "set_round", round_id, P8 + k, stamp, stamp, round_id)
        bench.step(1)
        after = bench.seen(0)
        assert after.stamp >= seen[-1].stamp
        assert after.round >= seen[-1].round
        seen.append(after)
    assert (seen[-1].round, seen[-1].stamp) == (2**64 + 1, NOW + 4)


# ---- a change of phase ---------------------------------------------------------------------------------


def phase_round(bench: Bench, place: int, phase: int, number: int, price: int) -> None:
    """A complete round of some phase now."""
    round_id = phase << 64 | number
    bench.set(place, "set_round", round_id, bench.scaled(place, price), bench.chain.now, bench.chain.now, round_id)


def test_phase__new_aggregator_counts_after_three_new_rounds_that_agree() -> None:
    bench = Bench()
    bench.poke()
    assert bench.seen(0).round >> 64 == 0
    for number in range(1, 5):
        bench.advance(10)
        phase_round(bench, 0, 1, number, 2_000 * WAD)
        p = bench.poke()
        if number < 4:
            # the change itself, then two of the three rounds
            assert (p.state, bench.codes()[0]) == (STATE_DEGRADED, model.PHASE)
            assert bench.seen(0).quarantine == 4 - number
            # polling the same round again is no evidence
            bench.step(1)
            assert bench.seen(0).quarantine == 4 - number
    assert bench.seen(0).quarantine == 0
    assert bench.codes()[0] == model.PHASE, "it counts from the next read on"
    assert bench.step(1).state == STATE_LIVE
    assert bench.named("FeedRecovered") == [{"market": M, "feed": 0}]


@pytest.mark.parametrize(("last", "quarantine"), [(2_040, 0), (2_041, 3), (1_960, 0), (1_959, 3), (1, 3)])
def test_phase__round_outside_starts_the_quarantine_anew(last: int, quarantine: int) -> None:
    bench = Bench()
    bench.poke()
    for number, price in enumerate((2_000, 2_000, 2_000, last)):
        bench.advance(10)
        phase_round(bench, 0, 5, number, price * WAD)
        bench.poke()
    # 200 bps of 2,000 are 40
    assert bench.seen(0).quarantine == quarantine


def test_phase__back_to_the_old_one_is_a_change_too() -> None:
    bench = Bench()
    phase_round(bench, 0, 2, 1, 2_000 * WAD)
    bench.poke()
    bench.advance(1)
    phase_round(bench, 0, 1, 2**64 - 1, 2_000 * WAD)
    bench.poke()
    assert bench.codes()[0] == model.REGRESS
    bench.advance(1)
    phase_round(bench, 0, 3, 1, 2_000 * WAD)
    bench.poke()
    assert (bench.codes()[0], bench.seen(0).quarantine) == (model.PHASE, 3)


def test_phase__majority_of_new_aggregators_freezes_and_works_itself_out() -> None:
    bench = Bench()
    bench.poke()
    for number in range(5):
        bench.advance(10)
        for place in range(3):
            phase_round(bench, place, 1, number, 2_000 * WAD)
        p = bench.poke()
        assert (p.state == STATE_FROZEN) == (number < 4)
    assert bench.codes() == [0, 0, 0]


def test_phase__majority_in_quarantine_cannot_follow_a_price_that_leaves() -> None:
    """The index that they are held against stands still without them: such a market can only be settled."""
    bench = Bench(rules=MAJOR)
    bench.poke()
    for number in range(8):
        bench.advance(60)
        for place in (0, 1):
            phase_round(bench, place, 1, number, 2_041 * WAD)
        bench.answer(2_041 * WAD, 2)
        assert bench.poke().state == STATE_FROZEN
    assert [bench.seen(place).quarantine for place in range(3)] == [3, 3, 0]
    # as soon as one of them is believed again, or the price comes back, the others follow
    for number in range(8, 12):
        bench.advance(60)
        for place in (0, 1):
            phase_round(bench, place, 1, number, 2_040 * WAD)
        bench.answer(2_040 * WAD, 2)
        bench.poke()
    assert bench.state() == STATE_FROZEN
    assert bench.codes() == [0, 0, 0]
    assert bench.step(60, 2_040 * WAD).state == STATE_RECOVERY


# ---- decimals ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decimals", [(0, 8, 18), (18, 18, 18), (8, 8, 8), (1, 17, 6)])
def test_decimals__all_scales_agree(decimals: tuple[int, int, int]) -> None:
    bench = Bench(decimals, price=31 * WAD)
    p = bench.prices()
    assert (p.state, p.index) == (STATE_LIVE, 31 * WAD)


def test_decimals__another_number_than_pinned_silences_the_feed() -> None:
    bench = Bench()
    bench.poke()
    bench.set(0, "set_decimals", 18)
    bench.set(0, "set_answer", 2_000 * WAD)
    p = bench.step(1)
    # the answer is beyond every price in the pinned scale; a small one would pass as 2e-10 of it
    assert (p.state, bench.codes()[0]) == (STATE_DEGRADED, model.OUT_OF_RANGE)
    bench.set(0, "set_answer", P8)
    assert bench.step(1).index == 2_000 * WAD
    assert bench.codes()[0] == model.DECIMALS


ODD_DECIMALS = """
# pragma version 0.4.3
mode: public(uint256)

@external
def set_mode(mode: uint256):
    self.mode = mode

@view
@external
def latestRoundData() -> (uint256, int256, uint256, uint256, uint256):
    return 1, 2_000 * 10**8, 1, block.timestamp, 1

@view
@raw_return
@external
def decimals() -> Bytes[20_480]:
    if self.mode == 1:
        raise "no"
    if self.mode == 2:
        assert self.mode == 0, UNREACHABLE
    if self.mode == 3:
        return slice(abi_encode(convert(8, uint256)), 0, 31)
    if self.mode == 4:
        return abi_encode(convert(8, uint256), max_value(uint256))
    if self.mode == 5:
        return abi_encode(max_value(uint256))
    if self.mode == 6:
        return abi_encode(empty(uint256[640]))
    if self.mode == 7:
        return b""
    return abi_encode(convert(8, uint256))
"""


class OddDecimals:
    """The model of the above."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.mode = bench, 0

    def latestRoundData(self, sender: str) -> bytes:  # noqa: N802
        return b"".join(word.to_bytes(32, "big") for word in (1, P8, 1, self.bench.chain.now, 1))

    def decimals(self, sender: str) -> int:
        if self.mode in (1, 2, 3, 7):
            raise Revert("")
        return {5: 2**256 - 1, 6: 0}.get(self.mode, 8)


@pytest.mark.parametrize("mode", range(8))
def test_decimals__that_answer_oddly(mode: int) -> None:
    bench = Bench(configured=False)
    odd = OddDecimals(bench)
    feeds = [*bench.feeds[M][:2], bench.odd(compile_source("OddDecimals", ODD_DECIMALS), odd, group=2)]
    assert bench.configure(feeds=feeds) is None
    assert bench.poke().state == STATE_LIVE
    assert bench.chain.call(STRANGER, feeds[2].source, "set_mode", mode).ok
    odd.mode = mode
    bench.step(1)
    # more than one word is what the call would decode anyway
    assert bench.codes()[2] == (model.OK if mode in (0, 4) else model.DECIMALS)


# ---- a caller who hands on too little gas --------------------------------------------------------------

GREEDY = """
# pragma version 0.4.3
# answers only to a caller who hands on all that a feed is promised, and uses nearly all of it
LEAVE: constant(uint256) = 4_000

@view
@external
def latestRoundData() -> (uint256, int256, uint256, uint256, uint256):
    assert msg.gas > 99_000
    for _: uint256 in range(100_000):
        if msg.gas < LEAVE:
            break
    return 1, 2_000 * 10**8, 1, block.timestamp, 1

@view
@external
def decimals() -> uint256:
    assert msg.gas > 49_000
    for _: uint256 in range(100_000):
        if msg.gas < LEAVE:
            break
    return 8
"""


class Greedy(OddDecimals):
    """The model of the above."""


def greedy_bench(**options: Any) -> Bench:
    """Three feeds that answer with the last of their gas."""
    bench = Bench(configured=False, **options)
    code = compile_source("GreedyFeed", GREEDY)
    feeds = [bench.odd(code, Greedy(bench), group=group) for group in range(3)]
    assert bench.configure(feeds=feeds) is None
    return bench


@pytest.mark.parametrize("function", ["prices", "poke"])
@pytest.mark.parametrize("kind", ["burning", "greedy", "sequencer"])
def test_starved_caller__never_fails_a_healthy_feed(kind: str, function: str) -> None:
    bench = greedy_bench() if kind == "greedy" else Bench()
    if kind == "burning":
        bench.mode(FEED_BURN_GAS, 0)
    if kind == "sequencer":
        bench.set(0, "set_round", 1, 0, 1, NOW, 1)
        up, feeds = bench.feeds[M][0], [*bench.feeds[M][1:], bench.feed(8, 3)]
        bench.feeds[M] = feeds
        bench.answer(2_000 * WAD)
        assert bench.configure() is None
        assert bench.reason("set_sequencer", up.source) is None
    served = refused = 0
    before = bench.chain.dump(bench.oracle)
    expected = STATE_DEGRADED if kind == "burning" else STATE_LIVE
    for gas in range(30_000, 1_000_000, 3_000):
        bench.chain.gas_limit = gas  # type: ignore[attr-defined]
        mark = bench.chain.snapshot()
        outcome = bench.chain.call(STRANGER, bench.oracle, function, M)
        if outcome.ok:
            served += 1
            assert outcome.value[6] == expected, gas
            failed = [log.fields["feed"] for log in outcome.events if log.name == "FeedFailed"]
            assert failed == ([0] if kind == "burning" else []), gas
        else:
            refused += outcome.reason == "oracle: too little gas"
            assert bench.chain.dump(bench.oracle) == before, gas
        bench.chain.revert(mark)
    assert served > 20
    assert refused > 20


def test_starved_caller__of_the_view_gets_no_other_answer() -> None:
    bench = Bench(rules=MAJOR)
    expected = bench.peek()
    answers = set()
    for gas in range(30_000, 700_000, 5_000):
        bench.chain.gas_limit = gas  # type: ignore[attr-defined]
        outcome = bench.chain.simulate(STRANGER, bench.oracle, "peek", M)
        answers.add(outcome.value if outcome.ok else outcome.reason)
    assert answers - {"", "oracle: too little gas"} == {tuple(vars(expected).values())}
