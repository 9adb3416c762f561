"""What a person is told when the private PostgreSQL cannot be had."""

from sprocket_grpc.errors import ExpectedError


class EmbeddedDatabaseError(ExpectedError):
    """There is no private PostgreSQL. The text says what is wrong and what to do."""
