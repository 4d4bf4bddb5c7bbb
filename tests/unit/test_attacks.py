"""Attack files: what is read of them, how feeds fail, and how expectations are judged. No chain."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path as File
from textwrap import dedent

import pytest

from python_ref.mocks import FEED_REVERT
from scripts import attacks
from scripts.attacks.attack import LIBRARY, load
from scripts.attacks.expect import Wish, judge
from scripts.attacks.faults import Fault, Habits, Source
from scripts.attacks.paths import Pace, Path, constant, read_path
from scripts.attacks.result import Happening, Metrics, Run, read, write
from scripts.scenario.nodes import Node, ScenarioError

SMALL = """
title: small
source: none
length: 10 min
market: {name: ETH}
truth: 100
"""
BEGIN = 1_000_000


def written(folder: File, text: str, name: str = "mine.yaml") -> File:
    """A file of that text."""
    file = folder / name
    file.write_text(text)
    return file


def path(value: object, folder: File = LIBRARY) -> Path:
    """A path as a file would have it."""
    return read_path(Node(value, "truth"), folder)


def source(*faults: Fault, truth: Path | None = None, **habits: int) -> Source:
    """A feed at 100, with 8 decimals."""
    ways = Habits(**{"decimals": 8, "heartbeat": 60, "deviation": 50} | habits)
    at = truth or constant(Fraction(100))
    return Source(0, ways, at, faults, "seed", BEGIN, round=1, answer=100 * 10**8, decimals=8)


def fault(start: int, end: int, **what: object) -> Fault:
    """A fault of feed 0."""
    return Fault(0, (0,), start, end, "", **what)  # type: ignore[arg-type]


def rounds(feed: Source, times: range) -> dict[int, tuple[int, ...]]:
    """The rounds that a feed makes at those seconds."""
    return {t: args for t in times for name, args in feed.calls(t) if name == "set_round"}


# Files


@pytest.mark.parametrize("file", sorted(LIBRARY.glob("*.yaml")), ids=lambda file: file.stem)
def test_library__every_file_can_be_used_and_expects_something_of_the_defended(file: File) -> None:
    for attack in load(file):
        assert attack.name == file.stem
        assert attack.wishes["defended"], attack.variant
        assert attack.times()[-1] == attack.length


def test_format__the_example_that_explains_it_can_be_used(tmp_path: File) -> None:
    text = dedent((attacks.__doc__ or "").partition("left out::")[2])
    two, one = load(written(tmp_path, text))
    assert (two.variant, one.variant) == ("two feeds", "as it stands")
    assert (len(two.faults), len(one.faults)) == (1, 2)
    assert one.sequencer == ((600, 5_280),)
    assert one.quote is not None
    assert [step.action for step in one.steps] == ["long", "close", "withdraw"]
    assert len(one.attackers) == 21


def test_library__numbers_are_not_used_twice() -> None:
    numbers = [file.stem.split("_")[0] for file in LIBRARY.glob("*.yaml")]
    assert len(numbers) == len(set(numbers))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("faults: [{feed: 5, revert: true}]", "faults[0].feed: a whole number from 0 to 4"),
        ("faults: [{feed: 0, from: 60, to: 30, revert: true}]", "faults[0].to: has to be after from"),
        ("faults: [{feed: 0}]", "not what is wrong"),
        ("faults: [{feed: 0, feeds: [1], revert: true}]", "name feed, feeds or group"),
        ("faults: [{feed: 0, revert: true, bomb: true}]", "revert and bomb at once"),
        ("faults: [{feed: 0, scael: 2}]", "did you mean 'scale'?"),
        ("faults: [{feed: 0, csv: nowhere.csv}]", "faults[0].csv: cannot read nowhere.csv"),
        ("steps: [{at: 0, long: {account: eve, notional: 1}}]", "steps[0].long.account: unknown account 'eve'"),
        ("steps: [{at: 0, long: {account: pool}}]", "steps[0].long: notional or size is wanted"),
        ("steps: [{at: 0, jump: {}}]", "steps[0].jump: unknown key"),
        ("steps: [{at: 0}]", "steps[0]: one action is wanted"),
        ("expect: {naive: {profit: 0}}", "expect.naive.profit: unknown metric"),
        ("expect: {naive: {bad_debt: about 5}}", "expect.naive.bad_debt: 'about 5' is no expectation"),
        ("expect: {naive: {states: FROSTY@3}}", "'FROSTY@3' is no state"),
        ("expect: {naive: {codes: stale}}", "'stale' is no feed:code"),
        ("expect: {careful: {bad_debt: 0}}", "expect.careful: unknown key"),
        ("naive: average", "naive: average has a time constant"),
        ("step: 0", "step: a step is at least one second"),
        ("book: {leverages: [0.5]}", "book.leverages: a leverage is 1 at least"),
        ("attackers: {pool: 5}", "'pool' stands for two accounts"),
        ("variants: {}", "variants: none is there"),
    ],
)
def test_load__complaint_names_the_field(tmp_path: File, text: str, complaint: str) -> None:
    with pytest.raises(ScenarioError) as error:
        load(written(tmp_path, SMALL + text))
    assert complaint in str(error.value)


def test_load__a_market_needs_a_truth(tmp_path: File) -> None:
    with pytest.raises(ScenarioError, match="market: truth is missing"):
        load(written(tmp_path, "title: x\nsource: y\nlength: 60\nmarket: {name: ETH}\n"))


def test_load__variants_replace_by_key(tmp_path: File) -> None:
    text = SMALL + "variants: {a: {market: {feeds: 3}}, b: {truth: 7, expect: {naive: {bad_debt: 0}}}}"
    a, b = load(written(tmp_path, text))
    assert (a.variant, a.markets[0].n_feeds, a.markets[0].name, a.markets[0].price) == ("a", 3, "ETH", 100 * 10**18)
    assert (b.variant, b.markets[0].n_feeds, b.markets[0].price) == ("b", 5, 7 * 10**18)
    assert b.wishes["naive"] == (Wish("bad_debt", "0"),)


# Prices over time


def test_path__shapes() -> None:
    line = path([["0", "100"], ["100", "200"]])
    assert [line.at(t) for t in (-5, 0, 50, 100, 999)] == [100, 100, 150, 200, 200]
    step = path({"points": [["0", "100"], ["100", "200"]], "shape": "step"})
    assert [step.at(t) for t in (0, 99, 100)] == [100, 100, 200]
    falling = path({"start": "0.2", "tau": "1500"})
    assert float(falling.at(1_500)) == pytest.approx(0.2 / 2.718281828459045)
    drip = path({"start": "1", "drip": "5", "every": "12"})
    assert float(drip.at(6 * 3_600)) == pytest.approx(1.0005**1_800)  # +146 %, research oracles T22
    assert drip.at(11) == 1


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ("time,price\n1,2", "round,timestamp,answer"),
        ("round,timestamp,answer\n1,2", "line 2: three whole numbers"),
        ("round,timestamp,answer\n1,50,7\n2,40,7", "sort the rows"),
        ("round,timestamp,answer\n", "0 rounds"),
    ],
)
def test_history__complaints(tmp_path: File, table: str, complaint: str) -> None:
    written(tmp_path, table, "feed.csv")
    with pytest.raises(ScenarioError, match=complaint):
        path({"csv": "feed.csv"}, tmp_path)


def test_history__is_a_staircase_from_its_first_row(tmp_path: File) -> None:
    written(tmp_path, "round,timestamp,answer\n7,1700000000,10000000000\n8,1700000060,11000000000\n", "feed.csv")
    found = path({"csv": "feed.csv", "decimals": "8", "from": "30"}, tmp_path)
    assert [found.at(t) for t in (0, 30, 89, 90)] == [100, 100, 100, 110]


def test_pace__stops_are_among_the_steps() -> None:
    assert Pace(((0, 12), (36, 30))).times(100, [40, 400]) == [0, 12, 24, 36, 40, 66, 96, 100]


# Feeds


def test_source__answers_by_heartbeat_and_by_deviation() -> None:
    moving = path([["0", "100"], ["120", "100"], ["180", "101"]])
    found = rounds(source(truth=moving), range(0, 200, 12))
    assert list(found) == [60, 120, 156]
    assert found[60] == (2, 100 * 10**8, BEGIN + 60, BEGIN + 60, 2)


def test_source__freeze_scale_and_back() -> None:
    feed = source(fault(60, 120, flags=frozenset({"freeze"})), fault(180, 240, scale=Fraction(3)))
    found = rounds(feed, range(0, 301, 60))
    assert {t: args[1] // 10**8 for t, args in found.items()} == {120: 100, 180: 300, 240: 100, 300: 100}


def test_source__a_mode_and_decimals_are_set_once_and_reset() -> None:
    feed = source(fault(60, 120, mode=FEED_REVERT), fault(120, 180, decimals=6))
    calls = {t: list(feed.calls(t)) for t in range(0, 241, 60)}
    assert ("set_mode", (FEED_REVERT,)) in calls[60]
    assert ("set_mode", (0,)) in calls[120]
    assert ("set_decimals", (6,)) in calls[120]
    assert [args[1] for name, args in calls[120] if name == "set_round"] == [100 * 10**6]
    assert ("set_decimals", (8,)) in calls[180]


def test_source__rounds_that_go_wrong() -> None:
    assert rounds(source(fault(60, 61, phase=1)), range(60, 61))[60][0] == 1 << 64 | 1
    assert rounds(source(fault(60, 61, regress=1)), range(60, 61))[60][0] == 0
    same = rounds(source(fault(60, 61, flags=frozenset({"same_round"}), add=Fraction(1))), range(60, 61))[60]
    assert same[:2] == (1, 101 * 10**8)
    assert rounds(source(fault(60, 61, flags=frozenset({"incomplete"}))), range(60, 61))[60][2:4] == (0, 0)
    assert rounds(source(fault(60, 61, future=16)), range(60, 61))[60][3] == BEGIN + 76
    carried = rounds(source(fault(60, 61, flags=frozenset({"carried"}))), range(60, 61))[60]
    assert carried[4] == carried[0] - 1


def test_source__late_is_the_past_with_the_stamp_of_the_past() -> None:
    rising = path([["0", "100"], ["1000", "200"]])
    found = rounds(source(fault(100, 400, late=100), truth=rising), range(300, 301))[300]
    assert found[1:4] == (120 * 10**8, BEGIN + 200, BEGIN + 200)


def test_source__noise_and_chaos_are_the_same_for_the_same_seed() -> None:
    chaos = fault(0, 1_000, flags=frozenset({"chaos"}))
    a, b = (rounds(source(chaos, noise=20), range(0, 600, 12)) for _ in range(2))
    assert a == b
    assert len({args[1] for args in a.values()}) > 10
    assert {args[3] for args in a.values()} >= {0}
    assert all(abs(args[1] - 10**10) <= 10**10 * 20 // 10_000 for args in a.values())


# Expectations


def run(**metrics: float) -> Run:
    """A run that went LIVE, DEGRADED at 300, FROZEN at 600, in steps of 12."""
    t = [float(x) for x in range(0, 900, 12)]
    state = [0 if x < 300 else 1 if x < 600 else 2 for x in t]
    codes = [[0, 6 if x >= 300 else 0] for x in t]
    return Run(
        "a", "A", "", "", "", "defended", "", "revm", 12.0, 9, t, state=state, codes=codes, metrics=Metrics(**metrics)
    )


@pytest.mark.parametrize(
    ("metric", "wanted", "ok"),
    [
        ("attacker_profit", "<= 0", True),
        ("attacker_profit", "-6 .. -4", True),
        ("attacker_profit", "> 0", False),
        ("wrongful_count", "3", True),
        ("wrongful_count", "<= typical", True),
        ("wrongful_count", "< naive", False),
        ("t_detect", "none", True),
        ("t_detect", "<= 12", False),
        ("gas_poke_max", "<= 5", True),
        ("states", "DEGRADED@300 FROZEN@600", True),
        ("states", "DEGRADED@270 FROZEN", False),
        ("states", "DEGRADED@270+-30 FROZEN", True),
        ("states", "DEGRADED@300", False),
        ("states", "DEGRADED@300 ...", True),
        ("states", "LIVE", False),
        ("codes", "1:STALE", True),
        ("codes", "0:STALE", False),
    ],
)
def test_judge__comparisons(metric: str, wanted: str, ok: bool) -> None:
    ours = run(attacker_profit=-5.0, wrongful_count=3)
    line = judge(Wish(metric, wanted), ours, {"typical": run(wrongful_count=4), "naive": run(wrongful_count=3)})
    assert line.ok is ok, line.got


def test_judge__a_known_loss_is_marked_and_still_has_to_come() -> None:
    wish = Wish("bad_debt", "> 0", known=True)
    assert judge(wish, run(bad_debt=5.0), {}).known
    assert not judge(wish, run(), {}).ok


def test_result__is_the_same_after_writing_and_reading(tmp_path: File) -> None:
    ours = run(bad_debt=1.5)
    ours.events.append(Happening(1.0, "adl", "long 2x", -3.0, 5.0, "text", True))
    ours.expected.append(judge(Wish("bad_debt", "<= 0"), ours, {}))
    write([ours], tmp_path / "deep" / "results.json")
    (back,) = read(tmp_path / "deep" / "results.json")
    assert back == ours
    assert not back.ok
