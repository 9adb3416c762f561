"""The faults, by name. Each returns when its cause is gone, so that the time to recover begins then."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable, Container, Mapping
from contextlib import AsyncExitStack, ExitStack, suppress
from typing import TypeAlias

import psycopg

from reliability.chaos.world import World, paused
from reliability.database import ROLE

Fault: TypeAlias = Callable[[World], Awaitable[None]]

_SHORTEST_SECONDS, _LONGEST_SECONDS = 0.5, 3.0


async def _while_it_lasts(world: World) -> None:
    await asyncio.sleep(world.draw.uniform(_SHORTEST_SECONDS, _LONGEST_SECONDS))


# The server


async def kill_server(world: World) -> None:
    """SIGKILL to the server and its workers."""
    await asyncio.to_thread(world.server.kill)
    await world.start_server()


async def stop_server(world: World) -> None:
    """SIGTERM to the server."""
    world.server.signal(signal.SIGTERM)
    await _has_ended(world, {0})


async def stop_server_twice(world: World) -> None:
    """SIGTERM twice to the server: it stops immediately."""
    world.server.signal(signal.SIGTERM)
    await asyncio.sleep(world.draw.uniform(0, 0.2))
    world.server.signal(signal.SIGTERM)
    await _has_ended(world, {0, -signal.SIGTERM})  # the second one may come when Python handles signals no more


async def _has_ended(world: World, statuses: Container[int]) -> None:
    try:
        status = await asyncio.to_thread(world.server.wait)
    except subprocess.TimeoutExpired as error:
        world.problems.add(f"the server still runs {error.timeout} s after SIGTERM")
        await asyncio.to_thread(world.server.kill)
    else:
        if status not in statuses:
            world.problems.add(f"the server ended with status {status} after SIGTERM")
    await world.start_server()


async def kill_worker(world: World) -> None:
    """SIGKILL to one of several workers, which the server replaces; if it has none, to the server."""
    await _end_worker(world, signal.SIGKILL, kill_server)


async def stop_worker(world: World) -> None:
    """SIGTERM to one of several workers, which the server replaces; if it has none, to the server."""
    await _end_worker(world, signal.SIGTERM, stop_server)


async def _end_worker(world: World, number: signal.Signals, without_workers: Fault) -> None:
    pids = world.server.pids
    if len(pids) == 1:
        await without_workers(world)
    else:
        os.kill(world.draw.choice(pids), number)


async def pause_worker(world: World) -> None:
    """SIGSTOP to one worker, or to the server if it has none, for a while."""
    with paused([world.draw.choice(world.server.pids)]):
        await _while_it_lasts(world)


# PostgreSQL


async def kill_postgres(world: World) -> None:
    """SIGKILL to all processes of PostgreSQL."""
    await asyncio.to_thread(world.postgres.kill)
    await world.start_postgres()


async def kill_postmaster(world: World) -> None:
    """SIGKILL to the first process of PostgreSQL; the others notice, and end."""
    await world.end_postgres(signal.SIGKILL)
    await world.start_postgres()


async def restart_postgres_fast(world: World) -> None:
    """A fast shutdown of PostgreSQL, and a start."""
    await world.end_postgres(signal.SIGINT)
    await world.start_postgres()


async def restart_postgres_immediately(world: World) -> None:
    """An immediate shutdown of PostgreSQL, and a start with recovery."""
    await world.end_postgres(signal.SIGQUIT)
    await world.start_postgres()


async def restart_postgres_while_frozen(world: World) -> None:
    """A fast shutdown while backends and server stand still: the server then finds FATAL and a reset at once."""
    with ExitStack() as server_paused:
        with paused(await world.backends()):
            await asyncio.sleep(world.draw.uniform(0, 0.2))  # in which calls begin
            server_paused.enter_context(paused(world.server.pids))
            world.database.postmaster.send_signal(signal.SIGINT)
            await asyncio.sleep(0.2)
        await world.end_postgres(signal.SIGINT)
    await world.start_postgres()


async def terminate_backends(world: World) -> None:
    """pg_terminate_backend of all backends of the service."""
    await world.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", ROLE)


async def terminate_backend(world: World) -> None:
    """pg_terminate_backend of one backend of the service."""
    if backends := await world.backends():
        await world.query("SELECT pg_terminate_backend(%s)", world.draw.choice(backends))


async def pause_backends(world: World) -> None:
    """SIGSTOP to all backends of the service for a while."""
    with paused(await world.backends()):
        await _while_it_lasts(world)


async def pause_postmaster(world: World) -> None:
    """SIGSTOP to the first process of PostgreSQL for a while, after its backends were terminated."""
    await terminate_backends(world)
    with paused([world.database.postmaster.pid]):
        await _while_it_lasts(world)


async def pause_postgres(world: World) -> None:
    """SIGSTOP to the first process of PostgreSQL and all backends of the service for a while: it hangs."""
    with paused([world.database.postmaster.pid, *await world.backends()]):
        await _while_it_lasts(world)


async def fill_slots(world: World) -> None:
    """All connection slots are taken for a while, when the service has to connect anew."""
    async with AsyncExitStack() as until_the_end:
        await terminate_backends(world)
        with suppress(psycopg.OperationalError):  # no slot is left
            while True:
                await until_the_end.enter_async_context(await world.connect(ROLE))
        await _while_it_lasts(world)


async def lock_factory(world: World) -> None:
    """Another transaction locks the hottest factory for a while."""
    async with await world.connect() as connection, connection.transaction():
        await connection.execute("SELECT 1 FROM factory WHERE id = %s FOR UPDATE", [world.factory_ids[0]])
        await _while_it_lasts(world)


async def time_statements_out(world: World) -> None:
    """The role gets a statement_timeout of 50 ms, and the hottest factory is locked."""
    await world.query("ALTER ROLE sprocket SET statement_timeout = '50ms'")
    await terminate_backends(world)
    await lock_factory(world)
    await world.query("ALTER ROLE sprocket RESET statement_timeout")
    await terminate_backends(world)


# The network


async def reset_database(world: World) -> None:
    """RST on all connections between the server and PostgreSQL."""
    world.database_proxy.reset()


async def refuse_database(world: World) -> None:
    """The same, and new connections are refused for a while."""
    world.database_proxy.refuse()
    await _while_it_lasts(world)
    await world.database_proxy.listen()


async def swallow_database(world: World) -> None:
    """No packet passes between the server and PostgreSQL for a while."""
    world.database_proxy.swallow()
    await _while_it_lasts(world)
    world.database_proxy.release()


async def reset_clients(world: World) -> None:
    """RST on all connections between the clients and the server."""
    world.server_proxy.reset()


async def swallow_clients(world: World) -> None:
    """No packet passes between the clients and the server for a while."""
    world.server_proxy.swallow()
    await _while_it_lasts(world)
    world.server_proxy.release()


def _by_name(*faults: Fault) -> Mapping[str, Fault]:
    return {fault.__name__.replace("_", "-"): fault for fault in faults}


FAULTS = _by_name(
    kill_server,
    stop_server,
    stop_server_twice,
    kill_worker,
    stop_worker,
    pause_worker,
    kill_postgres,
    kill_postmaster,
    restart_postgres_fast,
    restart_postgres_immediately,
    restart_postgres_while_frozen,
    terminate_backends,
    terminate_backend,
    pause_backends,
    pause_postmaster,
    pause_postgres,
    fill_slots,
    lock_factory,
    time_statements_out,
    reset_database,
    refuse_database,
    swallow_database,
    reset_clients,
    swallow_clients,
)
"""All faults."""
