"""Creates sprockets with a group commit: those of all factories together, of a factory that is held up by itself.

A create locks the row of its factory. Together they wait for no lock: what another transaction has locked, and what is
wrong, goes on alone, with others of its factory, so that it costs the others nothing.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from sprocket.v1 import sprocket_pb2 as pb
from sprocket_grpc.caller import Caller, current_caller
from sprocket_grpc.errors import SprocketError
from sprocket_grpc.services.group_commit import GroupCommit
from sprocket_grpc.services.standard.dependencies import ServiceDependencies
from sprocket_grpc.services.standard.methods import StandardMethods
from sprocket_grpc.services.standard.resource import Resource
from sprocket_grpc.services.standard.validation import raise_if_invalid
from sprocket_grpc.services.standard.writes import Fill, SharedWrite, claim_of, request_id_violations
from sprocket_grpc.storage.access import require_factories
from sprocket_grpc.storage.listing import Row
from sprocket_grpc.storage.postgres.database import Connection, NotTogetherError
from sprocket_grpc.storage.resource import Values
from sprocket_grpc.storage.sprocket import SprocketStore


@dataclass(eq=False)
class _Creation(SharedWrite):
    """A sprocket to be created.

    Attributes:
        response: What to fill with it.
        values: Its fields.
        caller: Who creates it.
    """

    response: pb.CreateSprocketResponse
    values: Values
    caller: Caller = field(default_factory=current_caller)


class SprocketCreation:
    """Creates one sprocket per call."""

    def __init__(
        self,
        resource: Resource[pb.Sprocket],
        store: SprocketStore,
        standard: StandardMethods[pb.Sprocket],
        dependencies: ServiceDependencies,
    ) -> None:
        self._resource = resource
        self._store = store
        self._standard = standard
        self._database = dependencies.database
        self._writes = dependencies.writes
        self._together = dependencies.writes.sharing(self._insert_together, in_one_round=True)
        self._factories: GroupCommit[str, _Creation] = GroupCommit(self._create, largest_batch=500)

    async def create(
        self, request: pb.CreateSprocketRequest, response: pb.CreateSprocketResponse
    ) -> pb.CreateSprocketResponse:
        """Create a sprocket, and fill the response with it.

        Raises:
            OutOfReachError: The caller may not access its factory.
            ReferenceNotFoundError: It refers to resources that do not exist.
        """
        if request.validate_only:  # a dry run shares no commit
            return await self._standard.create(request, response)
        values = self._resource.values(request.sprocket, self._resource.rules)
        raise_if_invalid(self._resource.violations(values) + request_id_violations(request))
        require_factories([values["factory_id"]])  # here: other callers share the commit
        await self._run(values["factory_id"], _Creation(claim_of(request), response, values))
        return response

    async def _run(self, factory_id: str, creation: _Creation) -> None:
        """Create a sprocket with those of all factories, unless its own is held up; what fails there is tried alone."""
        if not self._factories.is_busy(factory_id):
            with suppress(NotTogetherError):
                await self._together.run(creation)
                return
        creation.error = None
        creation.response.Clear()
        await self._factories.run(factory_id, creation)

    def _insert_together(self, connection: Connection, several: Sequence[_Creation]) -> Fill:
        rows = self._store.insert_together(connection, [(each.values, each.caller) for each in several])
        return lambda: self._settle(several, rows())

    def _settle(self, several: Sequence[_Creation], rows: Sequence[Row | None]) -> None:
        for creation, row in zip(several, rows, strict=True):
            if row is None:
                creation.error = NotTogetherError()
            else:
                self._resource.assign(creation.response.sprocket, row)

    async def _create(self, several: Sequence[_Creation]) -> Sequence[Exception | None]:
        first, *others = several
        if others or first.claim:
            await self._writes.run_together(several, self._insert_each)
        else:  # the usual case, for which a simpler statement is faster
            row = await self._database.run(self._store.insert, first.values)
            self._resource.assign(first.response.sprocket, row)
        return [each.error for each in several]

    def _insert_each(self, connection: Connection, several: Sequence[_Creation]) -> None:
        results = self._store.insert_each(connection, [(each.values, each.caller) for each in several])
        for creation, result in zip(several, results, strict=True):
            if isinstance(result, SprocketError):
                creation.error = result
            else:
                self._resource.assign(creation.response.sprocket, result)
