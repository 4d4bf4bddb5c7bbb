"""The page of the attacks: what it says, that nothing drawn is lost, that it needs no network, and its complaints."""

from __future__ import annotations

import base64
import gzip
import json
import re
import shutil
import subprocess
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from scripts.attacks import report_text as text
from scripts.attacks.report import ACCOUNTS, ResultsError, load, main, page
from scripts.attacks.report_marks import KINDS, MARKS, UNDULY, WRONGFUL
from scripts.attacks.report_plot import figure
from scripts.attacks.report_series import Span, area, line, sample, spans, thin, union
from scripts.attacks.report_verdict import CONTROL, DIFFERS, HARMED, HELD, LOST, MEANING, NOT_RUN, Worst, attacks
from scripts.attacks.result import DEPLOYMENTS, Expectation, Happening, Metrics, Run, write
from scripts.attacks.result import KINDS as EVENTS

STEPS = 120
BROWSER = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), "")


def made(deployment: str, **changes: Any) -> Run:
    """A run of 120 steps: three feeds go wrong from 40 to 60, the defended oracle freezes and comes back."""
    believes = deployment != "defended"
    wrong = range(40, 60)
    t = [12.0 * i for i in range(STEPS)]
    truth = [100.0 + i / 50 for i in range(STEPS)]
    index = [truth[i] * (1.3 if believes and i in wrong else 1) for i in range(STEPS)]
    state = [0 if believes or i < 40 or i >= 80 else 2 if i in wrong else 3 for i in range(STEPS)]
    closed = [Happening(t[45], "liquidation", "book4", -3.0, 131.2, "at the mark", True)] if believes else []
    run = Run(
        attack="a02_pyth_5402",
        title="Pyth 5402",
        source="2021-09-20",
        about="Three feeds print 1.3 of the price.",
        note="",
        deployment=deployment,
        variant="",
        chain="revm",
        step_s=12.0,
        calls=100,
        t=t,
        truth=truth,
        index=index,
        mark=list(index),
        low=[0.99 * x for x in index],
        high=[1.01 * x for x in index],
        credit_low=[0.98 * x for x in index],
        credit_high=[1.02 * x for x in index],
        state=state,
        codes=[[7 if i in wrong else 0, 0, 0] for i in range(STEPS)],
        feeds=[[x, x, x] for x in truth],
        events=closed,
        faults=[{"from": t[40], "to": t[60], "feeds": [0, 1, 2], "text": "feeds 1 to 3: × 1.3"}],
        metrics=Metrics(attacker_profit=5e6 if believes else -120.0, wrongful_count=len(closed)),
        expected=[Expectation("attacker_profit", "<= 0", "-120", True)],
    )
    return replace(run, **changes)


def three(**changes: Any) -> list[Run]:
    return [made(deployment, **changes) for deployment in DEPLOYMENTS]


def control() -> list[Run]:
    crash = Metrics(bad_debt=2_260_000.0, time_in_state=[0.0, 600.0, 240.0, 0.0, 0.0], user_lockout_seconds=240.0)
    return three(attack="a41_real_crash", title="real crash", control=True, faults=[], metrics=crash, events=[])


def drawn(html: str) -> list[dict[str, Any]]:
    """The figures of a page, unpacked."""
    packed = re.findall(r'<script type="application/octet-stream">([^<]*)</script>', html)
    return [json.loads(gzip.decompress(base64.b64decode(figure))) for figure in packed]


# --- series ---


def test_thin__keeps_ends_and_extremes_and_at_most_a_few_a_stretch() -> None:
    values = [float(i % 7) for i in range(10_000)]
    values[5_003] = 1e6
    other = [0.0] * 10_000
    other[7_001] = -4.0
    kept = thin([values, other], points=50)
    assert {0, 9_999, 5_003, 7_001} <= set(kept)
    assert kept == sorted(set(kept))
    assert len(kept) <= 2 + 50 * 5


def test_thin__leaves_a_short_series_its_every_bend() -> None:
    assert thin([[1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 1.0]]) == [0, 3, 4, 6, 7]


def test_line__a_value_lasts_until_the_gap_after_it() -> None:
    x, y = line([0, 1, 2, 3], [5, 6, 0, 7], [True, True, False, True], 9)
    assert x == [0, 1, 2, None, 3, 9, None]
    assert y == [5, 6, 6, None, 7, 7, None]


def test_area__goes_round_every_stretch_and_leaves_gaps_open() -> None:
    x, y = area([0, 1, 2, 3], [1, 2, 0, 4], [3, 3, 0, 5], [True, True, False, True], 9)
    assert x == [0, 1, 1, 2, 2, 1, 1, 0, None, 3, 9, 9, 3, None]
    assert y == [3, 3, 3, 3, 2, 2, 1, 1, None, 5, 5, 4, 4, None]


