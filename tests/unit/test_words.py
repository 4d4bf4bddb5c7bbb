"""Packed words: contract against model bit for bit, round trips, and fields that do not fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields as dataclass_fields
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from python_ref.words import Account, Band, Cell, Globals, Limits, Market, Position, Risk
from python_ref.world import Revert
from scripts.twin import Twin
from tests.harness import module_twin

MAX = 2**256 - 1


@pytest.fixture(scope="module")
def twin() -> Iterator[Twin]:
    """The harness and its model."""
    with module_twin() as made:
        yield made


WIDTHS: dict[type, dict[str, int]] = {
    # bits of each field as SPEC §3 gives them; negative: signed; 1: bool
    Account: {"cash": -160, "legs": 16, "touched": 32, "has_late": 1, "in_receipt": 1, "exposed": 1, "liquidated": 44},
    Position: {
        "a0": 120,
        "q0": 104,
        "epoch": 16,
        "scale": 8,
        "c0": -160,
        "entry": 87,
        "band": 8,
        "is_long": 1,
    },
    Band: {"a": 120, "oi": 104, "epoch": 16, "scale": 8},
    Cell: {"c": -160, "f_mark": -88, "live": 1},
    Market: {
        "funding": -88,
        "rate": -24,
        "sample": -24,
        "accrued": 32,
        "fees": 88,
        "pot": -104,
        "oi": 104,
        "residue": 48,
    },
    Limits: {
        "oi_cap": 104,
        "min_size": 80,
        "lot_exp": 8,
        "open_receipts": 8,
        "rank": 4,
        "octave_bits": 4,
        "listed": 1,
    },
    Globals: {
        "claim_index": 128,
        "bad_debt": 112,
        "claim_epoch": 16,
        "exposed": -120,
        "exempt": 104,
        "open_receipts": 8,
        "receipts": 24,
    },
    Risk: dict.fromkeys([f.name for f in dataclass_fields(Risk)][:9], 24) | {"depth": 40},
}
NAMES = {kind: kind.__name__.lower() for kind in WIDTHS}
PACKED = [kind for kind in WIDTHS if kind is not Risk]
"""Risk words are packed by governance, off the chain."""


def bounds(bits: int) -> tuple[int, int]:
    """Least and highest value of a field."""
    return (-(1 << -bits - 1), (1 << -bits - 1) - 1) if bits < 0 else (0, (1 << bits) - 1)


def values(bits: int) -> st.SearchStrategy[Any]:
    """A field: any value, its ends more often."""
    if bits == 1:
        return st.booleans()
    low, high = bounds(bits)
    return st.one_of(st.integers(low, high), st.sampled_from([low, 0, 1, high, high - 1]))


def instances(kind: type) -> st.SearchStrategy[Any]:
    """A dataclass whose fields fit. Cells are live: the ledger stores no other."""
    made = st.builds(kind, **{name: values(bits) for name, bits in WIDTHS[kind].items()})
    return made.map(lambda cell: replace(cell, live=True)) if kind is Cell else made


def words_of(packed: Any) -> tuple[int, ...]:
    """One word or two, as a tuple."""
    return packed if isinstance(packed, tuple) else (packed,)


@pytest.mark.parametrize("kind", PACKED, ids=lambda kind: NAMES[kind])
@given(data=st.data())
def test_pack__round_trip(twin: Twin, kind: type, data: st.DataObject) -> None:
    thing = data.draw(instances(kind))
    packed = words_of(twin.view("ClearingHouse", f"pack_{NAMES[kind]}", thing))
    assert all(0 <= word <= MAX for word in packed)
    assert kind.unpack(*packed) == thing  # type: ignore[attr-defined]
    back = twin.view("ClearingHouse", f"unpack_{NAMES[kind]}", *packed)
    assert back == tuple(vars(thing).values())


@pytest.mark.parametrize("kind", WIDTHS, ids=lambda kind: NAMES[kind])
@given(first=st.integers(0, MAX), second=st.integers(0, MAX))
@example(first=0, second=0)
@example(first=MAX, second=MAX)
@example(first=1 << 255, second=1 << 255)
def test_unpack__any_word(twin: Twin, kind: type, first: int, second: int) -> None:
    """Unpacking never fails, whatever is in a word, and fields never overlap: packing gives back what is in use."""
    two = kind in (Position, Market, Globals)
    raw = (first, second) if two else (first,)
    fields = twin.view("ClearingHouse", f"unpack_{NAMES[kind]}", *raw)
    thing = kind(*fields)
    for name, bits in WIDTHS[kind].items():
        if kind is not Cell:
            low, high = bounds(bits)
            assert low <= getattr(thing, name) <= high
    if kind is Risk:
        assert thing.pack() == first
    elif kind is not Cell:
        again = words_of(twin.view("ClearingHouse", f"pack_{NAMES[kind]}", thing))
        assert all(word & ~before == 0 for word, before in zip(again, raw, strict=True))
        assert kind.unpack(*again) == thing  # type: ignore[attr-defined]


CASES = [
    (kind, name, value)
    for kind in PACKED
    for name, bits in WIDTHS[kind].items()
    if bits != 1
    for value in (bounds(bits)[0] - 1, bounds(bits)[1] + 1)
    # the machine cannot be handed a negative number where it wants an unsigned one, but for the signed residue
    if value >= 0 or bits < 0 or (kind, name) == (Market, "residue")
]


@pytest.mark.parametrize(("kind", "name", "value"), CASES, ids=lambda x: NAMES.get(x, str(x)) if x != 0 else "0")
def test_pack__field_that_does_not_fit(twin: Twin, kind: type, name: str, value: int) -> None:
    thing = replace(Cell(live=True) if kind is Cell else kind(), **{name: value})
    with pytest.raises(Revert) as refused:
        twin.view("ClearingHouse", f"pack_{NAMES[kind]}", thing)
    assert refused.value.reason == ""
    low, high = bounds(WIDTHS[kind][name])
    fits = replace(thing, **{name: min(max(value, low), high)})
    twin.view("ClearingHouse", f"pack_{NAMES[kind]}", fits)


def test_cell__live_is_never_zero(twin: Twin) -> None:
    """A live cell of C = 0 at any mark differs from one that was never opened."""
    for f_mark in (-(2**87), -1, 0, 1, 2**87 - 1):
        assert twin.view("ClearingHouse", "pack_cell", Cell(0, f_mark, True)) != 0
    assert twin.view("ClearingHouse", "unpack_cell", 0) == (0, 0, False)


def test_words__widths_fit_a_word_without_overlap() -> None:
    """Every field at its highest with all others zero sets a run of bits of its own."""
    for kind, widths in WIDTHS.items():
        seen = [0, 0]
        for name, bits in widths.items():
            if kind is Cell:
                continue
            value = -1 if bits < 0 else (True if bits == 1 else (1 << bits) - 1)
            packed = words_of(kind(**{name: value}).pack())
            for i, word in enumerate(packed):
                assert seen[i] & word == 0, f"{kind.__name__}.{name}"
                seen[i] |= word
            assert sum(word.bit_count() for word in packed) == abs(bits)
