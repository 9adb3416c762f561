"""What the errors have in common that a person can do something about."""


class ExpectedError(Exception):
    """Ends a command with status 1, and its text says what to do."""
