"""An issuer that publishes its keys with https on this machine."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from tests.support.callers import certificate, server_certificate


def issuer_context(directory: Path) -> ssl.SSLContext:
    """Return the TLS of an issuer, whose root certificate is then `ca.crt` in the directory."""
    root = certificate("root")
    (directory / "ca.crt").write_bytes(root.pem)
    files = server_certificate(root).write(directory)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files["tls_certificate"], files["tls_key"])
    return context


@contextmanager
def issuer(directory: Path, pages: dict[str, tuple[int, str]], asked: list[str]) -> Iterator[str]:
    """Serve pages with https on this machine, and yield the URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name is fixed
            asked.append(self.path)
            status, content = pages[self.path]
            self.send_response(status)
            self.send_header("Location", content)
            self.end_headers()
            self.wfile.write(content.encode())

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = issuer_context(directory).wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@contextmanager
def dripping_issuer(directory: Path, first: bytes, *, speaks_tls: bool = True) -> Iterator[str]:
    """Accept one connection, send something, then a byte every 50 ms until the block ends; yield the URL."""
    ended, context = threading.Event(), issuer_context(directory)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            accepted, _ = listener.accept()
            with (
                suppress(OSError),
                context.wrap_socket(accepted, server_side=True) if speaks_tls else accepted as sender,
            ):
                sender.sendall(first)
                while not ended.wait(0.05):
                    sender.sendall(b" ")

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        try:
            yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            ended.set()
            thread.join(10)
