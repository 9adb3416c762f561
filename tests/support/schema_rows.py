"""Rows of every table, and values that the constraints of each column reject."""

from typing import Any

A_LOCATION, A_TYPE, A_FACTORY, A_SPROCKET, A_REQUEST, AN_ENTRY, A_KEY = (
    f"01937f2e-7d1c-7a40-8a53-00000000000{n}" for n in range(1, 8)
)

Row = dict[str, Any]
ROWS: dict[str, Row] = {
    "location": {
        "id": A_LOCATION,
        "display_name": "Springfield",
        "address": "123 Main St",
        "address_2": "",
        "city": "Springfield",
        "administrative_area": "",
        "postal_code": "62701",
        "country_code": "US",
    },
    "sprocket_type": {
        "id": A_TYPE,
        "display_name": "Five",
        "teeth": 5,
        "pitch_mm": 1.0,
        "pitch_diameter_mm": 5.0,
        "outside_diameter_mm": 6.0,
    },
    "factory": {
        "id": A_FACTORY,
        "display_name": "Works",
        "location_id": A_LOCATION,
        "sprocket_production_goal": 0,
        "sprocket_production_actual": 0,
        "chart_sequence": 1,
        "chart_time_micros": 0,
    },
    "sprocket": {"id": A_SPROCKET, "display_name": "", "sprocket_type_id": A_TYPE, "factory_id": A_FACTORY},
    "chart_entry": {
        "factory_id": A_FACTORY,
        "sequence": 1,
        "time_micros": 0,
        "sprocket_production_goal": 0,
        "sprocket_production_actual": 0,
    },
    "page_token_key": {"key": bytes(32)},
    "recorded_request": {"id": A_REQUEST, "create_time": "2026-01-01", "fingerprint": bytes(32), "response": b""},
    "audit_entry": {
        "id": AN_ENTRY,
        "create_time": "2026-01-01",
        "principal": "anonymous",
        "request_id": "",
        "method": "",
        "resource_type": "sprocket.v1.Location",
        "resource_id": A_LOCATION,
    },
    "api_key": {
        "id": A_KEY,
        "create_time": "2026-01-01",
        "name": "dashboards",
        "rights": ["read"],
        "secret_hash": bytes(32),
    },
}
OPTIONAL = {
    ("audit_entry", "before"),
    ("audit_entry", "after"),
    ("api_key", "expire_time"),
    ("api_key", "revoke_time"),
    ("api_key", "last_use_time"),
}
TIMES = {"create_time": "2026-01-01", "update_time": "2026-01-01"}
RESOURCES = ["location", "sprocket_type", "factory", "sprocket"]

# The length of text is in characters; numbers may use the whole range of their types.
EXTREMES: dict[str, Row] = {
    "location": {
        "display_name": "🏭" * 63,
        "address": "ä" * 200,
        "address_2": "€" * 200,
        "city": "x" * 100,
        "administrative_area": "x" * 100,
        "postal_code": "6" * 20,
        "country_code": "ZZ",
    },
    "sprocket_type": {
        "display_name": "x",
        "teeth": 10_000,
        "pitch_mm": 5e-324,
        "pitch_diameter_mm": 1.7976931348623157e308,
        "outside_diameter_mm": 1e-300,
    },
    "factory": {"display_name": "\u0301" * 63, "sprocket_production_goal": 2**63 - 1},
    "sprocket": {"display_name": "⚙" * 63},
    "chart_entry": {"sequence": 2**63 - 1, "sprocket_production_goal": 2**63 - 1},
}

NOT_TEXT = ["", " ", "   "]
NOT_A_LENGTH = [0, -1, float("inf"), float("-inf"), float("nan")]
FORBIDDEN: dict[str, dict[str, list[Any]]] = {
    "location": {
        "display_name": [*NOT_TEXT, "x" * 64],
        "address": [*NOT_TEXT, "x" * 201],
        "address_2": ["x" * 201],
        "city": [*NOT_TEXT, "x" * 101],
        "administrative_area": ["x" * 101],
        "postal_code": [*NOT_TEXT, "x" * 21],
        "country_code": ["", "U", "us", "Us", "USA", "U1", " US", "US ", "US\n", "ÄÖ"],
    },
    "sprocket_type": {
        "display_name": [*NOT_TEXT, "x" * 64],
        "teeth": [0, -1, 10_001],
        "pitch_mm": NOT_A_LENGTH,
        "pitch_diameter_mm": NOT_A_LENGTH,
        "outside_diameter_mm": NOT_A_LENGTH,
    },
    "factory": {
        "display_name": [*NOT_TEXT, "x" * 64],
        "sprocket_production_goal": [-1],
        "sprocket_production_actual": [-1],
    },
    "sprocket": {"display_name": ["x" * 64]},
    "chart_entry": {"sequence": [0, -1], "sprocket_production_goal": [-1], "sprocket_production_actual": [-1]},
    "page_token_key": {"key": [b"", bytes(31), bytes(33)]},
    "api_key": {
        "name": [*NOT_TEXT, "x" * 64],
        "rights": [[], ["own"], ["read", "sprocket.read"], [None]],
        "secret_hash": [b"", bytes(31), bytes(33)],
    },
}
REFERENCES = [
    ("factory", "location_id", "location"),
    ("sprocket", "sprocket_type_id", "sprocket_type"),
    ("sprocket", "factory_id", "factory"),
    ("chart_entry", "factory_id", "factory"),
]
UNIQUE = ["location", "sprocket_type", "factory", "sprocket", "chart_entry", "audit_entry", "api_key"]
COLUMNS = [(table, name) for table in ROWS for name in ROWS[table] | (TIMES if table in RESOURCES else {})]