def test_spans__join_equal_values_and_reach_the_end() -> None:
    found = spans([0, 12, 24, 36], [0, 0, 2, 0], 48, (0, 1, 2))
    assert found == [Span(0, 24, 0), Span(24, 12, 2), Span(36, 12, 0)]


def test_spans__a_single_bad_step_among_thousands_stays_visible() -> None:
    values = [0] * 5_000
    values[2_222] = 6
    found = spans([float(i) for i in range(5_000)], values, 5_000.0, range(12))
    assert [span.value for span in found] == [0, 6, 0]
    assert found[1].start <= 2_222 < found[1].start + found[1].length
    assert sum(span.length for span in found) == 5_000


def test_spans__worst_of_a_cell_goes_by_the_order_given() -> None:
    assert spans([0.0, 1.0], [2, 3], 2.0, (0, 1, 3, 2), cells=1) == [Span(0.0, 2.0, 2)]


def test_union__joins_what_overlaps_or_touches() -> None:
    assert union([(5, 9), (1, 3), (2, 4), (4, 5), (20, 21)]) == [(1, 9), (20, 21)]


def test_sample__takes_both_ends() -> None:
    assert sample(range(100), 4) == [0, 33, 66, 99]
    assert sample([1, 2], 4) == [1, 2]


# --- words ---


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.0, "0"),
        (0.001, "0"),
        (0.07, "$0.07"),
        (-732.4, "−$732"),
        (999.6, "$1k"),
        (12_345.0, "$12.3k"),
        (999_950.0, "$1M"),
        (-2.04e6, "−$2.04M"),
        (46e9, "$46B"),
        (5.001e12, "$5T"),
        (3e17, "$3e+17"),
    ],
)
def test_money__three_digits_and_a_unit(value: float, written: str) -> None:
    assert text.money(value) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [(None, "–"), (0.0, "0"), (90.0, "90 s"), (1_548.0, "25.8 min"), (7_200.0, "2 h"), (1.1e6, "12.7 d")],
)
def test_seconds__unit_that_fits(value: float | None, written: str) -> None:
    assert text.seconds(value) == written


def test_metrics__every_one_has_a_name_and_a_way_to_be_written() -> None:
    assert set(text.METRICS) == {field.name for field in fields(Metrics)}
    assert all(isinstance(text.metric(made("naive"), name), str) for name in text.METRICS)


# --- verdicts ---


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, HELD),
        ({"metrics": Metrics(attacker_profit=1.0)}, HARMED),
        ({"metrics": Metrics(wrongful_count=1)}, HARMED),
        ({"metrics": Metrics(attacker_profit=1.0), "lost_known": True}, LOST),
        ({"control": True}, CONTROL),
        ({"lost_known": True, "expected": [Expectation("bad_debt", "0", "7", False, True)]}, DIFFERS),
    ],
)
def test_verdict__of_the_defended_run(changes: dict[str, Any], verdict: str) -> None:
    runs = [made("naive"), made("defended", **changes)]
    assert attacks(runs)[0].verdict == verdict
    assert verdict in MEANING


def test_verdict__a_difference_of_a_baseline_counts_too() -> None:
    naive = made("naive", expected=[Expectation("attacker_profit", "> 0", "-1", False)])
    assert attacks([naive, made("defended")])[0].verdict == DIFFERS


def test_verdict__without_the_defended_run_there_is_none() -> None:
    assert attacks([made("naive")])[0].verdict == NOT_RUN


def test_attacks__are_put_together_by_variant_in_the_order_of_deployments() -> None:
    runs = [*reversed(three(variant="3 of 3")), *three(variant="1 of 3"), *three(attack="a01_skrw_mean")]
    found = attacks(runs)
    assert [(attack.label, [variant.first.variant for variant in attack.variants]) for attack in found] == [
        ("A01", [""]),
        ("A02", ["1 of 3", "3 of 3"]),
    ]
    variants = [variant for attack in found for variant in attack.variants]
    assert all(list(variant.runs) == list(DEPLOYMENTS) for variant in variants)
    assert len({variant.key for variant in variants}) == 3


