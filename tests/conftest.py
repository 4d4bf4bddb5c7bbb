"""Chains and Hypothesis profiles for all tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, settings

from scripts.chain import BACKEND, KINDS, Chain, ChainUnavailable, make_chain

# Generated cases share a chain by snapshots, so no deadline and no complaint about function-scoped fixtures.
_COMMON = {
    "deadline": None,
    "print_blob": True,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
}
settings.register_profile("quick", max_examples=25, **_COMMON)
settings.register_profile("ci", max_examples=100, derandomize=True, **_COMMON)
settings.register_profile("deep", max_examples=2_000, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") == "true" else "quick"))


def pytest_configure() -> None:
    """Refuse a backend that does not exist before anything runs."""
    if BACKEND not in KINDS:
        raise pytest.UsageError(f"BACKEND={BACKEND}: there is no such backend; there are {', '.join(KINDS)}")


@pytest.fixture
def open_chain() -> Iterator[Callable[[str], Chain]]:
    """Opens chains by kind and closes them. Without anvil a test is skipped, but in CI it fails."""
    opened: list[Chain] = []

    def open_one(kind: str) -> Chain:
        try:
            chain = make_chain(kind)
        except ChainUnavailable as error:
            if os.environ.get("CI") == "true":
                raise
            pytest.skip(str(error))
        opened.append(chain)
        return chain

    yield open_one
    for chain in opened:
        chain.close()


@pytest.fixture
def chain(open_chain: Callable[[str], Chain]) -> Chain:
    """A fresh chain: the fast one inside this process, or what ``BACKEND`` says (``make test BACKEND=anvil``)."""
    return open_chain(BACKEND)


@pytest.fixture(params=KINDS)
def any_chain(request: pytest.FixtureRequest, open_chain: Callable[[str], Chain]) -> Chain:
    """Each kind of chain in turn."""
    return open_chain(request.param)
