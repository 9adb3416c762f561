"""A server that requires client certificates, and clients that present one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc

from sprocket_grpc.config.settings import Settings
from tests.support.callers import Certificate, server_certificate
from tests.support.service import Service, running_service


def showing(root: Certificate, shown: Certificate) -> grpc.ChannelCredentials:
    """Return the channel credentials of a client with a certificate, which trusts one root certificate."""
    return grpc.ssl_channel_credentials(root.pem, shown.key_pem, shown.pem)


@asynccontextmanager
async def mutual(
    url: str, directory: Path, root: Certificate, credentials: grpc.ChannelCredentials, **settings: object
) -> AsyncIterator[Service]:
    """Run a server that requires client certificates of a root, and a client with some credentials."""
    (directory / "ca.crt").write_bytes(root.pem)
    files = server_certificate(root).write(directory) | {"tls_client_ca": directory / "ca.crt"}
    async with running_service(url, Settings.model_validate(files | settings), credentials) as service:
        yield service
