"""Draws random requests of every kind, with few ids and values, so that they often affect the same resources."""

from collections.abc import Callable
from typing import Any, TypeAlias

from hypothesis import strategies as st

from tests.conformance.fields import fields_of
from tests.support.model.lists import ALL_PASS, COMPARISONS, Filter, value
from tests.support.model.rules import REFERENCES, RULES
from tests.support.model.state import Model
from tests.support.resources import SPROCKET, Case

Draw: TypeAlias = Callable[[st.SearchStrategy[Any]], Any]

UNKNOWN_IDS = ["01937f2e-7d1c-7a40-8a53-0c7f5b1b9d55", "01937f2e-7d1c-7a40-8a53-0c7f5b1b9d56"]
"""Ids of no resource at first; updates with allow_missing create resources with these ids."""

MALFORMED_IDS = ["", "1", "01937F2E-7D1C-7A40-8A53-0C7F5B1B9D55"]
REQUEST_IDS = ["01937f2e-7d1c-7a40-8a53-0c7f5b1b9d57", "01937f2e-7d1c-7a40-8a53-0c7f5b1b9d58"]

VALUES: dict[str, tuple[list[Any], list[Any]]] = {
    "display_name": (["a", "ab", "B", "x" * 63], ["", " ", "a\0", "x" * 64]),
    "address": (["1 Main St", "2 Elm St"], ["", "x" * 201]),
    "address_2": (["", "Floor 1"], ["x" * 201]),
    "city": (["a", "b"], ["\t", "x" * 101]),
    "administrative_area": (["", "IL"], ["x" * 101]),
    "postal_code": (["62701", "62702"], ["", "x" * 21]),
    "country_code": (["US", "DE"], ["", "us", "USA"]),
    "teeth": ([5, 10_000], [0, -1, 10_001]),
    "pitch_mm": ([1.0, 0.1], [0.0, -1.0]),
    "pitch_diameter_mm": ([5.0], [float("nan"), 0.0]),
    "outside_diameter_mm": ([6.0, 7.5], [float("inf")]),
    "sprocket_production_goal": ([0, 1, 2], [-1]),
}
"""Valid and invalid values of fields of these names. Other fields have those of tests/conformance/fields.py."""

ORDERS = ["", "id", "id desc", "display_name", "display_name desc", "create_time desc, display_name"]
ORDERS += ["display_name desc, update_time", "update_time desc", "nothing", "display_name up"]
INVALID_FILTERS = [Filter(text, None) for text in ("nothing = 1", "display_name =", "(", "create_time > noon")]


@st.composite
def drawn(draw: Draw, make: Callable[..., Any], *arguments: Any) -> Any:
    """Draw the result of a function below as one value, so that reports show only this value."""
    return make(draw, *arguments)


