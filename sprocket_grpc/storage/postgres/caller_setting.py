"""Tells PostgreSQL in whose name a transaction writes, which is what the triggers of the audit log read.

The setting ends with the transaction, so that it works behind a pooler in transaction mode, and nobody else who
gets the connection later writes in this name.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict

from sqlalchemy import ColumnElement, Text, bindparam, func, literal, true

from sprocket_grpc.caller import Caller, current_caller

SETTING = "sprocket.caller"
SETTING_OF_EACH = "sprocket.callers"

_CALLER = bindparam("caller", callable_=lambda: current_caller().to_json(), type_=Text)

SET_CALLER: ColumnElement[str] = func.set_config(literal(SETTING, Text), _CALLER, true())
"""Sets who calls. It is never NULL, and takes the caller of the moment at which it is executed."""

SET_CALLERS: ColumnElement[str] = func.set_config(
    literal(SETTING_OF_EACH, Text), bindparam("callers", type_=Text), true()
)
"""Sets who creates each resource, where several callers share a transaction; see `callers_of`. It is never NULL."""


def callers_of(callers: Mapping[str, Caller]) -> str:
    """Return the parameter of `SET_CALLERS`, by the ids of the resources."""
    return json.dumps({identifier: asdict(caller) for identifier, caller in callers.items()})
