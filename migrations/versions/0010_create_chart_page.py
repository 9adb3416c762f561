"""Create the pages of charts, and the function that makes them.

A page has the oldest entries of a chart as the serialized FactoryChart that streams send. `pack_chart` makes one from
rows, and deletes those, in one statement. It runs as the owner of the tables, so that the role of the server can turn
entries into pages, but can still neither change nor delete them.

Servers of the version before cannot read pages. So none is made until `chart_packing` has a row: a database without
factories gets it here, because it is new, and others by `sprocket-grpc repack --enable`.
"""

from uuid import UUID

import google_crc32c
import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

from sprocket.v1.factory_pb2 import FactoryChart

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None
required_by_server = True

_FUNCTIONS = (
    "chart_long_varint(bigint)",
    "chart_varint(bigint)",
    "chart_checksum(bytea)",
    "pack_chart(uuid, integer, integer)",
)

# The varint of a number of any size, negative ones included: seven bits to a byte, the lowest first.
_CREATE_LONG_VARINT = """
CREATE FUNCTION chart_long_varint(number bigint) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT string_agg(substr(int8send(CASE WHEN place < most THEN bits | 128 ELSE bits END), 8), '' ORDER BY place)
    FROM (
        SELECT place, bits, max(place) FILTER (WHERE bits > 0) OVER () AS most
        FROM generate_series(0, 9) AS place, LATERAL (
            SELECT CASE place WHEN 9 THEN (number >> 63) & 1 ELSE (number >> (7 * place)) & 127 END
        ) AS septet (bits)
    ) AS septets
    WHERE place <= most
$$
"""

# Those that charts have, without a loop: 0.7 us each. Times from 1987 to 4253 have eight bytes.
_CREATE_VARINT = """
CREATE FUNCTION chart_varint(number bigint) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN number BETWEEN 0 AND (1 << 7) - 1 THEN substr(int8send(number), 8)
        WHEN number BETWEEN 1 << 7 AND (1 << 14) - 1
            THEN substr(int8send((((number & 127) | 128) << 8) | (number >> 7)), 7)
        WHEN number BETWEEN 1 << 14 AND (1 << 21) - 1
            THEN substr(int8send(
                (((number & 127) | 128) << 16) | ((((number >> 7) & 127) | 128) << 8) | (number >> 14)), 6)
        WHEN number BETWEEN 1::bigint << 49 AND (1::bigint << 56) - 1
            THEN int8send(
                (((number & 127) | 128) << 56) | ((((number >> 7) & 127) | 128) << 48)
                | ((((number >> 14) & 127) | 128) << 40) | ((((number >> 21) & 127) | 128) << 32)
                | ((((number >> 28) & 127) | 128) << 24) | ((((number >> 35) & 127) | 128) << 16)
                | ((((number >> 42) & 127) | 128) << 8) | (number >> 49))
        ELSE chart_long_varint(number)
    END
$$
"""

# CRC-32C, which PostgreSQL has as crc32c since version 18.
_CREATE_CHECKSUM = """
CREATE FUNCTION chart_checksum(wire bytea) RETURNS bigint LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    steps bigint[];
    step bigint;
    checksum bigint := 4294967295;
BEGIN
    FOR value IN 0..255 LOOP
        step := value;
        FOR bit IN 1..8 LOOP
            step := CASE step & 1 WHEN 1 THEN (step >> 1) # 2197175160 ELSE step >> 1 END;
        END LOOP;
        steps[value] := step;
    END LOOP;
    FOR place IN 0..octet_length(wire) - 1 LOOP
        checksum := (checksum >> 8) # steps[(checksum # get_byte(wire, place)) & 255];
    END LOOP;
    RETURN checksum # 4294967295;
END
$$
"""

# The factory is locked before its entries, as its deletion does, and not at all while somebody deletes it. The lock
# 95447272 lets one packer at a time work. A second one would find no rows, because the first has deleted them.
_CREATE_PACKER = """
CREATE FUNCTION pack_chart(chart uuid, entries integer, kept integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER {path} AS $$
DECLARE
    page chart_page;
    chart_end bigint;
    found_entries bigint;
    times bytea;
    goals bytea;
    actuals bytea;
BEGIN
    IF NOT EXISTS (SELECT FROM chart_packing) OR NOT pg_try_advisory_xact_lock(95447272) THEN
        RETURN false;
    END IF;
    SELECT chart_sequence INTO chart_end FROM factory WHERE id = chart FOR KEY SHARE SKIP LOCKED;
    page.factory_id := chart;
    page.first_sequence := 1 + coalesce((SELECT max(last_sequence) FROM chart_page WHERE factory_id = chart), 0);
    page.last_sequence := ((page.first_sequence - 1) / entries + 1) * entries;
    IF chart_end IS NULL OR chart_end < page.last_sequence + kept THEN
        RETURN false;
    END IF;

    WITH deleted AS (
        DELETE FROM chart_entry
        WHERE factory_id = chart AND sequence BETWEEN page.first_sequence AND page.last_sequence
        RETURNING sequence, time_micros, sprocket_production_goal AS goal, sprocket_production_actual AS actual
    ), entry AS MATERIALIZED (
        SELECT *, ARRAY[sequence, time_micros, goal, actual] AS numbers FROM deleted ORDER BY sequence
    )
    SELECT count(*), string_agg(chart_varint(time_micros), ''), string_agg(chart_varint(goal), ''),
           string_agg(chart_varint(actual), ''), min(time_micros), max(time_micros), ARRAY[
               (SELECT numbers FROM entry ORDER BY sequence LIMIT 1),
               (SELECT numbers FROM entry ORDER BY sequence DESC LIMIT 1),
               (SELECT numbers FROM entry ORDER BY goal, sequence LIMIT 1),
               (SELECT numbers FROM entry ORDER BY goal DESC, sequence LIMIT 1),
               (SELECT numbers FROM entry ORDER BY actual, sequence LIMIT 1),
               (SELECT numbers FROM entry ORDER BY actual DESC, sequence LIMIT 1)]
    INTO found_entries, times, goals, actuals, page.first_time_micros, page.last_time_micros, page.outline
    FROM entry;

    IF found_entries <> page.last_sequence - page.first_sequence + 1 THEN
        RAISE EXCEPTION 'the chart of factory % has gaps from sequence % to %',
            chart, page.first_sequence, page.last_sequence USING ERRCODE = 'data_corrupted';
    END IF;
    page.wire := '\\x0a' || chart_varint(octet_length(times)) || times
        || '\\x12' || chart_varint(octet_length(goals)) || goals
        || '\\x1a' || chart_varint(octet_length(actuals)) || actuals;
    IF current_setting('server_version_num')::integer >= 180000 THEN
        page.checksum := crc32c(page.wire);
    ELSE
        page.checksum := chart_checksum(page.wire);
    END IF;
    INSERT INTO chart_page SELECT page.*;
    RETURN true;
END
$$
"""

