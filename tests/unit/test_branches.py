"""Branch coverage of the bytecode: the jumps that are found, what they mean, that probes see what a trace sees."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from pyrevm import EVM, CfgEnv, Env

from scripts.branches import report as reporting
from scripts.branches.coverage import Coverage, CoverageChain
from scripts.branches.report import ArgumentError, Report, check_arguments, load_arguments, source_branches
from scripts.branches.sites import COMPILER, JUMPI, PRODUCTION, Probed, analyse, disassemble, probed
from scripts.branches.tour import STOPS, take
from scripts.campaign.reasons import reasons, reasons_of
from scripts.chain.artifacts import artifact, compile_source
from scripts.chain.base import account

SOURCE = """
# pragma version 0.4.3
last: uint256

@external
def judge(a: uint256, b: uint256, c: uint256) -> uint256:
    if a == 1:
        self.last = 10
    elif b > 5 and c != 7 and a < 100:
        self.last = 20
    else:
        self.last = 30
    assert a != 99 or b == 0, "odd"
    for i: uint256 in range(c, bound=4):
        if i == 2:
            break
        self.last += 1
    size: uint256 = 1 if b >= c else 2
    return self.last + size

@external
@view
def lone(a: uint256) -> bool:
    assert a <= 3
    return a in [1, 2]
