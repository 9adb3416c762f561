"""The standard methods, written once: create, get, list, update and delete of any resource (AIP-131 to 135).

Validation and the transaction are decided here. The SQL is the store's, and what differs between resources
is in their `Resource` and their store.
"""

from collections.abc import Sequence
from typing import Generic, TypeVar

from sprocket_grpc.errors import EtagMismatchError, NotFoundError
from sprocket_grpc.services.standard.dependencies import ServiceDependencies
from sprocket_grpc.services.standard.field_mask import changed_fields, mask_violations
from sprocket_grpc.services.standard.lists import ListMethod
from sprocket_grpc.services.standard.requests import (
    DeleteRequest,
    Items,
    ListRequest,
    ListResponse,
    Serializable,
    UpdateRequest,
    WriteRequest,
)
from sprocket_grpc.services.standard.resource import M, Resource
from sprocket_grpc.services.standard.validation import etag_violations, id_violations, ids_violations, raise_if_invalid
from sprocket_grpc.services.standard.writes import is_plain, request_id_violations
from sprocket_grpc.storage.listing import Row
from sprocket_grpc.storage.postgres.database import Connection
from sprocket_grpc.storage.resource import ResourceStore, Values

_R = TypeVar("_R")
_L = TypeVar("_L", bound=ListResponse)
_W = TypeVar("_W", bound=Serializable)


class StandardMethods(Generic[M]):
    """The standard methods of one resource.

    Each takes its request, the empty response, and the field of the response to fill, and returns the response,
    so that an RPC is one expression. Each raises `InvalidArgumentError` for a request that is wrong in itself,
    with all that is wrong with it, beside what it documents; and what `Database` and `Writes` raise.
    """

    def __init__(self, resource: Resource[M], store: ResourceStore, dependencies: ServiceDependencies) -> None:
        self._resource = resource
        self._store = store
        self._dependencies = dependencies
        self._database = dependencies.database
        self._lists = ListMethod(resource, store, dependencies)

    async def create(self, request: WriteRequest, message: M, response: _W, created: M) -> _W:
        """Create a resource; output-only fields of `message` are ignored.

        Raises:
            ReferenceNotFoundError: It refers to resources that do not exist.
        """
        values = self._resource.values(message, self._resource.rules)
        raise_if_invalid(self._resource.violations(values) + request_id_violations(request))
        if is_plain(request):
            self._resource.assign(created, await self._database.run(self._store.insert, values))
            return response

        def work(connection: Connection) -> None:
            self._resource.assign(created, self._store.insert_in_transaction(connection, values))

        return await self._dependencies.writes.run(request, response, work)

    async def get(self, identifier: str, response: _R, found: M) -> _R:
        """Get a resource.

        Raises:
            NotFoundError: There is none with this id.
        """
        raise_if_invalid(id_violations("id", identifier))
        self._resource.assign(found, await self._dependencies.read_router.read(self._store.get, identifier))
        return response

    async def batch_get(self, identifiers: Sequence[str], response: _R, found: Items[M]) -> _R:
        """Get several resources, in the order of their ids.

        Raises:
            NotFoundError: Some do not exist.
        """
        raise_if_invalid(ids_violations("ids", identifiers))
        for row in await self._dependencies.read_router.run(self._store.get_many, identifiers):
            self._resource.assign(found.add(), row)
        return response

    async def list(self, request: ListRequest, response: _L, items: Items[M]) -> _L:
        """Fill a page of a list.

        Raises:
            InvalidPageTokenError: The page token is not one that this request was given.
        """
        return await self._lists.list(request, response, items)

    async def update(self, request: UpdateRequest, message: M, response: _W, updated: M) -> _W:
        """Update the fields of a resource that the mask names; its id is in `message`, and its etag if it matters.

        Raises:
            NotFoundError: There is none with this id.
            EtagMismatchError: It was changed since it had the etag.
            ReferenceNotFoundError: It would refer to resources that do not exist.
        """
        changes = self._resource.values(message, changed_fields(self._resource, message, request.update_mask))
        raise_if_invalid(
            id_violations(f"{self._resource.name}.id", message.id)
            + etag_violations(f"{self._resource.name}.etag", message.etag)
            + mask_violations(self._resource, request.update_mask)
            + self._resource.violations(changes)
            + request_id_violations(request)
        )

        def work(connection: Connection) -> None:
            write = self._update_or_insert if request.allow_missing else self._update
            self._resource.assign(updated, write(connection, message, changes))

        return await self._dependencies.writes.run(request, response, work)

    async def delete(self, request: DeleteRequest, response: _W, *, force: bool = False) -> _W:
        """Delete a resource; with `force`, also all that refer to it.

        Raises:
            NotFoundError: There is none with this id.
            EtagMismatchError: It was changed since it had the etag.
            ResourceInUseError: Other resources refer to it.
        """
        raise_if_invalid(
            id_violations("id", request.id) + etag_violations("etag", request.etag) + request_id_violations(request)
        )

        def work(connection: Connection) -> None:
            try:
                self._delete(connection, request, force=force)
            except NotFoundError:
                if not request.allow_missing:
                    raise

        return await self._dependencies.writes.run(request, response, work)

    def _update(self, connection: Connection, message: M, changes: Values) -> Row:
        return self._change(connection, self._store.lock(connection, message.id), message, changes)

    def _update_or_insert(self, connection: Connection, message: M, changes: Values) -> Row:
        self._store.reserve(connection, message.id)
        try:
            stored = self._store.lock(connection, message.id)
        except NotFoundError:
            return self._insert_with_id(connection, message)
        return self._change(connection, stored, message, changes)

    def _insert_with_id(self, connection: Connection, message: M) -> Row:
        values = self._resource.values(message, self._resource.rules)
        raise_if_invalid(self._resource.violations(values))
        if message.etag:
            raise EtagMismatchError(self._resource.name, message.id)  # it names a state of something that is gone
        return self._store.insert_in_transaction(connection, values | {"id": message.id})

    def _change(self, connection: Connection, stored: Row, message: M, changes: Values) -> Row:
        self._require_etag(stored, message.etag)
        # The rules may have become stricter since it was stored: what is written keeps today's.
        raise_if_invalid(self._resource.violations(self._resource.stored(stored) | changes))
        return self._store.update(connection, stored, changes) if changes else stored

    def _delete(self, connection: Connection, request: DeleteRequest, *, force: bool) -> None:
        if request.etag:
            self._require_etag(self._store.lock(connection, request.id), request.etag)
        if force:
            self._store.delete_cascade(connection, request.id)
        else:
            self._store.delete(connection, request.id)

    def _require_etag(self, stored: Row, etag: str) -> None:
        if etag and etag != self._resource.etag(stored):
            raise EtagMismatchError(self._resource.name, stored[0])
