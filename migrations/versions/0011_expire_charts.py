"""Let the oldest entries of charts expire.

`expire_chart` moves the beginning of a chart to the entry that was in force some days ago, or less far if that would
delete too many entries at once, and deletes the rows and pages before it. It runs as the owner of the tables, which the
role of the server is not, and refuses fewer days than the owner has recorded in `chart_retention`. `chart_start` has
the beginnings, apart from the factories: a beginning that moves neither waits for writes of a busy factory, nor
changes its row, so that the factory keeps its etag, and the audit log gets no entry.

Servers of the version before take a chart without its beginning for one that was deleted. So nothing expires until
`chart_expiry` has a row: a database without factories gets it here, and others by `sprocket-grpc repack --enable`.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None
required_by_server = True

_FUNCTIONS = (
    "chart_time(uuid, bigint)",
    "expire_chart_before(uuid, bigint, integer)",
    "expire_chart(uuid, integer, integer)",
)

# In a page, times from 1987 to 4253 have eight bytes each, so that one is found without reading the others. In a page
# with other times, each entry counts as late as the last one: the page expires as a whole.
_CREATE_TIME = """
CREATE FUNCTION chart_time(chart uuid, place bigint) RETURNS bigint LANGUAGE sql STABLE {path} AS $$
    SELECT coalesce(
        (SELECT time_micros FROM chart_entry WHERE factory_id = chart AND sequence = place),
        (SELECT CASE
                WHEN first_time_micros < 1::bigint << 49 OR last_time_micros >= 1::bigint << 56 THEN last_time_micros
                ELSE (SELECT sum((get_byte(septets, number)::bigint & 127) << (7 * number))::bigint
                      FROM generate_series(0, 7) AS number,
                           substr(wire,
                                  2 + octet_length(chart_varint(8 * (last_sequence - first_sequence + 1)))
                                  + 8 * (place - first_sequence)::integer, 8) AS septets)
                END
         FROM chart_page WHERE factory_id = chart AND last_sequence >= place ORDER BY last_sequence LIMIT 1))
$$
"""

# A binary search, for times never go backwards. The lock 95447272 is that of pack_chart, which therefore sees either
# all of this or nothing. The factory is locked before its entries, as its deletion does, and not at all while somebody
# deletes it.
_CREATE_EXPIRY_BEFORE = """
CREATE FUNCTION expire_chart_before(chart uuid, cutoff_micros bigint, most integer) RETURNS bigint
LANGUAGE plpgsql {path} AS $$
DECLARE
    beginning bigint;
    low bigint;
    high bigint;
    middle bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(95447272);
    SELECT chart_sequence INTO high FROM factory WHERE id = chart FOR KEY SHARE SKIP LOCKED;
    IF high IS NULL THEN
        RETURN 0;
    END IF;
    beginning := coalesce((SELECT first_sequence FROM chart_start WHERE factory_id = chart), 1);
    low := beginning;
    high := least(high, beginning + most);
    WHILE low < high LOOP
        middle := (low + high + 1) / 2;
        IF chart_time(chart, middle) <= cutoff_micros THEN
            low := middle;
        ELSE
            high := middle - 1;
        END IF;
    END LOOP;
    IF low > beginning THEN
        INSERT INTO chart_start (factory_id, first_sequence, first_time_micros)
        VALUES (chart, low, chart_time(chart, low))
        ON CONFLICT (factory_id) DO UPDATE
        SET first_sequence = excluded.first_sequence, first_time_micros = excluded.first_time_micros;
        DELETE FROM chart_page WHERE factory_id = chart AND last_sequence BETWEEN beginning AND low - 1;
        DELETE FROM chart_entry WHERE factory_id = chart AND sequence BETWEEN beginning AND low - 1;
    END IF;
    RETURN low - beginning;
