"""Deletes sprockets with a group commit: those of all factories together, and what is held up or fails there alone."""

from collections.abc import Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from sprocket.v1 import sprocket_pb2 as pb
from sprocket_grpc.caller import Caller, current_caller
from sprocket_grpc.services.standard.dependencies import ServiceDependencies
from sprocket_grpc.services.standard.methods import StandardMethods
from sprocket_grpc.services.standard.validation import id_violations, raise_if_invalid
from sprocket_grpc.services.standard.writes import Fill, SharedWrite, is_plain
from sprocket_grpc.storage.access import is_limited
from sprocket_grpc.storage.postgres.database import Connection, NotTogetherError
from sprocket_grpc.storage.sprocket import SprocketStore


@dataclass(eq=False)
class _Deletion(SharedWrite):
    """A sprocket to be deleted.

    Attributes:
        id: The id of the sprocket.
        caller: Who deletes it.
    """

    id: str
    caller: Caller = field(default_factory=current_caller)

    @property
    def identity(self) -> Hashable:
        """Its row, which an update in the same transaction would miss."""
        return self.id


class SprocketDeletion:
    """Deletes one sprocket per call."""

    def __init__(
        self, store: SprocketStore, standard: StandardMethods[pb.Sprocket], dependencies: ServiceDependencies
    ) -> None:
        self._store = store
        self._standard = standard
        self._together = dependencies.writes.sharing(self._delete_together, in_one_round=True)

    async def delete(
        self, request: pb.DeleteSprocketRequest, response: pb.DeleteSprocketResponse
    ) -> pb.DeleteSprocketResponse:
        """Delete a sprocket.

        Raises:
            NotFoundError: No sprocket has this id.
            EtagMismatchError: It was changed since it had the etag.
        """
        if is_plain(request) and not request.etag and not is_limited():
            raise_if_invalid(id_violations("id", request.id))
            with suppress(NotTogetherError):
                await self._together.run(_Deletion(None, response, request.id))
                return response
        return await self._standard.delete(request, response)

    def _delete_together(self, connection: Connection, several: Sequence[_Deletion]) -> Fill:
        deleted = self._store.delete_together(connection, [(each.id, each.caller) for each in several])

        def settle() -> None:
            for deletion, is_deleted in zip(several, deleted(), strict=True):
                if not is_deleted:
                    deletion.error = NotTogetherError()

        return settle
