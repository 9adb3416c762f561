"""How writes take effect: in a transaction; once for a request_id (AIP-155); never for validate_only (AIP-163)."""

import copy
import hashlib
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from sprocket_grpc.caller import ANONYMOUS, current_caller
from sprocket_grpc.errors import RequestIdReusedError, SprocketError, Violation
from sprocket_grpc.services.standard import validation
from sprocket_grpc.services.standard.requests import Serializable, WriteRequest
from sprocket_grpc.storage import idempotency
from sprocket_grpc.storage.postgres.database import Connection, Database


def is_plain(request: WriteRequest) -> bool:
    """Whether a request just takes effect, so that a single statement needs no transaction around it."""
    return not request.request_id and not request.validate_only


def request_id_violations(request: WriteRequest) -> list[Violation]:
    """Return what is wrong with a request_id."""
    return validation.id_violations("request_id", request.request_id) if request.request_id else []


class Claim(NamedTuple):
    """What a request with a request_id is recorded as.

    Attributes:
        record_id: The id of the record.
        fingerprint: A digest of what the request asks for.
    """

    record_id: str
    fingerprint: bytes


def claim_of(request: WriteRequest) -> Claim | None:
    """Return what a request of the present caller is recorded as, or None if it has no request_id."""
    if not request.request_id:
        return None
    return Claim(_record_id(request.request_id, current_caller().principal), _fingerprint(request))


@dataclass(eq=False)
class SharedWrite:
    """A write that may share a transaction with others, and succeeds or fails for itself.

    Attributes:
        claim: What its request is recorded as, if it is.
        response: What it is answered, once it is done.
        error: Why it failed, if it did. It leaves no trace then.
    """

    claim: Claim | None
    response: Serializable
    error: SprocketError | None = field(default=None, init=False)

    @property
    def record_id(self) -> str:
        """The id of its record, or an empty text if it has none."""
        return self.claim.record_id if self.claim else ""


_R = TypeVar("_R", bound=Serializable)
_W = TypeVar("_W", bound=SharedWrite)


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
        write = SharedWrite(claim_of(request), response)

        def effect(connection: Connection) -> None:
            if write.claim:
                self._once(connection, [write], lambda connection, _: work(connection))
            else:
                work(connection)
            if write.error:
                raise write.error

        run = self._database.run_dry if request.validate_only else self._database.run_in_transaction
        await run(effect)
        return response

    async def run_together(self, writes: Sequence[_W], work: Callable[[Connection, Sequence[_W]], None]) -> None:
        """Do several writes, no two of which have the same record.

        Args:
            writes: The writes.
            work: Does some of them in a single statement.
        """
        if any(each.claim for each in writes):
            await self._database.run_in_transaction(self._once, writes, work)
        else:
            await self._database.run(work, writes)

    def _once(
        self, connection: Connection, writes: Sequence[_W], work: Callable[[Connection, Sequence[_W]], None]
    ) -> None:
        """Do those writes that were not done before, and answer the others as then."""
        fingerprints = dict(each.claim for each in writes if each.claim)
        earlier = idempotency.claim(connection, fingerprints, self._keep_hours)
        new = [each for each in writes if each.record_id not in earlier]
        if new:
            work(connection, new)
        idempotency.release(connection, [each.record_id for each in new if each.claim and each.error])
        done = [each for each in new if each.claim and not each.error]
        idempotency.answer(connection, {each.record_id: each.response.SerializeToString() for each in done})
        for each in writes:
            if each.claim and each.record_id in earlier:
                _repeat(each, each.claim, earlier[each.record_id])


def _repeat(write: SharedWrite, claim: Claim, earlier: idempotency.Earlier) -> None:
    if claim.fingerprint == earlier.fingerprint:
        write.response.MergeFromString(earlier.response)
    else:
        write.error = RequestIdReusedError()


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
