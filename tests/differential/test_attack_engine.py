"""A few attacks played whole, contract and model compared at every call: the engine does what the files say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from scripts.attacks.__main__ import main
from scripts.attacks.attack import find, load
from scripts.attacks.result import DEPLOYMENTS, Run, read
from scripts.attacks.runner import perform
from scripts.chain import make_chain

OWN = """
title: a crash from a feed's history
source: none
length: 10 min
market: {name: ETH, feeds: 3, heartbeat: 600}
truth: {csv: feed.csv}
faults: [{csv: feed.csv}]
book: {leverages: [2, 20]}
expect:
  naive: {wrongful_count: 0, bad_debt: "> 0"}
  typical: {wrongful_count: 0}
  defended: {wrongful_count: 0, states: FROZEN@240}
"""
HISTORY = "round,timestamp,answer\n18,1700000000,400000000000\n19,1700000120,390000000000\n20,1700000240,280000000000\n"


def play(name: str, variant: str) -> dict[str, Run]:
    """One variant of an attack of the library, three ways."""
    attack = next(attack for attack in load(find(name)[0]) if attack.variant == variant)
    return perform(attack, DEPLOYMENTS, make_chain)


@pytest.mark.parametrize(("name", "variant"), [("a02", "3 of 5 feeds"), ("a14", ""), ("a21", "2 of 3")])
def test_perform__a_library_attack_comes_as_expected(name: str, variant: str) -> None:
    for run in play(name, variant).values():
        assert run.expected
        assert [line for line in run.expected if not line.ok] == []
        assert len(run.t) == len(run.truth) == len(run.index) == len(run.state) == len(run.codes) == len(run.feeds)


def test_perform__what_the_glitch_does_and_what_it_does_not() -> None:
    runs = play("a02", "3 of 5 feeds")
    closed = {event.account for event in runs["naive"].events if event.kind == "resolve" and event.wrongful}
    assert closed == {f"long {leverage}x" for leverage in (2, 3, 5, 10, 20)}
    assert min(runs["naive"].index) == 5_402
    assert min(runs["defended"].index) == 43_500
    assert runs["defended"].metrics.user_lockout_seconds == runs["defended"].metrics.time_in_state[2] > 0


def test_perform__twice_is_the_same() -> None:
    attack = replace(load(find("a12")[0])[0], length=900)
    first, second = (perform(attack, ("defended",), make_chain)["defended"] for _ in range(2))
    assert first == second
    assert any(max(codes) > 1 for codes in first.codes)


def test_main__own_file_with_a_history(tmp_path: Path) -> None:
    (tmp_path / "feed.csv").write_text(HISTORY)
    (tmp_path / "own.yaml").write_text(OWN)
    out = tmp_path / "results.json"
    result = CliRunner().invoke(main, [str(tmp_path / "own.yaml"), "--out", str(out), "--deployment", "defended"])
    assert result.exit_code == 0, result.output
    run = next(run for run in read(out) if run.attack == "own")
    assert [answers[0] for answers in run.feeds[-1:]] == [2_800]
    assert "cost of protection" in result.output


def test_main__an_expectation_that_differs_is_exit_code_one(tmp_path: Path) -> None:
    (tmp_path / "feed.csv").write_text(HISTORY)
    (tmp_path / "own.yaml").write_text(OWN.replace("FROZEN@240", "LIVE"))
    arguments = [str(tmp_path / "own.yaml"), "--out", str(tmp_path / "r.json"), "--deployment", "defended"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert "DIFFERS" in result.output


@pytest.mark.parametrize(
    ("name", "complaint"), [("b99", "no attack is called 'b99'"), ("bad.yaml", "title is missing")]
)
def test_main__what_cannot_be_used_is_exit_code_two(tmp_path: Path, name: str, complaint: str) -> None:
    (tmp_path / "bad.yaml").write_text("length: 5\n")
    target = str(tmp_path / name) if name.endswith(".yaml") else name
    result = CliRunner().invoke(main, [target, "--out", str(tmp_path / "r.json")])
    assert result.exit_code == 2
    assert complaint in result.output
