"""What a person is told when the private PostgreSQL cannot be had."""

from sprocket_grpc.expected_error import ExpectedError


class EmbeddedDatabaseError(ExpectedError):
    """There is no private PostgreSQL. The text says what is wrong and what to do."""
