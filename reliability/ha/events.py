"""What happens to the cluster, by name. Each is a block: it begins with the failure, and ends with what is left of it.

Inside of the block, writes have to come back. What was killed in it is started again afterwards.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeAlias

from reliability.ha.cluster import Cluster
from reliability.ha.node import Node, send

Event: TypeAlias = Callable[[Cluster], AbstractAsyncContextManager[None]]

_WITHOUT_ETCD_SECONDS = 25
"""Longer than the lock of the leader holds in etcd, which is `ttl`."""


@asynccontextmanager
async def switchover(cluster: Cluster) -> AsyncIterator[None]:
    """A planned change of the leader, as before maintenance."""
    await asyncio.to_thread(cluster.switch_over)
    yield


@asynccontextmanager
async def kill_postgres(cluster: Cluster) -> AsyncIterator[None]:
    """SIGKILL to all processes of the leader's PostgreSQL. Its Patroni notices."""
    leader = await asyncio.to_thread(cluster.leader)
    leader.signal_postgres(signal.SIGKILL)
    yield


@asynccontextmanager
async def kill_leader(cluster: Cluster) -> AsyncIterator[None]:
    """SIGKILL to the leader's PostgreSQL and its Patroni, as when its machine loses power."""
    leader = await asyncio.to_thread(cluster.leader)
    await asyncio.to_thread(leader.kill)
    yield


@asynccontextmanager
async def stop_leader(cluster: Cluster) -> AsyncIterator[None]:
    """SIGTERM to the leader's Patroni, as when its machine is shut down."""
    leader = await asyncio.to_thread(cluster.leader)
    leader.signal_patroni(signal.SIGTERM)
    yield
    await asyncio.to_thread(leader.wait)


@asynccontextmanager
async def freeze_leader(cluster: Cluster) -> AsyncIterator[None]:
    """SIGSTOP to the leader's PostgreSQL and its Patroni: its machine accepts connections, and answers nothing."""
    async with _frozen(await asyncio.to_thread(cluster.leader)):
        yield


@asynccontextmanager
async def kill_replica(cluster: Cluster) -> AsyncIterator[None]:
    """SIGKILL to a replica's PostgreSQL and its Patroni."""
    replicas = await asyncio.to_thread(cluster.replicas)
    await asyncio.to_thread(replicas[0].kill)
    yield


@asynccontextmanager
async def kill_replicas(cluster: Cluster) -> AsyncIterator[None]:
    """SIGKILL to the PostgreSQL and the Patroni of both replicas: the leader has to go on alone."""
    for replica in await asyncio.to_thread(cluster.replicas):
        await asyncio.to_thread(replica.kill)
    yield


@asynccontextmanager
async def freeze_replica(cluster: Cluster) -> AsyncIterator[None]:
    """SIGSTOP to a replica's PostgreSQL and its Patroni."""
    replicas = await asyncio.to_thread(cluster.replicas)
    async with _frozen(replicas[0]):
        yield


@asynccontextmanager
async def lose_etcd(cluster: Cluster) -> AsyncIterator[None]:
    """SIGKILL to two of three members of etcd, for longer than the lock of the leader holds."""
    for member in cluster.etcd.members[1:]:
        await asyncio.to_thread(member.kill)
    await asyncio.sleep(_WITHOUT_ETCD_SECONDS)
    yield


@asynccontextmanager
async def _frozen(node: Node) -> AsyncIterator[None]:
    pids = [*([node.process.pid] if node.process else []), *node.pids()]
    send(pids, signal.SIGSTOP)
    try:
        yield
    finally:
        send(pids, signal.SIGCONT)


def _by_name(*events: Event) -> Mapping[str, Event]:
    return {event.__name__.replace("_", "-"): event for event in events}


EVENTS = _by_name(
    switchover,
    kill_postgres,
    kill_leader,
    stop_leader,
    freeze_leader,
    kill_replica,
    kill_replicas,
    freeze_replica,
    lose_etcd,
)
"""All events, in the order in which a run has them."""
