"""One deployment for every network: a configuration, steps that can be resumed, a verification that reads the chain.

``scripts.devnet`` and ``scripts.deploy`` (``ape run deploy``) differ only in the :class:`Sender` they hand over.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class DeploymentError(RuntimeError):
    """Something the reader can put right: the message is one line that names the field or the fix."""


@contextmanager
def one_line() -> Iterator[None]:
    """For commands: what the reader can put right becomes one line on stderr and exit code 1, not a traceback."""
    import click
    from requests import RequestException
    from web3.exceptions import Web3Exception

    try:
        yield
    except DeploymentError as error:
        raise click.ClickException(str(error)) from None
    except (RequestException, Web3Exception) as error:
        raise click.ClickException(f"the node does not answer any more ({type(error).__name__})") from None
    except BrokenPipeError:
        raise  # `… | head`: click ends quietly
    except OSError as error:
        raise click.ClickException(f"{error.filename or 'system'}: {error.strerror or error}") from None


__all__ = ["DeploymentError", "one_line"]