def test_attack__is_as_bad_as_its_worst_variant() -> None:
    good = made("defended", variant="1 of 3", metrics=Metrics(attacker_profit=-5.0, bad_debt=7.0))
    lost = made("defended", variant="3 of 3", metrics=Metrics(attacker_profit=3.0), lost_known=True)
    attack = attacks([good, lost])[0]
    assert [variant.verdict for variant in attack.variants] == [HELD, LOST]
    assert attack.verdict == LOST
    assert attack.worst("defended") == Worst(3.0, 0, 7.0, 0.0)
    assert attack.worst("naive") is None


def test_not_live__counts_time_without_an_answer() -> None:
    run = made("naive", metrics=Metrics(time_in_state=[1_000.0, 60.0, 0.0, 0.0, 0.0]))
    run.state[10:20] = [-1] * 10
    assert text.not_live(run) == 60.0 + 120.0
    assert text.metric(run, "time_in_state") == "LIVE 16.7 min, DEGRADED 60 s, no answer 2 min"


def test_attacks__refuses_a_run_that_is_there_twice() -> None:
    with pytest.raises(ValueError, match="a02_pyth_5402: two runs of the deployment naive"):
        attacks([made("naive"), made("naive")])


# --- charts ---


def test_figure__has_every_wrongful_liquidation_and_every_reason() -> None:
    drawn = figure(three())
    bars = [trace for trace in drawn["data"] if trace["type"] == "bar"]
    assert len(bars) == 3
    defended = bars[2]
    states = [
        (tell.split(":")[1].split(",")[0].strip(), length)
        for row, tell, length in zip(defended["y"], defended["hovertext"], defended["x"], strict=True)
        if row == "state"
    ]
    assert states == [("LIVE", 8.0), ("FROZEN", 4.0), ("RECOVERY", 4.0), ("LIVE", 7.8)]
    assert "feed 0: 7 OUT_OF_RANGE, 4 min from 8 minutes" in defended["hovertext"]
    crosses = [trace for trace in drawn["data"] if trace.get("name") == WRONGFUL.name]
    assert [(list(trace["x"]), list(trace["y"])) for trace in crosses] == [([9.0], [131.2])] * 2
    assert [trace["showlegend"] for trace in crosses] == [True, False]


def test_figure__a_step_without_an_answer_is_a_gap() -> None:
    naive = made("naive")
    naive.index[50], naive.state[50] = 0.0, -1
    drawn = figure([naive])
    index = next(trace for trace in drawn["data"] if trace.get("name") == "index")
    assert None in index["y"][:-1]
    assert any("no answer" in tell for trace in drawn["data"] if trace["type"] == "bar" for tell in trace["hovertext"])


def test_figure__a_price_of_nothing_is_drawn_where_the_oracle_answers() -> None:
    naive = made("naive")
    for series in (naive.index, naive.mark, naive.low, naive.high):
        series[50] = 0.0
    drawn = figure([naive])
    index = next(trace for trace in drawn["data"] if trace.get("name") == "index")
    assert 0 in index["y"]
    assert None not in index["y"][:-1]
    assert drawn["layout"]["meta"]["ranges"]["all"]["linear"][0] < 0


def test_figure__logarithmic_only_where_prices_are_far_apart_and_positive() -> None:
    far = made("naive", index=[100.0 * (1000 if 40 <= i < 60 else 1) for i in range(STEPS)])
    assert figure([far])["layout"]["meta"]["log"]
    assert figure([far])["layout"]["yaxis"]["type"] == "log"
    assert not figure(three())["layout"]["meta"]["log"]
    below = replace(far, mark=[-37.63, *far.mark[1:]])
    assert not figure([below])["layout"]["meta"]["log"]
    assert set(figure([below])["layout"]["meta"]["ranges"]["all"]) == {"linear"}


def test_figure__range_holds_every_price_and_mark() -> None:
    runs = three()
    runs[0].events.append(Happening(0.0, "trade", "att", 1.0, 200.0, "buys"))
    low, high = figure(runs)["layout"]["meta"]["ranges"]["all"]["linear"]
    assert low < 99 * 1.0
    assert 200 < high < 300


def test_figure__marks_a_sample_of_too_many_events() -> None:
    run = made("naive")
    run.events = [Happening(float(i), "trade", "att", 1.0, 100.0, "buys") for i in range(4 * MARKS)]
    trades = next(trace for trace in figure([run])["data"] if trace.get("name") == KINDS["trade"].name)
    assert len(trades["x"]) == MARKS


