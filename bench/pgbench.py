"""The rate at which PostgreSQL alone creates sprockets, with one commit each: pgbench on the tables of the service."""

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bench import processes
from bench.database import SPREAD_ID, Postgres
from sprocket.v1.sprocket_pb2 import Sprocket

_COUNT = """
    UPDATE factory SET sprocket_production_actual = sprocket_production_actual + 1,
        chart_sequence = chart_sequence + 1,
        chart_time_micros = greatest(
            CAST(date_part('epoch', clock_timestamp()) * 1000000 AS bigint), chart_time_micros)
    WHERE id = CAST(:factory AS uuid)
"""
_INSERT = "INSERT INTO sprocket (factory_id, id, display_name, sprocket_type_id)"
_ENTRY = """
    INSERT INTO chart_entry
    SELECT id, chart_sequence, chart_time_micros, sprocket_production_goal, sprocket_production_actual FROM
"""


class Script(NamedTuple):
    """A transaction for pgbench."""

    name: str
    text: str


def create_statement(factory: str, sprocket_type: str, name: str = "''") -> str:
    """Return the statement that creates a sprocket with its entry in the chart, as the service does.

    Args:
        factory: The expression for the id of the factory, such as a parameter.
        sprocket_type: That for the id of the type.
        name: That for the display name.
    """
    return f"""
    WITH counted AS ({_COUNT.replace(":factory", factory)} RETURNING *),
        created AS ({_INSERT} SELECT id, uuidv7(), {name}, CAST({sprocket_type} AS uuid) FROM counted
            RETURNING CAST(id AS text), create_time, update_time),
        recorded AS ({_ENTRY} counted)
    SELECT * FROM created
    """  # noqa: S608  # constants and parameters only


ONE_STATEMENT = Script("one statement", f"{create_statement(':factory', ':type')};")
THREE_STATEMENTS = Script(
    "three statements",
    f"""
    BEGIN;
    {_COUNT};
    {_INSERT} VALUES (CAST(:factory AS uuid), uuidv7(), '', CAST(:type AS uuid));
    {_ENTRY} factory WHERE id = CAST(:factory AS uuid);
    COMMIT;
    """,
)


_CALLER = "SELECT set_config('sprocket.caller', '{}', true)"
_LOCK = "SELECT * FROM factory WHERE id = CAST(:factory AS uuid) FOR NO KEY UPDATE"
_LATER = "update_time = greatest(clock_timestamp(), update_time + interval '1 microsecond')"

UPDATE_NAME = Script(
    "its name",
    f"""
    \\set n random(1, 1000000)
    \\startpipeline
    BEGIN;
    {_CALLER};
    {_LOCK};
    UPDATE factory SET display_name = 'Works ' || CAST(:n AS text), {_LATER} WHERE id = CAST(:factory AS uuid)
        RETURNING *;
    COMMIT;
    \\endpipeline
    """,  # noqa: S608  # constants only
)
UPDATE_GOAL = Script(
    "its goal",
    f"""
    \\set n random(1, 1000000)
    \\startpipeline
    BEGIN;
    {_CALLER};
    {_LOCK};
    WITH changed AS (
        UPDATE factory SET sprocket_production_goal = CAST(:n AS bigint), {_LATER}, chart_sequence = chart_sequence + 1,
            chart_time_micros = greatest(
                CAST(date_part('epoch', clock_timestamp()) * 1000000 AS bigint), chart_time_micros)
            WHERE id = CAST(:factory AS uuid) RETURNING *
    ), recorded AS ({_ENTRY} changed) SELECT * FROM changed;
    COMMIT;
    \\endpipeline
    """,  # noqa: S608  # constants only
)
DELETE_SPROCKET = Script(
    "one sprocket",
    f"""
    \\set n :n + 1
    \\startpipeline
    BEGIN;
    {_CALLER};
    DELETE FROM sprocket
        WHERE id = CAST('{SPREAD_ID}' || lpad(to_hex(CAST(:n AS bigint)), 8, '0')
            || lpad(to_hex(CAST(:client_id AS int)), 4, '0') AS uuid);
    {_LOCK};
    WITH counted AS (
        UPDATE factory SET sprocket_production_actual = sprocket_production_actual - 1,
            chart_sequence = chart_sequence + 1
            WHERE id = CAST(:factory AS uuid) RETURNING *
    ), recorded AS ({_ENTRY} counted) SELECT count(*) FROM counted;
    COMMIT;
    \\endpipeline
    """,  # noqa: S608  # constants only
)


def commits_per_second(
    postgres: Postgres, script: Script, sprockets: Sequence[Sprocket], clients: int, seconds: int
) -> float:
    """Return the rate at which clients create sprockets like the given ones, in random order, as fast as they can."""
    return transactions_per_second(postgres, script, sprockets, clients, f"-T{seconds}")


def transactions_per_second(
    postgres: Postgres, script: Script, sprockets: Sequence[Sprocket], clients: int, *options: str
) -> float:
    """Return the rate of a script, for sprockets like the given ones in random order.

    Raises:
        ValueError: A transaction failed.
    """
    with tempfile.TemporaryDirectory() as directory:
        files = [_written(Path(directory, f"{number}.sql"), script, each) for number, each in enumerate(sprockets)]
        command = (postgres.programs / "pgbench", "-n", "-Mprepared", f"-c{clients}", f"-j{min(clients, 2)}")
        output = processes.run(*command, *options, *files, postgres.connection_string)
    match = re.search(r"^tps = ([\d.]+)", output, re.MULTILINE)
    if match is None or "number of failed transactions: 0 " not in output:
        raise ValueError(f"unexpected output of pgbench: {output}")
    return float(match[1])


def _written(file: Path, script: Script, sprocket: Sprocket) -> str:
    text = script.text.replace(":factory", f"'{sprocket.factory_id}'").replace(
        ":type", f"'{sprocket.sprocket_type_id}'"
    )
    file.write_text(text)
    return f"-f{file}"
