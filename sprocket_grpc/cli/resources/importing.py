"""Writes what was read from a file, so that it can be done again without writing anything twice."""

import re
import uuid
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple, TypeAlias

import grpc
from google.protobuf.message import Message

from sprocket_grpc.cli.client.errors import explain, status_of, violations
from sprocket_grpc.cli.resources.calls import Caller
from sprocket_grpc.cli.resources.catalogue import Method, Resource
from sprocket_grpc.cli.resources.reading import Line
from sprocket_grpc.cli.resources.values import fill

# Not to be changed lightly, nor to be chosen: with other batches, a file that is imported once more is imported twice.
_BATCH = 500

_IN_FLIGHT = 8
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
    """A request_id was used for another request."""


class Refusal(NamedTuple):
    """A line that was not written.

    Attributes:
        line: The line.
        texts: What is wrong with it, each with its field.
    """

    line: Line
    texts: list[str]


@dataclass
class Outcome:
    """What became of lines.

    Attributes:
        last_line: The last of them.
        first_line: The first of them.
        created: How many were created.
        found: How many were there already.
        unclear: How many are in batches that an earlier import wrote without the lines it refused.
        refusals: The others.
    """

    first_line: int
    last_line: int
    created: int = 0
    found: int = 0
    unclear: int = 0
    refusals: list[Refusal] = field(default_factory=list)


class Plan(NamedTuple):
    """How a file is imported.

    Attributes:
        resource: What it holds.
        key: What tells this import from all others, and is the same when it is done again.
        keeps_ids: Whether ids are those of the file, and what is there already is overwritten.
        stops: Whether nothing is written from the first bad line on.
        validate_only: Whether it is only tried.
    """

    resource: Resource
    key: str
    keeps_ids: bool
    stops: bool
    validate_only: bool

    @property
    def method(self) -> Method:
        """What writes."""
        methods = self.resource.methods
        return methods["Update"] if self.keeps_ids else methods.get("BatchCreate", methods["Create"])

    @property
    def is_batched(self) -> bool:
        """Whether it writes several at once."""
        return self.method is self.resource.methods.get("BatchCreate")


