"""How a write takes effect: in a transaction; once for a request_id (AIP-155); never for validate_only (AIP-163)."""

import copy
import hashlib
import uuid
from collections.abc import Callable
from typing import TypeVar

from sprocket_grpc.caller import ANONYMOUS, current_caller
from sprocket_grpc.database import Connection, Database
from sprocket_grpc.errors import RequestIdReusedError, Violation
from sprocket_grpc.services import validation
from sprocket_grpc.services.requests import Serializable, WriteRequest
from sprocket_grpc.store import recorded_request

_R = TypeVar("_R", bound=Serializable)


def is_plain(request: WriteRequest) -> bool:
    """Whether a request just takes effect, so that a single statement needs no transaction around it."""
    return not request.request_id and not request.validate_only


def request_id_violations(request: WriteRequest) -> list[Violation]:
    """Return what is wrong with a request_id."""
    return validation.id_violations("request_id", request.request_id) if request.request_id else []


class Writes:
    """Runs the work of writes in transactions.

    Work is a function that does what the request asks for, and fills its response, on a connection.
    """

    def __init__(self, database: Database, keep_hours: int) -> None:
        self._database = database
        self._keep_hours = keep_hours

    async def run(self, request: WriteRequest, response: _R, work: Callable[[Connection], None]) -> _R:
        """Do a write as its request wants it, and return the response.

        Raises:
            RequestIdReusedError: Another request had its request_id.
        """

        def effect(connection: Connection) -> None:
            if request.request_id:
                self._once(connection, request, response, work)
            else:
                work(connection)

        run = self._database.run_and_undo if request.validate_only else self._database.run_in_transaction
        await run(effect)
        return response

    def _once(
        self, connection: Connection, request: WriteRequest, response: Serializable, work: Callable[[Connection], None]
    ) -> None:
        fingerprint, record_id = _fingerprint(request), _record_id(request.request_id, current_caller().principal)
        first = recorded_request.claim(connection, record_id, fingerprint, self._keep_hours)
        if first is None:
            work(connection)
            recorded_request.answer(connection, record_id, response.SerializeToString())
        elif first[0] == fingerprint:
            response.MergeFromString(first[1])
        else:
            raise RequestIdReusedError


def _record_id(request_id: str, principal: str) -> str:
    """Return the id under which a request is recorded.

    Each caller has ids of its own: nobody gets another's response, or learns or hinders what others do, by an id of
    theirs. The two are made one UUID here, so that the table serves servers that know of no callers too.
    """
    if principal == ANONYMOUS:
        return request_id
    return str(uuid.UUID(bytes=hashlib.sha256(f"{request_id} {principal}".encode()).digest()[:16]))


def _fingerprint(request: WriteRequest) -> bytes:
    """Digest what must be the same in a repeat: the method and all fields that say what to do."""
    rest = copy.deepcopy(request)
    rest.request_id = ""
    rest.validate_only = False
    content = request.DESCRIPTOR.full_name.encode() + b"\0" + rest.SerializeToString(deterministic=True)
    return hashlib.sha256(content).digest()
