"""Runs writes: in a transaction, once per `request_id` (AIP-155), and rolled back for `validate_only` (AIP-163).

What a write does is a function over a connection. It returns another one, which fills the response of its request from
results: those may come with the answer to COMMIT, so that the last statement needs no round trip of its own.
"""

import hashlib
import uuid
from collections.abc import Callable, Hashable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, Concatenate, Generic, NamedTuple, ParamSpec, TypeAlias, TypeVar

from sprocket_grpc.caller import ANONYMOUS, current_caller
from sprocket_grpc.errors import RequestIdReusedError, Violation
from sprocket_grpc.services.group_commit import GroupCommit
from sprocket_grpc.services.standard import validation
from sprocket_grpc.services.standard.requests import Serializable, WriteRequest, digest
from sprocket_grpc.storage import idempotency
from sprocket_grpc.storage.postgres.database import Connection, Database, NotTogetherError

_MANY = 100
"""The length of a list from which a write is expensive: some milliseconds on a connection."""

_LARGEST_GROUP = 100
"""The most writes that share a transaction: some milliseconds."""

Fill: TypeAlias = Callable[[], None]
"""Fills the response of a request from results."""

FREE_FIELDS = ("request_id", "validate_only")
"""The fields that may differ between a request and its retry."""


def is_plain(request: WriteRequest) -> bool:
    """Whether a request has neither `request_id` nor `validate_only`: a single statement needs no transaction then."""
    return not request.request_id and not request.validate_only


def is_expensive(request: WriteRequest) -> bool:
    """Whether a request writes many rows: it deletes by force, or has a long list."""
    repeated = (getattr(request, field.name) for field in request.DESCRIPTOR.fields if field.is_repeated)
    return getattr(request, "force", False) or any(len(each) > _MANY for each in repeated)


def request_id_violations(request: WriteRequest) -> list[Violation]:
    """Return the violations of a request_id."""
    return validation.id_violations("request_id", request.request_id) if request.request_id else []


class Claim(NamedTuple):
    """The record of a request with a request_id.

    Attributes:
        record_id: The id of the record.
        fingerprint: A digest of what the request asks for.
    """

    record_id: str
    fingerprint: bytes


def claim_of(request: WriteRequest) -> Claim | None:
    """Return the record of a request of the current caller, or None if it has no request_id."""
    if not request.request_id:
        return None
    return Claim(_record_id(request.request_id, current_caller().principal), digest(request, FREE_FIELDS))


@dataclass(eq=False)
class SharedWrite:
    """A write that may share a transaction with others, and has an outcome of its own.

    Attributes:
        claim: The record of its request, if it has a request_id.
        response: Its response, filled once it is done.
        error: Why it failed, or None. A write that failed has no effect.
    """

    claim: Claim | None
    response: Serializable
    error: Exception | None = field(default=None, init=False)

    @property
    def record_id(self) -> str:
        """The id of its record; empty without a request_id."""
        return self.claim.record_id if self.claim else ""

    @property
    def identity(self) -> Hashable:
        """Its record, if it has one: a retry can only claim it once the first attempt is done."""
        return self.record_id or self


_P = ParamSpec("_P")
_R = TypeVar("_R", bound=Serializable)
_W = TypeVar("_W", bound=SharedWrite)


def nothing_to_fill() -> None:
    """Leave a response as it is."""


def fill_all(fills: Sequence[Fill]) -> None:
    """Fill several responses."""
    for fill in fills:
        fill()


class SharedWrites(Generic[_W]):
    """Runs writes of one kind, which share transactions with those of other kinds.

    Attributes:
        work: Runs some of them; see `Writes.sharing`.
        in_one_round: Whether it looks at no result.
    """

    def __init__(
        self,
        group: "GroupCommit[None, _Member]",
        work: Callable[[Connection, Sequence[_W]], Fill],
        *,
        in_one_round: bool,
    ) -> None:
        self._group = group
        self.work = work
        self.in_one_round = in_one_round

    async def run(self, write: _W) -> None:
        """Run a write with those of other callers that come while a transaction runs.

        Raises:
            NotTogetherError: It had no effect, and has to go alone: it failed, or another one did, or it is a retry.
            Exception: The error of the write.
        """
        await self._group.run(None, _Member(self, write))


class _Member(NamedTuple):
    """A write in a transaction of several kinds."""

    kind: SharedWrites[Any]
    write: SharedWrite

    @property
    def identity(self) -> Hashable:
        """That of the write."""
        return self.write.identity