class Importer:
    """Imports into one server."""

    def __init__(self, caller: Caller, plan: Plan) -> None:
        self._caller = caller
        self._plan = plan
        self._began = self._newest()

    def run(self, lines: Iterable[Line]) -> Iterator[Outcome]:
        """Write lines, and yield what became of them, in their order.

        Raises:
            ClientError: The server cannot be written to, whatever the line.
        """
        at_once = _IN_FLIGHT if not self._plan.is_batched and not self._plan.stops else 1
        ahead = 0 if self._plan.stops else at_once
        pool = ThreadPoolExecutor(at_once)
        waiting: deque[Future[Outcome]] = deque()
        try:
            for position, batch in self._batches(lines):
                waiting.append(pool.submit(self._write, position, batch))
                while len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # the end of the channel ends what is in flight

    def _batches(self, lines: Iterable[Line]) -> Iterator[tuple[int, list[Line]]]:
        size = _BATCH if self._plan.is_batched else 1
        rest, position = iter(lines), 0
        while batch := list(islice(rest, size)):
            yield position, batch
            position += len(batch)

    def _write(self, position: int, lines: list[Line]) -> Outcome:
        """Write what can be written of a batch: one request, which is the same in every import of the file."""
        outcome = Outcome(lines[0].number, lines[-1].number)
        read = [(line, *self._message(line)) for line in lines]
        outcome.refusals = [Refusal(line, wrong) for line, _, wrong in read if wrong]
        items = [(line, message) for line, message, wrong in read if not wrong]
        request_id = str(uuid.uuid5(_NAMESPACE, f"{self._plan.key}/{position}-{position + len(lines)}"))
        if outcome.refusals and self._plan.stops:
            return outcome
        try:
            self._write_good(outcome, request_id, items)
        except _ReusedError:
            # What refers to something that does not exist is only found when the id is new, or not used at all.
            items = self._good(outcome, items)
            try:
                self._write_good(outcome, request_id, items)
            except _ReusedError:
                outcome.unclear = len(items)
        outcome.refusals.sort(key=lambda each: each.line.number)
        return outcome

    def _write_good(self, outcome: Outcome, request_id: str, items: list[_Item]) -> None:
        """Write items in one request, without those that the server refuses.

        Raises:
            _ReusedError: The id was used for others.
        """
        while items:
            refused = self._try(outcome, items, request_id, validate_only=self._plan.validate_only)
            if not refused or self._plan.stops:
                return
            items = _without(items, refused)

    def _good(self, outcome: Outcome, items: list[_Item]) -> list[_Item]:
        """Return the items that the server would not refuse."""
        tried = Outcome(0, 0)
        while items and (refused := self._try(tried, items, "", validate_only=True)):
            outcome.refusals += refused
            items = _without(items, refused)
        return items

    def _try(self, outcome: Outcome, items: list[_Item], request_id: str, *, validate_only: bool) -> list[Refusal]:
        try:
            written = self._send(request_id, [message for _, message in items], validate_only=validate_only)
        except grpc.RpcError as error:
            refused = self._refused(error, items)
            outcome.refusals += refused
            return refused
        self._count(outcome, written)
        return []

    def _message(self, line: Line) -> tuple[Message, list[str]]:
        message: Any = self._plan.resource.message()
        if line.problem:
            return message, [line.problem]
        wrong = [str(each) for each in fill(message, line.values)]
        if self._plan.keeps_ids:
            message.ClearField("etag")  # of another database, or of a state that is gone
            if not message.id and not wrong:
                wrong = ["id: required with --keep-ids"]
        return message, wrong

    def _send(self, request_id: str, messages: list[Message], *, validate_only: bool) -> list[Any]:
        resource, method = self._plan.resource, self._plan.method
        request = method.request(request_id=request_id, validate_only=validate_only)
        if self._plan.is_batched:
            getattr(request, resource.items).extend(messages)
            return list(getattr(self._caller.attempt(method, request), resource.items))
        getattr(request, resource.field).CopyFrom(messages[0])
        if self._plan.keeps_ids:
            request.allow_missing = True
            request.update_mask.paths.append("*")
        return [getattr(self._caller.attempt(method, request), resource.field)]

    def _refused(self, error: grpc.RpcError, items: list[_Item]) -> list[Refusal]:
        """Say which items an error is about.

        Raises:
            ClientError: It is about none of them.
            _ReusedError: The request_id was used for others.
        """
        status = status_of(error)
        if status is None or error.code() not in _ABOUT_THE_ITEM:
            raise explain(error, self._caller.server) from error
        wrong = violations(status)
        if any(name == "request_id" for name, _ in wrong):
            raise _ReusedError
        if not self._plan.is_batched:
            return [Refusal(items[0][0], [_without_root(*each) for each in wrong] or [status.message])]
        texts = defaultdict(list)
        for name, text in wrong:
            if match := _INDEXED.fullmatch(name):
                texts[int(match[1])].append(f"{match[2]}: {text}")
        if not texts:
            raise explain(error, self._caller.server) from error
        return [Refusal(items[index][0], found) for index, found in sorted(texts.items())]

    def _count(self, outcome: Outcome, written: list[Any]) -> None:
        for each in written:
            if (each.create_time.seconds, each.create_time.nanos) > self._began:
                outcome.created += 1
            else:
                outcome.found += 1

    def _newest(self) -> tuple[int, int]:
        """Return when the newest was created that is there before: by the server's clock, unlike any time of ours."""
        resource = self._plan.resource
        for response in self._caller.pages(resource, 1, order_by="create_time desc"):
            for newest in getattr(response, resource.items):
                return newest.create_time.seconds, newest.create_time.nanos
        return (0, 0)


def _without(items: list[_Item], refused: list[Refusal]) -> list[_Item]:
    bad = {id(each.line) for each in refused}
    return [each for each in items if id(each[0]) not in bad]


def _without_root(path: str, text: str) -> str:
    """Name a field as the file does: `location.city` is `city`."""
    return f"{path.partition('.')[2] or path}: {text}"
