"""The sweep of the oracle's parameters: what is played and kept, which points are best, what can be gone on."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from scripts.attacks import grid, sweep
from scripts.attacks.frontier import COSTS, PARAMETERS, Point, clouds, effects, frontier, tell
from scripts.attacks.grid import GRID, Job, Outcome, changed, choices, jobs, points, variants
from scripts.campaign.workers import Lost

ATTACK = """\
title: Three of five feeds print a fifth less
source: made for this test
length: 20 min
step: 12
market: {name: BTC, price: 100}
truth: 100
variants:
  three feeds:
    faults: [{feeds: [0, 1, 2], from: 300, to: 420, scale: 0.8}]
  one feed:
    faults: [{feed: 0, from: 300, to: 420, scale: 0.8}]
"""
SMALL = ["--tau-fast", "60", "--speed", "20", "--grace", "600", "--freeze", "14400", "--points", "0", "--jobs", "1"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "own.yaml"
    path.write_text(ATTACK)
    return path


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Job]:
    """Jobs in the order in which they are asked for; none is really played, its costs follow from its rules."""
    asked: list[Job] = []

    def measure(place: int, todo: Sequence[Job]) -> Outcome:
        job = todo[place]
        asked.append(job)
        jump = job.rules[0] if job.rules else 1_500
        return Outcome(place, dict(zip(COSTS, (float(jump), 5_000.0 - jump, 60.0), strict=True)))

    monkeypatch.setattr(grid, "measure", measure)
    monkeypatch.setattr(sweep, "SWEEPS", tmp_path / "sweeps")
    return asked


def invoke(*options: str) -> Result:
    return CliRunner().invoke(sweep.main, [*SMALL, *options])


def directory(tmp_path: Path) -> Path:
    return tmp_path / "sweeps" / "sweep"


# --- what is played ---


def test_choices__are_drawn_from_the_grid_without_repeat() -> None:
    everything = set(product(*GRID.values()))
    drawn = choices(GRID, 30, 7)
    assert len(set(drawn)) == 30
    assert set(drawn) < everything
    assert set(choices(GRID, 0, 7)) == everything
    assert drawn == choices(GRID, 30, 7)
    assert drawn != choices(GRID, 30, 8)


def test_jobs__finish_a_point_before_the_next_and_begin_with_the_rules_of_the_files() -> None:
    rules = choices(GRID, 2, 1)
    todo = jobs(rules, [("a.yaml", ""), ("b.yaml", "x")], 2)
    assert [job.rules for job in todo] == [None] * 4 + [rules[0]] * 4 + [rules[1]] * 4
    assert [job.run for job in todo[:4]] == ["a", "a #1", "b x", "b x #1"]


def test_changed__puts_the_rules_into_every_market(file: Path) -> None:
    attack = variants(str(file))["one feed"]
    job = Job((700, 30, 10, 60, 7_200), str(file), "one feed", 3)
    after = changed(attack, job)
    rules = after.markets[0].rules
    assert (rules.jump, rules.tau_fast, rules.speed, rules.grace, rules.freeze) == job.rules
    assert rules.soft == attack.markets[0].rules.soft
    assert after.seed != attack.seed
    assert changed(attack, Job(None, str(file), "one feed", 0)) == attack


def test_measure__a_shut_gate_saves_whom_an_open_one_lets_close(file: Path) -> None:
    def costs(jump: int) -> dict[str, float]:
        job = Job((jump, 60, 20, 600, 14_400), str(file), "three feeds", 0)
        return grid.measure(0, [job]).costs

    shut, wide = costs(500), costs(6_000)
    assert shut["wrongful_notional"] == 0
    assert wide["wrongful_notional"] > 0
    assert shut["user_lockout_seconds"] > wide["user_lockout_seconds"]


def test_play_all__processes_tell_the_same_as_one(file: Path) -> None:
    todo = jobs([(500, 60, 20, 600, 14_400)], [(str(file), "three feeds")], 1)
    alone = list(grid.play_all(todo, [0, 1], 1))
    spread = sorted(grid.play_all(todo, [0, 1], 2), key=lambda outcome: outcome.place)
    assert spread == alone
    assert all(isinstance(outcome, Outcome) for outcome in alone)


def test_here__a_job_that_fails_is_lost_and_the_rest_goes_on(file: Path, tmp_path: Path) -> None:
    good = Job(None, str(file), "one feed", 0)
    found = list(grid.here([Job(None, str(tmp_path / "none.yaml"), "", 0), good], [0, 1]))
    assert isinstance(found[0], Lost)
    assert "none.yaml" in found[0].reason
    assert isinstance(found[1], Outcome)


# --- which points are best ---

COST = st.integers(0, 6).map(float)
POINTS = st.lists(st.tuples(COST, COST, COST), min_size=1, max_size=25).map(
    lambda rows: [point(*row, jump=i) for i, row in enumerate(rows)]
)


def point(wrongful: float, debt: float, lockout: float, jump: int = 500) -> Point:
    return Point((jump, 60, 20, 600, 14_400), {"a": dict(zip(COSTS, (wrongful, debt, lockout), strict=True))})


@given(POINTS)
def test_frontier__nothing_beats_it_and_it_beats_the_rest(found: list[Point]) -> None:
    def beats(one: Point, other: Point) -> bool:
        return one.costs != other.costs and all(a <= b for a, b in zip(one.costs, other.costs, strict=True))

    best = frontier(found)
    assert best
    assert not any(beats(other, one) for one in best for other in found)
    assert all(any(beats(one, other) for one in best) for other in found if other not in best)


def test_costs__are_sums_over_the_runs() -> None:
    runs = {"a": dict(zip(COSTS, (1.0, 2.0, 3.0), strict=True)), "b": dict(zip(COSTS, (10.0, 20.0, 30.0), strict=True))}
    assert Point(None, runs).costs == (11.0, 22.0, 33.0)


def test_points__only_those_with_all_their_runs() -> None:
    todo = jobs([(500, 60, 20, 600, 14_400)], [("a.yaml", ""), ("b.yaml", "")], 1)
    done = {place: Outcome(place, dict.fromkeys(COSTS, 1.0)) for place in (0, 1, 3)}
    assert [found.rules for found in points(todo, done)] == [None]


def test_clouds__show_every_point_once_in_each_chart_and_tell_its_parameters() -> None:
    found = [point(1, 5, 0, 1), point(5, 1, 0, 2), point(6, 6, 6, 3), Point(None, point(2, 2, 2).runs)]
    traces = clouds(found)["data"]
    for half in (traces[:3], traces[3:]):
        assert [len(trace["x"]) for trace in half] == [1, 2, 1]
    assert "jump gate J: 3 bps" in traces[0]["text"][0]
    assert "<b>bad debt ($): $6</b>" in traces[0]["text"][0]
    assert "rules as in the files" in tell(found[3])


def test_effects__are_means_over_what_else_was_chosen() -> None:
    found = [point(1, 0, 0, 1), point(3, 0, 0, 1), point(9, 0, 0, 2), Point(None, point(50, 0, 0).runs)]
    drawn = effects(found)["data"]
    assert len(drawn) == len(PARAMETERS) * len(COSTS)
    assert (list(drawn[0]["x"]), list(drawn[0]["y"])) == (["1", "2"], [2.0, 9.0])


# --- the command ---


def test_main__writes_page_and_numbers(played: list[Job], file: Path, tmp_path: Path) -> None:
    done = invoke("--attacks", str(file), "--jump", "500,3000")
    assert done.exit_code == 0, done.output
    assert len(played) == 3 * 2
    told = json.loads((directory(tmp_path) / "frontier.json").read_text())
    assert told["left"] == 0
    assert [(p["rules"] or {}).get("jump") for p in told["points"]].count(None) == 1
    assert {p["costs"]["wrongful_notional"] for p in told["points"]} == {1_000.0, 3_000.0, 6_000.0}
    assert all(p["frontier"] for p in told["points"])
    html = (directory(tmp_path) / "frontier.html").read_text()
    assert "3 of 3 are on the frontier" in html
    assert "Not finished" not in html


def test_main__goes_on_where_it_was_killed(
    played: list[Job], file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--attacks", str(file), "--jump", "500,3000,6000")
    whole = invoke(*options, "--name", "whole")
    assert whole.exit_code == 0
    everything = list(played)
    played.clear()

    measure = grid.measure

    def killed(place: int, todo: Sequence[Job]) -> Outcome:
        if len(played) == 3:
            raise KeyboardInterrupt
        return measure(place, todo)

    monkeypatch.setattr(grid, "measure", killed)
    first = invoke(*options)
    assert first.exit_code == 130
    assert "3 of 8 runs are done; the same command goes on" in first.output
    with (directory(tmp_path) / "journal.jsonl").open("a") as journal:
        journal.write('{"outcome": {"pla')  # a kill in the middle of a line

    monkeypatch.setattr(grid, "measure", measure)
    second = invoke(*options)
    assert second.exit_code == 0
    assert played == everything
    whole_file, file_now = (tmp_path / "sweeps" / name / "frontier.json" for name in ("whole", "sweep"))
    assert file_now.read_text() == whole_file.read_text()
    assert invoke(*options).exit_code == 0
    assert played == everything


def test_main__stops_when_the_budget_is_spent(played: list[Job], file: Path, tmp_path: Path) -> None:
    done = invoke("--attacks", str(file), "--jump", "500,3000", "--budget", "1e-9")
    assert done.exit_code == 3
    assert len(played) == 1
    assert "no choice of rules has all its runs yet" in done.output
    again = invoke("--attacks", str(file), "--jump", "500,3000")
    assert again.exit_code == 0
    assert len(played) == 6


def test_main__a_run_that_fails_is_told_and_tried_again(
    played: list[Job], file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = grid.measure

    def failing(place: int, todo: Sequence[Job]) -> Outcome:
        if place == 2:
            raise AssertionError("contract and model differ")
        return measure(place, todo)

    monkeypatch.setattr(grid, "measure", failing)
    done = invoke("--attacks", str(file), "--jump", "500")
    assert done.exit_code == 1
    assert "jump 500, tau_fast 60, speed 20, grace 600, freeze 14400: AssertionError: contract and" in done.output
    assert "1 of 2 choices are not yet played" in (directory(tmp_path) / "frontier.html").read_text()
    monkeypatch.setattr(grid, "measure", measure)
    assert invoke("--attacks", str(file), "--jump", "500").exit_code == 0


def test_main__refuses_a_directory_of_another_sweep(played: list[Job], file: Path) -> None:
    assert invoke("--attacks", str(file), "--jump", "500").exit_code == 0
    other = invoke("--attacks", str(file), "--jump", "700")
    assert other.exit_code == 2
    assert "grid was" in other.output
    assert "--fresh" in other.output
    assert invoke("--attacks", str(file), "--jump", "700", "--fresh").exit_code == 0


def test_main__an_attack_that_was_edited_is_another_sweep(played: list[Job], file: Path) -> None:
    assert invoke("--attacks", str(file), "--jump", "500").exit_code == 0
    file.write_text(ATTACK.replace("0.8", "0.9"))
    assert "scripts/attacks was" in invoke("--attacks", str(file), "--jump", "500").output


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--jump", "fast"), "'fast': whole numbers with commas between are wanted, as in 500,1500"),
        (("--jump", "500,500"), "'500,500': numbers are 0 or more, each once"),
        (("--grace", "-1"), "'-1': numbers are 0 or more, each once"),
        (("--attacks", "zz"), "--attacks zz: none in library/; give a number, as a02, or a file"),
        (("--attacks", "missing.yaml"), "--attacks missing.yaml:"),
        (("--jump", "70000"), "jump 70000, tau_fast 60, speed 20, grace 600, freeze 14400: the oracle does not accept"),
    ],
)
def test_main__a_bad_option_is_named(played: list[Job], file: Path, options: tuple[str, ...], complaint: str) -> None:
    named: tuple[Any, ...] = () if "--attacks" in options else ("--attacks", str(file))
    done = invoke(*named, *options)
    assert done.exit_code == 2
    assert complaint in re.sub(r"\s+", " ", done.output)
    assert not played


def test_main__an_attack_that_cannot_be_read_names_the_field(played: list[Job], file: Path) -> None:
    file.write_text(ATTACK.replace("length: 20 min", "length: soon"))
    done = invoke("--attacks", str(file))
    assert done.exit_code == 2
    assert "length" in done.output
