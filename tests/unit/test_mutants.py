"""The mutation tool: its edits, that a build with every mutant asleep is the original, and a sample of the score."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts.chain import CallReverted
from scripts.chain.artifacts import CONTRACTS, artifact
from scripts.mutants import report
from scripts.mutants.__main__ import _left, choose
from scripts.mutants.build import compile_many, compile_mutant
from scripts.mutants.equivalent import EquivalentError, load
from scripts.mutants.operators import OPERATORS, Mutant, all_mutants
from scripts.mutants.runner import alone, confirm, groups, near, run
from scripts.mutants.schemata import instrument, numbers_in
from scripts.mutants.source import SUBSYSTEMS, importers, modules
from scripts.mutants.state import CONFIRMED, KILLED, SAME_CODE, SURVIVED, Result, State, source_of
from scripts.mutants.suite import Suite, walks
from scripts.mutants.tape import CALL, DEPLOY, Player, Recorder, thin
from scripts.system import KEEPER

SUMMARY = Path(__file__).parents[1] / "mutants" / "summary.json"
SAMPLED = ("bands", "margin", "liquidation", "deleveraging")
BUILT = ("LiquidationEngine", "ProRata", "BandQueue", "LiquidationDesk", "DefaultManager", "ClearingHouse")


@pytest.fixture(scope="module")
def everything() -> list[Mutant]:
    return list(all_mutants(modules()))


@pytest.fixture(scope="module")
def suite() -> Suite:
    return Suite([walks(range(21), 350)])


def one(mutants: list[Mutant], file: str, function: str, after: str) -> Mutant:
    """The only mutant whose statement becomes ``after``."""
    found = [m for m in mutants if (m.file, m.function, m.after) == (file, function, after)]
    assert len(found) == 1, [m.after for m in mutants if (m.file, m.function) == (file, function)]
    return found[0]


EDITS = (
    ("arithmetic", "modules/fixed_math.vy", "_mul_div_down", "return (x // y) // d"),
    ("arithmetic", "modules/bands.vy", "_enter_band", "state.oi -= size"),
    ("arithmetic", "modules/bands.vy", "_c_now", "moved = (moved)"),
    ("comparison", "modules/margin.vy", "_judge_trade", 'assert (e_pre > 0), "margin: bankrupt"'),
    ("comparison", "modules/margin.vy", "_judge_trade", 'assert (e_pre < 0), "margin: bankrupt"'),
    ("condition", "modules/margin.vy", "_accrue", "if (clock <= m.accrued and (UNPRICED >> prices.state) & 1 == 1):"),
    ("side", "modules/bands.vy", "_shrunk", "if (not is_long):"),
    ("rounding", "modules/bands.vy", "_shrunk", "return (fixed_math._mul_div_down(numerator, 1, before))"),
    ("rounding", "modules/bands.vy", "_shrunk", "return ((numerator + before - 1) // before)"),
    ("edge", "modules/margin.vy", "_kind_price", "return (prices.low)"),
    ("constant", "modules/bands.vy", "_leave_band", "state.epoch += (1 + 1)"),
    ("constant", "modules/bands.vy", "_read_leg", "for j: uint256 in range(c.SCALE_SPAN + 1 + 1):"),
    ("arguments", "modules/fixed_math.vy", "_floor_div", "q: int256 = (unsafe_div(d, n))"),
    ("assert", "modules/margin.vy", "_judge_trade", "(dropped)"),
    ("statement", "modules/bands.vy", "_deleverage_band", "(dropped)"),
    ("event", "modules/ledger.vy", "_write_off", "(dropped)"),
    ("event", "RebaseManager.vy", "sweep_fees", "log FeesSwept(market=market, amount=repaid, repaid=m.fees)"),
    ("order", "modules/bands.vy", "_deleverage_band", "self._store_band"),
)


@pytest.mark.parametrize(("operator", "file", "function", "after"), EDITS, ids=[f"{e[0]}-{e[2]}" for e in EDITS])
def test_mutants_of__each_operator_makes_its_edit(
    everything: list[Mutant], operator: str, file: str, function: str, after: str
) -> None:
    found = [m for m in everything if (m.operator, m.file, m.function) == (operator, file, function)]
    if operator == "order":
        assert any(m.before == "state.oi = left; ledger._store_band(market, is_long, band, state)" for m in found)
        return
    assert after in {m.after for m in found}, sorted(m.after for m in found)


def test_mutants_of__names_are_unique_and_independent_of_lines(everything: list[Mutant]) -> None:
    assert len({m.name for m in everything}) == len(everything) > 3_000
    assert {m.operator for m in everything} == set(OPERATORS)
    for mutant in everything[::97]:
        text = (CONTRACTS / mutant.file).read_text()
        edited = mutant.apply(text)
        assert edited != text
        # everything but one place is as it was
        assert edited.startswith(text[: mutant.span.start])
        end = (mutant.other or mutant.span).end
        assert edited.endswith(text[end:])


def test_apply__order_exchanges_two_statements(everything: list[Mutant]) -> None:
    mutant = one(
        everything,
        "modules/bands.vy",
        "_deleverage_band",
        "ledger._store_band(market, is_long, band, state); state.oi = left",
    )
    edited = mutant.apply((CONTRACTS / mutant.file).read_text())
    assert "    ledger._store_band(market, is_long, band, state)\n    state.oi = left\n" in edited


def test_instrument__every_mutant_is_in_the_text_once(everything: list[Mutant]) -> None:
    file = "DefaultManager.vy"
    numbered = dict(enumerate([m for m in everything if m.file == file], 1))
    text = instrument((CONTRACTS / file).read_text(), numbered)
    assert numbers_in(text) == set(numbered)


def test_importers__reach_through_modules() -> None:
    assert {"ClearingHouse", "DefaultManager", "Governor"} <= importers("modules/words.vy")
    assert importers("DefaultManager.vy") == {"DefaultManager"}
    assert "Governor" not in importers("modules/bands.vy")


def test_compile_many__what_the_compiler_refuses_is_left_out(everything: list[Mutant]) -> None:
    refused = one(everything, "modules/ledger.vy", "__init__", "UNIT = (10 + 1) ** (18 - decimals)")
    kept = one(everything, "RebaseManager.vy", "sweep_fees", "m.fees = (0 + 1)")
    build = compile_many([refused, kept], ["RebaseManager"])
    assert (build.rejected, dict(build.numbered)) == ((refused,), {1: kept})
    assert build.code["RebaseManager"].bytecode != artifact("RebaseManager").bytecode


# ---- tapes and results


def test_play__build_with_every_mutant_asleep_is_the_original_and_awake_it_is_not(
    everything: list[Mutant], suite: Suite
) -> None:
    """One build: number 0 agrees with all tapes, 1 is noticed, 2 does nothing and is not."""
    event = "log BandDeleveraged("
    noticed = next(m for m in everything if m.file == "DefaultManager.vy" and m.before.startswith(event))
    idle = one(everything, "LiquidationDesk.vy", "_liquidate", "discount: uint256 = (0 + 1)")
    build = compile_many([noticed, idle], ["DefaultManager", "LiquidationDesk"])
    assert suite.first_difference(build.code, 0) is None
    where = suite.first_difference(build.code, 1)
    assert where is not None
    assert where.startswith("walk ")
    assert suite.first_difference(build.code, 2) is None


def test_alone__is_the_contract_with_one_edit(everything: list[Mutant]) -> None:
    mutant = one(everything, "RebaseManager.vy", "sweep_fees", "m.fees = (0 + 1)")
    assert compile_mutant(mutant, ["RebaseManager"])["RebaseManager"].bytecode != artifact("RebaseManager").bytecode
    assert alone(mutant, Suite([])).status == CONFIRMED


def test_confirm__tries_each_survivor_alone(everything: list[Mutant], tmp_path: Path) -> None:
    """What survived a shared build is built alone; what survives that too is not tried again."""
    fees = [m for m in everything if (m.file, m.function, m.operator) == ("RebaseManager.vy", "sweep_fees", "constant")]
    mutants = fees[:3]
    state = State(tmp_path)
    for mutant, status in zip(mutants, (SURVIVED, KILLED, SURVIVED), strict=True):
        state.add(mutant, Result(mutant.name, status))
    doubted = _left(mutants, state, True)
    assert doubted == [mutants[0], mutants[2]]
    confirm(doubted, Suite([]), state.add)
    assert [state.read(mutants)[m.name].status for m in mutants] == [CONFIRMED, KILLED, CONFIRMED]
    assert _left(mutants, state, True) == _left(mutants, state, False) == []


def test_play__refused_deployment_is_compared_by_its_reason() -> None:
    recorder = Recorder()
    with pytest.raises(CallReverted, match="ledger: token decimals"):
        recorder.deploy("MarketAdmin", KEEPER, 19, KEEPER, sender=KEEPER)
    (op,) = recorder.tape.ops
    assert (op[0], op[-1]) == (DEPLOY, ("", "ledger: token decimals"))
    assert Player({}).play([op], 0) is None
    assert Player({}).play([(*op[:-1], ("", "another"))], 0) == 0


def test_thin__keeps_every_call_and_the_last_look() -> None:
    tape = walks(range(21), 350).tapes[0]
    assert thin(tape).calls == tape.calls
    assert [op for op in thin(tape).ops if op[0] == CALL] == [op for op in tape.ops if op[0] == CALL]
    assert thin(tape).ops[-1] == tape.ops[-1]
    assert Player({}).play(thin(tape).ops, 0) is None


def test_state__survives_a_line_cut_short(everything: list[Mutant], tmp_path: Path) -> None:
    state = State(tmp_path)
    a, b, c = everything[:3]
    state.add(a, Result(a.name, KILLED, "walk", 0.5))
    with state.file.open("a") as file:
        file.write(f'{{"mutant": "{b.name}", "sta')
    state.add(c, Result(c.name, SURVIVED))
    known = state.read([a, b, c])
    assert {name: result.status for name, result in known.items()} == {a.name: KILLED, c.name: SURVIVED}
    assert (known[a.name].by, known[a.name].seconds) == ("walk", 0.5)
    state.forget([c])
    assert set(state.read([a, b, c])) == {a.name}


def test_state__forgets_what_was_said_of_a_file_that_changed(everything: list[Mutant], tmp_path: Path) -> None:
    state = State(tmp_path)
    state.add(everything[0], Result(everything[0].name, KILLED))
    state.file.write_text(state.file.read_text().replace(source_of(everything[0].file), "0" * 12))
    assert state.read(everything) == {}


def test_run__goes_on_where_it_stopped(everything: list[Mutant], suite: Suite, tmp_path: Path) -> None:
    """What the state knows is not tried again."""
    mutants = [m for m in everything if m.file == "ProRata.vy" and m.operator == "comparison"]
    assert len(mutants) > 1
    state = State(tmp_path)
    state.add(mutants[0], Result(mutants[0].name, SURVIVED))
    tried: list[str] = []
    run(mutants, suite, state.read(mutants), lambda mutant, _: tried.append(mutant.name))
    assert sorted(tried) == sorted(m.name for m in mutants[1:])


@pytest.mark.parametrize("jobs", [1, 2, 7])
def test_groups__hold_every_mutant_once(everything: list[Mutant], jobs: int) -> None:
    made = groups(everything, 400, jobs)
    assert len(made) % jobs == 0
    assert sorted(m.name for group in made for m in group) == sorted(m.name for m in everything)
    assert max(len(group) for group in made) - min(len(group) for group in made) <= 1


def test_near__is_function_then_file(everything: list[Mutant]) -> None:
    assert near(everything[0]) == (f"{everything[0].file} {everything[0].function}", everything[0].file)


# ---- arguments and summary


def test_load__refuses_what_is_not_an_argument(tmp_path: Path) -> None:
    file = tmp_path / "equivalent.yaml"
    for text, message in (
        ("- {file: a, function: b, before: c}", "entry 1: wants"),
        ("- {file: a, function: b, before: c, after: d, argument: ' '}", "entry 1: argument is empty"),
        ("- [", "not YAML"),
    ):
        file.write_text(text)
        with pytest.raises(EquivalentError, match=message):
            load(file)
    assert load(tmp_path / "nothing.yaml").entries == ()


def test_problems__name_entries_that_are_out_of_date(everything: list[Mutant], tmp_path: Path) -> None:
    mutant = everything[0]
    entry = {"file": mutant.file, "function": mutant.function, "before": mutant.before, "after": mutant.after}
    file = tmp_path / "equivalent.yaml"
    file.write_text(json.dumps([{**entry, "argument": "x"}, {**entry, "after": "nothing", "argument": "x"}]))
    argued = load(file)
    gone = list(argued.problems(everything, {}))
    assert len(gone) == 1
    assert "no such mutant" in gone[0]
    killed = list(argued.problems(everything, {mutant.name: Result(mutant.name, KILLED, "walk")}))
    assert len(killed) == 2
    assert "not equivalent" in killed[0]


def test_summarise__score_leaves_equivalents_out(everything: list[Mutant], tmp_path: Path) -> None:
    mutants = [m for m in everything if m.file == "modules/bands.vy"][:4]
    status = (KILLED, SURVIVED, SURVIVED, SAME_CODE)
    results = {m.name: Result(m.name, s, seconds=2) for m, s in zip(mutants, status, strict=True)}
    argued = mutants[1]
    file = tmp_path / "equivalent.yaml"
    entry = {"file": argued.file, "function": argued.function, "before": argued.before, "after": argued.after}
    file.write_text(json.dumps([{**entry, "occurrence": argued.occurrence, "argument": "x"}]))
    summary = report.summarise(mutants, results, load(file), "digest")
    count = summary.subsystems["bands"]
    assert (count.killed, count.survived, count.argued, count.same_code, count.score) == (1, 1, 1, 1, 50)
    assert not summary.reaches(95)
    assert summary.survivors == [mutants[2]]
    assert summary.as_dict()["total"]["score"] == 50
    # a survivor that was confirmed is one
    results[mutants[2].name] = Result(mutants[2].name, CONFIRMED, seconds=2)
    assert report.summarise(mutants, results, load(file), "digest") == summary


def test_equivalent__every_entry_names_a_mutant(everything: list[Mutant]) -> None:
    assert list(load().problems(everything, {})) == []


def test_summary__of_the_last_run_is_whole_and_good() -> None:
    """The committed result: every mutant of its sources (which its digest names) was tried, no part of the ledger falls
    below 95 %, the counts add up."""
    summary = json.loads(SUMMARY.read_text())
    assert summary["tried"] == summary["mutants"] > 3_000
    for name in ("ledger", "bands", "margin", "liquidation", "deleveraging", "rebase"):
        count = summary["subsystems"][name]
        assert count["score"] == round(100 * count["killed"] / (count["killed"] + count["survived"]), 2) >= 95
    counts = ("killed", "survived", "argued", "same_code", "not_compiled")
    assert set(summary["subsystems"]) == set(SUBSYSTEMS)
    assert sum(results[key] for results in summary["subsystems"].values() for key in counts) == summary["mutants"]
    assert summary["total"]["survived"] == len(summary["survivors"])


def test_score__sample_is_noticed_by_walks(everything: list[Mutant], suite: Suite) -> None:
    """Sixty mutants, of those that the last whole run says walks notice: not one in ten may pass now.

    Not one in twenty, as long as that run is of other walks than these: there are more regimes for as many seeds.
    """
    noticed = set(json.loads(SUMMARY.read_text())["noticed_by_walks"])
    walkable = [m for m in everything if m.name in noticed]
    sample = choose(walkable, SAMPLED, 60, 7)
    build = compile_many(sample, BUILT)
    tried = {m.name: suite.first_difference(build.code, k, *near(m)) for k, m in build.numbered.items()}
    missed = [m for m in build.numbered.values() if tried[m.name] is None]
    assert len(tried) >= 55
    assert len(missed) * 10 <= len(tried), [(m.file, m.before, m.after) for m in missed]
