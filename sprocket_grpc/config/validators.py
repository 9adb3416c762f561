"""Validators for single settings. Each returns the value, or raises ValueError with what is expected."""

import re
from contextlib import suppress
from ipaddress import ip_network
from itertools import chain
from urllib.parse import urlsplit

from pydantic import SecretStr

from sprocket_grpc.config.database_url import normalise

_SHORTEST_KEY = 32

_ADDRESS = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^\s:/@]+):(?P<port>\d{1,5})")

_HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")

_ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:\d{1,5})?")

_IDENTITY = re.compile(r"(uri|dns|cn):\S.*")

_PERMISSION = re.compile(r"read|write|admin|force|[a-z_]+\.(read|write)")


def address(value: str) -> str:
    """Return an address to listen on."""
    match = _ADDRESS.fullmatch(value)
    if not match or int(match["port"]) > 65535:
        raise ValueError("expected HOST:PORT, such as 127.0.0.1:50051 or [::1]:50051")
    return value


def host_names(value: object) -> frozenset[str]:
    """Parse host names that are separated by commas."""
    names = frozenset(each.strip().lower() for each in str(value).split(","))
    if not all(map(_HOST_NAME.fullmatch, names)):
        raise ValueError("expected host names without a port, separated by commas, such as sprockets.example")
    return names


def origins(value: object) -> frozenset[str]:
    """Parse the origins of web pages, which are separated by commas."""
    found = frozenset(each.strip().lower() for each in str(value).split(","))
    if not all(map(_ORIGIN.fullmatch, found)):
        raise ValueError("expected https://HOST or https://HOST:PORT, separated by commas; * is not accepted")
    return found


def networks(value: str) -> str:
    """Return addresses and networks that are separated by commas."""
    with suppress(ValueError):
        return ",".join(str(ip_network(each.strip())) for each in value.split(","))
    raise ValueError("expected addresses or networks, separated by commas, such as 10.0.0.7 or 10.0.0.0/8")


def postgresql_url(value: SecretStr) -> SecretStr:
    """Return the URL of a database with its driver."""
    with suppress(ValueError):
        return SecretStr(normalise(value.get_secret_value()))
    raise ValueError(
        "expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE, in which the characters @ / ? in a password"
        " are %40 %2F %3F"
    )


def page_token_keys(value: SecretStr) -> SecretStr:
    """Return secrets that are separated by commas."""
    if any(len(key) < _SHORTEST_KEY for key in value.get_secret_value().split(",")):
        raise ValueError(f"expected secrets of at least {_SHORTEST_KEY} characters, separated by commas")
    return value


def collector_url(value: str) -> str:
    """Return the URL of an OTLP collector."""
    scheme, _, host_and_port = value.partition("://")
    if scheme not in {"http", "https"} or not _ADDRESS.fullmatch(host_and_port):
        raise ValueError("expected http://HOST:PORT, or https:// for TLS")
    return value


def key_source(value: str) -> str:
    """Return the source of an issuer's public keys. It must be trusted: replaced keys would admit any caller."""
    # Without a user and a password: errors of the connection would show them.
    if "://" in value and not re.fullmatch(r"https://[^\s/@]+(/[^\s@]*)?", value):
        raise ValueError("expected the path of a file, or an https URL without @")
    return value


def permissions(value: object) -> dict[str, list[str]]:
    """Parse the permissions of clients: KIND:NAME=PERMISSION,PERMISSION;KIND:NAME=PERMISSION.

    Names are often URIs, which may contain commas and equal signs. The kind is required, because a common name or a DNS
    name may look like a URI.
    """
    pairs = [pair.rpartition("=") for pair in str(value).split(";")]
    found = {identity.strip(): [each.strip() for each in granted.split(",")] for identity, _, granted in pairs}
    is_valid = all(map(_IDENTITY.fullmatch, found)) and all(map(_PERMISSION.fullmatch, chain(*found.values())))
    if len(found) < len(pairs) or not is_valid:
        raise ValueError(
            "expected KIND:NAME=PERMISSION,PERMISSION;KIND:NAME=PERMISSION, such as "
            "uri:spiffe://example/dashboards=read, with distinct names; uri, dns or cn (the common name) as KIND; and "
            "read, write, admin or permissions of single services, such as sprockets.write, as PERMISSION"
        )
    return found


def rate(value: str) -> str:
    """Return the rate limit of a caller."""
    import limits  # noqa: PLC0415  # 20 ms, only for settings with a rate

    with suppress(ValueError):
        [limit] = limits.parse_many(value)
        if limit.amount > 0:
            return value
    raise ValueError("expected COUNT/UNIT, such as 100/second or 5000/10 minutes")


def redis_url(value: SecretStr) -> SecretStr:
    """Return the URL of a Redis."""
    with suppress(ValueError):  # the port is not a number
        text = value.get_secret_value()
        url = urlsplit(text)
        if (
            text.count("@") == url.netloc.count("@") <= 1
            and url.scheme in {"redis", "rediss"}
            and url.hostname
            and url.port != 0
        ):
            return value
    raise ValueError(
        "expected redis://:PASSWORD@HOST:PORT/NUMBER, or rediss:// for TLS; @ / ? in a password are %40 %2F %3F"
    )
