"""The SQL that reads the audit log, which only its triggers write."""

from sprocket_grpc.query.order import OrderTerm
from sprocket_grpc.storage.listing import ListStore
from sprocket_grpc.storage.tables import audit_entry


class AuditStore(ListStore):
    """Lists the entries, the newest first unless a query has an order."""

    def __init__(self) -> None:
        super().__init__(audit_entry, (OrderTerm("id", descending=True),))


def first_id(micros: int) -> str:
    """Return a lower bound for the ids of entries since a time, in microseconds since 1970.

    The ids contain the times of their entries (see the migration), so that the primary key serves a range of times.
    """
    milliseconds, rest = divmod(micros, 1000)
    digits = f"{milliseconds:012x}7{rest * 4096 // 1000:03x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:]}-8000-000000000000"
