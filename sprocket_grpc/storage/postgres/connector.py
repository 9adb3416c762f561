"""Opens connections, and drops them when the database is unavailable or a failover has replaced its primary."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.engine import ExceptionContext
from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect

from sprocket_grpc.errors import UnavailableError

_PATIENCE_SECONDS = 1
"""A caller that is cancelled earlier has not found out whether the database answers."""

# Read only, and recovery in progress (PostgreSQL manual, appendix A).
_NOT_PRIMARY = {"25006", "55000"}


class Connector:
    """Opens connections. After a failure one caller at a time retries, and all others fail immediately.

    So calls do not queue for an unavailable database, each for its own timeout, and do not storm it when it is back.
    Of several hosts the last one that was reached is tried first: a host that is down costs its timeout once, and not
    for each connection.

    Attributes:
        failed_at: When the last attempt failed, by a monotonic clock; 0 after a success.
    """

    def __init__(self) -> None:
        self.failed_at = 0.0
        self._trying = 0
        self._reached = ("", "")

    def __call__(
        self, dialect: Dialect, _record: object, arguments: Sequence[object], parameters: Mapping[str, Any]
    ) -> DBAPIConnection:
        """Open a connection, for SQLAlchemy's event `do_connect`.

        Raises:
            UnavailableError: The last attempt failed, and another caller retries.
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
        except BaseException as cut_off:  # cancelled: the client has disconnected, or the deadline has passed
            if time.monotonic() - began > _PATIENCE_SECONDS:
                self.failed_at = time.monotonic()
            # SQLAlchemy keeps the error in a reference cycle (safe_reraise), and its traceback keeps the half-open
            # connection: without this it would stay open until the next run of the garbage collector.
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
    """Drop all connections when one leads to a server that is no primary any more; new ones find the new primary.

    For SQLAlchemy's event `handle_error`.
    """
    if getattr(context.original_exception, "sqlstate", None) in _NOT_PRIMARY:
        context.is_disconnect = True
