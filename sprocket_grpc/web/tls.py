"""TLS for the web listener, which presents a renewed certificate without a restart, as the one of gRPC does."""

import logging
import ssl
from pathlib import Path

_log = logging.getLogger(__name__)


class RenewedCertificate:
    """The certificate and key in two files, which are read at every handshake."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Load the files.

        Raises:
            OSError: A file cannot be read, or they are no certificate with its key (as ssl.SSLError).
        """
        self._paths = (certificate, key)
        self._contents = self._read()
        self._current = self._load()
        self._problem: str | None = None

    @property
    def context(self) -> ssl.SSLContext:
        """The context of a listener."""
        return self._current

    def _present(self, connection: ssl.SSLObject, _: str | None, __: ssl.SSLContext) -> None:
        """Present the certificate that is in the files now, to one client."""
        try:
            contents = self._read()
            if contents != self._contents:
                self._current = self._load()
                self._contents = contents
                _log.info("loaded the renewed certificate")
            self._problem = None
        except OSError as error:
            self._report(str(error))
        connection.context = self._current

    def _report(self, problem: str) -> None:
        if problem != self._problem:  # once, not at every handshake
            _log.error("cannot load the renewed certificate; the last valid one stays in use: %s", problem)
        self._problem = problem

    def _read(self) -> list[bytes]:
        return [path.read_bytes() for path in self._paths]

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["http/1.1"])
        context.load_cert_chain(*self._paths, password=lambda: "")  # else OpenSSL would ask at the terminal
        context.sni_callback = self._present  # called at every handshake, with or without a name
        return context
