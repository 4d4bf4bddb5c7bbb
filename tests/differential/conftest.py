"""What the directed tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.differential.book import OpenBook, books


@pytest.fixture
def open_book() -> Iterator[OpenBook]:
    """Opens books by their markets."""
    with books() as opener:
        yield opener
