"""Shows a cluster to a person, who breaks it and watches what happens: `make ha-cluster`."""

import asyncio
from datetime import UTC, datetime

import click

from reliability.ha.node import Node
from reliability.ha.world import World

_POLL_SECONDS = 0.5
_RESTART_SECONDS = 5

_GUIDE = """
Two factories are written to all the time. In another terminal, follow the chart of one of them:

  .venv/bin/sprocket-grpc chart {factory_id} --server {address} --follow

and its health:

  watch -n 0.5 .venv/bin/sprocket-grpc health --server {address}

Then let the leader fail, with the commands below (as the user who runs this). Ctrl-C ends everything.
"""


async def show(world: World, factory_id: str) -> None:
    """Say what to do, then each new leader, and start again what was killed. Lasts until it is cancelled."""
    click.echo(_GUIDE.format(factory_id=factory_id, address=world.server.address))
    restarting = asyncio.create_task(_restart(world))
    shown: Node | None = None
    try:
        while True:
            if (leader := await asyncio.to_thread(world.cluster.find_leader)) is not shown:
                click.echo(f"{datetime.now(UTC):%H:%M:%S}  {_described(leader)}")
                shown = leader
            await asyncio.sleep(_POLL_SECONDS)
    finally:
        restarting.cancel()


def _described(leader: Node | None) -> str:
    """Return who the leader is, and how to let it fail."""
    if not leader or not leader.process:
        return "there is no leader"
    switch = f'curl -s -d \'{{"leader": "{leader.name}"}}\' http://127.0.0.1:{leader.api}/switchover'
    patroni, postgres = leader.process.pid, leader.postmaster
    return (
        f"the leader is {leader.name}\n"
        f"  switch over:                   {switch}\n"
        f"  kill its PostgreSQL:           kill -9 {postgres}\n"
        f"  kill it with its Patroni:      kill -9 {patroni} {postgres}\n"
        f"  freeze it (then -CONT):        kill -STOP {patroni} {' '.join(map(str, leader.pids()))}"
    )


async def _restart(world: World) -> None:
    while True:
        await asyncio.sleep(_RESTART_SECONDS)
        await asyncio.to_thread(world.cluster.start_ended)
