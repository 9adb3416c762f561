"""The SQL of requests with a request_id: their responses are recorded in the transaction of the write."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from sqlalchemy import ARRAY, LargeBinary, bindparam, column, delete, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert

from sprocket_grpc.storage.postgres.connection import Connection, Result
from sprocket_grpc.storage.postgres.statements import Statement
from sprocket_grpc.storage.postgres.types import IDENTIFIERS, Identifier
from sprocket_grpc.storage.tables import recorded_request

PURGE_BATCH_SIZE = 1000
"""The most records that one purge deletes, so that its transaction is short."""

_KEPT_SINCE = func.now() - func.make_interval(0, 0, 0, 0, bindparam("keep_hours"))
_GIVEN = (
    func.unnest(bindparam("ids", type_=IDENTIFIERS), bindparam("contents", type_=ARRAY(LargeBinary)))
    .table_valued(column("id", Identifier), column("content", LargeBinary))
    .render_derived("given")
)
# In the order of their ids, so that two of these cannot deadlock.
_NEW = insert(recorded_request).from_select(
    ["id", "fingerprint", "response"],
    select(_GIVEN.c.id, _GIVEN.c.content, literal(b"", LargeBinary)).order_by(_GIVEN.c.id),
)
# It waits for concurrent transactions that claim the same ids. An expired record counts as absent.
_CLAIM = Statement(
    _NEW.on_conflict_do_update(
        index_elements=[recorded_request.c.id],
        set_={"fingerprint": _NEW.excluded.fingerprint, "response": b"", "create_time": func.now()},
        where=recorded_request.c.create_time < _KEPT_SINCE,
    ).returning(recorded_request.c.id)
)
_AMONG = recorded_request.c.id == func.any(bindparam("ids", type_=IDENTIFIERS))
_READ = Statement(
    select(recorded_request.c.id, recorded_request.c.fingerprint, recorded_request.c.response).where(_AMONG)
)
_ANSWER = Statement(
    update(recorded_request).where(recorded_request.c.id == _GIVEN.c.id).values(response=_GIVEN.c.content)
)
_RELEASE = Statement(delete(recorded_request).where(_AMONG))


class Earlier(NamedTuple):
    """The record of an earlier request with the same id.

    Attributes:
        fingerprint: The digest of the request.
        response: Its response, serialised.
    """

    fingerprint: bytes
    response: bytes


def claim(connection: Connection, fingerprints: Mapping[str, bytes], keep_hours: int) -> dict[str, Earlier]:
    """Claim ids for the requests of this transaction.

    Returns:
        The records of earlier requests, by the ids that could not be claimed.
    """
    claimed = {identifier for (identifier,) in send_claim(connection, fingerprints, keep_hours)}
    if not (taken := [each for each in fingerprints if each not in claimed]):
        return {}
    return {row[0]: Earlier(*row[1:]) for row in connection.execute(_READ, {"ids": taken})}


def send_claim(connection: Connection, fingerprints: Mapping[str, bytes], keep_hours: int) -> Result:
    """Claim ids as `claim` does, with the statements that follow; the result has those that could be claimed."""
    given = {"ids": list(fingerprints), "contents": list(fingerprints.values()), "keep_hours": keep_hours}
    return connection.execute(_CLAIM, given)


def answer(connection: Connection, responses: Mapping[str, bytes]) -> None:
    """Record the responses of requests that claimed their ids."""
    if responses:
        connection.execute(_ANSWER, {"ids": list(responses), "contents": list(responses.values())})


def release(connection: Connection, identifiers: Collection[str]) -> None:
    """Release ids that were claimed in this transaction."""
    if identifiers:
        connection.execute(_RELEASE, {"ids": list(identifiers)})


def purge(connection: Connection, keep_hours: int) -> int:
    """Delete up to `PURGE_BATCH_SIZE` expired records, and return their number; if it is lower, none are left."""
    expired = (
        select(recorded_request.c.id)
        .where(recorded_request.c.create_time < _KEPT_SINCE)
        .limit(PURGE_BATCH_SIZE)
        .with_for_update(skip_locked=True)  # another replica is deleting them
    )
    statement = delete(recorded_request).where(recorded_request.c.id.in_(expired))
    return connection.execute(statement, {"keep_hours": keep_hours}).rowcount
