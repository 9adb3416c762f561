"""What the methods of all resources work with."""

from dataclasses import dataclass

from sprocket_grpc.services.standard.sealing import Sealer
from sprocket_grpc.services.standard.writes import Writes
from sprocket_grpc.storage.postgres.database import Database
from sprocket_grpc.storage.postgres.read_router import Replicas


@dataclass(frozen=True)
class Toolkit:
    """What the standard methods of all resources work with.

    Attributes:
        database: Where the resources are.
        replicas: Where calls without side effects read them.
        writes: How writes take effect.
        sealer: What seals the place where a list goes on.
        page_size_default: How many resources a page has when the request does not say.
        page_size_maximum: How many it has at most.
    """

    database: Database
    replicas: Replicas
    writes: Writes
    sealer: Sealer
    page_size_default: int = 50
    page_size_maximum: int = 1000
