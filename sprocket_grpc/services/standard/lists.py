"""The standard method List, written once, for every table that has an id (AIP-132, AIP-158, AIP-160)."""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache, partial
from typing import Generic, Protocol, TypeVar

from sprocket_grpc.errors import InvalidPageTokenError
from sprocket_grpc.query.filter import parse_filter
from sprocket_grpc.query.listing import Query
from sprocket_grpc.query.order import parse_order_by
from sprocket_grpc.query.values import Kind
from sprocket_grpc.services.standard.dependencies import ServiceDependencies
from sprocket_grpc.services.standard.page_token import PageTokens
from sprocket_grpc.services.standard.pages import fill
from sprocket_grpc.services.standard.requests import ListRequest, ListResponse
from sprocket_grpc.services.standard.validation import collecting, not_negative, raise_if_invalid, violations
from sprocket_grpc.storage.listing import ListStore, Row
from sprocket_grpc.storage.query_sql import SortKey

_MOST_FILTERS = 300
"""The filters that are kept parsed, for each kind of thing. The longest take 30 kB, and most 1 kB."""

_L = TypeVar("_L", bound=ListResponse)
_M = TypeVar("_M")
_M_contra = TypeVar("_M_contra", contravariant=True)


class Listable(Protocol[_M_contra]):
    """The description of rows that can be listed."""

    @property
    def kinds(self) -> Mapping[str, Kind]:
        """The fields that it can be filtered and ordered by."""

    def assign(self, message: _M_contra, row: Row) -> None:
        """Set all fields of an empty message from a row."""


class ListMethod(Generic[_M]):
    """Lists one kind of thing."""

    def __init__(self, listable: Listable[_M], store: ListStore, dependencies: ServiceDependencies) -> None:
        self._listable = listable
        self._store = store
        self._dependencies = dependencies
        self._filter_of = lru_cache(_MOST_FILTERS)(partial(parse_filter, kinds=listable.kinds))

    async def list(self, request: ListRequest, response: _L) -> _L:
        """Fill a page of a list.

        Raises:
            InvalidArgumentError: The request is wrong in itself.
            InvalidPageTokenError: The page token is not one that this request was given.
        """
        tokens = PageTokens(self._dependencies.cipher, request)
        query, after = await self._parse(request, tokens)
        size = min(request.page_size or self._dependencies.page_size_default, self._dependencies.page_size_maximum)
        session = self._dependencies.read_router.begin()
        rows = await session.read(self._store.page(query, after, size + 1))  # one more tells if it is the last
        number = await fill(response, rows[:size], self._listable.assign)
        if number < len(rows):
            response.next_page_token = await tokens.next(self._store.sort_key(query, rows[number - 1]))
        if request.show_total_size:
            response.total_size = await session.read(self._store.count(query))
        return response

    async def _parse(self, request: ListRequest, tokens: PageTokens) -> tuple[Query, SortKey | None]:
        """Return what a request asks for, and the row after which it continues.

        Raises:
            InvalidArgumentError: The request is wrong in itself. It names all violations at once.
        """
        query, after = Query(), None
        found = violations("", {"page_size": not_negative}, {"page_size": request.page_size})
        with collecting(found):
            query = replace(query, filter=self._filter_of(request.filter))
        with collecting(found):
            query = replace(query, order=parse_order_by(request.order_by, self._listable.kinds))
        try:
            after = await tokens.read()
        except InvalidPageTokenError as error:
            if not found:
                raise  # it has a reason of its own
            found += error.violations
        raise_if_invalid(found)
        return query, after
