"""Decides which outcomes are defects, and keeps the requests that led to them."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from reliability.fuzz.calls import Outcome, Request
from reliability.fuzz.case import Case
from reliability.fuzz.port import Port

_NEVER = {"UNKNOWN", "INTERNAL", "HANG", "DATA_LOSS"}
"""Status codes that no request may lead to."""

_BY_THE_TRANSPORT = re.compile(
    r"Compression bit set but no encoding|Decompression failed|Error parsing '(grpc-|content-|te)"
)
"""Errors that gRPC answers by itself, with INTERNAL, before any code of the service runs."""

INSIDES = re.compile(r"Traceback|Exception\b|[a-z]Error\b|<class |\.py\b|psycopg|sqlalchemy|SQLSTATE")
"""What no text of an error may tell: names of classes, modules and libraries."""

_TRACEBACK = re.compile(r"^( *)Traceback .*\n(?:\1[ |].*\n|\n)*\1([\w.]+)", re.MULTILINE)
"""A traceback, indented or not, and the class of what was raised."""

_LARGEST_RESPONSE = 4 << 20
_KEPT = 3


@dataclass
class Judge:
    """Counts outcomes, and collects defects.

    Attributes:
        port: What the port serves.
        codes: How often each status code was answered, by method.
        slowest: The longest call in seconds, by method.
        defects: The number of calls with a defect, by what it is and by method.
        examples: The first of those calls.
    """

    port: Port
    codes: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    slowest: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    defects: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    examples: dict[str, list[Case]] = field(default_factory=lambda: defaultdict(list))

    def judge(self, request: Request, outcome: Outcome) -> None:
        """Count an outcome, and keep the request if it is a defect."""
        is_known = request.method.path in self.port.methods
        path = request.method.path if is_known else "(unknown methods)"
        self.codes[path][outcome.code] += 1
        self.slowest[path] = max(self.slowest[path], outcome.seconds)
        if defect := _defect(outcome, is_known=is_known):
            self._keep(f"{defect}, {request.name.split()[-1]} mutated", request, outcome)

    def _keep(self, defect: str, request: Request, outcome: Outcome) -> None:
        self.defects[defect][request.method.path] += 1
        if len(self.examples[defect]) < _KEPT:
            why = f"{request.name}: {outcome.code} {outcome.details[:200]!r}"
            self.examples[defect].append(Case(why, request.method.path, request.metadata, request.whole_body, ""))

    def write(self, folder: Path) -> int:
        """Write the examples as files of the corpus, without what they should be answered, and return their number."""
        cases = [case for cases in self.examples.values() for case in cases]
        for number, case in enumerate(cases):
            (folder / f"{number}.txt").write_text(case.text())
        return len(cases)


def _defect(outcome: Outcome, *, is_known: bool) -> str:
    """Return what is wrong with an outcome; empty if nothing is."""
    if outcome.code == "INTERNAL" and _BY_THE_TRANSPORT.match(outcome.details):
        return ""
    if outcome.code in _NEVER or (is_known and outcome.code == "UNIMPLEMENTED"):
        return outcome.code
    if INSIDES.search(outcome.details):
        return f"{outcome.code} tells insides"
    if any(len(response) > _LARGEST_RESPONSE for response in outcome.responses):
        return "a response of over 4 MiB"
    return ""


def tracebacks(log: str) -> Iterator[str]:
    """Yield how many tracebacks a log has of each class of error, with the place of the first."""
    found: dict[str, list[int]] = defaultdict(list)
    for match in _TRACEBACK.finditer(log):
        found[match[2]].append(log.count("\n", 0, match.start()) + 1)
    for raised, lines in found.items():
        yield f"{len(lines)} x {raised} in the server's log, with a traceback; the first in line {lines[0]}"
    if (count := log.count("Traceback (most recent call last)")) and not found:
        yield f"{count} tracebacks in the server's log"
