"""An issuer of tokens whose answer never ends, and callers with made-up keys that wait for it."""

import asyncio
import os
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import grpc

from reliability.attack.stage import Measure, Stage
from tests.support.callers import AUDIENCE, ISSUER, bearer, certificate, server_certificate, signing_key

_LIST = "/sprocket.v1.LocationService/ListLocations"
_CALLS = 50
_DRIP_SECONDS = 0.5


class _Dripping(BaseHTTPRequestHandler):
    """Sends a byte at a time, each before a time-out for reading could end it."""

    def do_GET(self) -> None:  # the name is fixed
        """Answer with very many blanks."""
        self.send_response(200)
        self.end_headers()
        while True:
            self.wfile.write(b" ")
            time.sleep(_DRIP_SECONDS)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


async def issuer(stage: Stage) -> AsyncIterator[Measure]:
    """Call 50 times with tokens whose key ids are made up, while the issuer's answer drips; 50 calls are permitted."""
    with _dripping_issuer(stage.folder) as url:
        settings = {"jwt_jwks": url, "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE, "concurrency_limit": str(_CALLS)}
        with stage.scene(None, **settings) as scene:
            async with scene.watched() as seen, grpc.aio.insecure_channel(scene.address) as channel:
                method: Any = channel.unary_unary(_LIST)
                tokens = [signing_key("ES256", f"made up {number}").token() for number in range(_CALLS)]
                calls = [asyncio.ensure_future(method(b"", metadata=bearer(token))) for token in tokens]
                await asyncio.sleep(stage.seconds)
                waiting = sum(not call.done() for call in calls)
                for call in calls:
                    call.cancel()
                await asyncio.gather(*calls, return_exceptions=True)
            yield Measure(f"calls that wait after {stage.seconds:g} s", waiting, 0)
            for measure in seen.measures():
                yield measure


@contextmanager
def _dripping_issuer(folder: Path) -> Iterator[str]:
    """Run the issuer until the block ends, trusted by servers that are started meanwhile, and yield the URL."""
    root = certificate("root")
    (folder / "ca.crt").write_bytes(root.pem)
    files = server_certificate(root).write(folder)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(files["tls_certificate"], files["tls_key"])
    with ThreadingHTTPServer(("127.0.0.1", 0), _Dripping) as server:
        server.daemon_threads = True
        server.block_on_close = False
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # the server hangs up in the end
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        Thread(target=server.serve_forever, daemon=True).start()
        os.environ["SSL_CERT_FILE"] = str(folder / "ca.crt")
        try:
            yield f"https://127.0.0.1:{server.server_port}/keys"
        finally:
            del os.environ["SSL_CERT_FILE"]
            server.shutdown()
