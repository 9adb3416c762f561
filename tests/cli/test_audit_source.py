"""Where `sprocket-grpc audit` reads: from a server like other client commands, or from a database that is set."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.support.command_line import run
from tests.support.resources import create_location
from tests.support.service import Service
from tests.support.terminal import run_in_terminal

pytestmark = pytest.mark.slow

SAID = "read from the database of SPROCKET_DATABASE_URL; --server ADDRESS reads through a server instead\n"


async def resource_ids(*arguments: str, **settings: str) -> list[str]:
    """Run the command while the server of this process serves, and return the ids of the resources that it shows."""
    finished = await asyncio.to_thread(run, "audit", "--json", *arguments, **settings)
    assert (finished.status, finished.errors) == (0, "")
    return [json.loads(line)["resource_id"] for line in finished.output.splitlines()]


async def test_the_server_of_this_environment_is_asked_as_other_client_commands_ask_it(service: Service) -> None:
    made = await create_location(service)
    assert await resource_ids(listen=service.address) == [made.id]
    assert await resource_ids(listen=service.address, database_url="") == [made.id]


def test_without_any_server_the_address_is_named_and_no_database_is_created(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    finished = run("audit", "--timeout", "0.1", listen="127.0.0.1:1", embedded_directory=str(directory))
    finished.assert_refused()
    assert "127.0.0.1:1 does not answer" in finished.errors
    assert not directory.exists()


async def test_a_server_that_is_named_is_asked_and_no_database(service: Service) -> None:
    made = await create_location(service)
    database_url = "postgresql://127.0.0.1:1/"
    assert await resource_ids("--server", service.address, database_url=database_url) == [made.id]
    assert await resource_ids(client_server=service.address, database_url=database_url) == [made.id]


def test_a_database_whose_url_is_in_a_file_is_read_and_a_terminal_says_so(database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text(database_url)
    finished = run_in_terminal("audit", database_url_file=str(file))
    assert (finished.status, finished.errors) == (0, SAID)


def test_variables_of_client_commands_do_not_keep_it_from_the_database(database_url: str) -> None:
    finished = run("audit", database_url=database_url, client_tls_ca=__file__, client_timeout_seconds="1")
    assert (finished.status, finished.errors) == (0, "")


@pytest.mark.parametrize("option", ["--tls-ca", "--api-key-file", "--timeout"])
def test_options_of_a_call_need_a_server(option: str, database_url: str) -> None:
    finished = run("audit", option, "1" if option == "--timeout" else __file__, database_url=database_url)
    assert finished.status == 2
    assert f"Error: {option} needs --server ADDRESS" in finished.errors
