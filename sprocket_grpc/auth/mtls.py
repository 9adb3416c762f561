"""Callers that show a certificate: its identity is who they are, and a setting says what they may do."""

from collections.abc import Iterable, Mapping

from sprocket_grpc.auth.permissions import Identity, with_included

# What gRPC says of a certificate that it has verified: its SAN URIs, its SAN DNS names, its common name. What is
# meant for machines comes first; a common name is for people, and may be anything.
_NAMES = ("peer_uri", "peer_dns", "x509_common_name")

_LONGEST = 255


class Certificates:
    """The clients whose certificates are known."""

    def __init__(self, rights: Mapping[str, str]) -> None:
        """Take the right of each identity, such as {"spiffe://example/dashboards": "read"}. Others have none."""
        self._rights = rights

    def identify(self, shown: Mapping[str, Iterable[bytes]]) -> Identity | None:
        """Return who showed a certificate, or None if it names nobody.

        Args:
            shown: What gRPC says about the other side of the connection.
        """
        name = _name(shown)
        if name is None:
            return None
        rights = [f"sprocket.{self._rights[name]}"] if name in self._rights else []
        return Identity(f"mtls:{name}", with_included(rights))


def _name(shown: Mapping[str, Iterable[bytes]]) -> str | None:
    name = next((value for key in _NAMES for value in shown.get(key, ())), b"").decode("utf-8", "replace")
    return name if 0 < len(name) <= _LONGEST and name.isprintable() else None