END
$$
"""

_CREATE_EXPIRY = """
CREATE FUNCTION expire_chart(chart uuid, keep_days integer, most integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER {path} SET lock_timeout = '100ms' AS $$
BEGIN
    IF (keep_days >= (SELECT max(days) FROM chart_retention)) IS NOT TRUE THEN
        RAISE EXCEPTION 'the owner of the charts does not allow to delete entries after % days', keep_days
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'Run `sprocket-grpc migrate` with SPROCKET_CHART_RETENTION_DAYS, as the owner.';
    END IF;
    IF NOT EXISTS (SELECT FROM chart_expiry) THEN
        RAISE EXCEPTION 'no entries of charts may expire while servers of older versions run'
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'When none runs, run `sprocket-grpc repack --enable`, as the owner.';
    END IF;
    RETURN expire_chart_before(
        chart, (extract(epoch FROM now()) * 1000000)::bigint - keep_days * 86400000000, most);
END
$$
"""

_FIRST_OF_PAGE_BEFORE = """
    page.first_sequence := 1 + coalesce((SELECT max(last_sequence) FROM chart_page WHERE factory_id = chart), 0);
"""
_FIRST_OF_PAGE = """
    page.first_sequence := coalesce(
        (SELECT max(last_sequence) + 1 FROM chart_page WHERE factory_id = chart),
        (SELECT first_sequence FROM chart_start WHERE factory_id = chart), 1);
"""

# What it drops may be gone, if it was interrupted before the revision was written.
_REVERT = f"""
DO $do$
BEGIN
    PERFORM pg_advisory_xact_lock(95447272);
    IF to_regclass('chart_start') IS NOT NULL THEN
        IF EXISTS (SELECT FROM chart_start) THEN
            RAISE EXCEPTION 'entries of charts have expired: the version before cannot read such charts';
        END IF;
    END IF;
    DROP FUNCTION IF EXISTS {", ".join(reversed(_FUNCTIONS))};
    DROP TABLE IF EXISTS chart_expiry, chart_retention, chart_start;
END
$do$;
"""


def _packer(before: str, after: str) -> str:
    """Return the definition of `pack_chart` with a part replaced, if it has not been."""
    find = sa.text("SELECT pg_get_functiondef('pack_chart(uuid, integer, integer)'::regprocedure)")
    definition: str = op.get_bind().execute(find).scalar_one()
    if before not in definition and after not in definition:
        raise ValueError("pack_chart is not the function of a migration")
    return definition.replace(before, after)


def upgrade() -> None:
    """Apply the migration."""
    op.create_table(
        "chart_start",
        sa.Column("factory_id", sa.Uuid, sa.ForeignKey("factory.id", ondelete="CASCADE"), nullable=False),
        sa.Column("first_sequence", sa.BigInteger, nullable=False),
        sa.Column("first_time_micros", sa.BigInteger, nullable=False),
        sa.CheckConstraint("first_sequence > 1", name="first_sequence"),
        sa.PrimaryKeyConstraint("factory_id"),
        comment="Where charts begin whose older entries have expired; others begin at 1. Written by expire_chart.",
    )
    op.create_table(
        "chart_retention",
        sa.Column("days", sa.Integer, nullable=False, autoincrement=False),
        sa.CheckConstraint("days > 0", name="days"),
        sa.PrimaryKeyConstraint("days"),
        comment="The fewest days that the server keeps entries of charts; without a row, it keeps all of them.",
    )
    op.create_table(
        "chart_expiry",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("enable_time", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.CheckConstraint("id = 1", name="id"),
        sa.PrimaryKeyConstraint("id"),
        comment="Has a row once no server runs that cannot read charts whose beginning has expired.",
    )
    # A row without days shall be refused: migration 0009 gave them a default, a sequence for keys, that nobody wants.
    op.execute("ALTER TABLE audit_retention ALTER COLUMN days DROP DEFAULT")
    op.execute("DROP SEQUENCE IF EXISTS audit_retention_days_seq")
    op.execute("INSERT INTO chart_expiry (id) SELECT 1 WHERE NOT EXISTS (SELECT FROM factory)")
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    for function in (_CREATE_TIME, _CREATE_EXPIRY_BEFORE, _CREATE_EXPIRY):
        op.execute(function.replace("{path}", f"SET search_path = {schema}, pg_temp"))
    op.execute(f"REVOKE EXECUTE ON FUNCTION {', '.join(_FUNCTIONS)} FROM PUBLIC")
    op.execute(_packer(_FIRST_OF_PAGE_BEFORE, _FIRST_OF_PAGE))


def downgrade() -> None:
    """Revert the migration, which is refused once entries have expired: the version before cannot read the others.

    It commits, because it locks `factory`, and the migrations before it may take long to revert. It can be run again.
    """
    packer = _packer(_FIRST_OF_PAGE, _FIRST_OF_PAGE_BEFORE)
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = '5s'")
        op.execute(f"{_REVERT}{packer}")  # one transaction
        op.execute("RESET lock_timeout")
