"""One deployment for every network: a configuration, steps that can be resumed, and a verification that reads the chain.

``scripts.devnet`` and ``scripts.deploy`` (``ape run deploy``) differ only in the :class:`Sender` they hand over.
"""

from __future__ import annotations


class DeploymentError(RuntimeError):
    """Something the reader can put right: the message is one line that names the field or the fix."""


__all__ = ["DeploymentError"]
