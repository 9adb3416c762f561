"""How connections to a database are made, and given up, when it is away or another has taken its place."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.engine import ExceptionContext
from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect

from sprocket_grpc.errors import UnavailableError

_PATIENCE_SECONDS = 1
"""Whoever gives up earlier has not seen whether the database answers."""

# Read only, and recovery in progress (PostgreSQL manual, appendix A).
_NOT_PRIMARY = {"25006", "55000"}


class Connector:
    """Makes connections. When that fails, one caller at a time goes on trying, and all others fail at once.

    So nobody waits in a queue of those who wait for a database that is away, each for its own timeout, and one that
    is back is not stormed. Of several hosts, the one that was reached last is tried first: one that is gone for good
    costs its timeout once, and not at each connection.

    Attributes:
        failed_at: When the last attempt failed that nobody has succeeded since, by a clock that never goes back; 0 if
            there is none.
    """

    def __init__(self) -> None:
        self.failed_at = 0.0
        self._trying = 0
        self._reached = ("", "")

    def __call__(
        self, dialect: Dialect, _record: object, arguments: Sequence[object], parameters: Mapping[str, Any]
    ) -> DBAPIConnection:
        """Make a connection, for SQLAlchemy's event `do_connect`.

        Raises:
            UnavailableError: The last attempt failed, and another one is under way.
        """
        if self.failed_at and self._trying:
            raise UnavailableError
        began = time.monotonic()
        self._trying += 1
        try:
            connection = dialect.connect(*arguments, **self._last_first(parameters))
        except Exception:
            self.failed_at = time.monotonic()
            raise
        except BaseException as cut_off:  # cancelled: the caller has gone, or its deadline has passed
            if time.monotonic() - began > _PATIENCE_SECONDS:
                self.failed_at = time.monotonic()
            # SQLAlchemy keeps the error in a circle (safe_reraise), and its traceback the half-made connection: that
            # would stay open until the garbage collector comes by, and count in PostgreSQL beside those of the pool.
            cut_off.__traceback__ = None
            raise
        finally:
            self._trying -= 1
        self.failed_at = 0.0
        info = connection.driver_connection.info
        self._reached = (info.host, str(info.port))
        return connection

    def _last_first(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        names = str(parameters.get("host", "")).split(",")
        if len(names) == 1:
            return parameters
        hosts = zip(names, str(parameters["port"]).split(","), strict=True)
        in_order = sorted(hosts, key=lambda host: host != self._reached)
        return {
            **parameters,
            "host": ",".join(name for name, _ in in_order),
            "port": ",".join(port for _, port in in_order),
        }


def drop_if_not_primary(context: ExceptionContext) -> None:
    """Drop all connections when one turns out not to lead to the primary any more; new ones go to the one of now.

    For SQLAlchemy's event `handle_error`.
    """
    if getattr(context.original_exception, "sqlstate", None) in _NOT_PRIMARY:
        context.is_disconnect = True
