"""What a person is told when the private PostgreSQL cannot be had."""


class EmbeddedDatabaseError(Exception):
    """There is no private PostgreSQL. The text says what is wrong and what to do."""
