"""Writes a batch of the lines of a file, each line once, however often the file is imported."""

import re
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import grpc
from google.protobuf.message import Message

from sprocket.client import ServiceError
from sprocket_grpc.cli.client.errors import explain
from sprocket_grpc.cli.resources.calls import Caller
from sprocket_grpc.cli.resources.catalogue import Method, Resource
from sprocket_grpc.cli.resources.reading import Line
from sprocket_grpc.cli.resources.values import fill

_NAMESPACE = uuid.UUID("6f0a4c55-2d0f-4b0c-9b6e-8f2f3a6f7c11")
_INDEXED = re.compile(r"\w+\[(\d+)\]\.?(.*)")
_ABOUT_THE_ITEM = {
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
}

_Item: TypeAlias = tuple[Line, Message]


class _ReusedError(Exception):
    """The request_id has been used for a different request."""


class Batch(NamedTuple):
    """Lines that are written in one request.

    Attributes:
        position: The number of resources before them in the file.
        lines: The lines, at least one.
    """

    position: int
    lines: list[Line]


class Refusal(NamedTuple):
    """A line that was refused, here or by the server.

    Attributes:
        line: The line.
        texts: Its violations, as `field: description`.
    """

    line: Line
    texts: list[str]


@dataclass
class Outcome:
    """The outcome of a batch of lines.

    Attributes:
        first_line: The number of the first line.
        last_line: The number of the last line.
        created: The number of resources that were created.
        found: The number of resources that existed already.
        unclear: The number of lines in a batch that an earlier import wrote without the lines it refused.
        refusals: The refused lines.
    """

    first_line: int
    last_line: int
    created: int = 0
    found: int = 0
    unclear: int = 0
    refusals: list[Refusal] = field(default_factory=list)

    @property
    def is_written(self) -> bool:
        """Whether lines of it are written."""
        return bool(self.created or self.found or self.unclear)


class Plan(NamedTuple):
    """How a file is imported.

    Attributes:
        resource: The kind of resource in the file.
        key: Identifies this import. A repeated import has the same key, and so the same request_ids.
        keeps_ids: Whether ids are taken from the file, and existing resources are overwritten.
        stops: Whether the import stops at the first refused line.
        validate_only: Whether it is a dry run.
    """

    resource: Resource
    key: str
    keeps_ids: bool
    stops: bool
    validate_only: bool

    @property
    def method(self) -> Method:
        """The method that writes a batch."""
        return self.resource.methods["Update" if self.keeps_ids else "BatchCreate"]

    @property
    def is_batched(self) -> bool:
        """Whether the method writes several resources at once."""
        return not self.keeps_ids


