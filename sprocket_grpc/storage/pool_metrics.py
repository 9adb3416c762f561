"""Metrics of the connection pools, by the semantic conventions for database clients."""

from collections.abc import Callable, Iterator
from functools import partial

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from sprocket_grpc.storage.postgres.database import Database

_BUCKETS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10]
_NAME = "db.client.connection.pool.name"
_STATE = "db.client.connection.state"


class PoolMetrics:
    """All pools of the process."""

    def __init__(self, meter: Meter) -> None:
        self._databases: dict[str, Database] = {}
        self._wait_time = meter.create_histogram(
            "db.client.connection.wait_time",
            unit="s",
            description="How long units of work waited for a connection, of those that had to.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )
        meter.create_observable_up_down_counter(
            "db.client.connection.count", [self._count], "{connection}", "Connections in the pool."
        )
        meter.create_observable_up_down_counter(
            "db.client.connection.max",
            [self._each(lambda database: database.pool.size)],
            "{connection}",
            "The maximum size of the pool.",
        )
        meter.create_observable_up_down_counter(
            "db.client.connection.pending_requests",
            [self._each(lambda database: database.pool.pending)],
            "{request}",
            "Units of work that wait for a connection.",
        )
        meter.create_observable_counter(
            "db.client.connection.timeouts",
            [self._each(lambda database: database.pool.timeouts)],
            "{timeout}",
            "Units of work that got no connection in time.",
        )

    def watch(self, name: str, database: Database) -> None:
        """Measure the pool of a database under this name."""
        database.pool.on_wait = partial(self._wait_time.record, attributes={_NAME: name})
        self._databases[name] = database

    def _count(self, _: CallbackOptions) -> Iterator[Observation]:
        for name, database in self._databases.items():
            yield Observation(database.pool.used, {_NAME: name, _STATE: "used"})
            yield Observation(database.pool.idle, {_NAME: name, _STATE: "idle"})

    def _each(self, look: Callable[[Database], int]) -> Callable[[CallbackOptions], Iterator[Observation]]:
        def observe(_: CallbackOptions) -> Iterator[Observation]:
            for name, database in self._databases.items():
                yield Observation(look(database), {_NAME: name})

        return observe
