"""Measures the bytes that a database grows by, as factories write in turn: `python -m bench.growth`."""

import os
import subprocess
import sys

import click
import grpc
from sqlalchemy import Connection, text

from bench.database import fresh_postgres
from bench.processes import serving
from bench.report import Progress
from bench.resources import Resources, create_resources
from sprocket.v1.sprocket_pb2 import CreateSprocketRequest, Sprocket
from sprocket.v1.sprocket_pb2_grpc import SprocketServiceStub
from sprocket_grpc.storage.chart_pages import KEPT_ENTRIES, PAGE_ENTRIES, enable_packing
from sprocket_grpc.storage.postgres.engine import create_plain_engine

_IN_FLIGHT = 64
_SHORTEST_PACKED = PAGE_ENTRIES + KEPT_ENTRIES

_SIZES = text("""
    SELECT coalesce(parent.relname, made.relname)::text, sum(pg_table_size(made.oid)), sum(pg_indexes_size(made.oid))
    FROM pg_class AS made
    LEFT JOIN pg_inherits ON inhrelid = made.oid LEFT JOIN pg_class AS parent ON parent.oid = inhparent
    WHERE made.relkind = 'r' AND made.relnamespace = 'public'::regnamespace
    GROUP BY 1
""")
_COUNTS = {
    "sprocket": "SELECT count(*) FROM sprocket",
    "chart_entry": "SELECT count(*) FROM chart_entry",
    "audit_entry": "SELECT count(*) FROM audit_entry",
    "chart_page": "SELECT sum(last_sequence - first_sequence + 1) FROM chart_page",
}
"""What the bytes of each table are divided by."""


@click.command()
@click.option("--sprockets", type=click.IntRange(20_000), default=200_000, help="The sprockets that are created.")
@click.option("--factories", type=click.IntRange(1, 1000), default=20, help="The factories that make them in turn.")
def main(*, sprockets: int, factories: int) -> None:
    """Create sprockets in factories in turn through a server, and print how many bytes each row takes, by table."""
    if sprockets < factories * _SHORTEST_PACKED:
        raise click.UsageError(
            f"a chart is packed from {_SHORTEST_PACKED:,} sprockets a factory on: create more, or in fewer"
        )
    progress = Progress()
    with fresh_postgres() as postgres, create_plain_engine(postgres.url).connect() as plain:
        connection = plain.execution_options(isolation_level="AUTOCOMMIT")
        connection.execute(text("DELETE FROM chart_packing"))  # rows are measured first
        with serving(postgres.url) as server, progress.step(f"creating {sprockets:,} sprockets"):
            _create(server.address, create_resources(server.address, factories), sprockets)
        rows = [_measured(connection, name) for name in ("sprocket", "chart_entry", "audit_entry")]
        enable_packing(connection)
        with progress.step("packing the charts"):
            subprocess.run(  # our own command
                [sys.executable, "-m", "sprocket_grpc", "repack"],
                env=os.environ | {"SPROCKET_DATABASE_URL": postgres.url},
                check=True,
            )
        rows.append(_measured(connection, "chart_page"))
    click.echo(f"{'bytes':16}{'table':>8}{'indexes':>9}{'sum':>8}")
    for name, table, indexes in rows:
        click.echo(f"{name:16}{table:8.1f}{indexes:9.1f}{table + indexes:8.1f}")


def _create(address: str, resources: Resources, sprockets: int) -> None:
    """Create sprockets one by one, many in flight, in the factories in turn."""
    with grpc.insecure_channel(address) as channel:
        create = SprocketServiceStub(channel).CreateSprocket
        for turn in range(0, sprockets, _IN_FLIGHT):
            calls = [create.future(_request(resources, number)) for number in range(turn, turn + _IN_FLIGHT)]
            for call in calls:
                call.result()


def _request(resources: Resources, number: int) -> CreateSprocketRequest:
    factory_id = resources.factory_ids[number % len(resources.factory_ids)]
    return CreateSprocketRequest(
        sprocket=Sprocket(
            display_name=f"Cog {number}", sprocket_type_id=resources.sprocket_type_id, factory_id=factory_id
        )
    )


def _measured(connection: Connection, name: str) -> tuple[str, float, float]:
    sizes = {table: (bytes_, indexes) for table, bytes_, indexes in connection.execute(_SIZES)}
    count = float(connection.execute(text(_COUNTS[name])).scalar_one())
    return name, float(sizes[name][0]) / count, float(sizes[name][1]) / count


if __name__ == "__main__":
    main()
