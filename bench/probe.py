"""A caller that measures the latencies of its calls, one after the other, while others load the server."""

import time
from typing import NamedTuple

import grpc

from bench.load import Request

_PATIENCE_SECONDS = 30


class Latencies(NamedTuple):
    """The latencies of calls in milliseconds, each in ascending order.

    Attributes:
        answered: Those of calls that succeeded.
        refused: Those of calls that failed with RESOURCE_EXHAUSTED.
    """

    answered: list[float]
    refused: list[float]


def probe(request: Request, seconds: float, pause: float = 0) -> Latencies:
    """Call for some time, and pause between two calls, both in seconds.

    Raises:
        RpcError: A call failed, other than by a limit.
    """
    answered: list[float] = []
    refused: list[float] = []
    with grpc.insecure_channel(request.address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(request.path)
        end = time.perf_counter() + seconds
        while (begin := time.perf_counter()) < end:
            times = refused if _is_refused(call, request.message or b"") else answered
            times.append(1000 * (time.perf_counter() - begin))
            time.sleep(pause)
    return Latencies(sorted(answered), sorted(refused))


def _is_refused(call: "grpc.UnaryUnaryMultiCallable[bytes, bytes]", message: bytes) -> bool:
    try:
        call(message, timeout=_PATIENCE_SECONDS)
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
            raise
        return True
    return False
