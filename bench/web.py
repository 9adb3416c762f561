"""Measures calls, a long chart and followers by HTTP, as browsers make them, against the same by gRPC."""

import asyncio
import json
import re
import struct
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

from bench import processes
from bench.chart_stream import ChartReader
from bench.contenders import Access, Contender, checked, cost
from bench.database import fill_chart
from bench.load import NO_H2LOAD, CannotBeMeasuredError, has_h2load
from bench.plan import Bench
from bench.processes import Server, serving
from bench.reads import GET
from bench.report import Figure, Target, interleave
from bench.resources import create_resources
from sprocket.v1.factory_pb2 import GetFactoryChartRequest, GetFactoryRequest, GetFactoryResponse
from tests.support.callers import certificate, server_certificate
from tests.support.ports import free_address

_CHART = "/sprocket.v1.FactoryService/GetFactoryChart"
_CONNECTIONS = 16
_MOST_FOLLOWERS = 300
_SETTLE_SECONDS = 1
_PATIENCE_SECONDS = 60

_GRPC, _GRPC_TLS = "gRPC", "gRPC over TLS"


class _Way(NamedTuple):
    """How a call is sent by HTTP.

    Attributes:
        content_type: The media type of its messages.
        body: The request.
        is_tls: Whether it is sent over TLS.
        target: The bound for its CPU against that of gRPC.
    """

    content_type: str
    body: bytes
    is_tls: bool
    target: Target


def _ways(message: GetFactoryRequest) -> Mapping[str, _Way]:
    binary, limit = message.SerializeToString(), Target("<=", 1.3)
    encoded = json.dumps({"id": message.id}).encode()
    return {
        "Connect with JSON": _Way("application/json", encoded, is_tls=False, target=limit),
        "Connect with binary messages": _Way("application/proto", binary, is_tls=False, target=limit),
        "gRPC-Web": _Way("application/grpc-web+proto", _envelope(binary), is_tls=False, target=limit),
        "Connect with JSON over TLS": _Way("application/json", encoded, is_tls=True, target=limit),
    }


def _envelope(message: bytes) -> bytes:
    return struct.pack(">BI", 0, len(message)) + message


def measure_web(bench: Bench) -> Iterator[Figure]:
    """Measure the server's CPU for point reads, for a long chart, and for idle followers."""
    if not has_h2load():
        raise CannotBeMeasuredError(NO_H2LOAD)
    yield from _measure_calls(bench)
    with _listening(bench, {}) as (server, web):
        yield from _measure_chart(bench, server, web)
        yield from _measure_followers(bench, server, web)


@contextmanager
def _listening(bench: Bench, settings: Mapping[str, str]) -> Iterator[tuple[Server, str]]:
    """Run a server, and yield it with its address for HTTP."""
    web = free_address()
    with serving(bench.postgres.url, {**settings, "SPROCKET_WEB_LISTEN": web}) as server:
        yield server, web


def _measure_calls(bench: Bench) -> Iterator[Figure]:
    root = certificate("root")
    with ExitStack() as until_the_end:
        directory = Path(until_the_end.enter_context(tempfile.TemporaryDirectory()))
        files = {
            f"SPROCKET_{name.upper()}": str(path) for name, path in server_certificate(root).write(directory).items()
        }
        plain, plain_web = until_the_end.enter_context(_listening(bench, {}))
        secure, secure_web = until_the_end.enter_context(_listening(bench, files))
        [factory_id] = create_resources(plain.address, 1).factory_ids
        message = GetFactoryRequest(id=factory_id)
        natives = {
            _GRPC: _native(plain, message, Access()),
            _GRPC_TLS: _native(secure, message, Access(root=root.pem)),
        }
        calls = max(500, round(bench.plan.seconds * 1000))
        contenders = {name: partial(_grpc_micros, bench, each, calls) for name, each in natives.items()}
        for name, way in _ways(message).items():
            server, web = (secure, secure_web) if way.is_tls else (plain, plain_web)
            contenders[name] = partial(_http_micros, bench, server, web, way, calls, directory)
        with bench.progress.step("warming up"):
            for each in contenders.values():
                each()
        runs = interleave(contenders, bench.plan.rounds, bench.progress)
    for name, way in _ways(message).items():
        native = _GRPC_TLS if way.is_tls else _GRPC
        yield Figure(f"GetFactory by {name}", "us CPU/call", runs[name], native, runs[native], (way.target,))


def _native(server: Server, message: GetFactoryRequest, access: Access) -> Contender:
    request, _ = checked(server, GET, message, GetFactoryResponse(), access)
    return Contender([server], request)


def _grpc_micros(bench: Bench, contender: Contender, calls: int) -> float:
    return contender.run(bench.postgres, calls).server_micros


def _http_micros(bench: Bench, server: Server, web: str, way: _Way, calls: int, directory: Path) -> float:
    """Return the CPU of the server for a call by HTTP, in microseconds."""
    body = directory / "body"
    body.write_bytes(way.body)
    url = f"http{'s' if way.is_tls else ''}://{web}{GET}"
    options = (f"-n{calls}", f"-c{_CONNECTIONS}", f"-d{body}", "-H", f"content-type: {way.content_type}")
    return cost([server], bench.postgres, calls, lambda: _h2load(calls, *options, url)).server_micros


