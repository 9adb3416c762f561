"""The SQL of requests with a request_id: what they were answered is kept with what they did."""

from sqlalchemy import Connection, bindparam, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from sprocket_grpc.models import recorded_request

MOST_FORGOTTEN_AT_ONCE = 1000
"""So that no transaction of the clean-up is long."""

_KEPT_SINCE = func.now() - func.make_interval(0, 0, 0, 0, bindparam("keep_hours"))
_NEW = insert(recorded_request).values(
    id=bindparam("request_id"), fingerprint=bindparam("new_fingerprint"), response=b""
)
# It waits for a transaction that claims the same id just now. An expired one counts as absent.
_CLAIM = _NEW.on_conflict_do_update(
    index_elements=[recorded_request.c.id],
    set_={"fingerprint": _NEW.excluded.fingerprint, "response": b"", "create_time": func.now()},
    where=recorded_request.c.create_time < _KEPT_SINCE,
).returning(recorded_request.c.id)
_READ = select(recorded_request.c.fingerprint, recorded_request.c.response).where(
    recorded_request.c.id == bindparam("request_id")
)
_ANSWER = (
    update(recorded_request)
    .where(recorded_request.c.id == bindparam("request_id"))
    .values(response=bindparam("new_response"))
)


def claim(connection: Connection, request_id: str, fingerprint: bytes, keep_hours: int) -> tuple[bytes, bytes] | None:
    """Take a request_id for a request that is to be done in this transaction.

    Returns:
        None if it is ours now, or else the fingerprint and the response of the request that had it first.
    """
    keys = {"request_id": request_id, "new_fingerprint": fingerprint, "keep_hours": keep_hours}
    if connection.execute(_CLAIM, keys).first() is not None:
        return None
    first = connection.execute(_READ, {"request_id": request_id}).one()
    return first.fingerprint, first.response


def answer(connection: Connection, request_id: str, response: bytes) -> None:
    """Keep the response of the request that claimed the id."""
    connection.execute(_ANSWER, {"request_id": request_id, "new_response": response})


def forget(connection: Connection, keep_hours: int) -> int:
    """Delete some of the expired ones, and return how many; fewer than `MOST_FORGOTTEN_AT_ONCE` were the last."""
    expired = (
        select(recorded_request.c.id)
        .where(recorded_request.c.create_time < _KEPT_SINCE)
        .limit(MOST_FORGOTTEN_AT_ONCE)
        .with_for_update(skip_locked=True)  # another replica is at them
    )
    statement = delete(recorded_request).where(recorded_request.c.id.in_(expired))
    return connection.execute(statement, {"keep_hours": keep_hours}).rowcount
