"""Servers for the tests of import and export."""

from collections.abc import Iterator

import pytest

from sprocket_grpc.testing.postgres import new_database
from tests.cli.importing.world import World, world_of
from tests.support.client_commands import seeded_server
from tests.support.command_line import ServeProcess


@pytest.fixture(scope="module")
def seeded(postgres: str, template: str) -> Iterator[tuple[ServeProcess, str]]:
    with new_database(postgres, template) as url, seeded_server(url) as served:
        yield served, url


@pytest.fixture
def world(seeded: tuple[ServeProcess, str]) -> World:
    return world_of(*seeded)


@pytest.fixture
def own_world(database_url: str) -> Iterator[World]:
    """A world for one test alone, which kills its server or exports all its data."""
    with seeded_server(database_url) as served:
        yield world_of(served, database_url)