def test_figure__what_happens_at_once_is_one_mark_that_tells_everybody() -> None:
    run = made("naive")
    run.events = [Happening(300.0, "resolve", f"long {i}", 1.0, 54.0, f"long {i}: closed", True) for i in range(5)]
    run.events += [Happening(300.0, "adl", "short 1", 1.0, 54.0, "deleveraged", True)]
    traces = {trace["name"]: trace for trace in figure([run])["data"] if trace.get("name")}
    crosses = traces[WRONGFUL.name]
    assert (list(crosses["x"]), list(crosses["y"]), [text.strip() for text in crosses["text"]]) == (
        [5.0],
        [54.0],
        ["×5"],
    )
    assert all(f"long {i}: closed" in crosses["hovertext"][0] for i in range(5))
    assert "and" not in crosses["hovertext"][0]
    assert traces[UNDULY.name]["hovertext"] == ["short 1: deleveraged"]


def test_figure__a_mark_for_very_many_says_how_many_more() -> None:
    run = made("naive")
    run.events = [Happening(300.0, "trade", f"wallet {i}", 1.0, 54.0, "buys") for i in range(100)]
    trades = next(trace for trace in figure([run])["data"] if trace.get("name") == KINDS["trade"].name)
    assert trades["hovertext"][0].endswith("<br>and 88 more")


def test_figure__a_deployment_that_does_not_judge_its_feeds_has_no_rows_for_them() -> None:
    bar = next(trace for trace in figure([made("naive", codes=[[-1, -1]] * STEPS)])["data"] if trace["type"] == "bar")
    assert set(bar["y"]) == {"state"}


def test_figure__shades_what_is_wrong_once_and_numbers_each_fault() -> None:
    faults = [{"from": 0, "to": 60}, {"from": 0, "to": 120}, {"from": 60, "to": None}, {"from": 99_999, "to": None}]
    layout = figure([made("naive", faults=[{"feeds": [0], "text": "", **fault} for fault in faults])])["layout"]
    assert [(shape["x0"], shape["x1"]) for shape in layout["shapes"]] == [(0, 23.8)]
    assert [note["text"] for note in layout["annotations"] if note["text"][0].isdigit()] == ["1 2", "3"]


def test_figure__every_kind_of_event_is_marked_but_changes_of_state() -> None:
    assert set(EVENTS) - set(KINDS) == {"state"}


# --- the page ---


def test_page__says_who_held_and_what_protection_costs() -> None:
    lost = three(attack="a22_slow_drip", title="slow drip")
    lost[2] = replace(lost[2], lost_known=True, metrics=Metrics(attacker_profit=2e6))
    html = page([*three(), *control(), *lost])
    said = " ".join(re.sub(r"<[^>]*>", "", html.split("<main>")[0].split("<body>")[1]).split())
    assert "1 held no profit for the attacker" in said
    assert "1 lost (known)" in said
    assert "real crash: bad debt $2.26M (typical $2.26M), not LIVE for 14 min, users could not reduce for 4 min" in said
    assert "Lost in the runs below: A22 slow drip." in said
    head, body = html.split('<table class="summary"')[1].split("</table>")[0].split("</thead>")
    assert "A41" in head
    assert "A41" not in body
    assert "A02" in body
    assert len(drawn(html)) == 3


def test_page__of_variants_the_summary_shows_the_worst_and_each() -> None:
    runs = [
        made("defended", variant=f"{i} of 3", metrics=Metrics(attacker_profit=1e6 * i), lost_known=i == 3)
        for i in (1, 2, 3)
    ]
    table = page(runs).split('<table class="summary"')[1].split("</table>")[0]
    assert ">3</button>" in table
    assert re.findall(r"\$(\d)M</td>", table) == ["3", "1", "2", "3"]
    links = re.findall(r'href="#([^"]+)"', table)
    html = page(runs)
    assert len(links) == 4
    assert all(html.count(f'id="{link}"') == 1 for link in links)


def test_page__what_nobody_has_is_named_but_takes_no_row() -> None:
    rows, rest = page(three()).split('<table class="metrics">')[1].split("</table>")[0].split("<tfoot>")
    assert "attacker's profit" in rows.replace("&#39;", "'")
    assert "bad debt" in rows
    assert "gas of the dearest poke" not in rows
    assert "gas of the dearest poke" in rest


def test_page__a_missing_control_is_said_loudly() -> None:
    assert "No control run" in page(three())


def test_page__text_of_an_attack_cannot_become_markup() -> None:
    run = made("naive", title="<script>alert(1)</script>", about="a & b </section>")
    run.events[0] = replace(run.events[0], text="<img src=x onerror=alert(2)>", account="<b>")
    html = page([run])
    assert "<script>alert(1)" not in html
    assert "<img src=x" not in html
    assert "a &amp; b &lt;/section&gt;" in html
    assert "<img" not in json.dumps(drawn(html))


def test_page__the_same_runs_make_the_same_bytes() -> None:
    assert page([*three(), *control()]) == page([*control(), *reversed(three())])


