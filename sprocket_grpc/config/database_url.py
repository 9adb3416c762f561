"""The URL of a database: normalised from all common forms, split by hosts, and described without its secrets."""

import os
import re
from typing import NamedTuple

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from sprocket_grpc.config.addresses import is_loopback

CONNECT_TIMEOUT_SECONDS = 5
"""The connect timeout per host."""

_DRIVER = "postgresql+psycopg"
_SCHEMES = {"postgresql", "postgres", _DRIVER}
_VERIFYING = {"verify-ca", "verify-full"}
_DEFAULT_PORT = "5432"

# A dead connection is closed within 5 s, both while we wait for an answer (keepalives) and while data that we sent is
# not acknowledged (tcp_user_timeout, in milliseconds). Unix sockets ignore these parameters.
_KEEPALIVES = {"keepalives_idle": 2, "keepalives_interval": 1, "keepalives_count": 3, "tcp_user_timeout": 5000}

_HOSTS = re.compile(r"(?:\[(?P<ipv6>[0-9a-fA-F:.]+)\]|(?P<name>[^\s:,\[\]]+))(?::(?P<port>\d{1,5}))?(?:,|$)")


class Host(NamedTuple):
    """A host of a database: a name, an address or the directory of a Unix socket, and a port, which may be empty."""

    name: str
    port: str

    def __str__(self) -> str:
        name = f"[{self.name}]" if ":" in self.name else self.name
        return f"{name}:{self.port}" if self.port else name


def normalise(url: str) -> str:
    """Return a URL in the form of SQLAlchemy, with the driver.

    Several hosts may be given in the form of libpq, `//USER:PASSWORD@A:5432,B:5432/DATABASE`, or of SQLAlchemy,
    `///DATABASE?host=A:5432&host=B:5432`.

    Raises:
        ValueError: It is not a URL of PostgreSQL.
    """
    try:
        return _normalised(url)
    except (ArgumentError, ValueError):  # their texts may contain the password
        raise ValueError("not a URL of PostgreSQL") from None


def _normalised(url: str) -> str:
    scheme, _, rest = url.partition("://")
    authority = re.split("[/?]", rest, maxsplit=1)[0]
    credentials, at, hosts = authority.rpartition("@")
    # In a password, @ must be %40, and / and ? must be %2F and %3F. Otherwise a part of the password would be taken for
    # the host or the database, and be shown.
    if scheme not in _SCHEMES or url.count("@") > len(at):
        raise ValueError("not a URL of PostgreSQL")
    if "," not in hosts:
        parsed = make_url(f"{_DRIVER}://{rest}")
        found = hosts_of(parsed)
        return _render(_with_hosts(parsed, found) if len(found) > 1 else parsed)
    return _render(_with_hosts(make_url(f"{_DRIVER}://{credentials}{at}{rest[len(authority) :]}"), _read_hosts(hosts)))


def _read_hosts(text: str) -> list[Host]:
    found = list(_HOSTS.finditer(text))
    if "".join(match[0] for match in found) != text or text.endswith(","):
        raise ValueError("not a list of hosts separated by commas")
    return [Host(match["ipv6"] or match["name"], match["port"] or _DEFAULT_PORT) for match in found]


def hosts_of(url: URL) -> list[Host]:
    """Return the hosts of a URL in the order in which they are tried; an empty list if it names no host.

    Raises:
        sqlalchemy.exc.ArgumentError: The number of ports does not match the number of hosts.
    """
    _, arguments = url.set(drivername=_DRIVER).get_dialect()().create_connect_args(url)
    names, ports = str(arguments.get("host", "")), str(arguments.get("port", ""))
    if not names:
        return []
    return [Host(*pair) for pair in zip(names.split(","), ports.split(","), strict=True)]


def _with_hosts(url: URL, hosts: list[Host]) -> URL:
    """Return the URL with the hosts as query parameters, the only form that psycopg accepts for all kinds of hosts."""
    query = {
        "host": ",".join(host.name for host in hosts),
        "port": ",".join(host.port or _DEFAULT_PORT for host in hosts),
    }
    return url.set(host=None, port=None).update_query_dict(query)


def _render(url: URL) -> str:
    return url.render_as_string(hide_password=False)


def split_by_hosts(url: str) -> list[str]:
    """Return one URL per host of a URL."""
    parsed = make_url(url)
    hosts = hosts_of(parsed)
    return [_render(_with_hosts(parsed, [host])) for host in hosts] if len(hosts) > 1 else [url]


def connect_arguments(url: str) -> dict[str, object]:
    """Return the default connection parameters, without those that the URL sets itself."""
    parsed = make_url(url)
    defaults = {"application_name": "sprocket-grpc", "connect_timeout": CONNECT_TIMEOUT_SECONDS, **_KEEPALIVES}
    if len(hosts_of(parsed)) > 1:
        defaults["target_session_attrs"] = "read-write"  # the first that answers may be a standby
    return {name: value for name, value in defaults.items() if name not in parsed.query}


def is_verified(url: str) -> bool:
    """Return whether connections are encrypted and to the right server, or do not leave this machine."""
    parsed = make_url(url)
    mode = parsed.query.get("sslmode") or os.environ.get("PGSSLMODE")
    return mode in _VERIFYING or all(host.name.startswith("/") or is_loopback(host.name) for host in hosts_of(parsed))


def describe(url: str) -> str:
    """Return a description of a database without credentials, such as `sprockets on db.example:5432`."""
    parsed = make_url(url)
    hosts = ", ".join(map(str, hosts_of(parsed)))
    return f"{parsed.database or 'the default database'} on {hosts or 'localhost'}"
