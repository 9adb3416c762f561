"""Addresses, as they are listened on and as they are connected to."""

from sprocket_grpc.errors import ExpectedError

_LOOPBACK = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104  # nothing is bound here


class AddressInUseError(ExpectedError):
    """The address to listen on cannot be had."""

    def __init__(self, address: str, setting: str) -> None:
        super().__init__(f"cannot listen on {address}: is another server running there? {setting} chooses another")


def split(listen: str) -> tuple[str, int]:
    """Return the host and the port of an address, such as `[::1]:50051`."""
    host, _, port = listen.rpartition(":")
    return host, int(port)


def reachable(listen: str) -> str:
    """Turn an address to listen on into one to connect to."""
    host, _, port = listen.rpartition(":")
    return f"{_LOOPBACK.get(host, host)}:{port}"
