"""The standard methods, written once: create, get, list, update and delete of any resource (AIP-131 to 135, 231, 233).

They validate requests and choose the transaction. The SQL is in the store; the differences between resources are in
their `Resource` and their store.
"""

from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from sprocket_grpc.caller import Caller, current_caller
from sprocket_grpc.errors import EtagMismatchError, NotFoundError, SprocketError
from sprocket_grpc.services.standard.batches import BatchCreateMethod
from sprocket_grpc.services.standard.dependencies import ServiceDependencies
from sprocket_grpc.services.standard.field_mask import changed_fields, mask_violations
from sprocket_grpc.services.standard.lists import ListMethod
from sprocket_grpc.services.standard.pages import fill_whole
from sprocket_grpc.services.standard.requests import (
    BatchCreateResponse,
    BatchGetRequest,
    DeleteRequest,
    GetRequest,
    ItemsResponse,
    ListRequest,
    ListResponse,
    Serializable,
    UpdateRequest,
    WriteRequest,
)
from sprocket_grpc.services.standard.resource import M, Resource
from sprocket_grpc.services.standard.validation import (
    etag_violations,
    id_violations,
    ids_violations,
    new_identifier,
    raise_if_invalid,
    violations,
)
from sprocket_grpc.services.standard.writes import (
    Fill,
    SharedWrite,
    fill_all,
    is_plain,
    nothing_to_fill,
    request_id_violations,
)
from sprocket_grpc.storage.access import is_limited, require_force
from sprocket_grpc.storage.listing import ID, Row
from sprocket_grpc.storage.postgres.database import Connection, NotTogetherError
from sprocket_grpc.storage.resource import ResourceStore, Values

_R = TypeVar("_R", bound=Serializable)
_B = TypeVar("_B", bound=ItemsResponse)
_C = TypeVar("_C", bound=BatchCreateResponse)
_L = TypeVar("_L", bound=ListResponse)
_W = TypeVar("_W", bound=Serializable)


@dataclass(eq=False)
class _Update(SharedWrite, Generic[M]):
    """An update that shares a transaction.

    Attributes:
        message: The resource of its request.
        changes: The fields to change.
        caller: Who changes it.
    """

    message: M
    changes: Values
    caller: Caller = field(default_factory=current_caller)

    @property
    def identity(self) -> Hashable:
        """Its row, which the next update finds changed."""
        return self.message.id


