"""Text of others, made safe to show."""

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def printable(text: str) -> str:
    """Replace what could move the cursor, change colours or break a line."""
    return "".join(character if character.isprintable() else _REPLACEMENT for character in text)
