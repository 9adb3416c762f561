"""How long entries of the audit log and of charts are kept, as the owner of the tables records it."""

from collections.abc import Mapping

from sqlalchemy import Connection

from sprocket_grpc.storage.tables import audit_retention, chart_retention

TABLES = {"audit_retention_days": audit_retention, "chart_retention_days": chart_retention}
"""The table that has the days of each setting."""


def record_retention(connection: Connection, days: Mapping[str, int | None]) -> None:
    """Record, as the owner, the fewest days that the server keeps entries, for each setting; None keeps all of them."""
    for setting, fewest in days.items():
        connection.execute(TABLES[setting].delete())
        if fewest is not None:
            connection.execute(TABLES[setting].insert(), {"days": fewest})
