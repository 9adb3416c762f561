"""gRPC-Web, and its form in text for clients that cannot receive bytes."""

import base64
import binascii
from collections.abc import Sequence
from urllib.parse import quote

from google.rpc.status_pb2 import Status

from sprocket_grpc.web.codec import MalformedError
from sprocket_grpc.web.enveloped import Enveloped
from sprocket_grpc.web.timeouts import grpc_timeout

_TRAILERS = 0x80

_PRINTABLE = " !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~"
"""What gRPC leaves as it is in a message, beside letters and digits."""


class GrpcWeb(Enveloped):
    """A call, whose last envelope has the status as trailers of gRPC."""

    system = "grpc"
    encoding_header = "grpc-encoding"
    accepted_header = "grpc-accept-encoding"

    def check(self) -> None:
        """Read the headers that may be wrong."""
        super().check()
        self.timeout_seconds = grpc_timeout(self._exchange.headers)

    def _last(self, status: Status | None, trailers: Sequence[tuple[str, str]]) -> tuple[int, bytes]:
        lines = [*trailers, ("grpc-status", str(status.code if status else 0))]
        if status:
            lines.append(("grpc-message", quote(status.message, safe=_PRINTABLE)))
            packed = base64.b64encode(status.SerializeToString()).decode().rstrip("=")
            lines.append(("grpc-status-details-bin", packed))
        return _TRAILERS, "".join(f"{name}: {value}\r\n" for name, value in lines).encode()


class GrpcWebText(GrpcWeb):
    """A call whose envelopes are in base64."""

    async def _body(self, limit: int) -> bytes:
        text = await self._exchange.body((limit + 2) // 3 * 4)
        try:
            return binascii.a2b_base64(text, strict_mode=True)
        except binascii.Error:
            raise MalformedError("the body is not base64, although its content-type says so") from None

    def _encoded(self, envelope: bytes) -> bytes:
        return base64.b64encode(envelope)
