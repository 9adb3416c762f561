"""The error of the embedded PostgreSQL, in a module of its own that every other module here may import."""

from sprocket_grpc.errors import ExpectedError


class EmbeddedDatabaseError(ExpectedError):
    """The embedded PostgreSQL cannot be started. The text says why, and what to do."""
