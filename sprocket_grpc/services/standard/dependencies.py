"""The dependencies of the standard methods."""

from dataclasses import dataclass

from sprocket_grpc.services.standard.token_cipher import TokenCipher
from sprocket_grpc.services.standard.writes import Writes
from sprocket_grpc.storage.postgres.database import Database
from sprocket_grpc.storage.postgres.read_router import ReadRouter


@dataclass(frozen=True)
class ServiceDependencies:
    """The dependencies of the standard methods of all resources.

    Attributes:
        database: The primary.
        read_router: Where calls without side effects read.
        writes: Runs writes.
        cipher: Encrypts page tokens.
        page_size_default: The page size if the request has none.
        page_size_maximum: The largest page size.
    """

    database: Database
    read_router: ReadRouter
    writes: Writes
    cipher: TokenCipher
    page_size_default: int
    page_size_maximum: int
