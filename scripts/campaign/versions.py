"""What a campaign ran on: digests of the sources, versions of the tools."""

from __future__ import annotations

import hashlib
import platform
from functools import cache
from importlib.metadata import version

from scripts.chain.artifacts import ROOT

TREES = {
    "contracts": ("contracts/**/*.vy", "contracts/**/*.vyi"),
    "python_ref": ("python_ref/*.py",),
    "scripts": ("scripts/twin.py", "scripts/system.py", "scripts/chain/*.py", "scripts/campaign/*.py"),
}
"""Which files of the repository an outcome depends on: the contracts, the model, and what drives and compares them."""
TOOLS = ("vyper", "pyrevm", "eth-abi", "distributed")


@cache
def digest(tree: str) -> str:
    """Hash over the paths and contents of a source tree, 16 hex digits."""
    found = hashlib.sha256()
    for path in sorted({path for pattern in TREES[tree] for path in ROOT.glob(pattern)}):
        found.update(f"{path.relative_to(ROOT).as_posix()}\0".encode())
        found.update(path.read_bytes())
        found.update(b"\0")
    return found.hexdigest()[:16]


def digests(*trees: str) -> dict[str, str]:
    """Of the named trees; of all if none is named."""
    return {tree: digest(tree) for tree in trees or TREES}


def versions() -> dict[str, str]:
    """Python and the tools that matter to an outcome."""
    return {"python": platform.python_version(), **{tool: version(tool) for tool in TOOLS}}
