"""The gas table: its comparison, its snapshot, and that the snapshot is what the node says."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from scripts.chain import Chain, ChainUnavailable
from scripts.gas import SNAPSHOT, Bench, Report, Row, Slope, custody, drift, fills, main

GAS = 1_000


def test_drift__within_two_percent_is_none() -> None:
    assert drift({"a": GAS}, {"a": GAS + 20}) == []
    assert drift({"a": GAS}, {"a": GAS - 20}) == []


@pytest.mark.parametrize("now", [GAS + 21, GAS - 21])
def test_drift__beyond_two_percent_is_named(now: int) -> None:
    (line,) = drift({"a": GAS, "b": 5}, {"a": now, "b": 5})
    assert line.startswith("a: ")


def test_drift__a_row_that_comes_or_goes_is_named() -> None:
    assert drift({"gone": 1}, {"new": 1}) == ["gone: no longer measured", "new: not in the snapshot"]


def test_row__the_target_is_about_the_second_occurrence() -> None:
    assert not Row("a", first=200, second=100, target=100).over
    assert Row("a", first=90, second=101, target=100).over
    assert Row("a", first=101, second=None, target=100).over


def test_report__figures_have_no_gaps() -> None:
    report = Report([Row("a", None, 2), Row("b", 3, 4)], [Slope("c", 5)])
    assert report.figures() == {"a | second": 2, "b | first": 3, "b | second": 4, "c | slope": 5}


def test_snapshot__deleveraging_3_or_300_accounts_costs_the_same() -> None:
    figures = json.loads(SNAPSHOT.read_text())
    few, many = ("resolve over 1 band, 3 accounts in each | ", "resolve over 1 band, 300 accounts in each | ")
    for when in ("first", "second"):
        assert figures[few + when] == figures[many + when]


@pytest.mark.parametrize("group", [custody, fills])
def test_snapshot__is_what_the_node_says(
    open_chain: Callable[[str], Chain], group: Callable[[Bench], list[Row]]
) -> None:
    measured = Report(group(Bench(open_chain("anvil")))).figures()
    known = json.loads(SNAPSHOT.read_text())
    assert drift({name: known[name] for name in measured}, measured) == []


def test_main__without_a_node_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def none(kind: str) -> Chain:
        raise ChainUnavailable("no anvil")

    monkeypatch.setattr("scripts.gas.make_chain", none)
    assert main([]) == 1
    assert capsys.readouterr().err == "gas is measured on a node only: no anvil\n"
