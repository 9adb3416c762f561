"""Random sequences of all RPCs: the service and a model in plain Python must give the same results."""

import asyncio
import copy
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, NamedTuple, TypeVar

import grpc
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from sprocket.v1.factory_pb2 import GetFactoryChartRequest
from tests.support.books import query, read_books
from tests.support.model import requests
from tests.support.model.lists import Filter, invalid_list_fields, page
from tests.support.model.remote import Ended, Remote, remote
from tests.support.model.state import READS, ChartEntry, Model, RefusedError, refuse
from tests.support.resources import (
    CASES,
    FACTORY,
    LOCATION,
    SPROCKET,
    SPROCKET_TYPE,
    Case,
    location,
    sprocket_type,
)
from tests.support.service import Service

pytestmark = pytest.mark.slow

T = TypeVar("T")

CASE = st.sampled_from(CASES)

CODES = {
    "INVALID_FIELD": grpc.StatusCode.INVALID_ARGUMENT,
    "INVALID_PAGE_TOKEN": grpc.StatusCode.INVALID_ARGUMENT,
    "REQUEST_ID_REUSED": grpc.StatusCode.INVALID_ARGUMENT,
    "RESOURCE_NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "REFERENCE_NOT_FOUND": grpc.StatusCode.FAILED_PRECONDITION,
    "RESOURCE_IN_USE": grpc.StatusCode.FAILED_PRECONDITION,
    "ETAG_MISMATCH": grpc.StatusCode.ABORTED,
}

_DELETED = ", ".join(f"{case.name}_rows AS (DELETE FROM {case.name})" for case in CASES)  # noqa: S608  # our own names
_CLEAR = f"WITH {_DELETED} DELETE FROM recorded_request"  # noqa: S608  # our own names
_IDS = " UNION ALL ".join(f"SELECT '{case.name}', CAST(id AS text) FROM {case.name}" for case in CASES)  # noqa: S608  # our own names
_PACK = "SELECT pack_chart(id, :entries, :kept) FROM factory"
_EXPIRE = "SELECT expire_chart_before(id, 9223372036854775807, :most) FROM factory"


class PageRequest(NamedTuple):
    """A request for a page of a list, after the row `last` as it was on the page before."""

    case: Case
    request: Any
    chosen: Filter
    last: Any


