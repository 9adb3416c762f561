"""The batch method of sprockets that deletes (AIP-235): all or nothing, in a handful of statements."""

from collections.abc import Sequence

from sprocket.v1 import sprocket_pb2 as pb
from sprocket_grpc.errors import Violation
from sprocket_grpc.services.standard.dependencies import ServiceDependencies
from sprocket_grpc.services.standard.validation import ids_violations, raise_if_invalid
from sprocket_grpc.services.standard.writes import Fill, Writes, nothing_to_fill, request_id_violations
from sprocket_grpc.storage.postgres.database import Connection
from sprocket_grpc.storage.sprocket import SprocketStore


class SprocketBatches:
    """Deletes many sprockets in one call."""

    def __init__(self, store: SprocketStore, dependencies: ServiceDependencies) -> None:
        self._store = store
        self._writes: Writes = dependencies.writes

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


def _repeated(identifiers: Sequence[str]) -> list[Violation]:
    first = {identifier: index for index, identifier in reversed(list(enumerate(identifiers)))}
    return [
        Violation(f"ids[{index}]", f"is the same as ids[{first[each]}]")
        for index, each in enumerate(identifiers)
        if first[each] != index
    ]
