"""A call that once failed, as a small text file: what to send, and which status codes it may be answered with."""

from collections.abc import Sequence
from dataclasses import dataclass

from reliability.fuzz.port import Metadata

_LINE_BYTES = 50
_LONGEST = 20_000


@dataclass(frozen=True)
class Case:
    """A call and the answers that it may get.

    Attributes:
        why: What went wrong.
        path: The path of the method.
        metadata: Its metadata.
        body: The bytes of its body, with the prefix of each message.
        expect: The names of the status codes that are right, separated by spaces; empty before they are decided.
    """

    why: str
    path: str
    metadata: Metadata = ()
    body: bytes = b""
    expect: str = ""

    def text(self) -> str:
        """Return the content of its file, without credentials, and with the first 20 kB only."""
        body = self.body[:_LONGEST]
        lines = [f"why: {self.why}", f"method: {self.path}"]
        kept = [each for each in self.metadata if each[0] != "authorization"]
        lines += [f"metadata: {name}={value}" for name, value in kept if isinstance(value, str)]
        lines += [f"bytes: {name}={value.hex()}" for name, value in kept if isinstance(value, bytes)]
        lines += [f"body: {body[at : at + _LINE_BYTES].hex()}" for at in range(0, len(body), _LINE_BYTES)]
        return "\n".join([*lines, f"expect: {self.expect}", ""])


def parse(text: str) -> Case:
    """Return the case in the content of a file.

    Raises:
        ValueError: A line is missing or not as expected.
    """
    lines = [(name, value) for name, _, value in (line.partition(": ") for line in text.splitlines())]
    [why], [path], [expect] = (_values(lines, name) for name in ("why", "method", "expect"))
    texts = [(name, value) for name, _, value in (each.partition("=") for each in _values(lines, "metadata"))]
    others = [
        (name, bytes.fromhex(value)) for name, _, value in (each.partition("=") for each in _values(lines, "bytes"))
    ]
    return Case(why, path, (*texts, *others), bytes.fromhex("".join(_values(lines, "body"))), expect)


def _values(lines: Sequence[tuple[str, str]], wanted: str) -> list[str]:
    return [value for name, value in lines if name == wanted]