"""

BASE = 1 << 16
SENDER = account(1)

CALLS = [
    (1, 0, 0),
    (2, 6, 1),
    (2, 6, 7),
    (2, 5, 2),
    (200, 6, 3),
    (99, 0, 0),
    (99, 1, 0),
    (3, 6, 4),
    (3, 9, 3),
    (4, 0, 2),
]


@pytest.fixture(scope="module")
def small() -> Probed:
    """The small contract, analysed."""
    return analyse("Small", SOURCE, None, BASE)


def judged(a: int, b: int, c: int) -> Iterator[tuple[str, str, str]]:
    """Construct, condition and outcome of every branch that a call of ``judge`` takes."""

    def said(construct: str, condition: str, value: bool) -> tuple[str, str, str]:
        words = ("holds", "fails") if construct == "assert" else ("true", "false")
        return construct, condition, words[not value]

    yield said("if", "a == 1", a == 1)
    if a != 1:
        yield said("and", "b > 5", b > 5)
        if b > 5:
            yield said("and", "c != 7", c != 7)
        yield said("if", "b > 5 and c != 7 and a < 100", b > 5 and c != 7 and a < 100)
    yield said("or", "a != 99", a != 99)
    yield said("assert", 'a != 99 or b == 0, "odd"', a != 99 or b == 0)
    if not (a != 99 or b == 0) or c > 4:
        return
    loop = "i: uint256 in range(c, bound=4)"
    yield "for", loop, "enters" if c else "empty"
    for i in range(c):
        yield said("if", "i == 2", i == 2)
        if i == 2:
            break
        yield "for", loop, "ends" if i + 1 == c else "again"
    yield said("ternary", "b >= c", b >= c)


def run(code: bytes, calls: list[bytes]) -> tuple[EVM, str, list[str | bytes]]:
    """Deploy and call on a bare machine: the machine, the address, and what each call answered."""
    evm = EVM(env=Env(cfg=CfgEnv(limit_contract_code_size=2**20)), spec_id="CANCUN")
    address = evm.deploy(SENDER, code, gas=10**8)
    answers: list[str | bytes] = []
    for data in calls:
        try:
            answers.append(bytes(evm.message_call(SENDER, address, calldata=data, gas=10**7)))
        except RuntimeError as error:
            answers.append(str(error).split("output:")[-1])
    return evm, address, answers


def data_of(function: str, *args: int) -> bytes:
    """Call data of the small contract."""
    from eth_utils import keccak

    types = ",".join(["uint256"] * len(args))
    return keccak(f"{function}({types})".encode())[:4] + b"".join(arg.to_bytes(32, "big") for arg in args)


def seen_by(evm: EVM, found: Probed) -> set[tuple[str, str, str]]:
    """Source branches that the probes noted."""
    touched = {int(address, 16) for address in evm.db_accounts}
    return {
        (site.construct, site.text, site.outcome(taken))
        for site in found.sites
        for taken in (True, False)
        if site.from_source and BASE + 2 * site.index + (not taken) in touched
    }


def test_disassemble__reads_over_the_data_of_a_push() -> None:
    ops = disassemble(bytes.fromhex("6157575b57"))
    assert [(op.pc, op.code, op.data.hex()) for op in ops] == [(0, 0x61, "5757"), (3, 0x5B, ""), (4, JUMPI, "")]


def test_disassemble__takes_a_push_that_the_code_cuts_short() -> None:
    assert disassemble(bytes.fromhex("6257"))[-1].data == b"\x57"


@pytest.mark.parametrize("args", CALLS)
def test_analyse__names_the_outcomes_that_a_call_has(small: Probed, args: tuple[int, int, int]) -> None:
    """Whatever the compiler swapped or inverted: a condition is called true where it is."""
    evm, _, _ = run(small.bytecode, [data_of("judge", *args)])
    assert seen_by(evm, small) == set(judged(*args))


def test_analyse__finds_both_outcomes_of_every_condition(small: Probed) -> None:
    expected = {branch for args in CALLS for branch in judged(*args)}
    mine = [site for site in small.sites if site.from_source and site.function == "judge"]
    assert {(site.construct, site.text, site.outcome(taken)) for site in mine for taken in (True, False)} == expected


@pytest.mark.parametrize(("a", "fits", "among"), [(1, True, True), (3, True, False), (4, False, False)])
def test_analyse__tells_an_assertion_and_a_membership(small: Probed, a: int, fits: bool, among: bool) -> None:
    evm, _, answers = run(small.bytecode, [data_of("lone", a)])
    seen = seen_by(evm, small)
    assert (("assert", "a <= 3", "holds") in seen) is fits
    assert (("assert", "a <= 3", "fails") in seen) is not fits
    if fits:
        assert int.from_bytes(answers[0], "big") == among
        assert any(construct == "in" and outcome == "equals" for construct, _, outcome in seen) is among


def test_probes__change_no_answer(small: Probed) -> None:
    calls = [data_of("judge", *args) for args in CALLS] + [data_of("lone", a) for a in range(6)]
    assert run(small.bytecode, calls)[2] == run(compile_source("Small", SOURCE).bytecode, calls)[2]


def test_probes__are_the_only_difference(small: Probed) -> None:
    """Without the probes the code is the compiler's, apart from where jumps go."""

    def shape(code: bytes) -> list[tuple[int, int]]:
        ops = [(op.code, len(op.data)) for op in disassemble(code)]
        probe = [(0x80, 0), (0x15, 0), (0x62, 3), (0x01, 0), (0x31, 0), (0x50, 0)]
        out: list[tuple[int, int]] = []
        for op in ops:
            out.append(op)
            if out[-6:] == probe:
                del out[-6:]
        return out

    plain = compile_source("Small", SOURCE).bytecode
    kept, original = shape(small.bytecode), [(op.code, len(op.data)) for op in disassemble(plain)]
    # the table of selectors and the compiler's footer come after all code
    code_only = original[: max(i for i, op in enumerate(original) if op[0] == JUMPI)]
    assert kept[: len(code_only)] == code_only
    assert len(small.bytecode) - len(plain) >= 9 * len(small.sites)


