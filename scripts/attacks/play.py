"""Several attacks, one after the other or at the same time in processes of their own."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

from scripts.attacks.attack import Attack
from scripts.attacks.result import Run
from scripts.attacks.runner import perform
from scripts.chain import ChainLost, ChainUnavailable, make_chain

Job = tuple[Attack, tuple[str, ...], str]
"""An attack, the deployments it is played against, and the kind of chain."""


@dataclass(frozen=True)
class Failed:
    """An attack that could not be played to its end: contract and model differ, or the chain is lost."""

    name: str
    why: str


def play(job: Job) -> list[Run] | Failed:
    """The runs of one attack, or why there are none."""
    attack, deployments, backend = job
    try:
        return list(perform(attack, deployments, lambda: make_chain(backend)).values())
    except (AssertionError, ChainLost, ChainUnavailable) as error:  # a Mismatch is an AssertionError
        return Failed(title(attack.name, attack.variant), str(error))


def title(name: str, variant: str) -> str:
    """How an attack is called in the table."""
    return f"{name} ({variant})" if variant else name


def results(jobs: list[Job], workers: int) -> Iterator[list[Run] | Failed]:
    """Runs in the order of the jobs."""
    if workers == 1 or len(jobs) == 1:
        yield from map(play, jobs)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(play, jobs)
