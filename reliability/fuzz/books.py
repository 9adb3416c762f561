"""What must be true of the database after any calls: charts, references, rules of the contract, the audit log."""

from collections.abc import Iterator
from typing import Any

import grpc
from sqlalchemy import Connection, text

from reliability.fuzz.port import Metadata, Method, Port
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from tests.conformance.fields import FIELDS, is_identifier

_CALL_SECONDS = 60
_SHOWN = 5

_CHARTS = text("""
    WITH steps AS (
        SELECT *, lag(time_micros) OVER chart AS earlier,
            lag((sprocket_production_goal, sprocket_production_actual)) OVER chart AS before
        FROM chart_entry WINDOW chart AS (PARTITION BY factory_id ORDER BY sequence)
    ), charts AS (
        SELECT factory_id, count(*) AS entries, min(sequence) AS first, max(sequence) AS last,
            bool_or(time_micros < earlier) AS goes_back,
            bool_or((sprocket_production_goal, sprocket_production_actual) = before) AS stands_still
        FROM steps GROUP BY factory_id
    )
    SELECT factory.id,
        CASE WHEN entries IS NULL THEN 'has no chart'
            WHEN first <> 1 + coalesce(
                    (SELECT max(last_sequence) FROM chart_page WHERE factory_id = factory.id),
                    (SELECT first_sequence - 1 FROM chart_start WHERE factory_id = factory.id), 0)
                OR last <> first + entries - 1 OR last <> chart_sequence THEN 'has gaps in its chart'
            WHEN goes_back THEN 'has a chart whose times go back'
            WHEN stands_still THEN 'has a chart with an entry that changes nothing'
            WHEN factory.sprocket_production_actual <> (SELECT count(*) FROM sprocket WHERE factory_id = factory.id)
                THEN 'counts its sprockets wrong'
            WHEN (latest.sprocket_production_goal, latest.sprocket_production_actual)
                <> (factory.sprocket_production_goal, factory.sprocket_production_actual)
                THEN 'has a chart that ends with other numbers'
        END AS fault
    FROM factory LEFT JOIN charts ON charts.factory_id = factory.id
    LEFT JOIN chart_entry AS latest ON latest.factory_id = factory.id AND latest.sequence = charts.last
""")

_REFERENCES = text("""
    SELECT conrelid::regclass::text, confrelid::regclass::text, child.attname, parent.attname
    FROM pg_constraint
    JOIN pg_attribute AS child ON child.attrelid = conrelid AND child.attnum = conkey[1]
    JOIN pg_attribute AS parent ON parent.attrelid = confrelid AND parent.attnum = confkey[1]
    WHERE contype = 'f' AND cardinality(conkey) = 1
""")

_AUDIT = text("""
    SELECT resource_type, count(*) FILTER (WHERE before IS NULL) - count(*) FILTER (WHERE after IS NULL)
    FROM audit_entry GROUP BY resource_type
""")


def faults(url: str, address: str, port: Port, key: Metadata) -> Iterator[str]:
    """Yield what is wrong in the database and in the lists of the service; the server must be at rest.

    Raises:
        grpc.RpcError: A list cannot be read.
    """
    with create_plain_engine(url).connect() as connection:
        yield from (f"factory {factory} {fault}" for factory, fault in connection.execute(_CHARTS) if fault)
        yield from _broken_references(connection)
        recorded: dict[str, int] = dict(connection.execute(_AUDIT).all())
    with grpc.insecure_channel(address, [("grpc.max_receive_message_length", -1)]) as channel:
        for kind in dict.fromkeys(field.resource for field in FIELDS):
            yield from _faults_of_kind(channel, port, key, kind, recorded)


def _broken_references(connection: Connection) -> Iterator[str]:
    for table, target, column, key in connection.execute(_REFERENCES).all():
        statement = (
            f"SELECT count(*) FROM {table} t WHERE NOT EXISTS (SELECT FROM {target} p WHERE p.{key} = t.{column})"  # noqa: S608  # names from the catalogue
        )
        if count := connection.scalar(text(statement)):
            yield f"{count} rows of {table} refer to no {target}"


def _faults_of_kind(
    channel: grpc.Channel, port: Port, key: Metadata, kind: str, recorded: dict[str, int]
) -> Iterator[str]:
    """Yield what is wrong with the resources of a kind, as its list returns them."""
    resources, total = _list(channel, port, key, kind)
    wrong = [f"{kind} {each.id}: {name}" for each in resources for name in _broken_rules(kind, each)]
    yield from wrong[:_SHOWN]
    name = f"sprocket.v1.{kind.title().replace('_', '')}"
    for what, count in (("its total_size", total), ("the audit log", recorded.get(name, 0))):
        if count != len(resources):
            yield f"the list has {len(resources)} of {name}, and {what} says {count}"


def _list(channel: grpc.Channel, port: Port, key: Metadata, kind: str) -> tuple[list[Any], int]:
    [method] = [each for each in port.methods.values() if each.name.startswith("List") and _lists(each, kind)]
    call: Any = channel.unary_unary(method.path, response_deserializer=method.response.FromString)
    found, total, token = list[Any](), 0, ""
    while True:
        request: Any = method.request(page_size=1000, page_token=token, show_total_size=True)
        page = call(request.SerializeToString(), metadata=key, timeout=_CALL_SECONDS)
        found.extend(getattr(page, page.DESCRIPTOR.fields[0].name))
        total, token = page.total_size, page.next_page_token
        if not token:
            return found, total


def _lists(method: Method, kind: str) -> bool:
    first = method.response.DESCRIPTOR.fields[0].message_type
    return first is not None and first.name == kind.title().replace("_", "")


def _broken_rules(kind: str, resource: Any) -> Iterator[str]:  # noqa: ANN401  # any resource
    """Yield the fields of a resource that break their rules."""
    for field in FIELDS:
        if field.resource == kind and not field.rule(getattr(resource, field.name)):
            yield field.name
    if not is_identifier(resource.id):
        yield "id"
    if not (resource.etag.startswith('"') and resource.etag.endswith('"')):
        yield "etag"
    if resource.update_time.ToNanoseconds() < resource.create_time.ToNanoseconds():
        yield "update_time"
