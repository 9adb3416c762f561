"""The standard methods, written once: create, get, list, update and delete of any resource (AIP-131 to 135).

Validation and the transaction are decided here. The SQL is the store's, and what differs between resources
is in their `Resource` and their store.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from sprocket_grpc.database import Connection, Database
from sprocket_grpc.errors import EtagMismatchError, InvalidArgumentError, InvalidPageTokenError, NotFoundError
from sprocket_grpc.query.filter import parse_filter
from sprocket_grpc.query.listing import Query
from sprocket_grpc.query.order import parse_order_by
from sprocket_grpc.services.page_token import open_page_token, seal_page_token
from sprocket_grpc.services.requests import (
    DeleteRequest,
    Items,
    ListRequest,
    ListResponse,
    Serializable,
    UpdateRequest,
    WriteRequest,
)
from sprocket_grpc.services.resource import M, Resource
from sprocket_grpc.services.sealing import Sealer
from sprocket_grpc.services.update_mask import changed_fields, mask_violations
from sprocket_grpc.services.validation import (
    etag_violations,
    id_violations,
    ids_violations,
    not_negative,
    refuse,
    violations,
)
from sprocket_grpc.services.writes import Writes, is_plain, request_id_violations
from sprocket_grpc.store.query import SortKey
from sprocket_grpc.store.resource import ResourceStore, Row, Values

_R = TypeVar("_R")
_L = TypeVar("_L", bound=ListResponse)
_W = TypeVar("_W", bound=Serializable)


@dataclass(frozen=True)
class Toolkit:
    """What the standard methods of all resources work with.

    Attributes:
        database: Where the resources are.
        writes: How writes take effect.
        sealer: What seals the place where a list goes on.
        page_size_default: How many resources a page has when the request does not say.
        page_size_maximum: How many it has at most.
    """

    database: Database
    writes: Writes
    sealer: Sealer
    page_size_default: int = 50
    page_size_maximum: int = 1000


class StandardMethods(Generic[M]):
    """The standard methods of one resource.

    Each takes its request, the empty response, and the field of the response to fill, and returns the response,
    so that an RPC is one expression. Each raises `InvalidArgumentError` for a request that is wrong in itself,
    with all that is wrong with it, beside what it documents; and what `Database` and `Writes` raise.
    """

    def __init__(self, resource: Resource[M], store: ResourceStore, toolkit: Toolkit) -> None:
        self._resource = resource
        self._store = store
        self._toolkit = toolkit
        self._database = toolkit.database

    async def create(self, request: WriteRequest, message: M, response: _W, created: M) -> _W:
        """Create a resource; output-only fields of `message` are ignored.

        Raises:
            ReferenceNotFoundError: It refers to resources that do not exist.
        """
        values = self._resource.values(message, self._resource.rules)
        refuse(self._resource.violations(values) + request_id_violations(request))
        if is_plain(request):
            self._resource.assign(created, await self._database.run(self._store.insert, values))
            return response

        def work(connection: Connection) -> None:
            self._resource.assign(created, self._store.insert_in_transaction(connection, values))

        return await self._toolkit.writes.run(request, response, work)

    async def get(self, identifier: str, response: _R, found: M) -> _R:
        """Get a resource.

        Raises:
            NotFoundError: There is none with this id.
        """
        refuse(id_violations("id", identifier))
        self._resource.assign(found, await self._database.run(self._store.get, identifier))
        return response

    async def batch_get(self, identifiers: Sequence[str], response: _R, found: Items[M]) -> _R:
        """Get several resources, in the order of their ids.

        Raises:
            NotFoundError: Some do not exist.
        """
        refuse(ids_violations("ids", identifiers))
        for row in await self._database.run(self._store.get_many, identifiers):
            self._resource.assign(found.add(), row)
        return response

    async def list(self, request: ListRequest, response: _L, items: Items[M]) -> _L:
        """Fill a page of a list.

        Raises:
            InvalidPageTokenError: The page token is not one that this request was given.
        """
        query, after = await self._asked(request)
        size = min(request.page_size or self._toolkit.page_size_default, self._toolkit.page_size_maximum)
        rows = await self._database.run(self._store.page, query, after, size + 1)  # one more tells if it is the last
        for row in rows[:size]:
            self._resource.assign(items.add(), row)
        if len(rows) > size:
            key = self._store.sort_key(query, rows[size - 1])
            response.next_page_token = await seal_page_token(self._toolkit.sealer, request, key)
        if request.show_total_size:
            response.total_size = await self._database.run(self._store.count, query)
        return response

    async def update(self, request: UpdateRequest, message: M, response: _W, updated: M) -> _W:
        """Update the fields of a resource that the mask names; its id is in `message`, and its etag if it matters.

        Raises:
            NotFoundError: There is none with this id.
            EtagMismatchError: It was changed since it had the etag.
            ReferenceNotFoundError: It would refer to resources that do not exist.
        """
        changes = self._resource.values(message, changed_fields(self._resource, message, request.update_mask))
        refuse(
            id_violations(f"{self._resource.name}.id", message.id)
            + etag_violations(f"{self._resource.name}.etag", message.etag)
            + mask_violations(self._resource, request.update_mask)
            + self._resource.violations(changes)
            + request_id_violations(request)
        )

        def work(connection: Connection) -> None:
            write = self._update_or_insert if request.allow_missing else self._update
            self._resource.assign(updated, write(connection, message, changes))

        return await self._toolkit.writes.run(request, response, work)

    async def delete(self, request: DeleteRequest, response: _W, *, force: bool = False) -> _W:
        """Delete a resource; with `force`, also all that refer to it.

        Raises:
            NotFoundError: There is none with this id.
            EtagMismatchError: It was changed since it had the etag.
            ResourceInUseError: Other resources refer to it.
        """
        refuse(id_violations("id", request.id) + etag_violations("etag", request.etag) + request_id_violations(request))

        def work(connection: Connection) -> None:
            try:
                self._delete(connection, request, force=force)
            except NotFoundError:
                if not request.allow_missing:
                    raise

        return await self._toolkit.writes.run(request, response, work)

    async def _asked(self, request: ListRequest) -> tuple[Query, SortKey | None]:
        """Understand what a list asks for and where it goes on, and report all that is wrong with that at once."""
        kinds = self._resource.kinds
        wrong = violations("", {"page_size": not_negative}, {"page_size": request.page_size})
        query, after = Query(), None
        try:
            query = replace(query, filter=parse_filter(request.filter, kinds))
        except InvalidArgumentError as error:
            wrong += error.violations
        try:
            query = replace(query, order=parse_order_by(request.order_by, kinds))
        except InvalidArgumentError as error:
            wrong += error.violations
        try:
            after = await open_page_token(self._toolkit.sealer, request)
        except InvalidPageTokenError as error:
            if not wrong:
                raise  # it has a reason of its own
            wrong += error.violations
        refuse(wrong)
        return query, after

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
        refuse(self._resource.violations(values))
        if message.etag:
            raise EtagMismatchError(self._resource.name, message.id)  # it names a state of something that is gone
        return self._store.insert_in_transaction(connection, values | {"id": message.id})

    def _change(self, connection: Connection, stored: Row, message: M, changes: Values) -> Row:
        self._require_etag(stored, message.etag)
        # The rules may have become stricter since it was stored: what is written keeps today's.
        refuse(self._resource.violations(self._resource.stored(stored) | changes))
        return self._store.update(connection, stored, changes) if changes else stored

    def _delete(self, connection: Connection, request: DeleteRequest, *, force: bool) -> None:
        if request.etag:
            self._require_etag(self._store.lock(connection, request.id), request.etag)
        if force:
            self._store.delete_with_users(connection, request.id)
        else:
            self._store.delete(connection, request.id)

    def _require_etag(self, stored: Row, etag: str) -> None:
        if etag and etag != self._resource.etag(stored):
            raise EtagMismatchError(self._resource.name, stored[0])
