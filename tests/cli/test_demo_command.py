"""`sprocket-grpc demo`: a factory that produces until Ctrl-C, and nothing of others is deleted."""

import signal
import subprocess
from collections.abc import Iterator

import pytest

from sprocket_grpc.cli.client.connection import Connection, connected
from sprocket_grpc.cli.client.errors import ClientError
from sprocket_grpc.cli.demo import Production
from sprocket_grpc.cli.resources.calls import Caller
from sprocket_grpc.testing.postgres import new_database
from tests.support.client_commands import LOCATION, answer, call, seeded_server
from tests.support.command_line import COMMAND, PATIENCE_SECONDS, ServeProcess, interruptible_environment
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

GOAL, DELETION, CREATION = 0.0, 0.2, 0.9
"""What is drawn for each kind of change."""


@pytest.fixture(scope="module")
def served(postgres: str, template: str) -> Iterator[ServeProcess]:
    """A server with the sample data."""
    with new_database(postgres, template) as url, seeded_server(url) as served:
        yield served


@pytest.fixture
def factory_id(served: ServeProcess) -> str:
    """A factory that only one test uses."""
    at = answer(served, "create", "location", *LOCATION)["id"]
    made = answer(served, "create", "factory", "--display-name", f"Works at {at}", "--location-id", at)
    return str(made["id"])


@pytest.fixture
def production(served: ServeProcess, factory_id: str) -> Iterator[Production]:
    with connected(Connection(served.address, None, None, None, None)) as server:
        yield Production(Caller(server, PATIENCE_SECONDS), factory_id)


def names(served: ServeProcess, factory_id: str) -> list[str]:
    listed = answer(served, "list", "sprockets", "--filter", f"factory_id = {factory_id}", "--order-by", "create_time")
    return [each["display_name"] for each in listed]


def test_a_factory_produces_until_ctrl_c_which_says_what_was_done(served: ServeProcess, factory_id: str) -> None:
    command = [*COMMAND, "demo", factory_id.upper(), "--server", served.address]
    with subprocess.Popen(command, env=interruptible_environment(), stdout=subprocess.PIPE, text=True) as process:
        try:
            wait_until(lambda: len(names(served, factory_id)) >= 2, PATIENCE_SECONDS)
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate(timeout=PATIENCE_SECONDS)
        finally:
            process.kill()
    assert process.returncode == 0
    first, second, last = output.splitlines()
    assert first.endswith(" is producing; press Ctrl-C to stop. To see its chart, run in another terminal:")
    assert second == f"  sprocket-grpc chart {factory_id} --since 5m --follow --server {served.address}"
    words = last.replace(",", "").split()
    created, deleted = int(words[0]), int(words[3])
    # The answer to the last change may not have arrived.
    assert abs(created - deleted - len(names(served, factory_id))) <= 1


def test_goals_change_around_the_actual_production(
    served: ServeProcess, production: Production, factory_id: str
) -> None:
    goals = set()
    for _ in range(5):
        production.change(GOAL)
        goals.add(int(answer(served, "get", "factory", factory_id)["sprocket_production_goal"]))
    assert goals <= set(range(13))
    assert production.summary == "0 sprockets created, 0 deleted, goal changed 5 times"


def test_only_sprockets_of_its_own_are_deleted(served: ServeProcess, production: Production, factory_id: str) -> None:
    [kind, *_] = answer(served, "list", "sprocket-types", "--all")
    mine = ["--factory-id", factory_id, "--sprocket-type-id", kind["id"]]
    answer(served, "create", "sprocket", "--display-name", "mine", *mine)
    production.change(DELETION)  # creates one, because there is none of its own
    production.change(CREATION)
    assert names(served, factory_id) == ["mine", "Demo 1", "Demo 2"]
    for _ in range(2):
        production.change(DELETION)
    assert names(served, factory_id) == ["mine"]
    assert production.summary == "2 sprockets created, 2 deleted, goal changed 0 times"


def test_a_sprocket_that_somebody_else_has_deleted_does_not_end_it(
    served: ServeProcess, production: Production, factory_id: str
) -> None:
    production.change(CREATION)
    [gone] = answer(served, "list", "sprockets", "--filter", f"factory_id = {factory_id}")
    assert call(served, "delete", "sprocket", gone["id"], "--yes").status == 0
    production.change(DELETION)


def test_a_factory_that_does_not_exist_is_refused(served: ServeProcess) -> None:
    finished = call(served, "demo", "Factory 4")
    finished.assert_refused()
    assert "no factory has the display name 'Factory 4'; did you mean 'Factory" in finished.errors


def test_without_a_sprocket_type_there_is_nothing_to_produce(database_url: str) -> None:
    with seeded_server(database_url) as own, connected(Connection(own.address, None, None, None, None)) as server:
        factory_id = answer(own, "get", "factory", "Factory 1")["id"]
        for kind in answer(own, "list", "sprocket-types"):
            assert call(own, "delete", "sprocket-type", kind["id"], "--force", "--yes").status == 0
        with pytest.raises(ClientError, match="`sprocket-grpc create sprocket-type` creates one"):
            Production(Caller(server, PATIENCE_SECONDS), factory_id)
