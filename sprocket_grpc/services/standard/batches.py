"""The standard method BatchCreate, written once for all resources (AIP-233): all or nothing, in a few statements."""

from collections.abc import Sequence
from typing import Generic, TypeVar

from sprocket_grpc.errors import Violation
from sprocket_grpc.services.standard.pages import fill_whole_at_once
from sprocket_grpc.services.standard.requests import BatchCreateResponse, WriteRequest, field_of_items, items_of
from sprocket_grpc.services.standard.resource import M, Resource
from sprocket_grpc.services.standard.validation import batch_violations, raise_if_invalid, violations
from sprocket_grpc.services.standard.writes import Fill, Writes, nothing_to_fill, request_id_violations
from sprocket_grpc.storage.postgres.database import Connection
from sprocket_grpc.storage.resource import ResourceStore, Values

_B = TypeVar("_B", bound=BatchCreateResponse)


class BatchCreateMethod(Generic[M]):
    """Creates many resources of one kind."""

    def __init__(self, resource: Resource[M], store: ResourceStore, writes: Writes) -> None:
        self._resource = resource
        self._store = store
        self._writes = writes

    async def batch_create(self, request: WriteRequest, response: _B) -> _B:
        """Create resources, and fill the response with them in the order of the request.

        Raises:
            InvalidArgumentError: The request is wrong in itself. It names all violations, each with its index.
            OutOfReachError: The caller may not access the factories of some.
            ReferenceNotFoundError: Some refer to resources that do not exist.
        """
        field = field_of_items(request)
        several = [self._resource.values(each, self._resource.rules) for each in items_of(request)]
        wrong = batch_violations(field, several) or self._violations(field, several)
        raise_if_invalid(wrong + request_id_violations(request))
        return await self._writes.run(request, response, self._create, response, several, field)

    def _create(
        self, connection: Connection, response: BatchCreateResponse, several: Sequence[Values], field: str
    ) -> Fill:
        created = self._store.insert_many(connection, several, field)
        fill_whole_at_once(response, created, self._resource.assign, field)  # before the commit: it may be too large
        return nothing_to_fill

    def _violations(self, field: str, several: Sequence[Values]) -> list[Violation]:
        rules = self._resource.rules
        found = (violations(f"{field}[{index}].", rules, each) for index, each in enumerate(several))
        return [wrong for of_one in found for wrong in of_one]
