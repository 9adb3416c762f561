"""Filters (AIP-160) that commands send."""


def quoted(text: str) -> str:
    """Return a text as a value of a filter that matches exactly this text, wildcards included."""
    return '"' + "".join(f"\\{character}" if character in "\"'\\*" else character for character in text) + '"'