class Writes:
    """Runs writes in transactions."""

    def __init__(self, database: Database, keep_hours: int) -> None:
        self._database = database
        self._keep_hours = keep_hours
        self._group: GroupCommit[None, _Member] = GroupCommit(self._run_members, largest_batch=_LARGEST_GROUP)

    async def run(
        self,
        request: WriteRequest,
        response: _R,
        work: Callable[Concatenate[Connection, _P], Fill],
        /,
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _R:
        """Run the write of one request by `work(connection, ...)`, and return its response.

        Raises:
            RequestIdReusedError: Another request had its request_id.
        """
        write = SharedWrite(claim_of(request), response)
        run = self._database.run_dry if request.validate_only else self._database.run_in_transaction
        async with self._database.lane.enter() if is_expensive(request) else nullcontext():
            fill = await run(self._run_one, write, lambda connection: work(connection, *args, **kwargs))
        fill()
        return response

    async def run_together(self, writes: Sequence[_W], work: Callable[[Connection, Sequence[_W]], None]) -> None:
        """Run several writes, no two of which have the same record.

        Args:
            writes: The writes.
            work: Runs some of them in a single statement.
        """
        if any(each.claim for each in writes):
            await self._database.run_in_transaction(self._run_several, writes, work)
        else:
            await self._database.run(work, writes)

    def sharing(self, work: Callable[[Connection, Sequence[_W]], Fill], *, in_one_round: bool) -> "SharedWrites[_W]":
        """Return what runs writes of one kind, which share transactions with those of all other kinds.

        So writes of one server do not find each other's rows locked.

        Args:
            work: Runs some writes in few round trips without waiting for locks, and sets the error of a write that
                fails or has to go alone.
            in_one_round: Whether it looks at no result, so that one round trip is enough.
        """
        return SharedWrites(self._group, work, in_one_round=in_one_round)

    async def _run_members(self, members: Sequence["_Member"]) -> Sequence[Exception | None]:
        writes = [each.write for each in members]
        has_claim = any(each.claim for each in writes)
        in_one_round = not has_claim and all(each.kind.in_one_round for each in members)
        fill = await self._database.run_together(
            lambda connection: self._run_group(connection, writes, lambda: _work_of(connection, members)),
            in_one_round=in_one_round,
        )
        fill()
        return [each.error for each in writes]

    def _run_one(self, connection: Connection, write: SharedWrite, work: Callable[[Connection], Fill]) -> Fill:
        if not self._claim(connection, [write]):
            if write.error:
                raise write.error
            return nothing_to_fill
        fill = work(connection)
        if not write.claim:
            return fill
        fill()  # before the commit, for the response is recorded
        _record(connection, [write])
        return nothing_to_fill

    def _run_several(
        self, connection: Connection, writes: Sequence[_W], work: Callable[[Connection, Sequence[_W]], None]
    ) -> None:
        if new := self._claim(connection, writes):
            work(connection, new)
            _record(connection, new)

    def _run_group(self, connection: Connection, writes: Sequence[SharedWrite], work: Callable[[], Fill]) -> Fill:
        fingerprints = dict(each.claim for each in writes if each.claim)
        if not fingerprints:
            return work()
        claimed = idempotency.send_claim(connection, fingerprints, self._keep_hours)
        fill = work()
        if len(claimed.all()) < len(fingerprints):
            raise NotTogetherError
        fill()
        _record(connection, writes)
        return nothing_to_fill

    def _claim(self, connection: Connection, writes: Sequence[_W]) -> list[_W]:
        """Return the writes that are new; the others get the outcome of the first with their request_id."""
        fingerprints = dict(each.claim for each in writes if each.claim)
        if not fingerprints:
            return [*writes]
        earlier = idempotency.claim(connection, fingerprints, self._keep_hours)
        for each in writes:
            if each.claim and each.record_id in earlier:
                _repeat(each, each.claim, earlier[each.record_id])
        return [each for each in writes if each.record_id not in earlier]


def _work_of(connection: Connection, members: Sequence[_Member]) -> Fill:
    """Run the writes of each kind, first of those that look at results, so that the others go with a later round."""
    kinds: dict[SharedWrites[Any], list[SharedWrite]] = {}
    for each in sorted(members, key=lambda each: each.kind.in_one_round):
        kinds.setdefault(each.kind, []).append(each.write)
    fills = [kind.work(connection, writes) for kind, writes in kinds.items()]
    return lambda: fill_all(fills)


def _record(connection: Connection, writes: Sequence[SharedWrite]) -> None:
    """Record the responses of new writes, so that retries get them; a write that failed leaves no record."""
    claimed = [each for each in writes if each.claim]
    idempotency.release(connection, [each.record_id for each in claimed if each.error])
    responses = {each.record_id: each.response.SerializeToString() for each in claimed if not each.error}
    idempotency.answer(connection, responses)


def _repeat(write: SharedWrite, claim: Claim, earlier: idempotency.Earlier) -> None:
    if claim.fingerprint == earlier.fingerprint:
        write.response.MergeFromString(earlier.response)
    else:
        write.error = RequestIdReusedError()


def _record_id(request_id: str, principal: str) -> str:
    """Return the id under which a request is recorded.

    Each principal has its own request ids: a request id of another principal reveals and blocks nothing. Both are
    hashed into one UUID, so that servers without authentication use the same table.
    """
    if principal == ANONYMOUS:
        return request_id
    return str(uuid.UUID(bytes=hashlib.sha256(f"{request_id} {principal}".encode()).digest()[:16]))
