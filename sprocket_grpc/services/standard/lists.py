"""The standard method List, written once, for whatever has an id (AIP-132, AIP-158, AIP-160)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Generic, Protocol, TypeVar

from sprocket_grpc.errors import InvalidArgumentError, InvalidPageTokenError
from sprocket_grpc.query.filter import parse_filter
from sprocket_grpc.query.kinds import Kind
from sprocket_grpc.query.listing import Query
from sprocket_grpc.query.order import parse_order_by
from sprocket_grpc.services.standard.dependencies import ServiceDependencies
from sprocket_grpc.services.standard.page_token import make_page_token, read_page_token
from sprocket_grpc.services.standard.requests import Items, ListRequest, ListResponse
from sprocket_grpc.services.standard.validation import not_negative, raise_if_invalid, violations
from sprocket_grpc.storage.listing import ListStore, Row
from sprocket_grpc.storage.query_sql import SortKey

_L = TypeVar("_L", bound=ListResponse)
_M = TypeVar("_M")
_M_contra = TypeVar("_M_contra", contravariant=True)


class Listable(Protocol[_M_contra]):
    """What a list has to know of what it lists."""

    @property
    def kinds(self) -> Mapping[str, Kind]:
        """The fields that it can be filtered and ordered by."""

    def assign(self, message: _M_contra, row: Row) -> None:
        """Set all fields of an empty message from a row."""


class ListMethod(Generic[_M]):
    """Lists one kind of thing."""

    def __init__(self, listed: Listable[_M], store: ListStore, dependencies: ServiceDependencies) -> None:
        self._listed = listed
        self._store = store
        self._dependencies = dependencies

    async def list(self, request: ListRequest, response: _L, items: Items[_M]) -> _L:
        """Fill a page of a list.

        Raises:
            InvalidArgumentError: The request is wrong in itself.
            InvalidPageTokenError: The page token is not one that this request was given.
        """
        read_router = self._dependencies.read_router
        query, after = await self._asked(request)
        size = min(request.page_size or self._dependencies.page_size_default, self._dependencies.page_size_maximum)
        rows = await read_router.read(self._store.page, query, after, size + 1)  # one more tells if it is the last
        for row in rows[:size]:
            self._listed.assign(items.add(), row)
        if len(rows) > size:
            key = self._store.sort_key(query, rows[size - 1])
            response.next_page_token = await make_page_token(self._dependencies.cipher, request, key)
        if request.show_total_size:
            response.total_size = await read_router.run(self._store.count, query)
        return response

    async def _asked(self, request: ListRequest) -> tuple[Query, SortKey | None]:
        """Understand what a list asks for and where it goes on, and report all that is wrong with that at once."""
        kinds = self._listed.kinds
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
            after = await read_page_token(self._dependencies.cipher, request)
        except InvalidPageTokenError as error:
            if not wrong:
                raise  # it has a reason of its own
            wrong += error.violations
        raise_if_invalid(wrong)
        return query, after
