"""Builds of mutated contracts: one with many mutants asleep in it, or one with a single edit."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vyper.exceptions import VyperException

from scripts.chain import artifacts
from scripts.chain.artifacts import CONTRACTS, ROOT, Artifact, compile_file
from scripts.mutants.operators import Mutant
from scripts.mutants.schemata import impure, instrument, numbers_in

STORE = ROOT / ".build" / "mutants"

_PLACE = re.compile(r'contract "(?P<path>[^"]+):\d+".*line (?P<line>\d+):(?P<column>\d+)')

Texts = Mapping[str, str]
"""File under contracts/: its text, where it is not the repository's."""


@dataclass(frozen=True)
class Build:
    """Contracts with mutants 1, 2, … asleep in them."""

    code: Mapping[str, Artifact]
    numbered: Mapping[int, Mutant]
    rejected: tuple[Mutant, ...]  # do not compile in this form


@contextmanager
def tree(texts: Texts) -> Iterator[Path]:
    """A copy of the contracts with some files replaced."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        root = Path(folder).resolve()
        shutil.copytree(CONTRACTS, root / "contracts")
        for file, text in texts.items():
            (root / "contracts" / file).write_text(text)
        yield root


def compile_texts(texts: Texts, names: Sequence[str]) -> dict[str, Artifact]:
    """These contracts as they are with some files replaced; raises the compiler's exceptions."""
    with tree(texts) as root:
        return {name: _compile(root, name) for name in names}


def compile_mutant(mutant: Mutant, names: Sequence[str]) -> dict[str, Artifact]:
    """The contracts with one edit and nothing else."""
    return compile_texts({mutant.file: mutant.apply((CONTRACTS / mutant.file).read_text())}, names)


def _compile(root: Path, name: str) -> Artifact:
    path = root / artifacts.paths()[name].relative_to(ROOT)
    return compile_file(path, root=root, build=STORE / "artifacts")


def compile_many(mutants: Sequence[Mutant], names: Sequence[str]) -> Build:
    """One build with all these mutants asleep; those that the compiler refuses in this form are left out."""
    left = list(mutants)
    rejected: list[Mutant] = []
    while True:
        numbered = dict(enumerate(left, 1))
        texts = instrumented(numbered)
        try:
            with tree(texts) as root:
                for path in root.rglob("*.vy"):
                    path.write_text(impure(path.read_text()))
                code = {}
                for name in names:
                    try:
                        code[name] = _compile(root, name)
                    except VyperException as error:
                        guilty = _guilty(error, texts)
                        if not guilty:
                            raise
                        raise _Refused(guilty) from error
        except _Refused as refused:
            rejected += [numbered[number] for number in sorted(refused.numbers)]
            left = [mutant for number, mutant in numbered.items() if number not in refused.numbers]
            continue
        return Build(code, numbered, tuple(rejected))


class _Refused(Exception):
    def __init__(self, numbers: set[int]) -> None:
        super().__init__()
        self.numbers = numbers


def instrumented(numbered: Mapping[int, Mutant]) -> dict[str, str]:
    """Texts of the files that these mutants are in."""
    texts = {}
    for file in sorted({mutant.file for mutant in numbered.values()}):
        own = {number: mutant for number, mutant in numbered.items() if mutant.file == file}
        texts[file] = instrument((CONTRACTS / file).read_text(), own)
    return texts


def _guilty(error: VyperException, texts: Texts) -> set[int]:
    """Numbers of the mutants where the compiler says that errors are."""
    found: set[int] = set()
    for place in _PLACE.finditer(str(error)):
        file = place["path"].partition("contracts/")[2]
        if file not in texts:
            continue
        lines = texts[file].split("\n")[int(place["line"]) - 1 :]
        found |= numbers_in(lines[0][int(place["column"]) :]) or numbers_in(lines[0])
        if not found:
            # an expression over several lines is reported at its first
            found |= numbers_in("\n".join(lines[:12]))
    return found
