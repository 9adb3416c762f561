"""Opens the databases that the settings name, as they say."""

from sprocket_grpc.database import Database
from sprocket_grpc.database_url import split_by_hosts
from sprocket_grpc.replicas import Replicas
from sprocket_grpc.settings import Settings


def database_for(settings: Settings, url: str) -> Database:
    """Return the connections to a database that requests use."""
    return Database(
        url,
        pool_size=settings.pool_size,
        pool_timeout_seconds=settings.pool_timeout_seconds,
        prepared_statements=settings.database_prepared_statements,
    )


def replicas_for(settings: Settings, primary: Database) -> Replicas:
    """Return a primary with the standbys that the settings name, each with connections of its own."""
    named = settings.database_read_url
    urls = split_by_hosts(named.get_secret_value()) if named else []
    standbys = [database_for(settings, url) for url in urls]
    return Replicas(primary, standbys, settings.database_read_maximum_lag_seconds)
