"""What the methods of all resources work with."""

from dataclasses import dataclass

from sprocket_grpc.services.standard.token_cipher import TokenCipher
from sprocket_grpc.services.standard.writes import Writes
from sprocket_grpc.storage.postgres.database import Database
from sprocket_grpc.storage.postgres.read_router import ReadRouter


@dataclass(frozen=True)
class ServiceDependencies:
    """What the standard methods of all resources work with.

    Attributes:
        database: Where the resources are.
        read_router: Where calls without side effects read them.
        writes: How writes take effect.
        cipher: What seals the place where a list goes on.
        page_size_default: How many resources a page has when the request does not say.
        page_size_maximum: How many it has at most.
    """

    database: Database
    read_router: ReadRouter
    writes: Writes
    cipher: TokenCipher
    page_size_default: int = 50
    page_size_maximum: int = 1000
