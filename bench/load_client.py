"""A gRPC client for machines without h2load: `python -m bench.load_client`, with the arguments of `load.drive`.

It uses more CPU than the server, so it makes fewer calls per second. The cost of a call to the server stays the same.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import uvloop


class _Client:
    def __init__(self, message: bytes, rate: float) -> None:
        self._message = message
        self._rate = rate
        self.received_bytes = 0
        self.micros: list[int] = []

    async def call(self, method: "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]", numbers: Iterator[int]) -> None:
        """Make one call after the other until `numbers` ends; at a rate, each call waits for its time."""
        began = time.perf_counter()
        for number in numbers:
            if self._rate:
                await asyncio.sleep(max(0, began + number / self._rate - time.perf_counter()))
            begin = time.perf_counter()
            response = await method(self._message)
            self.received_bytes += len(response)
            self.micros.append(int((time.perf_counter() - begin) * 1e6))


async def _main(
    address: str, path: str, message: bytes, calls: int, connections: int, streams: int, rate: float
) -> None:
    client, numbers = _Client(message, rate), iter(range(calls))
    async with AsyncExitStack() as stack:
        begin = time.perf_counter()
        callers = []
        for _ in range(connections):
            # Channels of one process would share a connection.
            channel = grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
            await stack.enter_async_context(channel)
            method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
            callers += [client.call(method, numbers) for _ in range(streams)]
        await asyncio.gather(*callers)
        seconds = time.perf_counter() - begin
    done = {"seconds": seconds, "received_bytes": client.received_bytes, "micros": client.micros}
    sys.stdout.write(json.dumps(done) + "\n")


if __name__ == "__main__":
    _address, _path, _data, _calls, _connections, _streams, _rate = sys.argv[1:]
    _message = Path(_data).read_bytes()
    uvloop.run(_main(_address, _path, _message, int(_calls), int(_connections), int(_streams), float(_rate)))
