"""Every sentence has its check and every refusal its test: invariants, revert reasons, files that mirror each other."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from python_ref import invariants
from scripts.chain.artifacts import CONTRACTS, DELEGATES, ROOT

MODEL = ROOT / "python_ref"
TESTS = ROOT / "tests"
REASON = re.compile(r'"([a-z]+: [^"\n{}]+)"')
MODULES = ("bands", "ledger", "margin")
"""Modules of the ClearingHouse family that can refuse a call."""

NO_MIRROR = {
    # in the contract only
    "oracle: too little gas": "the model has no gas; tests/unit/test_price_oracle_reads.py",
    "ledger: delegate": "the model inherits its delegates; tests/unit/test_ledger.py",
    "ledger: next delegate": "as above",
}

MODEL_ONLY: dict[str, str] = {}
"""Reasons that only the model knows, and why."""

CHECKED_BY = {
    16: (
        "unit/test_price_oracle_quorum.py",
        ("test_dispersion", "test_subset_of_feeds_down__counts_against_the_configured"),
    )
}
"""Invariants whose tests do not carry the tag: file and functions."""

NO_TEST: dict[str, str] = {}
"""Reasons of the ClearingHouse family that no test can reach, and why."""


@cache
def reasons_of(path: Path) -> frozenset[str]:
    """Revert literals of a file, comments and docstrings aside."""
    text = re.sub(r'"""(?:.|\n)*?"""', "", path.read_text())
    return frozenset(REASON.findall(re.sub(r"#.*", "", text)))


def contract_files() -> list[Path]:
    """Every contract and module but the harness, which only tests call."""
    return [path for path in sorted(CONTRACTS.rglob("*.vy")) if path.stem != "ModuleHarness"]


def model_files() -> list[Path]:
    """Every model; the ideal and the invariants refuse nothing."""
    return [path for path in sorted(MODEL.glob("*.py")) if path.stem not in ("ideal", "invariants")]


def all_reasons(paths: list[Path]) -> dict[str, str]:
    """Reason: file."""
    return {reason: path.name for path in paths for reason in reasons_of(path)}


def family() -> dict[str, str]:
    """Reasons of the ClearingHouse, its delegates and their modules."""
    stems = {"ClearingHouse", *DELEGATES, *MODULES}
    return all_reasons([path for path in contract_files() if path.stem in stems])


# ---- reasons ---------------------------------------------------------------------------------------


def test_reasons__same_in_contract_and_model() -> None:
    contracts, models = all_reasons(contract_files()), all_reasons(model_files())
    # the Governor guards parameters that its model checks by the same names through functions of its own
    missing = {r: f for r, f in contracts.items() if r not in models and r not in NO_MIRROR}
    extra = {r: f for r, f in models.items() if r not in contracts and r not in MODEL_ONLY}
    assert missing == {}, "in a contract and in no model"
    assert extra == {}, "in a model and in no contract"
    assert len(contracts) > 100
    assert set(NO_MIRROR) <= set(contracts), "an exception that is none any more"


def test_reasons__fit_one_word() -> None:
    """A literal of at most 32 bytes costs one word of revert data."""
    for reason, file in all_reasons(contract_files()).items():
        assert len(reason.encode()) <= 32, f"{file}: {reason!r}"


def test_reasons__have_the_prefix_of_who_refuses() -> None:
    """One prefix names one contract or one stage, so that a reason alone tells where to look.

    The Lens replays stages of others and gives their reasons; the baselines stand where PriceOracle stands.
    """
    homes: dict[str, set[str]] = {}
    for path in contract_files():
        if path.stem == "Lens" or path.parent.name == "baselines":
            continue
        for reason in reasons_of(path):
            homes.setdefault(reason.split(":")[0], set()).add(path.stem)
    stems = {"ClearingHouse", *DELEGATES, *MODULES}
    for prefix, files in homes.items():
        assert len(files) == 1 or files <= stems or prefix in ("token",), f"{prefix}: {files}"


def test_reasons__every_assert_with_a_reason_or_a_stated_range_check() -> None:
    """In the family a refusal without a reason is a range check of a word, of an array, or of arithmetic."""
    bare = re.compile(r"^\s*assert [^,\n]*$", re.MULTILINE)
    allowed = {"words", "fixed_math", "MarketAdmin"}
    for path in contract_files():
        if path.parent.name == "mocks":
            continue
        found = [line.strip() for line in bare.findall(path.read_text()) if not line.rstrip().endswith("(")]
        assert not found or path.stem in allowed, f"{path.name}: {found}"


@pytest.mark.parametrize("reason", sorted(family()))
def test_reasons__of_the_family_are_reached_by_a_test(reason: str) -> None:
    if reason in NO_TEST:
        pytest.skip(NO_TEST[reason])
    here = Path(__file__).name
    files = [path.name for path in sorted(TESTS.rglob("test_*.py")) if path.name != here]
    hits = [name for name in files if f'"{reason}"' in next(TESTS.rglob(name)).read_text()]
    assert hits, f"{family()[reason]} refuses with {reason!r} and no test asks for it"


# ---- invariants ------------------------------------------------------------------------------------


def checked_invariants() -> set[int]:
    """Numbers of the ``inv_n_…`` functions."""
    return {int(m[1]) for name in dir(invariants) if (m := re.match(r"inv_(\d+)_", name))}


def specified_invariants() -> dict[int, str]:
    """Tags of the specification's table and their sentences."""
    spec = (CONTRACTS / "SPEC.md").read_text()
    return {int(n): sentence for n, sentence in re.findall(r"^\| INV-(\d+) \| (.+) \|$", spec, re.MULTILINE)}


def test_invariants__numbered_without_a_gap() -> None:
    assert sorted(specified_invariants()) == list(range(1, 19))


def test_invariants__every_check_is_in_the_specification() -> None:
    assert checked_invariants() <= set(specified_invariants())


def test_invariants__every_sentence_is_checked_somewhere() -> None:
    """By a function of ``python_ref/invariants.py``, or by a test that carries its tag."""
    text = "\n".join(path.read_text() for path in TESTS.rglob("*.py") if path.name != Path(__file__).name)
    tagged = {int(n) for n in re.findall(r"INV-(\d+)", text)} | {int(n) for n in re.findall(r"inv_(\d+)_", text)}
    for number, (file, functions) in CHECKED_BY.items():
        for function in functions:
            assert f"def {function}(" in (TESTS / file).read_text(), f"INV-{number}: {function}"
    missing = set(specified_invariants()) - checked_invariants() - tagged - set(CHECKED_BY)
    assert missing == set(), f"nothing checks {sorted(missing)}"


def test_invariants__each_function_names_its_tag() -> None:
    for name in dir(invariants):
        if match := re.match(r"inv_(\d+)_", name):
            assert f"INV-{match[1]}" in (getattr(invariants, name).__doc__ or ""), name


# ---- mirrors ---------------------------------------------------------------------------------------


def test_mirrors__every_contract_names_a_file_that_exists() -> None:
    for path in contract_files():
        named = re.findall(r"`((?:python_ref|tests|scripts)/[\w/]+\.py)`", path.read_text())
        for file in named:
            assert (ROOT / file).is_file(), f"{path.name} names {file}"


def test_spec__names_only_reasons_that_exist() -> None:
    spec = (CONTRACTS / "SPEC.md").read_text()
    quoted = set(re.findall(r"`([a-z]+: [a-z ]+)`", spec))
    assert quoted
    assert quoted - set(all_reasons(contract_files())) == set()
