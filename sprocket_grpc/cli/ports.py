"""Checks the ports of a server before anything is created for it."""

import errno
import socket

from sprocket_grpc.config.addresses import AddressInUseError, split
from sprocket_grpc.config.environment import PREFIX
from sprocket_grpc.config.settings import Settings

_NAMES = ("listen", "health_listen", "metrics_listen", "web_listen")


def check_ports(settings: Settings) -> None:
    """Check that no other program listens on the addresses in the settings.

    Raises:
        AddressInUseError: One of them is in use.
    """
    for name in _NAMES:
        address = getattr(settings, name)
        if address and _is_in_use(address):
            raise AddressInUseError(address, f"{PREFIX}{name.upper()}")


def _is_in_use(address: str) -> bool:
    """Return whether a port is in use. The listener itself reports all other problems of an address."""
    host, port = split(address)
    try:
        family, _, _, _, found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # ignore connections in TIME_WAIT
            probe.bind(found)
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return False
