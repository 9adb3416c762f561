"""Client certificates: the identity in the certificate names the caller, and a setting grants its permissions."""

import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from cryptography import x509
from cryptography.x509.oid import NameOID

from sprocket_grpc.auth.permissions import Identity, with_included

_LONGEST = 255

_MOST_CACHED = 1024

# TLS accepts certificates that cryptography does not, for example with a name of a kind that it does not know.
_UNREADABLE = (ValueError, x509.DuplicateExtension, x509.InvalidVersion, x509.UnsupportedGeneralNameType)


class _Certificate(NamedTuple):
    """The parts of a certificate that identify a client.

    Attributes:
        names: Its names, each with its kind: the machine's names first, because a common name is free text for people.
        expire_time: When it expires, in seconds since 1970.
    """

    names: tuple[str, ...]
    expire_time: float


class Certificates:
    """Authenticates clients by their certificates, which gRPC has verified against the root certificates.

    A name keeps its kind, `uri:`, `dns:` or `cn:`, so that none can pass for a name of another kind.
    """

    def __init__(self, permissions: Mapping[str, Sequence[str]], *, common_names: bool = False) -> None:
        """Create an authenticator.

        Args:
            permissions: Permissions by identity, such as {"uri:spiffe://example/dashboards": ["read"]}.
            common_names: Whether a certificate without other names is identified by its common name.
        """
        self._permissions = permissions
        self._common_names = common_names

    def identify(self, pem: bytes) -> Identity | None:
        """Return the identity in a certificate, or None if it has no usable name or has expired.

        Args:
            pem: The certificate of the client, as it presented it.
        """
        certificate = _parse(pem)
        name = next((each for each in certificate.names if self._common_names or not each.startswith("cn:")), "")
        if not _is_usable(name) or certificate.expire_time <= time.time():  # it may expire while a connection is open
            return None
        granted = (f"sprocket.{each}" for each in self._permissions.get(name, ()))
        return Identity(f"mtls:{name}", with_included(granted), certificate.expire_time)


@lru_cache(_MOST_CACHED)
def _parse(pem: bytes) -> _Certificate:
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        return _Certificate(tuple(_names(certificate)), certificate.not_valid_after_utc.timestamp())
    except _UNREADABLE:
        return _Certificate((), 0)


def _names(certificate: x509.Certificate) -> list[str]:
    """Return the names of a certificate with their kinds: none if a name has a NUL, or if it has more than one URI."""
    try:
        others = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        others = x509.SubjectAlternativeName([])
    uris = others.get_values_for_type(x509.UniformResourceIdentifier)
    dns = others.get_values_for_type(x509.DNSName)
    common = [str(each.value) for each in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    kinds = {"uri": uris, "dns": dns, "cn": common}
    names = [f"{kind}:{name}" for kind, values in kinds.items() for name in values]
    return [] if len(uris) > 1 or "\0" in "".join(names) else names


def _is_usable(name: str) -> bool:
    return len("uri:") < len(name) <= _LONGEST and name.isprintable()