def test_probes__see_what_a_trace_of_the_plain_code_sees(small: Probed, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own trace (EIP-3155) of the code as deployed, jump by jump."""
    plain = compile_source("Small", SOURCE)
    calls = [data_of("judge", *args) for args in CALLS[:7]]
    evm, address, _ = run(plain.bytecode, [])
    text = StringIO()
    monkeypatch.setattr("sys.stdout", text)
    evm.tracing = True
    for data in calls:
        try:
            evm.message_call(SENDER, address, calldata=data, gas=10**7)
        except RuntimeError:
            continue
    monkeypatch.undo()
    steps = [json.loads(line) for line in text.getvalue().splitlines() if '"pc"' in line]
    traced = {
        (step["pc"], following["pc"] != step["pc"] + 1) for step, following in pairwise(steps) if step["op"] == JUMPI
    }
    probes, _, _ = run(small.bytecode, calls)
    touched = {int(address, 16) for address in probes.db_accounts}
    noted = {
        (site.pc, taken)
        for site in small.sites
        for taken in (True, False)
        if not site.constructor and BASE + 2 * site.index + (not taken) in touched
    }
    assert noted == traced
    assert len(noted) > 20


def test_sites__are_all_conditional_jumps_of_the_production_code() -> None:
    """In the order of the disassembly; what is beyond them in the sweep is data."""
    for name in PRODUCTION:
        found = [site for site in probed(name).sites if not site.constructor]
        places = [op.pc for op in disassemble(artifact(name).runtime) if op.code == JUMPI]
        assert [site.pc for site in found] == places[: len(found)]
        assert all(site.file for site in found if site.from_source)
        assert all(site.construct in COMPILER for site in found if not site.from_source)


def test_coverage__merges_and_survives_json() -> None:
    one, two = Coverage({(0, 1), (3, 4)}), Coverage({(3, 4), (5, 0)})
    both = one | two
    assert len(both) == 3
    assert Coverage.from_data(json.loads(json.dumps(both.to_data()))).seen == both.seen


def test_coverage__counts_calls_that_are_refused_or_taken_back() -> None:
    with CoverageChain() as chain:
        oracle = chain.deploy("PriceOracle", SENDER, sender=SENDER)
        mark = chain.snapshot()
        assert chain.call(SENDER, oracle, "set_governor", "0x" + "00" * 20).reason == "oracle: no governor"
        chain.revert(mark)
        coverage = chain.coverage()
    refused = [b for b in source_branches() if b.site.function == "set_governor" and "no governor" in b.site.text]
    assert {b.outcome: coverage.has(b.site, b.taken) for b in refused} == {"fails": True, "holds": False}


def test_arguments__name_branches_that_are_there() -> None:
    assert check_arguments(load_arguments()) == []


def test_arguments__that_name_nothing_are_told() -> None:
    arguments = load_arguments()
    wrong = replace(arguments[0], key=(*arguments[0].key[:4], "sideways"))
    assert "no such branch" in check_arguments([wrong])[0]


def test_arguments__that_are_not_true_are_told() -> None:
    argument = load_arguments()[0]
    branch = next(b for b in source_branches() if argument.covers(b))
    seen = Coverage({(PRODUCTION.index(branch.site.contract), 2 * branch.site.index + (not branch.taken))})
    assert any("reached after all" in line for line in check_arguments([argument], seen))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"file": "x"}, "wanted are"),
        ({"because": " "}, "say why"),
        ({"contracts": ["Nobody"]}, "no contract Nobody"),
    ],
)
def test_arguments__that_are_incomplete_are_refused(tmp_path: Path, entry: dict[str, object], message: str) -> None:
    whole = dict.fromkeys(("file", "function", "construct", "condition", "outcome", "because"), "x")
    path = tmp_path / "unreachable.yaml"
    path.write_text(yaml.safe_dump([entry if message == "wanted are" else {**whole, **entry}]))
    with pytest.raises(ArgumentError, match=message):
        load_arguments(path)


def test_tour__reaches_what_it_is_there_for() -> None:
    """Every stop goes as it knows; alone they reach 92 % of the source branches, and no argument is refuted."""
    coverage = Coverage()
    for stop in STOPS:
        coverage |= take(stop).coverage
    report = Report(coverage, load_arguments())
    table = report.by_contract()
    reached, total = (sum(row[key] for row in table.values()) for key in ("reached", "total"))
    assert reached + sum(row["argued"] for row in table.values()) >= 0.92 * total
    assert table["Governor"]["open"] == 0
    assert check_arguments(report.arguments, coverage) == []


def test_reasons__are_those_of_the_source() -> None:
    source = '@external\ndef f(a: uint256):\n    assert a > 0, "x: y"\n    assert a > 1\n    raise "z: w"\n'
    assert reasons_of(source) == {"x: y", "", "z: w"}
    known = reasons()
    assert known["orders: expired"] == ["contracts/Orders.vy"]
    assert len(known) > 150


def test_summary__is_of_arguments_and_counts_that_add_up() -> None:
    path = reporting.ARGUMENTS.parent / "summary.json"
    data = json.loads(path.read_text())
    assert list(data["contracts"]) == list(PRODUCTION)
    for row in data["contracts"].values():
        assert row["reached"] + row["argued"] + row["open"] == row["total"]
