"""Tells PostgreSQL in whose name a transaction writes, which is what the triggers of the audit log read.

The setting ends with the transaction, so that it works behind a pooler in transaction mode, and nobody else who
gets the connection later writes in this name.
"""

from sqlalchemy import ColumnElement, Text, bindparam, func, literal, true

from sprocket_grpc.caller import current_caller

SETTING = "sprocket.caller"

_CALLER = bindparam("caller", callable_=lambda: current_caller().to_json(), type_=Text)

SET_CALLER: ColumnElement[str] = func.set_config(literal(SETTING, Text), _CALLER, true())
"""Sets who calls. It is never NULL, and takes the caller of the moment at which it is executed."""
