"""Credentials of callers: API keys, tokens and certificates, created when they are needed."""

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from sprocket_grpc.auth.api_key import NewKey, make_key
from sprocket_grpc.storage import api_key
from sprocket_grpc.storage.api_key import ValidKey
from sprocket_grpc.storage.postgres.engine import create_plain_engine

ISSUER, AUDIENCE = "https://login.example/", "sprocket"

Metadata: TypeAlias = tuple[tuple[str, str], ...]

_PUBLISH: dict[str, Any] = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}


def bearer(secret: str) -> Metadata:
    """Return the metadata of a call with a bearer token."""
    return (("authorization", f"Bearer {secret}"),)


def create_key(
    url: str,
    *permissions: str,
    name: str = "tests",
    hours: int | None = None,
    factory_ids: Sequence[str] | None = None,
) -> NewKey:
    """Create an API key in a database."""
    made = make_key()
    with create_plain_engine(url).begin() as connection:
        api_key.create(connection, made.id, ValidKey(name, permissions, made.secret_hash, factory_ids), hours)
    return made


class SigningKey(NamedTuple):
    """A signing key of an issuer."""

    algorithm: str
    key_id: str
    private: Any

    def token(self, *without: str, headers: dict[str, Any] | None = None, **claims: Any) -> str:
        """Return a signed token with valid claims, except for those that are removed or replaced."""
        now = int(time.time())
        valid = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "exp": now + 600, "scope": "sprocket.admin"}
        payload = {name: value for name, value in (valid | claims).items() if name not in without}
        return jwt.encode(payload, self.private, self.algorithm, {"kid": self.key_id} | (headers or {}))

    def published(self) -> dict[str, Any]:
        """Return the public key as a JWK."""
        public = _PUBLISH[self.algorithm].to_jwk(self.private.public_key(), as_dict=True)
        return {**public, "kid": self.key_id, "alg": self.algorithm, "use": "sig"}


def signing_key(algorithm: str, key_id: str = "first") -> SigningKey:
    """Create a signing key of an issuer."""
    if algorithm == "RS256":
        return SigningKey(algorithm, key_id, rsa.generate_private_key(65537, 2048))
    if algorithm == "ES256":
        return SigningKey(algorithm, key_id, ec.generate_private_key(ec.SECP256R1()))
    return SigningKey(algorithm, key_id, ed25519.Ed25519PrivateKey.generate())


def key_set(*keys: SigningKey) -> str:
    """Return the JWKS of an issuer."""
    return json.dumps({"keys": [key.published() for key in keys]})


class Certificate(NamedTuple):
    """A certificate and its private key."""

    certificate: x509.Certificate
    private: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        """The certificate in PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The private key in PEM."""
        encoding, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        return self.private.private_bytes(encoding, pkcs8, serialization.NoEncryption())

    def write(self, directory: Path) -> dict[str, Path]:
        """Write both into a directory, and return the settings that name them."""
        settings = {"tls_certificate": directory / "tls.crt", "tls_key": directory / "tls.key"}
        settings["tls_certificate"].write_bytes(self.pem)
        settings["tls_key"].write_bytes(self.key_pem)
        return settings


def certificate(
    common_name: str,
    names: list[x509.GeneralName] | None = None,
    issuer: Certificate | None = None,
    valid_for: timedelta = timedelta(days=1),
) -> Certificate:
    """Create a certificate; without an issuer, a root certificate."""
    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + valid_for)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return Certificate(builder.sign(issuer.private if issuer else private, hashes.SHA256()), private)


def server_certificate(issuer: Certificate) -> Certificate:
    """Create a certificate for a server on this machine."""
    return certificate("server", [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))], issuer)
