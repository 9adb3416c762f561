"""Addresses to listen on, and the addresses to connect to them."""

from sprocket_grpc.errors import ExpectedError

_LOOPBACK = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104  # nothing is bound here


class AddressInUseError(ExpectedError):
    """The address to listen on is not available."""

    def __init__(self, address: str, setting: str) -> None:
        super().__init__(f"cannot listen on {address}: is another server running there? {setting} sets another address")


def split(listen: str) -> tuple[str, int]:
    """Return the host and the port of an address, such as `[::1]:50051`."""
    host, _, port = listen.rpartition(":")
    return host, int(port)


def reachable(listen: str) -> str:
    """Return the address to connect to for an address to listen on: 127.0.0.1 for 0.0.0.0."""
    host, _, port = listen.rpartition(":")
    return f"{_LOOPBACK.get(host, host)}:{port}"
