"""Bytes of every contract against the 24,576 that a chain accepts: ``python -m scripts.sizes``."""

from __future__ import annotations

import sys

from scripts.chain.artifacts import artifact, paths

WARN = 21_000
FAIL = 23_000


def main() -> int:
    """Print the table; 1 if a contract is too large to leave room for a fix."""
    sizes = {name: artifact(name).size for name, path in paths().items() if "mocks" not in path.parts}
    for name, size in sorted(sizes.items(), key=lambda item: (-item[1], item[0])):
        note = f"over {FAIL:,}" if size > FAIL else f"over {WARN:,}" if size > WARN else ""
        print(f"{name:<24}{size:>8,}  {note}".rstrip())
    return int(any(size > FAIL for size in sizes.values()))


if __name__ == "__main__":
    sys.exit(main())
