"""Calls every method of a server with mutated requests: `python -m reliability.fuzz`. See docs/reliability.md."""

import asyncio
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
import grpc

from reliability.fuzz.books import faults
from reliability.fuzz.calls import send
from reliability.fuzz.judge import Judge, tracebacks
from reliability.fuzz.plan import Plan
from reliability.fuzz.port import Metadata, Port
from reliability.options import Duration, new_seed
from reliability.server import ServerProcess, new_server
from reliability.table import table
from sprocket_grpc.testing.postgres import migrated_database, temporary_postgres
from tests.support.callers import bearer, create_key

_CALLERS = 8
_BUILD = Path("build/fuzz")
_SHOWN_METHODS = 3
_PROGRESS = 10_000
_SETTINGS = {"api_keys": "true", "log_format": "text", "call_timeout_seconds": "5"}  # pragma: allowlist secret
_CHANNEL_OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


@click.command()
@click.option("--seed", type=int, help="Repeat the calls of this seed. Default: a new one.")
@click.option("--requests", default=100_000, show_default=True, help="How many calls and stories to make.")
@click.option("--duration", type=Duration(), default="24h", help="Stop after this time, such as 60s.")
@click.option("--concurrency", default=32, show_default=True, help="How many calls are made at the same time.")
def main(*, seed: int | None, requests: int, duration: float, concurrency: int) -> None:
    """Fuzz a new server with its own database, and check what it answered, logged and stored."""
    seed = new_seed() if seed is None else seed
    click.echo(f"SEED={seed}")
    folder = _BUILD / str(seed)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with temporary_postgres() as postgres, migrated_database(postgres) as url:
        keys = [bearer(create_key(url, "admin", name=f"caller {number}").text) for number in range(_CALLERS)]
        with new_server(url, folder / "server.log", 1, **_SETTINGS) as server:
            port = Port(server.address, keys[0])
            judge = Judge(port)
            asyncio.run(_fuzz(server, Plan(seed, port, keys), judge, (requests, duration, concurrency)))
            wrong = list(_wrong(server, port, url, keys[0]))
    _report(judge, wrong, seed, folder)


async def _fuzz(server: ServerProcess, plan: Plan, judge: Judge, bounds: tuple[int, float, int]) -> None:
    requests, duration, concurrency = bounds
    numbers, end = iter(range(1, requests + 1)), time.monotonic() + duration
    async with grpc.aio.insecure_channel(server.address, _CHANNEL_OPTIONS) as channel:

        async def make(number: int) -> None:
            for request in plan.requests(number):
                outcome = await send(server.address, channel, request)
                judge.judge(request, outcome)
                plan.world.learn(request.method, outcome.responses[:1])

        async def work() -> None:
            for number in numbers:
                if time.monotonic() > end:
                    return
                await make(number)
                if number % _PROGRESS == 0:
                    click.echo(f"{number} of {requests}", err=True)

        await make(0)
        await asyncio.gather(*(work() for _ in range(concurrency)))


def _wrong(server: ServerProcess, port: Port, url: str, key: Metadata) -> Iterator[str]:
    """Yield what is wrong with the server after all calls."""
    if server.process is None or server.process.poll() is not None:
        yield "the server has ended"
        return
    try:
        yield from faults(url, server.address, port, key)
    except grpc.RpcError as error:
        yield f"the server does not answer a list any more: {error}"
    yield from tracebacks(server.log_from(0))


def _report(judge: Judge, wrong: list[str], seed: int, folder: Path) -> None:
    codes = sorted({code for counts in judge.codes.values() for code in counts})
    rows: list[list[object]] = [["method", *codes, "slowest s"]]
    for path, counts in sorted(judge.codes.items()):
        rows.append([path, *(counts[code] or "" for code in codes), f"{judge.slowest[path]:.2f}"])
    click.echo(table(rows))
    click.echo(f"\n{sum(counts.total() for counts in judge.codes.values())} calls, SEED={seed}")
    for defect, methods in judge.defects.items():
        named = ", ".join(path for path, _ in methods.most_common(_SHOWN_METHODS))
        click.echo(f"FAILED {methods.total()} x {defect} in {len(methods)} methods: {named}")
        click.echo("".join(f"       {case.why}\n" for case in judge.examples[defect]), nl=False)
    for line in wrong:
        click.echo(f"FAILED {line}")
    if judge.write(folder):
        click.echo(f"examples are in {folder}, in the form of tests/reliability/corpus")
    sys.exit(1 if judge.defects or wrong else 0)


if __name__ == "__main__":
    main()
