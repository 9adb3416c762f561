"""Client certificates: the identity in the certificate names the caller, and a setting grants its permission."""

from collections.abc import Mapping

from cryptography import x509

from sprocket_grpc.auth.permissions import Identity, with_included


class Certificates:
    """Authenticates clients by their certificates."""

    def __init__(self, permissions: Mapping[str, str]) -> None:
        """Create an authenticator from permissions by identity, such as {"spiffe://example/dashboards": "read"}."""
        self._permissions = permissions

    def identify(self, certificate: bytes) -> Identity | None:
        """Return the identity in a certificate in PEM, or None if the certificate has no usable name."""
        parsed = x509.load_pem_x509_certificate(certificate)
        names = [str(each.value) for each in parsed.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
        try:
            others = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            names = (
                others.get_values_for_type(x509.UniformResourceIdentifier)
                + others.get_values_for_type(x509.DNSName)
                + names
            )
        except x509.ExtensionNotFound:
            pass
        if not names or not names[0] or len(names[0]) > 255 or not names[0].isprintable():
            return None
        granted = [f"sprocket.{self._permissions[names[0]]}"] if names[0] in self._permissions else []
        return Identity(f"mtls:{names[0]}", with_included(granted))
