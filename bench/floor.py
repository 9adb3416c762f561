"""The floor: the least that a unary call costs with grpc.aio, without a database: `python -m bench.floor ADDRESS`.

It reads the same request as the service and sends a response of about the same size, on the same event loop.
"""

import sys

import grpc
import uvloop

from sprocket.v1.factory_pb2 import Factory, GetFactoryRequest, GetFactoryResponse

_SECONDS, _NANOS = 1_700_000_000, 123_456_000


async def _get(
    request: GetFactoryRequest, _context: "grpc.aio.ServicerContext[GetFactoryRequest, GetFactoryResponse]"
) -> GetFactoryResponse:
    response = GetFactoryResponse()
    _fill(response.factory, request.id)
    return response


def _fill(factory: Factory, identifier: str) -> None:
    factory.id = factory.location_id = identifier
    factory.etag = '"as long as one"'
    factory.create_time.seconds = factory.update_time.seconds = _SECONDS
    factory.create_time.nanos = factory.update_time.nanos = _NANOS
    factory.display_name = "Works 0"
    factory.sprocket_production_goal = 10


async def _serve(address: str) -> None:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 1)])  # for several of them on a port
    get = grpc.unary_unary_rpc_method_handler(_get, GetFactoryRequest.FromString, GetFactoryResponse.SerializeToString)
    server.add_registered_method_handlers("sprocket.v1.FactoryService", {"GetFactory": get})
    port = server.add_insecure_port(address)
    await server.start()
    sys.stdout.write(f"the floor listens on 127.0.0.1:{port}, without a database\n")
    sys.stdout.flush()
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1]))
