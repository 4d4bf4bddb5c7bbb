"""The delegates write into the ClearingHouse's storage, so their layouts have to be one."""

from __future__ import annotations

import pytest

from scripts.chain.artifacts import DELEGATES, artifact, compile_source


@pytest.mark.parametrize("delegate", DELEGATES)
def test_layout__of_a_delegate_is_the_clearing_houses(delegate: str) -> None:
    assert artifact(delegate).layout == artifact("ClearingHouse").layout
    assert artifact("ClearingHouse").layout["ledger"]["accounts"]["slot"] == 0


def test_layout__comparison_sees_a_shifted_variable() -> None:
    shifted = compile_source(
        "Shifted",
        "# pragma version 0.4.3\nfrom contracts.modules import ledger\n"
        "initializes: ledger\nfirst: uint256\n"
        "@deploy\ndef __init__(t: address):\n    ledger.__init__(t, 6, t)\n",
    )
    assert shifted.layout != artifact("ClearingHouse").layout
