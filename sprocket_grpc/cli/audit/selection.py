"""Which entries of the audit log to show."""

from typing import NamedTuple
from uuid import UUID


class Selection(NamedTuple):
    """Which entries to show.

    Attributes:
        resource: The id of the resource that was written, or None for every resource.
        principal: The caller that wrote it, or None for every caller.
        since: The earliest time, in microseconds since 1970, or None for no bound.
        limit: The largest number of entries.
    """

    resource: UUID | None
    principal: str | None
    since: int | None
    limit: int