_READ_PAGE = sa.text(
    "SELECT first_sequence, checksum, wire FROM chart_page"
    " WHERE factory_id = :factory_id AND last_sequence = :last_sequence"
)
_UNPACK = sa.text("""
    INSERT INTO chart_entry
    SELECT :factory_id, :first_sequence + number - 1, micros, goal, actual
    FROM unnest(:micros, :goals, :actuals) WITH ORDINALITY AS entry (micros, goal, actual, number)
""").bindparams(*(sa.bindparam(each, type_=ARRAY(sa.BigInteger)) for each in ("micros", "goals", "actuals")))


def upgrade() -> None:
    """Apply the migration."""
    op.create_table(
        "chart_page",
        sa.Column("factory_id", sa.Uuid, sa.ForeignKey("factory.id", ondelete="CASCADE"), nullable=False),
        sa.Column("last_sequence", sa.BigInteger, nullable=False),
        sa.Column("first_sequence", sa.BigInteger, nullable=False),
        sa.Column("first_time_micros", sa.BigInteger, nullable=False),
        sa.Column("last_time_micros", sa.BigInteger, nullable=False),
        sa.Column("outline", ARRAY(sa.BigInteger), nullable=False),
        sa.Column("checksum", sa.BigInteger, nullable=False),
        sa.Column("wire", sa.LargeBinary, nullable=False),
        sa.CheckConstraint(
            "last_sequence - first_sequence >= 0 AND last_sequence - first_sequence <= 4999",
            name="last_sequence_first_sequence",
        ),
        sa.CheckConstraint("first_sequence > 0", name="first_sequence"),
        sa.CheckConstraint("array_dims(outline) = '[1:6][1:4]'", name="outline"),
        sa.PrimaryKeyConstraint("factory_id", "last_sequence"),
        sa.Index(None, "factory_id", "last_time_micros", "last_sequence"),
        comment="Old entries of charts, as serialized messages FactoryChart. Written by pack_chart, and never changed.",
    )
    # Not compressed, which costs PostgreSQL more than all the rest of reading a page.
    op.execute("ALTER TABLE chart_page ALTER COLUMN wire SET STORAGE EXTERNAL")
    op.create_table(
        "chart_packing",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("enable_time", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.CheckConstraint("id = 1", name="id"),
        sa.PrimaryKeyConstraint("id"),
        comment="Has a row once no server runs that cannot read chart_page.",
    )
    op.execute("INSERT INTO chart_packing (id) SELECT 1 WHERE NOT EXISTS (SELECT FROM factory)")
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    for function in (_CREATE_LONG_VARINT, _CREATE_VARINT, _CREATE_CHECKSUM, _CREATE_PACKER):
        op.execute(function.replace("{path}", f"SET search_path = {schema}, pg_temp"))
    op.execute(f"REVOKE EXECUTE ON FUNCTION {', '.join(_FUNCTIONS)} FROM PUBLIC")


def downgrade() -> None:
    """Revert the migration. The entries of pages become rows again: no data is lost."""
    connection = op.get_bind()
    op.execute("SELECT pg_advisory_xact_lock(95447272)")  # of pack_chart: no page comes to be meanwhile
    for factory_id, last_sequence in connection.execute(sa.text("SELECT factory_id, last_sequence FROM chart_page")):
        _unpack(connection, factory_id, last_sequence)
    op.execute(f"DROP FUNCTION {', '.join(reversed(_FUNCTIONS))}")
    op.drop_table("chart_packing")
    op.drop_table("chart_page")


def _unpack(connection: sa.Connection, factory_id: UUID, last_sequence: int) -> None:
    key = {"factory_id": factory_id, "last_sequence": last_sequence}
    page = connection.execute(_READ_PAGE, key).one_or_none()
    if page is None:
        return  # its factory was deleted meanwhile
    first_sequence, checksum, wire = page
    if google_crc32c.value(wire) != checksum:
        raise ValueError(f"the page of factory {factory_id} up to {last_sequence} is damaged: restore it first")
    chart = FactoryChart.FromString(wire)
    columns = {
        "micros": list(chart.time_micros),
        "goals": list(chart.sprocket_production_goal),
        "actuals": list(chart.sprocket_production_actual),
    }
    connection.execute(_UNPACK, {"factory_id": factory_id, "first_sequence": first_sequence} | columns)