class Comparison(RuleBasedStateMachine):
    """Makes the same calls to the service and to the model, and compares the results."""

    remote: ClassVar[Remote]

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.sent: list[tuple[Case, str, Any]] = []
        self.page_requests: list[PageRequest] = []
        self.remote.run(query(self.remote.service, _CLEAR))

    @initialize()
    def begin_with_two_factories_and_some_sprockets(self) -> None:
        self.compare(LOCATION, "Create", LOCATION.request("Create", location=location()))
        self.compare(SPROCKET_TYPE, "Create", SPROCKET_TYPE.request("Create", sprocket_type=sprocket_type()))
        for _ in range(2):
            made = FACTORY.pb.Factory(display_name="a", location_id=next(iter(self.model.stored["location"])))
            self.compare(FACTORY, "Create", FACTORY.request("Create", factory=made))
        one, two = self.model.stored["factory"]
        kind = next(iter(self.model.stored["sprocket_type"]))
        sprockets = [SPROCKET.pb.Sprocket(sprocket_type_id=kind, factory_id=key) for key in (one, one, two)]
        self.compare(SPROCKET, "BatchCreate", SPROCKET.pb.BatchCreateSprocketsRequest(sprockets=sprockets))

    @rule(data=st.data(), case=CASE)
    def create(self, data: st.DataObject, case: Case) -> None:
        self.compare(case, "Create", self.draw(data, requests.create, case))

    @rule(data=st.data())
    def create_sprocket(self, data: st.DataObject) -> None:
        self.compare(SPROCKET, "Create", self.draw(data, requests.create, SPROCKET))

    @rule(data=st.data(), case=CASE)
    def get(self, data: st.DataObject, case: Case) -> None:
        self.compare(case, "Get", case.request("Get", id=self.draw(data, requests.identifier, case.name)))

    @rule(data=st.data(), case=CASE)
    def update(self, data: st.DataObject, case: Case) -> None:
        self.compare(case, "Update", self.draw(data, requests.update, case))

    @rule(data=st.data(), case=st.sampled_from([SPROCKET, FACTORY]))
    def move(self, data: st.DataObject, case: Case) -> None:
        self.compare(case, "Update", self.draw(data, requests.update, case))

    @rule(data=st.data(), case=CASE)
    def delete(self, data: st.DataObject, case: Case) -> None:
        self.compare(case, "Delete", self.draw(data, requests.delete, case))

    @rule(data=st.data(), case=st.sampled_from([case for case in CASES if case.has_force]))
    def delete_with_force(self, data: st.DataObject, case: Case) -> None:
        key = self.draw(data, requests.identifier, case.name)
        self.compare(case, "Delete", case.request("Delete", id=key, force=True))

    @rule(data=st.data(), case=CASE)
    def batch_get(self, data: st.DataObject, case: Case) -> None:
        self.compare(case, "BatchGet", self.draw(data, requests.batch_get, case))

    @rule(data=st.data(), case=CASE)
    def batch_create(self, data: st.DataObject, case: Case) -> None:
        self.compare(case, "BatchCreate", self.draw(data, requests.batch_create, case))

    @rule(data=st.data())
    def batch_delete(self, data: st.DataObject) -> None:
        self.compare(SPROCKET, "BatchDelete", self.draw(data, requests.batch_delete))

    @rule(data=st.data())
    def chart(self, data: st.DataObject) -> None:
        key = self.draw(data, requests.identifier, "factory")
        self.compare(FACTORY, "Chart", GetFactoryChartRequest(factory_id=key))

    @rule(entries=st.integers(1, 4), kept=st.integers(0, 3))
    def pack(self, entries: int, kept: int) -> None:
        """Turn the oldest entries of each chart into a tiny page, which no call may notice."""
        self.remote.run(query(self.remote.service, _PACK, entries=entries, kept=kept))

    @rule(most=st.integers(0, 3))
    def expire(self, most: int) -> None:
        """Let the oldest entries of each chart expire, but for the one that is in force."""
        self.remote.run(query(self.remote.service, _EXPIRE, most=most))
        self.model.expire(most)

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        case, verb, request = data.draw(st.sampled_from(self.sent))
        repeated = copy.deepcopy(request)
        repeated.validate_only = data.draw(st.booleans()) and data.draw(st.booleans())
        self.compare(case, verb, repeated)

    @rule(data=st.data(), case=CASE)
    def list_first_page(self, data: st.DataObject, case: Case) -> None:
        request, chosen = self.draw(data, requests.listing, case)
        self.compare_page(PageRequest(case, request, chosen, None))

    @precondition(lambda self: self.page_requests)
    @rule(data=st.data())
    def list_next_page(self, data: st.DataObject) -> None:
        self.compare_page(data.draw(st.sampled_from(self.page_requests)))

    @rule(data=st.data(), case=CASE, size=st.integers(1, 3))
    def list_all_pages(self, data: st.DataObject, case: Case, size: int) -> None:
        request, chosen = self.draw(data, requests.listing, case)
        wanted: PageRequest | None = PageRequest(case, request, chosen, None)
        while wanted is not None:
            wanted = self.compare_page(wanted)
            if wanted is not None:
                wanted.request.page_size = size

    @precondition(lambda self: self.page_requests)
    @rule(data=st.data(), changed=st.sampled_from(["filter", "order_by", "show_total_size", "page_token", "method"]))
    def use_a_page_token_with_another_request(self, data: st.DataObject, changed: str) -> None:
        wanted = data.draw(st.sampled_from(self.page_requests))
        expected = Ended(CODES["INVALID_PAGE_TOKEN"], "INVALID_PAGE_TOKEN", {"page_token"}, None)
        assert self.remote.call(*_changed(wanted, changed)) == expected

    @invariant()
    def charts_and_rows_equal_the_model(self) -> None:
        chart_rows, rows = self.remote.run(_read_all(self.remote.service))
        charts: dict[str, list[ChartEntry]] = defaultdict(list)
        for key, goal, actual in chart_rows:
            charts[key].append((goal, actual))
        assert charts == self.model.charts
        assert set(rows) == {(kind, key) for kind, stored in self.model.stored.items() for key in stored}

    def draw(self, data: st.DataObject, make: Callable[..., T], *arguments: Any) -> T:
        """Draw a request that fits the stored data."""
        request: T = data.draw(requests.drawn(make, self.model, *arguments))
        return request

    def compare(self, case: Case, verb: str, request: Any) -> None:
        """Make a call, and compare its result with that of the model."""
        actual = self.remote.call(case, verb, request)
        empty = [] if verb == "Chart" else _response(case, verb)
        response = empty if actual.response is None else actual.response
        expected = _ended(partial(self.model.answer, case, verb, request, response))
        assert actual == expected
        if verb not in READS and request.request_id:
            self.sent.append((case, verb, request))

    def compare_page(self, wanted: PageRequest) -> PageRequest | None:
        """List a page, compare it with the model, and return the request for the next page, if there is one."""
        actual = self.remote.call(wanted.case, "List", wanted.request)
        expected = _ended(partial(self.page, wanted, actual))
        assert actual == expected
        if actual.response is None or not actual.response.next_page_token:
            return None
        request = copy.deepcopy(wanted.request)
        request.page_token = actual.response.next_page_token
        last = copy.deepcopy(getattr(actual.response, wanted.case.plural)[-1])
        self.page_requests.append(PageRequest(wanted.case, request, wanted.chosen, last))
        return self.page_requests[-1]

    def page(self, wanted: PageRequest, actual: Ended) -> Any:
        """Return the expected page, with the page token of the actual response."""
        case, request, chosen, last = wanted
        refuse("INVALID_FIELD", invalid_list_fields(case, request, chosen))
        expected = page(self.model.stored[case.name].values(), request, chosen, last)
        response = _response(case, "List")
        getattr(response, case.plural).extend(expected.rows)
        response.total_size = expected.total if request.show_total_size else 0
        token = "" if actual.response is None else actual.response.next_page_token
        response.next_page_token = (token or "missing") if expected.more else ""
        return response


