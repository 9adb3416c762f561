"""Connections: handshakes of TLS, which cost the server most, and pings, which it may not hold against a client."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from reliability import http2
from reliability.attack.crowd import spread
from reliability.attack.stage import Measure, Stage

_HANDSHAKES_PER_SECOND = 30
_PINGS, _PING_SECONDS = 5, 9.9  # every ten seconds, on the worst of clocks


async def handshakes(stage: Stage) -> AsyncIterator[Measure]:
    """Connect 30 times a second to a server whose certificate has an RSA key of 4,096 bits."""
    files = _certificate(stage.folder)
    tls = ssl.create_default_context(cafile=files["tls_certificate"])
    tls.set_alpn_protocols(["h2"])
    with stage.scene(files["tls_certificate"], **{name: str(path) for name, path in files.items()}) as scene:
        async with scene.watched() as seen:

            async def connect(_: int) -> None:
                async with http2.connected(scene.address, tls=tls):
                    pass

            await spread(stage.seconds, connect, int(_HANDSHAKES_PER_SECOND * stage.seconds))
        for measure in seen.measures():
            yield measure


async def pings(stage: Stage) -> AsyncIterator[Measure]:
    """Send a keepalive ping every ten seconds, as proxies and mobile networks need, without a call."""
    with stage.scene() as scene:
        async with http2.connected(scene.address) as connection:
            answer = asyncio.ensure_future(connection.answer())
            for _ in range(_PINGS):
                await asyncio.sleep(_PING_SECONDS)
                if answer.done():
                    break
                await connection.send(http2.frame(http2.PING, 0, 0, bytes(8)))
            await asyncio.wait([answer], timeout=1)
        yield Measure("clients that were cut off", int(answer.done()), 0)
        answer.cancel()


def _certificate(folder: Path) -> dict[str, Path]:
    """Write a certificate that signs itself and its key, and return the settings that name them."""
    key = rsa.generate_private_key(65537, 4096)
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")]), datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName("localhost")])
    signed = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    settings = {"tls_certificate": folder / "tls.crt", "tls_key": folder / "tls.key"}
    settings["tls_certificate"].write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    pkcs8, clear = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    settings["tls_key"].write_bytes(key.private_bytes(serialization.Encoding.PEM, pkcs8, clear))
    return settings
