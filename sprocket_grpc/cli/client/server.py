"""The server that commands call."""

from typing import NamedTuple

import grpc


class Server(NamedTuple):
    """A server that commands call.

    Attributes:
        address: Its address.
        channel: The channel to it.
        metadata: Sent with every call: the credentials, if any.
        uses_tls: Whether the channel uses TLS.
    """

    address: str
    channel: grpc.Channel
    metadata: tuple[tuple[str, str], ...] = ()
    uses_tls: bool = False
