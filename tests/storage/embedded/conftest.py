"""Fixtures for tests of the embedded PostgreSQL: directories with and without data."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sprocket_grpc.storage.embedded import embedded_postgres
from tests.storage.embedded.servers import copy_of, open_directory, query


@pytest.fixture
def base() -> Iterator[Path]:
    with open_directory() as path:
        yield path


@pytest.fixture
def directory(base: Path) -> Path:
    """The path of a data directory that does not exist yet."""
    return base / "data"


@pytest.fixture(scope="module")
def template() -> Iterator[Path]:
    with open_directory() as path:
        with embedded_postgres(path / "data", durable=False) as url:
            query(url, "CREATE TABLE sprocket (teeth int); INSERT INTO sprocket VALUES (12)")
        yield path / "data"


@pytest.fixture
def used_directory(directory: Path, template: Path) -> Path:
    """A data directory with data, without a running server."""
    return copy_of(template, directory)
