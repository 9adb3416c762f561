"""The bare peer in Python: grpc.aio and psycopg, with no more than two calls need.

`python -m bench.bare CONNECTION_STRING POOL_SIZE` answers GetFactory and CreateSprocket from the same tables, with a
statement for each. It has no checks, limits, log, metrics, timeouts or errors.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import psycopg
import uvloop

from bench.pgbench import create_statement
from sprocket.v1.factory_pb2 import Factory, GetFactoryRequest, GetFactoryResponse
from sprocket.v1.sprocket_pb2 import CreateSprocketRequest, CreateSprocketResponse, Sprocket

_GET = """
    SELECT CAST(id AS text), create_time, update_time, display_name, CAST(location_id AS text),
        sprocket_production_goal, sprocket_production_actual
    FROM factory WHERE id = %s
"""
_CREATE = create_statement("%(factory)s", "%(type)s", "%(name)s")


class _Handlers:
    """Answers calls, each on a connection of its own."""

    def __init__(self, connections: Sequence["psycopg.AsyncConnection[Any]"]) -> None:
        self._free: asyncio.LifoQueue[psycopg.AsyncConnection[Any]] = asyncio.LifoQueue()
        for each in connections:
            self._free.put_nowait(each)

    async def get(self, request: GetFactoryRequest, _context: object) -> GetFactoryResponse:
        """Read a factory."""
        async with self._connection() as connection:
            row = await (await connection.execute(_GET, [request.id], prepare=True)).fetchone()
        response = GetFactoryResponse()
        _fill(response.factory, row)
        return response

    async def create(self, request: CreateSprocketRequest, _context: object) -> CreateSprocketResponse:
        """Create a sprocket."""
        given = request.sprocket
        parameters = {"factory": given.factory_id, "type": given.sprocket_type_id, "name": given.display_name}
        async with self._connection() as connection:
            row = await (await connection.execute(_CREATE, parameters, prepare=True)).fetchone()
        response = CreateSprocketResponse(sprocket=given)
        _identify(response.sprocket, row)
        return response

    @asynccontextmanager
    async def _connection(self) -> "AsyncIterator[psycopg.AsyncConnection[Any]]":
        connection = await self._free.get()
        try:
            yield connection
        finally:
            self._free.put_nowait(connection)


def _fill(factory: Factory, row: Any) -> None:  # noqa: ANN401  # a row of the statement
    _identify(factory, row[:3])
    factory.display_name, factory.location_id = row[3], row[4]
    factory.sprocket_production_goal, factory.sprocket_production_actual = row[5], row[6]


def _identify(resource: Factory | Sprocket, row: Any) -> None:  # noqa: ANN401  # as above
    resource.id = row[0]
    resource.create_time.FromDatetime(row[1])
    resource.update_time.FromDatetime(row[2])
    resource.etag = f'"{row[2].timestamp():.6f}"'


async def _serve(connection_string: str, pool_size: int) -> None:
    connect = psycopg.AsyncConnection.connect
    handlers = _Handlers([await connect(connection_string, autocommit=True) for _ in range(pool_size)])
    server, unary = grpc.aio.server(), grpc.unary_unary_rpc_method_handler
    get = unary(handlers.get, GetFactoryRequest.FromString, GetFactoryResponse.SerializeToString)
    create = unary(handlers.create, CreateSprocketRequest.FromString, CreateSprocketResponse.SerializeToString)
    server.add_registered_method_handlers("sprocket.v1.FactoryService", {"GetFactory": get})
    server.add_registered_method_handlers("sprocket.v1.SprocketService", {"CreateSprocket": create})
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"the bare peer listens on 127.0.0.1:{port}, with the same database\n")
    sys.stdout.flush()
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1], int(sys.argv[2])))
