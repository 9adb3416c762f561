"""Rows of every table, and values that the constraints of each column reject.

For the table of a resource they follow from tests/conformance/fields.py, except for columns that are no field.
"""

from typing import Any

from tests.conformance.fields import FIELDS
from tests.support.resources import CASES
from tests.support.resources import REFERENCES as RESOURCE_REFERENCES

Row = dict[str, Any]

RESOURCES = [case.name for case in CASES]
IDS = {name: f"01937f2e-7d1c-7a40-8a53-{number:012}" for number, name in enumerate(RESOURCES, start=1)}
A_REQUEST, AN_ENTRY, A_KEY = (f"01937f2e-7d1c-7a40-8a53-{number:012}" for number in range(101, 104))

_NO_FIELDS: dict[str, Row] = {
    "factory": {"sprocket_production_actual": 0, "chart_sequence": 1, "chart_time_micros": 0},
}
"""The columns of resources that no client can set, but for the id and the times."""


def _row(resource: str) -> Row:
    values = {field.name: field.valid_value for field in FIELDS if field.resource == resource and field.valid}
    references = {each.field: IDS[each.target.name] for each in RESOURCE_REFERENCES if each.case.name == resource}
    return {"id": IDS[resource]} | values | references | _NO_FIELDS.get(resource, {})


ROWS: dict[str, Row] = {
    **{name: _row(name) for name in RESOURCES},
    "chart_entry": {
        "factory_id": IDS["factory"],
        "sequence": 1,
        "time_micros": 0,
        "sprocket_production_goal": 0,
        "sprocket_production_actual": 0,
    },
    "chart_page": {
        "factory_id": IDS["factory"],
        "last_sequence": 1,
        "first_sequence": 1,
        "first_time_micros": 0,
        "last_time_micros": 0,
        "outline": [[1, 0, 0, 0] for _ in range(6)],
        "checksum": 0,
        "wire": b"",
    },
    "chart_start": {"factory_id": IDS["factory"], "first_sequence": 2, "first_time_micros": 0},
    "page_token_key": {"key": bytes(32)},
    "recorded_request": {"id": A_REQUEST, "create_time": "2026-01-01", "fingerprint": bytes(32), "response": b""},
    "audit_entry": {
        "id": AN_ENTRY,
        "create_time": "2026-01-01",
        "principal": "anonymous",
        "request_id": "",
        "method": "",
        "resource_type": "sprocket.v1.Location",
        "resource_id": IDS["location"],
    },
    "audit_retention": {"days": 1},
    "chart_retention": {"days": 1},
    "api_key": {
        "id": A_KEY,
        "create_time": "2026-01-01",
        "name": "dashboards",
        "rights": ["read"],
        "secret_hash": bytes(32),
    },
}
OPTIONAL = {
    ("chart_packing", "id"),  # a new database has its only row
    ("chart_packing", "enable_time"),
    ("chart_expiry", "id"),  # as above
    ("chart_expiry", "enable_time"),
    ("audit_entry", "before"),
    ("audit_entry", "after"),
    ("api_key", "expire_time"),
    ("api_key", "revoke_time"),
    ("api_key", "last_use_time"),
    ("api_key", "factory_ids"),
}
TIMES = {"create_time": "2026-01-01", "update_time": "2026-01-01"}

# The length of text is in characters; numbers may use the whole range of their types.
EXTREMES: dict[str, list[Row]] = {
    **{
        name: [{field.name: value} for field in FIELDS if field.resource == name for value in field.valid.values()]
        for name in RESOURCES
    },
    "chart_entry": [{"sequence": 2**63 - 1, "sprocket_production_goal": 2**63 - 1}],
}

_FORBIDDEN_ACTUAL = {"sprocket_production_actual": [-1]}
FORBIDDEN: dict[str, dict[str, list[Any]]] = {
    **{name: {field.name: field.unstorable for field in FIELDS if field.resource == name} for name in RESOURCES},
    "chart_entry": {"sequence": [0, -1], "sprocket_production_goal": [-1]} | _FORBIDDEN_ACTUAL,
    "chart_page": {
        "first_sequence": [0],
        "outline": [[[1, 0, 0, 0]], [[0] * 6 for _ in range(4)]],
    },
    "chart_start": {"first_sequence": [1, 0]},
    "page_token_key": {"key": [b"", bytes(31), bytes(33)]},
    "audit_retention": {"days": [0, -1]},
    "chart_retention": {"days": [0, -1]},
    "api_key": {
        "name": ["", " ", "   ", "x" * 64],
        "rights": [[], ["own"], ["read", "sprockets.own"], [None], ["read", None], [""], ["sprocket.sprockets.read"]],
        "factory_ids": [[], [None]],
        "secret_hash": [b"", bytes(31), bytes(33)],
    },
}
FORBIDDEN["factory"] |= _FORBIDDEN_ACTUAL

CASCADING = [(table, "factory_id", "factory") for table in ("chart_entry", "chart_page", "chart_start")]
RESTRICTING = [(each.case.name, each.field, each.target.name) for each in RESOURCE_REFERENCES]
REFERENCES = [*RESTRICTING, *CASCADING]
UNIQUE = [*RESOURCES, "chart_entry", "chart_page", "chart_start", "audit_entry", "audit_retention", "chart_retention"]
UNIQUE += ["api_key"]
COLUMNS = [(table, name) for table in ROWS for name in ROWS[table] | (TIMES if table in RESOURCES else {})]
