"""Makes pytest keep a tape of every fast chain; ``WATERFALL_TAPES`` names the file that they are written to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.mutants.tape import NOTE, Recorder, pack, recording

_made: list[Recorder] = []
_current = ""


def pytest_runtest_logstart(nodeid: str) -> None:
    """Note on every tape which test begins; a chain that it opens has its name."""
    global _current
    _name()
    _current = nodeid
    for recorder in _made:
        recorder.tape.keep(NOTE, nodeid)


def _name() -> None:
    for recorder in _made:
        recorder.tape.name = recorder.tape.name or _current


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop() -> Iterator[None]:
    """Record during all tests, then write the tapes that have more than notes on them."""
    global _made
    with recording() as _made:
        result = yield
    _name()
    tapes = [recorder.tape for recorder in _made if any(op[0] != NOTE for op in recorder.tape.ops)]
    Path(os.environ["WATERFALL_TAPES"]).write_bytes(pack(tapes))
    return result
