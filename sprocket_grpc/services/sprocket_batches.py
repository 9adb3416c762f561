"""The batch methods of sprockets that write (AIP-233, AIP-235): all or nothing, in a handful of statements."""

from collections.abc import Sequence

from sprocket.v1 import sprocket_pb2 as pb
from sprocket_grpc.errors import Violation
from sprocket_grpc.services.standard.dependencies import ServiceDependencies
from sprocket_grpc.services.standard.pages import fill_whole
from sprocket_grpc.services.standard.resource import Resource
from sprocket_grpc.services.standard.validation import batch_violations, ids_violations, raise_if_invalid, violations
from sprocket_grpc.services.standard.writes import Fill, Writes, nothing_to_fill, request_id_violations
from sprocket_grpc.storage.postgres.database import Connection
from sprocket_grpc.storage.resource import Values
from sprocket_grpc.storage.sprocket import SprocketStore


class SprocketBatches:
    """Creates and deletes many sprockets in one call."""

    def __init__(
        self, resource: Resource[pb.Sprocket], store: SprocketStore, dependencies: ServiceDependencies
    ) -> None:
        self._resource = resource
        self._store = store
        self._writes: Writes = dependencies.writes

    async def create(
        self, request: pb.BatchCreateSprocketsRequest, response: pb.BatchCreateSprocketsResponse
    ) -> pb.BatchCreateSprocketsResponse:
        """Create sprockets, and fill the response with them in the order of the request.

        Raises:
            ReferenceNotFoundError: Some refer to resources that do not exist.
        """
        several = [self._resource.values(each, self._resource.rules) for each in request.sprockets]
        wrong = batch_violations("sprockets", several) or self._violations(several)
        raise_if_invalid(wrong + request_id_violations(request))

        def work(connection: Connection) -> Fill:
            created = self._store.insert_many(connection, several)
            fill_whole(response, created, self._resource.assign, "sprockets")  # before the commit: it may be too large
            return nothing_to_fill

        return await self._writes.run(request, response, work)

    async def delete(
        self, request: pb.BatchDeleteSprocketsRequest, response: pb.BatchDeleteSprocketsResponse
    ) -> pb.BatchDeleteSprocketsResponse:
        """Delete sprockets.

        Raises:
            NotFoundError: Some do not exist.
        """
        raise_if_invalid(ids_violations("ids", request.ids) + _repeated(request.ids) + request_id_violations(request))

        def work(connection: Connection) -> Fill:
            self._store.delete_many(connection, request.ids)
            return nothing_to_fill

        return await self._writes.run(request, response, work)

    def _violations(self, several: Sequence[Values]) -> list[Violation]:
        indexed = enumerate(several)
        return [
            wrong for index, each in indexed for wrong in violations(f"sprockets[{index}].", self._resource.rules, each)
        ]


def _repeated(identifiers: Sequence[str]) -> list[Violation]:
    first = {identifier: index for index, identifier in reversed(list(enumerate(identifiers)))}
    return [
        Violation(f"ids[{index}]", f"is the same as ids[{first[each]}]")
        for index, each in enumerate(identifiers)
        if first[each] != index
    ]
