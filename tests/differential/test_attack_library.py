"""Every attack of the library in every variant, against three oracles: what the files expect is what comes.

In-process, for its speed; ``make attacks`` plays the same on a node and writes the page.
"""

from __future__ import annotations

import pytest

from scripts.attacks.attack import LIBRARY, Attack, load
from scripts.attacks.result import DEPLOYMENTS
from scripts.attacks.runner import perform
from scripts.chain.revm import RevmChain

EVERY = [attack for file in sorted(LIBRARY.glob("*.yaml")) for attack in load(file)]


@pytest.mark.parametrize(
    "attack", EVERY, ids=lambda attack: f"{attack.name}-{attack.variant or 'whole'}".replace(" ", "_")
)
def test_library__comes_as_expected(attack: Attack) -> None:
    runs = perform(attack, DEPLOYMENTS, RevmChain)
    differ = {
        deployment: [f"{line.metric}: wanted {line.wanted}, got {line.got}" for line in run.expected if not line.ok]
        for deployment, run in runs.items()
    }
    assert differ == {deployment: [] for deployment in DEPLOYMENTS}
