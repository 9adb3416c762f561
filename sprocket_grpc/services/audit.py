"""AuditService."""

from sprocket.v1 import audit_pb2 as pb
from sprocket.v1.audit_pb2_grpc import AuditServiceServicer
from sprocket_grpc.services import Context
from sprocket_grpc.services.audit_entry import AuditEntries
from sprocket_grpc.services.standard.dependencies import ServiceDependencies
from sprocket_grpc.services.standard.lists import ListMethod
from sprocket_grpc.storage.audit import AuditStore

_STORE = AuditStore()
"""Its statements are compiled once for all servers of the process."""


class AuditService(AuditServiceServicer):
    """The RPC of the audit log; `audit.proto` documents it."""

    def __init__(self, dependencies: ServiceDependencies) -> None:
        self._lists = ListMethod(AuditEntries(), _STORE, dependencies)

    async def ListAuditEntries(
        self, request: pb.ListAuditEntriesRequest, context: Context
    ) -> pb.ListAuditEntriesResponse:
        return await self._lists.list(request, pb.ListAuditEntriesResponse())
