"""Conformance vectors: what the model says, in a form that any implementation can be held against.

``FORMAT.md`` beside this file describes the format; ``python -m scripts.vectors write`` makes a file of them and
``python -m scripts.vectors run`` plays one against deployed addresses behind an RPC endpoint.
"""

from __future__ import annotations

VERSION = "waterfall-vectors/2"
"""Goes up by one with every change that an old runner would misread."""


class VectorError(ValueError):
    """Something the reader can put right: one line that names the field, or what to do."""


__all__ = ["VERSION", "VectorError"]
