"""Several lines are written at a time, and an import that stops says exactly which ones."""

import json
import threading
import uuid
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import google.rpc.error_details_pb2 as details
import grpc
import pytest
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from sprocket.v1.location_pb2 import (
    CreateLocationRequest,
    CreateLocationResponse,
    Location,
    UpdateLocationRequest,
    UpdateLocationResponse,
)
from tests.cli.importing.world import World, csv_file
from tests.support.client_commands import answer
from tests.support.command_line import PATIENCE_SECONDS, Finished, run

pytestmark = pytest.mark.slow

MOST = 32
"""The largest number of calls that an import has in flight."""

FULL = 31
"""The first line of the first group of `MOST` lines: before it are groups of 1, 2, 4, 8 and 16 lines."""


class SlowServer:
    """Writes locations whose names are numbers. It answers those of the first full group when all of it has arrived.

    Attributes:
        begun: The names of the locations of all calls, in the order of arrival.
        most: The largest number of calls at a time.
    """

    def __init__(self, refused: Collection[int]) -> None:
        self.begun: list[int] = []
        self.most = 0
        self._open = 0
        self._refused = refused
        self._changed = threading.Condition()

    def write(self, location: Location, context: grpc.ServicerContext) -> Location:
        """Return the location, or refuse it."""
        number = int(location.display_name)
        with self._changed:
            self.begun.append(number)
            self._open += 1
            self.most = max(self.most, self._open)
            self._changed.notify_all()
            if number >= FULL:
                self._changed.wait_for(lambda: len(self.begun) >= FULL + MOST, PATIENCE_SECONDS / 4)
            self._open -= 1
        if number in self._refused:
            context.abort_with_status(rpc_status.to_status(_invalid()))
        location.create_time.GetCurrentTime()
        return location

    def handlers(self) -> grpc.GenericRpcHandler:
        """Return the methods that an import of locations calls."""
        handler = grpc.unary_unary_rpc_method_handler
        methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "ListLocations": handler(lambda *_: b""),
            "CreateLocation": handler(
                lambda request, context: CreateLocationResponse(location=self.write(request.location, context)),
                CreateLocationRequest.FromString,
                CreateLocationResponse.SerializeToString,
            ),
            "UpdateLocation": handler(
                lambda request, context: UpdateLocationResponse(location=self.write(request.location, context)),
                UpdateLocationRequest.FromString,
                UpdateLocationResponse.SerializeToString,
            ),
        }
        return grpc.method_handlers_generic_handler("sprocket.v1.LocationService", methods)


def _invalid() -> Status:
    violation = details.BadRequest.FieldViolation(field="location.city", description="required")
    status = Status(code=grpc.StatusCode.INVALID_ARGUMENT.value[0], message="city: required")
    status.details.add().Pack(details.BadRequest(field_violations=[violation]))
    return status


@contextmanager
def serving_slowly(refused: Collection[int] = ()) -> Iterator[tuple[SlowServer, str]]:
    slow = SlowServer(refused)
    with ThreadPoolExecutor(2 * MOST) as pool:
        server = grpc.server(pool)
        server.add_generic_rpc_handlers([slow.handlers()])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield slow, f"127.0.0.1:{port}"
        finally:
            server.stop(grace=None).wait()


def imported(address: str, path: Path, *arguments: str) -> Finished:
    return run("import", "locations", str(path), *arguments, client_server=address)


def numbered(path: Path, count: int) -> Path:
    return csv_file(path, *(f"{n},1 St,X,1,US" for n in range(count)))


@pytest.mark.parametrize("on_error", ["stop", "continue"])
def test_several_lines_are_written_at_a_time(tmp_path: Path, on_error: str) -> None:
    path = numbered(tmp_path / "f.csv", 100)
    with serving_slowly() as (server, address):
        finished = imported(address, path, "--on-error", on_error)
    assert (finished.status, finished.output) == (0, f"{path}: 100 created, 0 already there, 0 refused\n")
    assert server.most == MOST


def test_an_import_that_stops_reports_exactly_what_was_in_flight_and_begins_nothing_more(tmp_path: Path) -> None:
    path, refused = numbered(tmp_path / "f.csv", 100), tmp_path / "refused.jsonl"
    with serving_slowly([40, 42, 61, 62]) as (server, address):
        finished = imported(address, path, "--refused", str(refused))
    finished.assert_refused()
    assert sorted(server.begun) == [*range(63)]
    assert finished.output == f"{path}: 59 created, 0 already there, 2 refused\n"
    assert finished.errors.splitlines()[1:3] == [f"{path}:42: city: required", f"{path}:44: city: required"]
    assert "the first 61 resources are imported, except 2 refused ones, because several are written" in finished.errors
    assert "Correct and import the refused ones separately and continue with --skip 61" in finished.errors
    assert [json.loads(line)["display_name"] for line in refused.read_text().splitlines()] == ["40", "42"]


def test_a_file_that_is_wrong_from_the_beginning_is_refused_with_one_call(tmp_path: Path) -> None:
    with serving_slowly(range(100)) as (server, address):
        finished = imported(address, numbered(tmp_path / "f.csv", 100))
    finished.assert_refused()
    assert server.begun == [0]
    assert "the first 0 resources are imported. Correct the file and continue with --skip 0" in finished.errors


def test_lines_with_the_same_id_overwrite_each_other_in_the_order_of_the_file(tmp_path: Path) -> None:
    same = uuid.uuid4()
    path = tmp_path / "f.csv"
    path.write_text("id,display_name\n" + "".join(f"{same},{n}\n" for n in range(FULL)))
    with serving_slowly() as (server, address):
        finished = imported(address, path, "--keep-ids")
    assert finished.status == 0, finished
    assert (server.most, server.begun) == (1, [*range(FULL)])


def test_an_import_that_stopped_twice_is_completed_without_duplicates(world: World, tmp_path: Path) -> None:
    mark = ("--address-2", world.location_id)  # of the locations of this test
    path = csv_file(tmp_path / "f.csv", *(f"{n},{'' if n == 60 else '1 St'},X,1,US" for n in range(200)))
    refused = tmp_path / "refused.jsonl"
    for created, found in ((62, 0), (0, 62)):
        finished = world.run("locations", path, *mark, "--refused", str(refused))
        assert finished.output == f"{path}: {created} created, {found} already there, 1 refused\n"
        assert finished.errors.endswith("and continue with --skip 63, or skip invalid lines with --on-error continue\n")
    refused.write_text(refused.read_text().replace('"city"', '"address": "1 St", "city"'))
    for rest in ((refused,), (path, "--skip", "63")):
        assert world.run("locations", *rest, *mark).status == 0
    made = answer(world.served, "list", "locations", "--all", "--filter", f'address_2 = "{world.location_id}"')
    assert sorted(int(each["display_name"]) for each in made) == [*range(200)]
