"""Connect's calls with many responses."""

from collections.abc import Sequence

from google.rpc.status_pb2 import Status

from sprocket_grpc.web.connect_errors import encode_json, error_json
from sprocket_grpc.web.enveloped import Enveloped
from sprocket_grpc.web.timeouts import connect_timeout

_END = 2


class ConnectStream(Enveloped):
    """A stream, whose last envelope is JSON with the error, if any, and the trailers."""

    encoding_header = "connect-content-encoding"
    accepted_header = "connect-accept-encoding"

    def check(self) -> None:
        """Read the headers that may be wrong."""
        super().check()
        self.timeout_seconds = connect_timeout(self._exchange.headers)

    def _last(self, status: Status | None, trailers: Sequence[tuple[str, str]]) -> tuple[int, bytes]:
        error = {"error": error_json(status)} if status else {}
        return _END, encode_json({**error, "metadata": {name: [value] for name, value in trailers}})