class StandardMethods(Generic[M]):
    """The standard methods of one resource.

    Each takes a request and its empty response, and returns the response filled, so that an RPC is one expression. A
    field that holds the resource has its name. Each raises `InvalidArgumentError` with all violations of an invalid
    request, beside what it documents; and what `Database` and `Writes` raise.
    """

    def __init__(self, resource: Resource[M], store: ResourceStore, dependencies: ServiceDependencies) -> None:
        self._resource = resource
        self._store = store
        self._dependencies = dependencies
        self._lists = ListMethod(resource, store, dependencies)
        self._batches = BatchCreateMethod(resource, store, dependencies.writes)
        self._updates = dependencies.writes.sharing(self._update_together, in_one_round=False)

    async def create(self, request: WriteRequest, response: _W) -> _W:
        """Create a resource; its output-only fields are ignored.

        Raises:
            ReferenceNotFoundError: It refers to resources that do not exist.
        """
        values = self._resource.values(self._resource.of(request), self._resource.rules)
        raise_if_invalid(self._resource.violations(values) + request_id_violations(request))
        if is_plain(request):
            row = await self._dependencies.database.run(self._store.insert, values)
            self._resource.assign(self._resource.of(response), row)
            return response
        return await self._dependencies.writes.run(request, response, self._create, response, values)

    async def get(self, request: GetRequest, response: _R) -> _R:
        """Get a resource.

        Raises:
            NotFoundError: No resource has this id.
        """
        raise_if_invalid(id_violations("id", request.id))
        row = await self._dependencies.read_router.read(self._store.get(request.id))
        self._resource.assign(self._resource.of(response), row)
        return response

    async def batch_get(self, request: BatchGetRequest, response: _B) -> _B:
        """Get several resources, in the order of their ids in the request.

        Raises:
            NotFoundError: Some do not exist.
        """
        ids = [*request.ids]  # a copy, because protobuf creates a new string at each access
        raise_if_invalid(ids_violations("ids", ids))
        rows = await self._dependencies.read_router.read(self._store.get_many(ids))
        await fill_whole(response, rows, self._resource.assign, "ids")
        return response

    async def batch_create(self, request: WriteRequest, response: _C) -> _C:
        """Create several resources, all or none, in the order of the request; their output-only fields are ignored.

        Raises:
            ReferenceNotFoundError: Some refer to resources that do not exist.
        """
        return await self._batches.batch_create(request, response)

    async def list(self, request: ListRequest, response: _L) -> _L:
        """List a page of resources.

        Raises:
            InvalidPageTokenError: The page token is not one that this request was given.
        """
        return await self._lists.list(request, response)

    async def update(self, request: UpdateRequest, response: _W) -> _W:
        """Update the fields that the mask names; with an etag, only if the resource still has it.

        Raises:
            NotFoundError: No resource has this id.
            EtagMismatchError: It was changed since it had the etag.
            ReferenceNotFoundError: It would refer to resources that do not exist.
        """
        message = self._resource.of(request)
        changes = self._resource.values(message, changed_fields(self._resource, message, request.update_mask))
        raise_if_invalid(
            id_violations(f"{self._resource.name}.id", message.id)
            + etag_violations(f"{self._resource.name}.etag", message.etag)
            + mask_violations(self._resource, request.update_mask)
            + self._resource.violations(changes)
            + request_id_violations(request)
        )
        if self._may_share(request, changes):
            with suppress(NotTogetherError):
                await self._updates.run(_Update(None, response, message, changes))
                return response
        return await self._dependencies.writes.run(request, response, self._update, request, response, changes)

    async def delete(self, request: DeleteRequest, response: _W, *, force: bool = False) -> _W:
        """Delete a resource; with `force`, also all that refer to it.

        Raises:
            NotFoundError: No resource has this id.
            EtagMismatchError: It was changed since it had the etag.
            ResourceInUseError: Other resources refer to it.
            PermissionDeniedError: The caller may not use `force`.
        """
        if force:
            require_force()
        raise_if_invalid(
            id_violations("id", request.id) + etag_violations("etag", request.etag) + request_id_violations(request)
        )
        return await self._dependencies.writes.run(request, response, self._delete, request, force=force)

    def _create(self, connection: Connection, response: Serializable, values: Values) -> Fill:
        return self._fill(response, self._store.insert_in_transaction(connection, values))

    def _update(self, connection: Connection, request: UpdateRequest, response: Serializable, changes: Values) -> Fill:
        change = self._update_or_insert if request.allow_missing else self._update_existing
        return self._fill(response, change(connection, self._resource.of(request), changes))

    def _may_share(self, request: UpdateRequest, changes: Values) -> bool:
        """Whether an update may share a transaction: it locks its own row only, which its caller may access."""
        is_simple = is_plain(request) and not request.allow_missing and not is_limited()
        return is_simple and not self._store.references_in(changes)

    def _update_together(self, connection: Connection, several: Sequence[_Update[M]]) -> Fill:
        stored = self._store.lock_free(connection, [each.message.id for each in several])
        fills = [self._update_one(connection, stored.get(each.message.id), each) for each in several]
        return lambda: fill_all(fills)

    def _update_one(self, connection: Connection, stored: Row | None, update: _Update[M]) -> Fill:
        if stored is None:  # it does not exist, or is locked
            update.error = NotTogetherError()
            return nothing_to_fill
        try:
            row = self._change(connection, stored, update.message, update.changes, update.caller)
        except SprocketError as error:
            update.error = error
            return nothing_to_fill
        return self._fill(update.response, row)

    def _fill(self, response: Serializable, row: Callable[[], Row]) -> Fill:
        return lambda: self._resource.assign(self._resource.of(response), row())

    def _update_existing(self, connection: Connection, message: M, changes: Values) -> Callable[[], Row]:
        return self._change(connection, self._store.lock(connection, message.id), message, changes)

    def _update_or_insert(self, connection: Connection, message: M, changes: Values) -> Callable[[], Row]:
        self._store.reserve(connection, message.id)
        stored = self._store.find(connection, message.id)
        if stored is None:
            return self._insert_with_id(connection, message)
        return self._change(connection, stored, message, changes)

    def _insert_with_id(self, connection: Connection, message: M) -> Callable[[], Row]:
        values = self._resource.values(message, self._resource.rules)
        prefix = f"{self._resource.name}."
        raise_if_invalid(
            violations(prefix, {"id": new_identifier}, {"id": message.id}) + self._resource.violations(values)
        )
        if message.etag:
            raise EtagMismatchError(self._resource.name, message.id)  # the etag is of a resource that was deleted
        return self._store.insert_in_transaction(connection, values | {"id": message.id})

    def _change(
        self, connection: Connection, stored: Row, message: M, changes: Values, caller: Caller | None = None
    ) -> Callable[[], Row]:
        self._require_etag(stored, message.etag)
        # The rules may be stricter now than when the row was stored: the new row must satisfy them.
        raise_if_invalid(self._resource.violations(self._resource.stored(stored) | changes))
        return self._store.update(connection, stored, changes, caller) if changes else lambda: stored

    def _delete(self, connection: Connection, request: DeleteRequest, *, force: bool) -> Fill:
        delete = self._store.delete_cascade if force else self._store.delete
        try:
            if request.etag:
                self._require_etag(self._store.lock(connection, request.id), request.etag)
            delete(connection, request.id)
        except NotFoundError:
            if not request.allow_missing:
                raise
        return nothing_to_fill

    def _require_etag(self, stored: Row, etag: str) -> None:
        if etag and etag != self._resource.etag(stored):
            raise EtagMismatchError(self._resource.name, stored[ID])
