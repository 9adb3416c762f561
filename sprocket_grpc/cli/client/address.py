"""The addresses of servers: the forms that commands accept, and which of them stay on this machine."""

import re
from ipaddress import ip_address

import click

EXPECTED = "expected HOST:PORT, such as 127.0.0.1:50051 or [::1]:50051"

_HOST_AND_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+(%\w+)?\]|[\w.-]+):(?P<port>[0-9]{1,5})", re.ASCII)
_GRPC_NAME = re.compile(r"(dns|ipv4|ipv6|unix|unix-abstract|vsock|xds):.+")
_UNIX_SOCKET = re.compile(r"unix(-abstract)?:.+")
_HIGHEST_PORT = 65_535


class AddressType(click.ParamType[str]):
    """Parses the address of a server: HOST:PORT, or a name with one of gRPC's own schemes, such as unix:PATH."""

    name = "address"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the address as it is, or fail with the form that is expected."""
        if not is_address(value):
            self.fail(f"{EXPECTED}, {_mistake(value)}", param, ctx)
        return value


def is_address(text: str) -> bool:
    """Return whether a text has a form that gRPC can connect to."""
    return text.isprintable() and bool(_GRPC_NAME.fullmatch(text) or _is_host_and_port(text))


def is_local(address: str) -> bool:
    """Return whether all connections to a valid address stay on this machine: loopback and Unix sockets.

    Names other than localhost count as remote, since another machine says which addresses they have.
    """
    if _UNIX_SOCKET.fullmatch(address):
        return True
    endpoints = re.sub(r"dns:(///)?|ipv[46]:", "", address, count=1)
    return all(_is_loopback(each) for each in endpoints.split(","))


def _mistake(text: str) -> str:
    """Say what is wrong with an address."""
    rest = re.sub(r"\A\w+://", "", text, flags=re.ASCII).rstrip("/")
    if rest != text and _is_host_and_port(rest):
        return f"without the {'scheme' if '://' in text else 'slash'}: {rest}"
    if _is_host_and_port(f"{rest}:50051"):
        return f"with a port: {rest}:50051 is the default one"
    if _is_ip_address(rest):
        return f"with brackets around an IPv6 address, and with a port: [{rest}]:50051"
    return f"not {text!r}"


def _is_ip_address(text: str) -> bool:
    try:
        return bool(ip_address(text))
    except ValueError:
        return False


def _is_host_and_port(text: str) -> bool:
    found = _HOST_AND_PORT.fullmatch(text)
    return found is not None and 0 < int(found["port"]) <= _HIGHEST_PORT


def _is_loopback(endpoint: str) -> bool:
    found = _HOST_AND_PORT.fullmatch(endpoint)
    if not found:
        return False
    try:
        return found["host"].lower() == "localhost" or ip_address(found["host"].strip("[]")).is_loopback
    except ValueError:  # another name
        return False