def _h2load(calls: int, *arguments: str) -> float:
    """Send requests by HTTP/1.1, and return their rate.

    Raises:
        ValueError: Responses are missing, or errors.
    """
    output = processes.run("h2load", "--h1", *arguments)
    answered, rate = re.search(r"(\d+) 2xx", output), re.search(r"([\d.]+) req/s", output)
    if not answered or not rate or int(answered[1]) != calls:
        raise ValueError(f"expected {calls} responses with status 200: {output}")
    return float(rate[1])


def _measure_chart(bench: Bench, server: Server, web: str) -> Iterator[Figure]:
    entries = bench.plan.entries
    [factory_id] = create_resources(server.address, 1).factory_ids
    fill_chart(bench.postgres, factory_id, entries, bench.progress)
    reader = ChartReader(server, bench.postgres, factory_id, entries)
    with bench.progress.step("checking the chart, and warming up"):
        reader.check()
        _read_chart(web, factory_id)
    contenders: dict[str, Callable[[], float]] = {
        _GRPC: lambda: reader.stream().server_seconds,
        "Connect": lambda: _chart_seconds(server, web, factory_id),
    }
    runs = interleave(contenders, bench.plan.rounds, bench.progress)
    what = f"chart stream of {entries:,} by Connect with binary messages"
    yield Figure(what, "s CPU", runs["Connect"], _GRPC, runs[_GRPC], (Target("<=", 1.2),))


def _chart_seconds(server: Server, web: str, factory_id: str) -> float:
    """Return the CPU of the server for a whole chart by HTTP."""
    before = processes.cpu_seconds(server.pid)
    _read_chart(web, factory_id)
    return processes.cpu_seconds(server.pid) - before


def _read_chart(web: str, factory_id: str) -> None:
    """Read a chart, and drop it.

    Raises:
        ValueError: It did not end as it should.
    """
    connection = HTTPConnection(web, timeout=_PATIENCE_SECONDS)
    connection.request(
        "POST", _CHART, _chart_body(factory_id, follow=False), {"content-type": "application/connect+proto"}
    )
    response, end = connection.getresponse(), b""
    while data := response.read(1 << 20):
        end = (end + data)[-1000:]
    connection.close()
    if b'"metadata"' not in end or b'"error"' in end:
        raise ValueError(f"the stream of the chart failed: {end!r}")


def _chart_body(factory_id: str, *, follow: bool) -> bytes:
    return _envelope(GetFactoryChartRequest(factory_id=factory_id, follow=follow).SerializeToString())


def _measure_followers(bench: Bench, server: Server, web: str) -> Iterator[Figure]:
    count = min(bench.plan.followers, _MOST_FOLLOWERS)
    with bench.progress.step(f"creating {count} factories to follow"):
        followed = create_resources(server.address, count).factory_ids
    with bench.progress.step(f"following {count} charts"):
        share = asyncio.run(_idle_share(server, web, followed, bench.plan.idle_seconds))
    yield Figure(f"{count} idle followers by Connect", "% CPU", [share], "one core", [100.0], (Target("<=", 0.05),))


async def _idle_share(server: Server, web: str, factory_ids: Sequence[str], seconds: float) -> float:
    """Follow charts while nothing changes, and return the CPU of the server in percent of one core."""
    async with AsyncExitStack() as until_the_end:
        readers = [await _follow(web, each, until_the_end) for each in factory_ids]
        draining = [asyncio.create_task(_drain(each)) for each in readers]
        await asyncio.sleep(_SETTLE_SECONDS)
        before = processes.cpu_seconds(server.pid)
        ended, _ = await asyncio.wait(draining, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        after = processes.cpu_seconds(server.pid)
        for each in ended:
            each.result()
        for each in draining:
            each.cancel()
    return 100 * (after - before) / seconds


async def _follow(web: str, factory_id: str, until_the_end: AsyncExitStack) -> asyncio.StreamReader:
    """Follow a chart, and return what its responses come from once the first one has begun."""
    host, _, port = web.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    until_the_end.callback(writer.close)
    body = _chart_body(factory_id, follow=True)
    headers = f"host: {web}\r\ncontent-type: application/connect+proto\r\ncontent-length: {len(body)}"
    writer.write(f"POST {_CHART} HTTP/1.1\r\n{headers}\r\n\r\n".encode() + body)
    async with asyncio.timeout(_PATIENCE_SECONDS):
        status = await reader.readuntil(b"\r\n\r\n")
    if b" 200 " not in status.partition(b"\r\n")[0]:
        raise ValueError(f"the chart cannot be followed: {status!r}")
    return reader


async def _drain(reader: asyncio.StreamReader) -> None:
    """Read a stream that does not end.

    Raises:
        ValueError: It has ended.
    """
    end = b""
    while data := await reader.read(1 << 16):
        end = data[-1000:]
    raise ValueError(f"the stream has ended: {end!r}")
