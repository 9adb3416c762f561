"""Tells PostgreSQL the caller of a transaction, which the triggers of the audit log read.

The setting ends with the transaction. So it works behind a pooler in transaction mode, and a later transaction on the
same connection does not write in the name of this caller.
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
"""Sets the caller at the time of execution. It is never NULL."""

SET_CALLERS: ColumnElement[str] = func.set_config(
    literal(SETTING_OF_EACH, Text), bindparam("callers", type_=Text), true()
)
"""Sets the caller of each resource, where callers share a transaction; see `callers_of`. It is never NULL."""


def callers_of(callers: Mapping[str, Caller]) -> str:
    """Return the parameter of `SET_CALLERS`, by the ids of the resources."""
    return json.dumps({identifier: asdict(caller) for identifier, caller in callers.items()})
