"""The triggers and functions of a schema, as `migrate --check` expects and finds them; migrations create them."""

from collections.abc import Iterable, Iterator

from sqlalchemy import Connection, text

from sprocket_grpc.storage.tables import RESOURCES, factory

# Each with its volatility, its type, the MD5 of its source, and its settings.
_PATH = "SET search_path"
_OWNERS = f"SECURITY DEFINER {_PATH}"
_LOCKING = f"{_OWNERS} SET lock_timeout=100ms"
_CHART = "chart uuid, entries integer, kept integer"
_EXPIRED = "chart uuid, keep_days integer, most integer"
_EXPIRED_BEFORE = "chart uuid, cutoff_micros bigint, most integer"
_MONTH = "month timestamp without time zone"
_FUNCTIONS = (
    f"audit_api_keys() VOLATILE trigger 8a20f023f3105bc81ec1054e07828988 {_OWNERS}",
    f"audit_deletes() VOLATILE trigger 614ac4ae8be997f4dbbf1121b77e1cde {_OWNERS}",
    "audit_entry_id(micros bigint) VOLATILE uuid c11286eb8ea0355c1995d1b4a0308ba9",
    f"audit_inserts() VOLATILE trigger 4df928fbad535d6b9fef39ac854a50f1 {_OWNERS}",
    f"audit_partition_start({_MONTH}) IMMUTABLE uuid 7bee2c71509bb476571d2768b0530010",
    f"audit_update() VOLATILE trigger 6447b2900474c8b1aefb77c9695db373 {_OWNERS}",
    "chart_checksum(wire bytea) IMMUTABLE bigint e22c2754189f3095d3bd3151b0576567",
    "chart_long_varint(number bigint) IMMUTABLE bytea e8934bba80e6840ba7f52afc1fdbec03",
    f"chart_time(chart uuid, place bigint) STABLE bigint 631dc3956e4b38ebfeaa5eb6092f3939 {_PATH}",
    "chart_varint(number bigint) IMMUTABLE bytea 99f78e7e8379f4bc06c77d9cba8b8c9e",
    f"create_audit_partition({_MONTH}) VOLATILE void 03b27b4edce0d1641eb7289a833037e4 {_PATH}",
    f"create_audit_partitions() VOLATILE boolean 3e24ec58f380da688943740c8e4ae84a {_LOCKING}",
    f"drop_expired_audit_partition(keep_days integer) VOLATILE text 31958d0bda450b1dad2a652e6a763fcf {_LOCKING}",
    f"expire_chart({_EXPIRED}) VOLATILE bigint 413e0a5a76a659a98b7da356566fdc5b {_LOCKING}",
    f"expire_chart_before({_EXPIRED_BEFORE}) VOLATILE bigint 2dfba6252e35ff6a85205268c883691c {_PATH}",
    f"keep_audit_entries() VOLATILE trigger ac35c17c2c943e88e2504dbb2055b124 {_PATH}",
    f"pack_chart({_CHART}) VOLATILE boolean ec80a3663997fd224e13e5c95e026553 {_OWNERS}",
    f"refuse_truncate() VOLATILE trigger e84865d9e2a959977d74587da64b36d3 {_PATH}",
)

_COUNTED = {"sprocket_production_actual", "chart_sequence", "chart_time_micros"}
"""Columns of a factory whose changes alone are in its chart, and not in the audit log."""

# PostgreSQL deparses a condition in its own way; the versions that this service supports do it alike.
_CHANGED = "WHEN (old.* IS DISTINCT FROM new.*) "
_LOGGED = " OR ".join(
    f"old.{each.name} IS DISTINCT FROM new.{each.name}" for each in factory.c if each.name not in _COUNTED
)
_FACTORY_CHANGED = f"WHEN ({_LOGGED} OR old.chart_sequence = new.chart_sequence AND old.* IS DISTINCT FROM new.*) "

# The path is the schema and then pg_temp. Extensions have functions of their own.
_FOUND = text(r"""
    SELECT pg_get_triggerdef(pg_trigger.oid, true) || CASE tgenabled WHEN 'O' THEN '' ELSE ' (disabled)' END
    FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
    WHERE NOT tgisinternal AND relnamespace = current_schema()::regnamespace
    UNION ALL
    SELECT concat_ws(
        ' ', 'FUNCTION ' || proname || '(' || pg_get_function_identity_arguments(oid) || ')',
        CASE provolatile WHEN 'v' THEN 'VOLATILE' WHEN 's' THEN 'STABLE' ELSE 'IMMUTABLE' END,
        prorettype::regtype, md5(prosrc), CASE WHEN prosecdef THEN 'SECURITY DEFINER' END,
        (SELECT string_agg('SET ' || CASE
             WHEN setting = format('search_path=%I, pg_temp', current_schema()) THEN 'search_path'
             ELSE setting END, ' ')
         FROM unnest(proconfig) AS setting),
        CASE WHEN has_function_privilege('public', oid, 'EXECUTE') THEN 'EXECUTE for PUBLIC' END)
    FROM pg_proc
    WHERE pronamespace = current_schema()::regnamespace
      AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e')
""")


def programs(partitions: Iterable[str]) -> set[str]:
    """Return what the triggers and functions should be, in the form of `found_programs`.

    Args:
        partitions: The names of the partitions of the audit log, each of which has its own guard.
    """
    return {*_triggers(), *map(_guard, ("audit_entry", *partitions)), *(f"FUNCTION {each}" for each in _FUNCTIONS)}


def found_programs(connection: Connection) -> set[str]:
    """Return what the database has: a text for each trigger and each function."""
    return set(connection.scalars(_FOUND))


def _triggers() -> Iterator[str]:
    for table in RESOURCES:
        kind = f"'sprocket.v1.{table.title().replace('_', '')}'"
        changed = _FACTORY_CHANGED if table == factory.name else _CHANGED
        yield _trigger("audit_inserts", f"AFTER INSERT ON {table} REFERENCING NEW TABLE AS added", "STATEMENT", kind)
        yield _trigger("audit_update", f"AFTER UPDATE ON {table}", "ROW", kind, changed)
        yield _trigger("audit_deletes", f"AFTER DELETE ON {table} REFERENCING OLD TABLE AS removed", "STATEMENT", kind)
    for table in (*RESOURCES, "api_key"):
        yield _trigger("refuse_truncate", f"BEFORE TRUNCATE ON {table}", "STATEMENT")
    yield _trigger("audit_api_keys", "AFTER INSERT OR DELETE OR UPDATE ON api_key", "ROW")


def _guard(table: str) -> str:
    return _trigger("keep_audit_entries", f"BEFORE DELETE OR UPDATE OR TRUNCATE ON {table}", "STATEMENT")


def _trigger(name: str, event: str, each: str, argument: str = "", condition: str = "") -> str:
    return f"CREATE TRIGGER {name} {event} FOR EACH {each} {condition}EXECUTE FUNCTION {name}({argument})"
