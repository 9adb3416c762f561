"""The triggers and functions of the audit log, as `migrate --check` expects them; migrations create them."""

from collections.abc import Iterator

from sqlalchemy import Connection, text

from sprocket_grpc.storage.tables import RESOURCES

_CONDITION = "WHEN (...) "

# Each with the MD5 of its source, which `migrate --check` tells if a migration has changed it.
_FUNCTIONS = (
    "FUNCTION audit_api_keys 8a20f023f3105bc81ec1054e07828988 SECURITY DEFINER SET search_path",
    "FUNCTION audit_deletes 614ac4ae8be997f4dbbf1121b77e1cde SECURITY DEFINER SET search_path",
    "FUNCTION audit_entry_id cc5efceb7c3eaa401935830b509033de",
    "FUNCTION audit_inserts 79d12d92f992a5c27a373701641f8867 SECURITY DEFINER SET search_path",
    "FUNCTION audit_update 6447b2900474c8b1aefb77c9695db373 SECURITY DEFINER SET search_path",
    "FUNCTION keep_audit_entries ac35c17c2c943e88e2504dbb2055b124 SET search_path",
    "FUNCTION refuse_truncate e84865d9e2a959977d74587da64b36d3 SET search_path",
)

# PostgreSQL's versions may write a condition differently, so only its existence is compared.
_FOUND = text(r"""
    SELECT regexp_replace(pg_get_triggerdef(pg_trigger.oid, true), 'WHEN \(.*\) EXECUTE', 'WHEN (...) EXECUTE')
           || CASE tgenabled WHEN 'O' THEN '' ELSE ' (disabled)' END
    FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
    WHERE NOT tgisinternal AND relnamespace = current_schema()::regnamespace
    UNION ALL
    SELECT concat_ws(' ', 'FUNCTION', proname, md5(prosrc), CASE WHEN prosecdef THEN 'SECURITY DEFINER' END,
                     CASE WHEN proconfig IS NOT NULL THEN 'SET search_path' END,
                     CASE WHEN has_function_privilege('public', oid, 'EXECUTE') THEN 'EXECUTE for PUBLIC' END)
    FROM pg_proc WHERE pronamespace = current_schema()::regnamespace AND proname = ANY (:functions)
""")


def differences(connection: Connection) -> list[str]:
    """Return what is missing or different in the database, or should not be there, one text for each."""
    expected = {*_triggers(), *_FUNCTIONS}
    found = set(connection.scalars(_FOUND, {"functions": [each.split()[1] for each in _FUNCTIONS]}))
    return [f"missing: {each}" for each in sorted(expected - found)] + [
        f"unexpected: {each}" for each in sorted(found - expected)
    ]


def _triggers() -> Iterator[str]:
    for table in RESOURCES:
        kind = f"'sprocket.v1.{table.title().replace('_', '')}'"
        yield _trigger("audit_inserts", f"AFTER INSERT ON {table} REFERENCING NEW TABLE AS added", "STATEMENT", kind)
        yield _trigger("audit_update", f"AFTER UPDATE ON {table}", "ROW", kind, _CONDITION)
        yield _trigger("audit_deletes", f"AFTER DELETE ON {table} REFERENCING OLD TABLE AS removed", "STATEMENT", kind)
    for table in (*RESOURCES, "api_key"):
        yield _trigger("refuse_truncate", f"BEFORE TRUNCATE ON {table}", "STATEMENT")
    yield _trigger("audit_api_keys", "AFTER INSERT OR DELETE OR UPDATE ON api_key", "ROW")
    yield _trigger("keep_audit_entries", "BEFORE DELETE OR UPDATE OR TRUNCATE ON audit_entry", "STATEMENT")


def _trigger(name: str, event: str, each: str, argument: str = "", condition: str = "") -> str:
    return f"CREATE TRIGGER {name} {event} FOR EACH {each} {condition}EXECUTE FUNCTION {name}({argument})"
