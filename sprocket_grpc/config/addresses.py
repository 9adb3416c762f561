"""Addresses to listen on, and the addresses to connect to them."""

from ipaddress import ip_address

from sprocket_grpc.errors import ExpectedError

# A server on [::] accepts IPv4 too, and a host may have no IPv6.
_ALL_INTERFACES = {"0.0.0.0", "[::]"}  # noqa: S104  # nothing is bound here


class AddressInUseError(ExpectedError):
    """The address to listen on is not available."""

    def __init__(self, address: str, setting: str) -> None:
        super().__init__(f"cannot listen on {address}: is another server running there? {setting} sets another address")


def split(listen: str) -> tuple[str, int]:
    """Return the host and the port of an address, such as `[::1]:50051`."""
    host, _, port = listen.rpartition(":")
    return host, int(port)


def reachable(listen: str) -> str:
    """Return the address to connect to for an address to listen on: 127.0.0.1 for 0.0.0.0 and [::]."""
    host, _, port = listen.rpartition(":")
    return f"{'127.0.0.1' if host in _ALL_INTERFACES else host}:{port}"


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a host, such as `127.0.0.1`, `[::1]` or `localhost`."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
