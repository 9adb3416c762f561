"""Client certificates: the identity in the certificate names the caller, and a setting grants its permission."""

from collections.abc import Iterable, Mapping

from sprocket_grpc.auth.permissions import Identity, with_included

# The properties of a verified certificate in gRPC's auth context: SAN URIs, SAN DNS names, and the common name. Names
# for machines come first, because a common name is free text for people.
_NAME_PROPERTIES = ("peer_uri", "peer_dns", "x509_common_name")

_LONGEST = 255


class Certificates:
    """Authenticates clients by their certificates."""

    def __init__(self, permissions: Mapping[str, str]) -> None:
        """Create an authenticator from permissions by identity, such as {"spiffe://example/dashboards": "read"}."""
        self._permissions = permissions

    def identify(self, auth_context: Mapping[str, Iterable[bytes]]) -> Identity | None:
        """Return the identity in a certificate, or None if the certificate has no usable name.

        Args:
            auth_context: The auth context of gRPC, which holds the client certificate.
        """
        name = _name(auth_context)
        if name is None:
            return None
        granted = [f"sprocket.{self._permissions[name]}"] if name in self._permissions else []
        return Identity(f"mtls:{name}", with_included(granted))


def _name(auth_context: Mapping[str, Iterable[bytes]]) -> str | None:
    names = (value for key in _NAME_PROPERTIES for value in auth_context.get(key, ()))
    name = next(names, b"").decode("utf-8", "replace")
    return name if 0 < len(name) <= _LONGEST and name.isprintable() else None
