"""The server that commands call."""

from typing import NamedTuple

import grpc


class Server(NamedTuple):
    """A server that commands call.

    Attributes:
        address: Where it is.
        channel: The channel to it.
        metadata: What to send with every call: the credentials, if there are any.
        uses_tls: Whether the channel does.
    """

    address: str
    channel: grpc.Channel
    metadata: tuple[tuple[str, str], ...] = ()
    uses_tls: bool = False
