"""Servers to import into, and files to import."""

from pathlib import Path
from typing import NamedTuple

import grpc
from sqlalchemy import text

from sprocket.v1.factory_pb2 import CreateFactoryRequest, Factory
from sprocket.v1.factory_pb2_grpc import FactoryServiceStub
from sprocket.v1.location_pb2 import CreateLocationRequest
from sprocket.v1.location_pb2_grpc import LocationServiceStub
from sprocket.v1.sprocket_type_pb2 import CreateSprocketTypeRequest
from sprocket.v1.sprocket_type_pb2_grpc import SprocketTypeServiceStub
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from tests.support.client_commands import call
from tests.support.command_line import Finished, ServeProcess
from tests.support.resources import location, sprocket_type

LOCATIONS = [
    {"display_name": f"Site {n}", "address": f"{n} Main St", "city": "X", "postal_code": "1"} for n in range(4)
]
TABLE = "".join(f"{','.join(row)}\n" for row in [[*LOCATIONS[0]], *(each.values() for each in LOCATIONS)])
HEAD = "display_name,address,city,postal_code,country_code"


class World(NamedTuple):
    """A server with a location, a factory and a sprocket type that only one test uses.

    Attributes:
        served: The server.
        url: The URL of its database.
        location_id: The location of the factory.
        factory_id: The factory.
        sprocket_type_id: The sprocket type.
    """

    served: ServeProcess
    url: str
    location_id: str
    factory_id: str
    sprocket_type_id: str

    def run(self, plural: str, path: Path, *arguments: str) -> Finished:
        """Import a file."""
        return call(self.served, "import", plural, str(path), *arguments)

    def written(self) -> int:
        """Return the number of stored sprockets of the factory."""
        with create_plain_engine(self.url).connect() as connection:
            statement = text("SELECT count(*) FROM sprocket WHERE factory_id = :id")
            return int(connection.scalar(statement, {"id": self.factory_id}) or 0)

    def sprockets(self, path: Path, count: int, types: dict[int, str] | None = None) -> Path:
        """Write a file of sprockets, some of them with another sprocket_type_id."""
        type_of = (types or {}).get
        lines = [f"S{n},{self.factory_id},{type_of(n, self.sprocket_type_id)}\n" for n in range(count)]
        path.write_text("display_name,factory_id,sprocket_type_id\n" + "".join(lines))
        return path


def world_of(served: ServeProcess, url: str) -> World:
    with grpc.insecure_channel(served.address) as channel:
        at = LocationServiceStub(channel).CreateLocation(CreateLocationRequest(location=location())).location.id
        factory = Factory(display_name="Works", location_id=at)
        made = FactoryServiceStub(channel).CreateFactory(CreateFactoryRequest(factory=factory)).factory
        types = SprocketTypeServiceStub(channel)
        kind = types.CreateSprocketType(CreateSprocketTypeRequest(sprocket_type=sprocket_type())).sprocket_type
    return World(served, url, at, made.id, kind.id)


def csv_file(path: Path, *lines: str) -> Path:
    path.write_text("\n".join([HEAD, *lines]) + "\n")
    return path
