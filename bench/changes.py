"""Measures updates and deletes against pgbench with the same statements, in one round trip and with a commit each.

Each call has a request of its own, so the client is in Python and takes its share of the CPU: with one that takes none,
the service would come closer to pgbench.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count

from bench.calls import DELETE, GOAL, NAME, Call, Calls, make, open_channel
from bench.database import spread_sprockets
from bench.pgbench import DELETE_SPROCKET, UPDATE_GOAL, UPDATE_NAME, transactions_per_second
from bench.plan import Bench
from bench.processes import serving
from bench.report import Figure, Target, interleave
from bench.resources import Resources, create_resources
from sprocket.v1.sprocket_pb2 import Sprocket

_FACTORIES = 100  # pgbench has a script for each of them, and at most 128
_CLIENTS = 16
_SERVICE = _CLIENTS  # the number after those of the clients of pgbench
_CALLS_PER_SECOND = 500
_TRANSACTIONS_PER_SECOND = 200  # of each client


def measure_changes(bench: Bench) -> Iterator[Figure]:
    """Measure updates of a name and of a goal, and deletes, in 100 factories with 16 in flight."""
    number = round(bench.plan.seconds * _CALLS_PER_SECOND)
    with serving(bench.postgres.url) as service, asyncio.Runner() as runner:
        resources = create_resources(service.address, _FACTORIES)
        doomed = _fill(bench, resources, [_SERVICE], number)
        channel = runner.run(open_channel(service))
        kinds = Calls(channel, resources, doomed).kinds()
        ours = {name: partial(_calls_per_second, runner, kinds[name], number) for name in (NAME, GOAL, DELETE)}
        runs = interleave(ours | _limits(bench, resources), bench.plan.few_rounds, bench.progress)
        runner.run(channel.close())
    for name in ours:
        against = _limit(name)
        yield Figure(f"{name}, 16 in flight", "calls/s", runs[name], against, runs[against], (Target(">=", 0.4),))


def _calls_per_second(runner: asyncio.Runner, call: Call, number: int) -> float:
    return number / runner.run(make(call, number))


def _limit(name: str) -> str:
    return f"pgbench, {name}, {_CLIENTS} clients"


def _limits(bench: Bench, resources: Resources) -> dict[str, Callable[[], float]]:
    each = round(bench.plan.seconds * _TRANSACTIONS_PER_SECOND)
    _fill(bench, resources, range(_CLIENTS), each)
    factories = [Sprocket(factory_id=factory_id) for factory_id in resources.factory_ids]
    starts = count(0, each)

    def run(name: str) -> float:
        script, options = _SCRIPTS[name], [f"-t{each}"]
        if name == DELETE:
            options += [f"-Dn={next(starts)}"]
        return transactions_per_second(bench.postgres, script, factories, _CLIENTS, *options)

    return {_limit(name): partial(run, name) for name in _SCRIPTS}


_SCRIPTS = {NAME: UPDATE_NAME, GOAL: UPDATE_GOAL, DELETE: DELETE_SPROCKET}


def _fill(bench: Bench, resources: Resources, clients: Sequence[int], number: int) -> list[str]:
    """Insert sprockets for all rounds, so that each client can delete as many in a round; return their ids."""
    with bench.progress.step("inserting sprockets, to be deleted"):
        return spread_sprockets(bench.postgres, resources, clients, number * bench.plan.few_rounds)
