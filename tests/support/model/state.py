"""A model of the service in plain Python: dictionaries, and the effect of each call on them."""

import copy
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from tests.support.model.rules import REFERENCES, RULES, changed_fields, invalid_fields, invalid_request_fields
from tests.support.resources import CASES, Case

ChartEntry: TypeAlias = tuple[int, int]
"""The goal and the actual of a chart entry."""

READS = {"Get", "BatchGet", "Chart"}
USERS = {
    case.name: [(user, name) for user, names in REFERENCES.items() for name, kind in names.items() if kind == case.name]
    for case in CASES
}
"""The kind of resource that refers to a resource, and its field."""


class RefusedError(Exception):
    """The call fails.

    Attributes:
        reason: The ErrorReason, without the prefix.
        named: The paths or ids that the error names.
    """

    def __init__(self, reason: str, named: Iterable[str]) -> None:
        self.reason = reason
        self.named = set(named)
        super().__init__(reason, self.named)


def refuse(reason: str, named: Iterable[str]) -> None:
    """Raise RefusedError if `named` is not empty."""
    if paths_or_ids := set(named):
        raise RefusedError(reason, paths_or_ids)


@dataclass
class Model:
    """The stored data of the service.

    The model takes ids, times and etags, which the server generates, from the actual response.

    Attributes:
        stored: The resources by the name of their case and their id.
        charts: The chart of each factory.
        answers: For each request_id, the first successful request with it, and its response.
        etags: For each id, all etags that the resource ever had.
    """

    stored: dict[str, dict[str, Any]] = field(default_factory=lambda: {case.name: {} for case in CASES})
    charts: dict[str, list[ChartEntry]] = field(default_factory=dict)
    answers: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    etags: dict[str, set[str]] = field(default_factory=dict)

    def answer(self, case: Case, verb: str, request: Any, actual: Any) -> Any:
        """Apply a request, all or nothing, and return the expected response.

        Args:
            case: The resource.
            verb: The verb of the method, such as `BatchCreate`.
            request: The request.
            actual: The actual response of the server, or an empty one if the call failed.

        Raises:
            RefusedError: The call fails.
        """
        refuse("INVALID_FIELD", invalid_request_fields(case, verb, request))
        if verb in READS:
            return _VERBS[verb](self, case, request, actual)
        after = copy.deepcopy(self)
        response = after._once(case, verb, request, actual)
        if not request.validate_only:
            vars(self).update(vars(after))
        return response

    def expire(self, most: int) -> None:
        """Let the oldest entries of each chart expire, but for the one that is in force."""
        for chart in self.charts.values():
            del chart[: min(most, len(chart) - 1)]

    def _once(self, case: Case, verb: str, request: Any, actual: Any) -> Any:
        body = copy.deepcopy(request)
        body.validate_only = False  # a dry run has the same response as the request itself
        if request.request_id in self.answers:
            first, response = self.answers[request.request_id]
            refuse("REQUEST_ID_REUSED", ["request_id"] if first != body else [])
            return response
        response = _VERBS[verb](self, case, request, actual)
        if request.request_id:
            self.answers[request.request_id] = body, copy.deepcopy(response)
        return response

    def _get(self, case: Case, request: Any, actual: Any) -> Any:
        return type(actual)(**{case.name: self._found(case, [request.id])[0]})

    def _batch_get(self, case: Case, request: Any, actual: Any) -> Any:
        return type(actual)(**{case.plural: self._found(case, request.ids)})

    def _chart(self, case: Case, request: Any, _: Any) -> list[ChartEntry]:
        self._found(case, [request.factory_id])
        return self.charts[request.factory_id]

    def _create(self, case: Case, request: Any, actual: Any) -> Any:
        message = getattr(request, case.name)
        self._require_references(case, message, REFERENCES[case.name], case.name)
        return type(actual)(**{case.name: self._insert(case, [message], [getattr(actual, case.name)])[0]})

    def _batch_create(self, case: Case, request: Any, actual: Any) -> Any:
        missing: set[str] = set()
        messages = getattr(request, case.plural)
        for index, message in enumerate(messages):
            missing |= self._missing(case, message, REFERENCES[case.name], f"{case.plural}[{index}]")
        refuse("REFERENCE_NOT_FOUND", missing)
        made = list(getattr(actual, case.plural)) or [type(message)() for message in messages]
        return type(actual)(**{case.plural: self._insert(case, messages, made)})

    def _update(self, case: Case, request: Any, actual: Any) -> Any:
        message, made = getattr(request, case.name), getattr(actual, case.name)
        if message.id in self.stored[case.name]:
            names = changed_fields(case, message, list(request.update_mask.paths))
            row = self._change(case, message, names, made)
        elif request.allow_missing:
            row = self._insert_with_id(case, message, made)
        else:
            raise RefusedError("RESOURCE_NOT_FOUND", [message.id])
        return type(actual)(**{case.name: row})

    def _change(self, case: Case, message: Any, names: Sequence[str], made: Any) -> Any:
        row = self.stored[case.name][message.id]
        _require_etag(row, message.etag)
        self._require_references(case, message, names, case.name)
        before = copy.deepcopy(row)
        for name in names:
            setattr(row, name, getattr(message, name))
        if names:  # naming a field is a change, even to the same value
            self._stamp(row, made)
        if case.name == "factory" and row.sprocket_production_goal != before.sprocket_production_goal:
            self._record(row)
        if case.name == "sprocket" and row.factory_id != before.factory_id:
            self._count({before.factory_id: -1, row.factory_id: +1})
        return row

    def _insert_with_id(self, case: Case, message: Any, made: Any) -> Any:
        refuse("INVALID_FIELD", invalid_fields(case, message, RULES[case.name], case.name))
        refuse("ETAG_MISMATCH", [message.id] if message.etag else [])
        self._require_references(case, message, REFERENCES[case.name], case.name)
        assert made.id in ("", message.id)
        return self._insert(case, [message], [made])[0]

    def _delete(self, case: Case, request: Any, actual: Any) -> Any:
        if request.id not in self.stored[case.name] and request.allow_missing:
            return actual
        _require_etag(self._found(case, [request.id])[0], request.etag)
        if not getattr(request, "force", False):
            refuse("RESOURCE_IN_USE", [request.id] if self._users(case.name, [request.id]) else [])
        self._remove(case.name, [request.id])
        return actual

    def _batch_delete(self, case: Case, request: Any, actual: Any) -> Any:
        self._found(case, request.ids)
        self._remove(case.name, request.ids)
        return actual

    def _found(self, case: Case, identifiers: Sequence[str]) -> list[Any]:
        rows = self.stored[case.name]
        refuse("RESOURCE_NOT_FOUND", [each for each in identifiers if each not in rows])
        return [rows[each] for each in identifiers]

    def _missing(self, case: Case, message: Any, names: Iterable[str], prefix: str) -> set[str]:
        kinds = {name: kind for name, kind in REFERENCES[case.name].items() if name in names}
        return {f"{prefix}.{name}" for name, kind in kinds.items() if getattr(message, name) not in self.stored[kind]}

    def _require_references(self, case: Case, message: Any, names: Iterable[str], prefix: str) -> None:
        refuse("REFERENCE_NOT_FOUND", self._missing(case, message, names, prefix))

    def _insert(self, case: Case, messages: Sequence[Any], made: Sequence[Any]) -> list[Any]:
        rows = [self._insert_one(case, *pair) for pair in zip(messages, made, strict=True)]
        if case.name == "sprocket":
            self._count(Counter(row.factory_id for row in rows))
        return rows

    def _insert_one(self, case: Case, message: Any, made: Any) -> Any:
        assert not made.id or made.id not in self.stored[case.name], "the server used an id twice"
        row = type(message)(id=made.id, create_time=made.create_time)
        for name in RULES[case.name]:
            setattr(row, name, getattr(message, name))
        self._stamp(row, made)
        assert row.update_time == row.create_time
        self.stored[case.name][row.id] = row
        if case.name == "factory":
            self._record(row)
        return row

    def _stamp(self, row: Any, made: Any) -> None:
        known = self.etags.setdefault(row.id, set())
        if made.etag:  # the actual call succeeded
            assert made.etag not in known, "a change did not change the etag"
            assert made.update_time.ToMicroseconds() > row.update_time.ToMicroseconds()
        known.add(made.etag)
        row.etag = made.etag
        row.update_time.CopyFrom(made.update_time)

    def _users(self, kind: str, identifiers: Iterable[str]) -> dict[str, list[str]]:
        """Return the ids of what refers to some resources, by kind."""
        users = {
            user: [row.id for row in self.stored[user].values() if getattr(row, name) in identifiers]
            for user, name in USERS[kind]
        }
        return {user: found for user, found in users.items() if found}

    def _remove(self, kind: str, identifiers: Sequence[str]) -> None:
        for user, users in self._users(kind, identifiers).items():
            self._remove(user, users)
        rows = [self.stored[kind].pop(each) for each in identifiers]
        if kind == "sprocket":
            self._count({key: -number for key, number in Counter(row.factory_id for row in rows).items()})
        if kind == "factory":
            for each in identifiers:
                del self.charts[each]

    def _count(self, changes: Mapping[str, int]) -> None:
        """Change the counters of factories, with one chart entry per factory for any number of sprockets."""
        for identifier, by in changes.items():
            row = self.stored["factory"][identifier]
            row.sprocket_production_actual += by
            self._record(row)

    def _record(self, row: Any) -> None:
        entry = row.sprocket_production_goal, row.sprocket_production_actual
        self.charts.setdefault(row.id, []).append(entry)


def _require_etag(row: Any, etag: str) -> None:
    refuse("ETAG_MISMATCH", [row.id] if etag not in ("", row.etag) else [])


_VERBS: Mapping[str, Callable[[Model, Case, Any, Any], Any]] = {
    "Create": Model._create,
    "Get": Model._get,
    "Update": Model._update,
    "Delete": Model._delete,
    "BatchGet": Model._batch_get,
    "BatchCreate": Model._batch_create,
    "BatchDelete": Model._batch_delete,
    "Chart": Model._chart,
}
