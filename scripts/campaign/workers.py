"""Who walks the seeds: this process, a process per core, or a Dask cluster that is already there.

A seed is one task. A worker that dies costs only the seed it was at: that is tried again elsewhere, and given up as
lost after a third death (on a cluster of others, after as many as its scheduler allows). Results come as they are
ready, each seed exactly once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from scripts.campaign.seed import Pulse, Result, Task, run_seed
from scripts.campaign.versions import digests
from scripts.chain import ChainLost

DEATHS = 2
"""Workers, or chains, that a seed may cost beyond the first before it is given up."""
TOPIC = "waterfall-campaign"


class ClusterError(RuntimeError):
    """A cluster that cannot be used: which worker, why."""


@dataclass(frozen=True)
class Lost:
    """A seed that killed every worker it was given to."""

    seed: int
    reason: str


Watch = Callable[[Pulse], None]


def here(task: Task, seeds: Sequence[int], watch: Watch) -> Iterator[Result | Lost]:
    """One after another, in this process."""
    for seed in seeds:
        try:
            yield persist(task, seed, watch)
        except ChainLost as error:
            yield Lost(seed, str(error))


def persist(task: Task, seed: int, watch: Watch) -> Result:
    """Walk a seed, from the start again where its chain is lost; :class:`ChainLost` after the third time."""
    for _ in range(DEATHS):
        with suppress(ChainLost):
            return run_seed(task, seed, watch)
    return run_seed(task, seed, watch)


def on_cluster(
    task: Task,
    seeds: Sequence[int],
    watch: Watch,
    address: str = "",
    jobs: int = 0,
    walk: Callable[[int, Task], Result] | None = None,
) -> Iterator[Result | Lost]:
    """On the scheduler at ``address``, or on a cluster of ``jobs`` processes of our own.

    ``walk`` does one seed on a worker, :func:`on_worker` if none is given. :class:`ClusterError` if nobody answers or
    a worker has other sources.
    """
    import dask
    from distributed import Client, LocalCluster, as_completed
    from distributed.scheduler import KilledWorker

    quiet = {
        "distributed.scheduler.allowed-failures": DEATHS,
        "distributed.worker.daemon": True,
        "distributed.logging.distributed": "error",
        "distributed.comm.timeouts.connect": "10s",
    }
    with dask.config.set(quiet):
        cluster: Any = None
        if not address:
            cluster = LocalCluster(
                n_workers=jobs, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
            )
        try:
            client = Client(address or cluster)
        except (OSError, TimeoutError) as error:
            raise ClusterError(f"cluster {address}: nobody answers ({error})") from None
        try:
            if address:
                _check_workers(client, address)
            client.subscribe_topic(TOPIC, lambda event: watch(Pulse(**event[1]["pulse"])))
            left, seed_of = deque(seeds), {}
            running = as_completed()

            def feed() -> None:
                # no more than run at once: a seed that only waits on a worker must not be blamed for its death
                while left and running.count() < max(1, sum(client.nthreads().values())):
                    seed = left.popleft()
                    future = client.submit(
                        walk or on_worker, seed, task, key=f"{TOPIC}-{uuid4().hex}-{seed}", pure=False
                    )
                    seed_of[future.key] = seed
                    running.add(future)

            feed()
            for future in running:
                error = future.exception()
                if error is None:
                    yield future.result()
                elif isinstance(error, KilledWorker):
                    yield Lost(seed_of[future.key], "killed every worker that it was given to")
                else:
                    yield Lost(seed_of[future.key], f"{type(error).__name__}: {error}")
                future.release()
                feed()
        finally:
            client.close()
            if cluster is not None:
                cluster.close()


def on_worker(seed: int, task: Task) -> Result:
    """A seed on a worker; its pulse goes to whoever started it."""
    from distributed import get_worker

    worker = get_worker()
    return persist(task, seed, lambda pulse: worker.log_event(TOPIC, {"pulse": pulse.__dict__}))


def _check_workers(client: Any, address: str) -> None:
    """Every worker has the same contracts, model and scripts as we."""
    ours = digests()
    workers = client.run(_sources, on_error="return")
    if not workers:
        raise ClusterError(f"cluster {address}: it has no workers")
    for worker, theirs in workers.items():
        if isinstance(theirs, BaseException):
            raise ClusterError(f"worker {worker}: cannot run this code: {theirs}")
        for tree, mine in ours.items():
            if theirs[tree] != mine:
                raise ClusterError(f"worker {worker}: {tree}/ is {theirs[tree]} there and {mine} here; update it")


def _sources() -> dict[str, str]:
    return digests()