async def _read_all(service: Service) -> tuple[Sequence[Any], Sequence[Any]]:
    """Read all charts and all ids, and check that sprockets, counters and charts agree."""
    books, rows = await asyncio.gather(read_books(service), query(service, _IDS))
    for book in books:
        book.assert_in_order()
    charts = [(book.factory_id, *numbers) for book in books for numbers in zip(book.goals, book.actuals, strict=True)]
    return charts, [(kind, key) for kind, key in rows]


def _ended(answer: Any) -> Ended:
    try:
        return Ended(grpc.StatusCode.OK, "", set(), answer())
    except RefusedError as error:
        return Ended(CODES[error.reason], error.reason, error.named, None)


def _response(case: Case, verb: str) -> Any:
    return getattr(case.pb, f"{verb}{case.noun(verb)}Response")()


def _changed(wanted: PageRequest, changed: str) -> tuple[Case, str, Any]:
    """Return the call with one change that makes its page token invalid."""
    case, request = wanted.case, copy.deepcopy(wanted.request)
    match changed:
        case "filter":
            request.filter += " id != 01937f2e-7d1c-7a40-8a53-0c7f5b1b9d59"
        case "order_by":
            request.order_by = "create_time" if request.order_by else "id"
        case "show_total_size":
            request.show_total_size = not request.show_total_size
        case "page_token":
            request.page_token = request.page_token[:-1]
        case "method":
            case = CASES[CASES.index(case) - 1]
            fields = {field.name: each for field, each in request.ListFields()}
            request = case.request("List", **fields | {"filter": "", "order_by": ""})
    return case, "List", request


@pytest.mark.timeout(600)  # shrinking a failing sequence takes minutes
def test_random_sequences_of_calls_have_the_results_of_the_model(database_url: str) -> None:
    chosen = settings(max_examples=40, stateful_step_count=30, deadline=None, print_blob=True)
    with remote(database_url) as remote_service:

        class Here(Comparison):
            remote = remote_service

        run_state_machine_as_test(Here, settings=chosen)
