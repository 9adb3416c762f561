"""The TLS credentials of the server, which reload renewed certificates without a restart.

The files are read at every handshake, which takes 50 us, but a content is parsed only once: to check the primes of an
RSA key takes 200 ms for 4,096 bits, during which the whole server stands still.
"""

import logging
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from sprocket_grpc.config.environment import PREFIX
from sprocket_grpc.config.settings import Settings
from sprocket_grpc.errors import ExpectedError

_log = logging.getLogger(__name__)


class TlsError(ExpectedError):
    """A certificate or key cannot be used. The text names its setting."""


class _Files(NamedTuple):
    """The contents of the files.

    Attributes:
        key: The private key of the server.
        certificate: The certificate chain of the server.
        client_ca: The root certificates for client certificates, or None if clients need no certificate.
    """

    key: bytes
    certificate: bytes
    client_ca: bytes | None


class TlsFiles:
    """The files in the settings, with their last valid contents."""

    def __init__(self, certificate: Path, key: Path, client_ca: Path | None) -> None:
        """Read the files.

        Raises:
            TlsError: A file cannot be read or is invalid, or the key does not match the certificate.
        """
        self._paths = (certificate, key, client_ca)
        self._problem: str | None = None
        self._checking = Lock()  # gRPC asks for renewed files in several threads
        self._used = self._read()
        _check(self._used)

    def credentials(self) -> grpc.ServerCredentials:
        """Return credentials for a port. They check for renewed files before every handshake."""
        renewed: Any = self._renewed  # grpc's types lack None, which means no change
        must_show = self._used.client_ca is not None
        return grpc.dynamic_ssl_server_credentials(_configuration(self._used), renewed, must_show)

    def _renewed(self) -> grpc.ServerCertificateConfiguration | None:
        """Return the contents of renewed files, or None if they have not changed or are not valid."""
        with self._checking:
            try:
                return self._use(self._read())
            except TlsError as error:
                self._report(str(error))
                return None

    def _use(self, found: _Files) -> grpc.ServerCertificateConfiguration | None:
        """Use the files if they have changed and are valid."""
        if found == self._used:
            self._report(None)
            return None
        _check(found)
        self._report(None)
        self._used = found
        _log.info("loaded the renewed certificate")
        return _configuration(found)

    def _report(self, problem: str | None) -> None:
        if problem and problem != self._problem:  # once, not at every handshake
            _log.error("cannot load the renewed certificate; the last valid one stays in use: %s", problem)
        self._problem = problem

    def _read(self) -> _Files:
        certificate, key, client_ca = self._paths
        return _Files(
            _read_file("TLS_KEY", key),
            _read_file("TLS_CERTIFICATE", certificate),
            _read_file("TLS_CLIENT_CA", client_ca) if client_ca else None,
        )


def load_tls(settings: Settings) -> TlsFiles | None:
    """Return the TLS files in the settings, or None if TLS is off.

    Raises:
        TlsError: A file cannot be read or is invalid, or the key does not match the certificate.
    """
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    return TlsFiles(settings.tls_certificate, settings.tls_key, settings.tls_client_ca)


def _configuration(files: _Files) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(files.key, files.certificate)], files.client_ca)


def _read_file(setting: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TlsError(f"{PREFIX}{setting}: cannot read {path}: {error.strerror}") from error


def _check(files: _Files) -> None:
    chain = _certificates(files.certificate)
    if not chain:
        raise TlsError(f"{PREFIX}TLS_CERTIFICATE: expected certificates in PEM")
    if files.client_ca is not None and not _certificates(files.client_ca):
        raise TlsError(f"{PREFIX}TLS_CLIENT_CA: expected certificates in PEM")
    public_key = _public_key(files.key)
    if public_key is None:
        raise TlsError(f"{PREFIX}TLS_KEY: expected a private key in PEM, without a password")
    if public_key != chain[0].public_key():
        raise TlsError(f"{PREFIX}TLS_KEY: expected the key of the first certificate of {PREFIX}TLS_CERTIFICATE")


# Invalid contents are in the caches too: they are found at every handshake until someone repairs the file.


@lru_cache(maxsize=4)
def _certificates(content: bytes) -> list[x509.Certificate]:
    """Return the certificates in a file; an empty list if it is invalid."""
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError:
        return []


@lru_cache(maxsize=2)
def _public_key(private_key: bytes) -> PublicKeyTypes | None:
    """Return the public key of the private key in a file, or None if that is invalid or has a password."""
    try:
        return serialization.load_pem_private_key(private_key, password=None).public_key()
    except (TypeError, ValueError):
        return None