class BatchWriter:
    """Writes batches of lines to one server."""

    def __init__(self, caller: Caller, plan: Plan) -> None:
        self._caller = caller
        self._plan = plan
        self._newest = _latest_create_time(caller, plan.resource)  # before this import

    def write(self, batch: Batch, *, isolates: bool) -> Outcome:
        """Write a batch in one request, which is the same in every import of the file.

        Args:
            batch: The batch.
            isolates: Whether to write the rest of a batch that has refused lines.

        Raises:
            ClientError: A call failed for a reason that is not in the lines.
        """
        position, lines = batch
        outcome = Outcome(lines[0].number, lines[-1].number)
        converted = [(line, *self._message(line)) for line in lines]
        outcome.refusals = [Refusal(line, problems) for line, _, problems in converted if problems]
        items = [(line, message) for line, message, problems in converted if not problems]
        request_id = str(uuid.uuid5(_NAMESPACE, f"{self._plan.key}/{position}-{position + len(lines)}"))
        if outcome.refusals and not isolates:
            return outcome
        try:
            self._write_good(outcome, request_id, items, isolates=isolates)
        except _ReusedError:
            self._find_good(outcome, request_id, items)
        outcome.refusals.sort(key=lambda each: each.line.number)
        return outcome

    def _write_good(self, outcome: Outcome, request_id: str, items: list[_Item], *, isolates: bool) -> None:
        """Write items in one request, perhaps leaving out those that the server refuses.

        Raises:
            _ReusedError: The request_id has been used for other items.
        """
        while items:
            refused = self._try(outcome, items, request_id, validate_only=self._plan.validate_only)
            if not refused or not isolates:
                return
            items = _without(items, refused)

    def _find_good(self, outcome: Outcome, request_id: str, items: list[_Item]) -> None:
        """Find the items that an earlier import wrote when it left refused ones out.

        Dry runs without the request_id find those again, unless they have become valid.
        """
        items = self._valid(outcome, items)
        try:
            self._write_good(outcome, request_id, items, isolates=True)
        except _ReusedError:
            outcome.unclear = len(items)

    def _valid(self, outcome: Outcome, items: list[_Item]) -> list[_Item]:
        """Return the items that the server accepts in a dry run, and add the others to the refusals."""
        dry_run = Outcome(0, 0)
        while items and (refused := self._try(dry_run, items, "", validate_only=True)):
            outcome.refusals += refused
            items = _without(items, refused)
        return items

    def _try(self, outcome: Outcome, items: list[_Item], request_id: str, *, validate_only: bool) -> list[Refusal]:
        try:
            written = self._send(request_id, [message for _, message in items], validate_only=validate_only)
        except ServiceError as error:
            refused = self._refused(error, items)
            outcome.refusals += refused
            return refused
        self._count(outcome, written)
        return []

    def _message(self, line: Line) -> tuple[Message, list[str]]:
        message: Any = self._plan.resource.message()
        if line.problem:
            return message, [line.problem]
        problems = [str(each) for each in fill(message, line.values)]
        if self._plan.keeps_ids:
            message.ClearField("etag")  # the etag of another database, or of an older state
            if not message.id and not problems:
                problems = ["id: required with --keep-ids"]
        return message, problems

    def _send(self, request_id: str, messages: list[Message], *, validate_only: bool) -> list[Any]:
        resource, method = self._plan.resource, self._plan.method
        request = method.request(request_id=request_id, validate_only=validate_only)
        if self._plan.is_batched:
            getattr(request, resource.items).extend(messages)
            return list(getattr(self._caller.attempt(method, request), resource.items))
        getattr(request, resource.field).CopyFrom(messages[0])
        request.allow_missing = True
        request.update_mask.paths.append("*")
        return [getattr(self._caller.attempt(method, request), resource.field)]

    def _refused(self, error: ServiceError, items: list[_Item]) -> list[Refusal]:
        """Return the items that an error is about.

        Raises:
            ClientError: The error is not about any item.
            _ReusedError: The request_id has been used for other items.
        """
        found = error.violations
        if error.code not in _ABOUT_THE_ITEM or not (error.reason or found):
            raise explain(error, self._caller.server) from error
        if any(path == "request_id" for path, _ in found):
            raise _ReusedError
        if not self._plan.is_batched:
            return [Refusal(items[0][0], [_without_root(*each) for each in found] or [error.message])]
        texts = defaultdict(list)
        for path, text in found:
            if match := _INDEXED.fullmatch(path):
                texts[int(match[1])].append(f"{match[2]}: {text}")
        if not texts:
            raise explain(error, self._caller.server) from error
        return [Refusal(items[index][0], of_item) for index, of_item in sorted(texts.items())]

    def _count(self, outcome: Outcome, written: list[Any]) -> None:
        for each in written:
            if (each.create_time.seconds, each.create_time.nanos) > self._newest:
                outcome.created += 1
            else:
                outcome.found += 1


def _without(items: list[_Item], refused: list[Refusal]) -> list[_Item]:
    lines = {id(each.line) for each in refused}
    return [each for each in items if id(each[0]) not in lines]


def _without_root(path: str, text: str) -> str:
    """Return a violation with the field name of the file: `city` for `location.city`."""
    return f"{path.partition('.')[2] or path}: {text}"


def _latest_create_time(caller: Caller, resource: Resource) -> tuple[int, int]:
    """Return the latest create_time. It is by the server's clock, which may differ from ours."""
    for response in caller.pages(resource, 1, order_by="create_time desc"):
        for newest in getattr(response, resource.items):
            return newest.create_time.seconds, newest.create_time.nanos
    return (0, 0)
