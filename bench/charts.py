"""Measures charts: the rate and the memory of a long stream, and followers."""

from collections.abc import Iterator

from bench.chart_followers import measure_idle, measure_latency
from bench.chart_stream import ChartReader, measure_memory, measure_stream
from bench.database import fill_chart, pack_chart
from bench.plan import Bench
from bench.processes import serving
from bench.report import Figure
from bench.resources import create_resources


def measure_chart(bench: Bench) -> Iterator[Figure]:
    """Measure the stream of a long chart against COPY."""
    entries = bench.plan.entries
    with serving(bench.postgres.url) as server:
        factory_id, packed_id = create_resources(server.address, 2).factory_ids
        for each in (factory_id, packed_id):
            fill_chart(bench.postgres, each, entries, bench.progress)
        pack_chart(bench.postgres, packed_id, bench.progress)
        reader = ChartReader(server, bench.postgres, factory_id, entries)
        yield from measure_stream(reader, bench.plan.rounds, bench.progress)
        packed = ChartReader(server, bench.postgres, packed_id, entries, copied_id=factory_id)
        yield from measure_stream(packed, bench.plan.rounds, bench.progress, "pages", least_rate=5)


def measure_chart_memory(bench: Bench) -> Iterator[Figure]:
    """Measure the growth of memory during the stream of a chart of ten times the length."""
    entries = 10 * bench.plan.entries
    with serving(bench.postgres.url) as server:
        [factory_id] = create_resources(server.address, 1).factory_ids
    fill_chart(bench.postgres, factory_id, entries, bench.progress)
    with serving(bench.postgres.url) as fresh:
        yield from measure_memory(fresh, ChartReader(fresh, bench.postgres, factory_id, entries), bench.progress)


def measure_followers(bench: Bench) -> Iterator[Figure]:
    """Measure the CPU of idle followers, and the delay from a change to a follower."""
    plan, progress = bench.plan, bench.progress
    with serving(bench.postgres.url) as server:
        with progress.step(f"creating {plan.followers:,} factories to follow"):
            resources = create_resources(server.address, plan.followers)
        followed = resources.factory_ids
        rounds = max(1, plan.rounds // 2)
        yield from measure_idle(server, bench.postgres, followed, rounds, plan.idle_seconds, progress)
        yield from measure_latency(server, followed[0], resources.sprocket_type_id, plan.latencies, progress)