def test_page__shows_wrongful_before_others_where_accounts_are_many() -> None:
    run = made("naive")
    run.events = [Happening(float(i), "adl", f"peer{i}", 1.0, 100.0, "") for i in range(500)]
    run.events[77] = Happening(77.0, "liquidation", "victim", 1.0, 100.0, "", True)
    rows = page([run]).split('<table class="events">')[1].split("</table>")[0]
    assert rows.count("<tr") == 1 + ACCOUNTS
    assert "victim" in rows


def test_page__stays_small_with_forty_long_attacks() -> None:
    long = [made("defended", t=[12.0 * i for i in range(4_000)])]
    for name in ("truth", "index", "mark", "low", "high", "credit_low", "credit_high"):
        setattr(long[0], name, [100 + (i * 7919 % 1009) / 500 for i in range(4_000)])
    long[0].state = [i % 4 for i in range(4_000)]
    long[0].codes = [[i % 12, i % 7, i % 3] for i in range(4_000)]
    long[0].feeds = [[100.0 + i % 17] * 3 for i in range(4_000)]
    one = len(page(long)) - len(page([made("defended")]))
    assert len(page(long)) + 3 * 42 * one < 15e6


@pytest.mark.skipif(not BROWSER, reason="no Chromium or Chrome on the path")
def test_page__a_browser_draws_it_and_makes_no_request(tmp_path: Path) -> None:
    def opened(html: str) -> tuple[str, str]:
        path = tmp_path / "page.html"
        path.write_text(html)
        command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1280,900"]
        command += [f"--user-data-dir={tmp_path}/profile", "--virtual-time-budget=8000", "--enable-logging=stderr"]
        done = subprocess.run([*command, "--dump-dom", path.as_uri()], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)

    html = page([*three(), *control()])
    dom, console = opened(html)
    assert console == ""
    assert dom.count('class="main-svg"') >= 2
    # the policy of the page is what keeps it offline: a request that a script tries is refused, and seen here
    asking = html.replace('"use strict";', '"use strict"; new Image().src = "http://127.0.0.1:9/x.png";')
    assert asking != html
    assert "violates the following Content Security Policy" in opened(asking)[1]


# --- the command ---


def test_main__writes_the_page(tmp_path: Path) -> None:
    results, out = tmp_path / "results.json", tmp_path / "report.html"
    write([*three(), *control()], results)
    done = CliRunner().invoke(main, [str(results), str(out)])
    assert done.exit_code == 0, done.output
    assert out.read_text() == page(load(results))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "cannot be read (No such file or directory); `make attacks` writes it"),
        ("[{", "line 1 is no JSON"),
        ("{}", "there are no runs in it"),
        ("[]", "there are no runs in it"),
        ('[{"attack": "a01"}]', "not a file of results"),
        ("[7]", "not a file of results"),
    ],
)
def test_main__a_file_that_is_no_results_is_one_line(tmp_path: Path, content: str | None, complaint: str) -> None:
    path = tmp_path / "results.json"
    if content is not None:
        path.write_text(content)
    done = CliRunner().invoke(main, [str(path), str(tmp_path / "out.html")])
    assert done.exit_code == 2
    assert complaint in done.output
    assert done.output.count("\n") == 1
    assert not (tmp_path / "out.html").exists()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"mark": [1.0]}, "a02_pyth_5402, typical: mark: 1 values for 120 steps in t"),
        ({"t": []}, "typical: t: there are no steps"),
        ({"state": [5] * STEPS}, "state: a value is neither -1 nor one of 0 to 4"),
        ({"codes": [[12]] * STEPS}, "codes: a value is neither -1 nor one of 0 to 11"),
        ({"codes": [[0]] * 60 + [[0, 0]] * 60}, "codes: the number of feeds changes between steps"),
        ({"deployment": "typicall"}, "deployment: 'typicall' is none of naive, typical, defended"),
        ({"truth": [0.0] * STEPS}, "truth: a price is not above zero"),
    ],
)
def test_load__a_run_that_cannot_be_drawn_is_named(tmp_path: Path, changes: dict[str, Any], complaint: str) -> None:
    path = tmp_path / "results.json"
    write([made("naive"), replace(made("typical"), **changes)], path)
    with pytest.raises(ResultsError, match=re.escape(complaint)):
        load(path)


def test_main__a_page_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write(three(), path)
    done = CliRunner().invoke(main, [str(path), str(tmp_path / "missing" / "out.html")])
    assert done.exit_code == 2
    assert "out.html: cannot be written (No such file or directory)" in done.output
