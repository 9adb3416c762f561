"""The floor: the minimal cost of a unary call with grpc.aio, without a database.

`python -m bench.floor ADDRESS [MICROSECONDS]` reads the same request as the service and sends a response of about the
same size, on the same event loop. With MICROSECONDS, each call uses that much CPU in Python before it answers.
"""

import sys
import time

import grpc
import uvloop

from sprocket.v1.factory_pb2 import Factory, GetFactoryRequest, GetFactoryResponse

_MICROSECONDS = int(sys.argv[2]) if len(sys.argv) > 2 else 0  # argv: program, address, microseconds
_SECONDS, _NANOS = 1_700_000_000, 123_456_000


async def _get(
    request: GetFactoryRequest, _context: "grpc.aio.ServicerContext[GetFactoryRequest, GetFactoryResponse]"
) -> GetFactoryResponse:
    _work(_MICROSECONDS / 1e6)
    response = GetFactoryResponse()
    _fill(response.factory, request.id)
    return response


def _work(seconds: float) -> None:
    end = time.thread_time() + seconds
    while seconds and time.thread_time() < end:
        pass


def _fill(factory: Factory, identifier: str) -> None:
    factory.id = factory.location_id = identifier
    factory.etag = '"as long as one"'
    factory.create_time.seconds = factory.update_time.seconds = _SECONDS
    factory.create_time.nanos = factory.update_time.nanos = _NANOS
    factory.display_name = "Works 0"
    factory.sprocket_production_goal = 10


async def _serve(address: str) -> None:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 1)])  # so that two processes can share a port
    get = grpc.unary_unary_rpc_method_handler(_get, GetFactoryRequest.FromString, GetFactoryResponse.SerializeToString)
    server.add_registered_method_handlers("sprocket.v1.FactoryService", {"GetFactory": get})
    port = server.add_insecure_port(address)
    await server.start()
    sys.stdout.write(f"the floor listens on 127.0.0.1:{port}, without a database\n")
    sys.stdout.flush()
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1]))