def sometimes(draw: Draw, one_in: int) -> bool:
    """Return True in one of `one_in` cases; shrinks to False."""
    # Not an end of the range: hypothesis draws these more often.
    return bool(draw(st.integers(1, one_in)) == one_in // 2 + 1)


def identifier(draw: Draw, model: Model, kind: str) -> str:
    """Draw an id, mostly of an existing resource."""
    if sometimes(draw, 30):
        return str(draw(st.sampled_from(MALFORMED_IDS)))
    existing = list(model.stored[kind])
    return str(draw(st.sampled_from([*existing * 4, *UNKNOWN_IDS])))


def message(draw: Draw, model: Model, case: Case) -> Any:
    """Draw a message with all fields set, mostly to valid values."""
    result = getattr(case.pb, case.kind)()
    for name in RULES[case.name]:
        setattr(result, name, _value(draw, model, case, name))
    return result


def _value(draw: Draw, model: Model, case: Case, name: str) -> Any:
    if name in REFERENCES[case.name]:
        return identifier(draw, model, REFERENCES[case.name][name])
    valid, invalid = VALUES.get(name) or _few_values(case, name)
    return draw(st.sampled_from(invalid if sometimes(draw, 40) else valid))


def _few_values(case: Case, name: str) -> tuple[list[Any], list[Any]]:
    """Return a few valid values of a field, and an invalid one."""
    [field] = [field for field in fields_of(case.name) if field.name == name]
    return list(field.valid.values())[:2], [field.invalid_value]


def write(draw: Draw, case: Case, verb: str, **fields: Any) -> Any:
    """Make the request of a write, with the fields that all writes have."""
    request = case.request(verb, **fields)
    request.validate_only = sometimes(draw, 5)
    if sometimes(draw, 4):
        request.request_id = draw(st.sampled_from([*REQUEST_IDS * 5, "1"]))
    return request


def etag(draw: Draw, model: Model, case: Case, key: str) -> str:
    """Draw an etag: empty, current, stale, unknown or malformed."""
    row = model.stored[case.name].get(key)
    current = [row.etag] * 3 if row else []
    stale = sorted(model.etags.get(key, ()))
    return str(draw(st.sampled_from(["", "", *current, *stale[:2], '"0"', "0"])))


def create(draw: Draw, model: Model, case: Case) -> Any:
    """Draw a create request; output-only fields have no effect."""
    drawn = message(draw, model, case)
    if sometimes(draw, 5):
        drawn.id, drawn.etag = "1", "1"
    return write(draw, case, "Create", **{case.name: drawn})


def update(draw: Draw, model: Model, case: Case) -> Any:
    """Draw an update request, for some or all fields."""
    drawn = message(draw, model, case)
    drawn.id = identifier(draw, model, case.name)
    for name in RULES[case.name]:
        if sometimes(draw, 8):
            drawn.ClearField(name)
    if sometimes(draw, 2):
        drawn.etag = etag(draw, model, case, drawn.id)
    request = write(draw, case, "Update", **{case.name: drawn})
    request.allow_missing = sometimes(draw, 2)
    request.update_mask.paths.extend(_mask(draw, case))
    return request


def _mask(draw: Draw, case: Case) -> list[str]:
    own = list(RULES[case.name])
    some = st.lists(st.sampled_from([*own * 2, "etag", "update_time"]), max_size=3)
    odd = st.sampled_from([["nothing"], ["*", own[0]], [own[-1], "nothing"]])
    return list(draw(odd if sometimes(draw, 20) else st.just(["*"]) | some))


def delete(draw: Draw, model: Model, case: Case) -> Any:
    """Draw a delete request."""
    key = identifier(draw, model, case.name)
    request = write(draw, case, "Delete", id=key, allow_missing=sometimes(draw, 2))
    if sometimes(draw, 2):
        request.etag = etag(draw, model, case, key)
    if case.has_force:
        request.force = sometimes(draw, 2)
    return request


def batch_get(draw: Draw, model: Model, case: Case) -> Any:
    """Draw a BatchGet request, which may contain an id twice."""
    return getattr(case.pb, f"BatchGet{case.kinds}Request")(ids=_identifiers(draw, model, case.name))


def batch_create(draw: Draw, model: Model, case: Case) -> Any:
    """Draw a BatchCreate request."""
    messages = [message(draw, model, case) for _ in range(_size(draw))]
    return write(draw, case, "BatchCreate", **{case.plural: messages})


def batch_delete(draw: Draw, model: Model) -> Any:
    """Draw a BatchDeleteSprockets request."""
    ids = _identifiers(draw, model, "sprocket")
    return write(draw, SPROCKET, "BatchDelete", ids=ids if sometimes(draw, 5) else list(dict.fromkeys(ids)))


def _identifiers(draw: Draw, model: Model, kind: str) -> list[str]:
    existing = list(model.stored[kind]) or UNKNOWN_IDS
    ids = [draw(st.sampled_from(existing)) for _ in range(_size(draw))]
    return [*ids, identifier(draw, model, kind)] if sometimes(draw, 4) else ids


def _size(draw: Draw) -> int:
    return 0 if sometimes(draw, 20) else int(draw(st.integers(1, 4)))


def listing(draw: Draw, model: Model, case: Case) -> tuple[Any, Filter]:
    """Draw a list request, and its filter."""
    chosen = draw(st.sampled_from(INVALID_FILTERS)) if sometimes(draw, 15) else _filter(draw, model, case)
    order = draw(st.sampled_from(ORDERS))
    request = getattr(case.pb, f"List{case.kinds}Request")(filter=chosen.text, order_by=order)
    request.page_size = draw(st.sampled_from([1, 2, 1, 3, 0, 5_000, 2, -1, 1, 2, 3]))
    request.show_total_size = sometimes(draw, 2)
    return request, chosen


def _filter(draw: Draw, model: Model, case: Case) -> Filter:
    match draw(st.integers(0, 7)):
        case 1 | 2:
            return _comparison(draw, model, case)
        case 3:
            first = _comparison(draw, model, case)
            return Filter(f"NOT {first.text}", lambda row: not _passes(first, row))
        case 4:
            return Filter("display_name = a*", lambda row: row.display_name.startswith("a"))
        case 5:
            return Filter("b", lambda row: "b" in row.display_name.lower())
        case 6:
            one, two, three = (_comparison(draw, model, case) for _ in range(3))
            return Filter(
                f"{one.text} AND {two.text} OR {three.text}",  # OR binds tighter
                lambda row: _passes(one, row) and (_passes(two, row) or _passes(three, row)),
            )
    return ALL_PASS


def _passes(chosen: Filter, row: Any) -> bool:
    return chosen.test is not None and chosen.test(row)


def _comparison(draw: Draw, model: Model, case: Case) -> Filter:
    """Compare a field with its value in a random row, or with its default if no row exists."""
    rows = list(model.stored[case.name].values())
    row = draw(st.sampled_from(rows)) if rows else getattr(case.pb, case.kind)(id=UNKNOWN_IDS[0])
    name = draw(st.sampled_from([*RULES[case.name], "id", "create_time", "update_time"]))
    operator = draw(st.sampled_from(sorted(COMPARISONS)))
    if name in REFERENCES[case.name]:
        setattr(row := type(row).FromString(row.SerializeToString()), name, getattr(row, name) or UNKNOWN_IDS[0])
    right = value(name, row)
    return Filter(
        f"{name} {operator} {_written(row, name)}", lambda other: COMPARISONS[operator](value(name, other), right)
    )


def _written(row: Any, name: str) -> str:
    found = getattr(row, name)
    if name in ("create_time", "update_time"):
        return str(found.ToJsonString())
    return f'"{found}"' if isinstance(found, str) else repr(found)
