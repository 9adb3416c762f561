"""The checks for production, which reject settings that are convenient in development but unsafe."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from sprocket_grpc.config.addresses import is_loopback, split
from sprocket_grpc.config.database_url import is_verified
from sprocket_grpc.config.settings import Settings, SettingsError

_DATABASE = "SPROCKET_DATABASE_URL: expected in production; the embedded PostgreSQL is for development only"
_ANONYMOUS = (
    "SPROCKET_API_KEYS, SPROCKET_JWT_JWKS or SPROCKET_TLS_CLIENT_CA: expected one of them in production; "
    "without authentication, every caller has every permission"
)
_PLAINTEXT = (
    "SPROCKET_TLS_CERTIFICATE: expected in production, unless SPROCKET_LISTEN is a loopback address "
    "such as 127.0.0.1:50051"
)
_WEB_PLAINTEXT = (
    "SPROCKET_TLS_CERTIFICATE: expected in production, unless SPROCKET_WEB_LISTEN is a loopback address "
    "such as 127.0.0.1:8080"
)
_WEB_CERTIFICATES = (
    "SPROCKET_WEB_LISTEN: expected none with SPROCKET_TLS_CLIENT_CA, since calls by HTTP have no client certificate"
)
_CAN_BE_READ = "unless your network encrypts it, others on the network can read and change what is sent"
_SAMPLE_DATA = "SPROCKET_ENVIRONMENT: expected development; sample data is not added in production"


def check_database(settings: Settings) -> None:
    """Check that a command may use the database of the settings.

    Raises:
        SettingsError: In production, the settings name no database.
    """
    _raise_in_production(settings, [] if settings.database_url else [_DATABASE])


def check_sample_data(settings: Settings) -> None:
    """Check that sample data may be added.

    Raises:
        SettingsError: The environment is production.
    """
    _raise_in_production(settings, [_SAMPLE_DATA])


def check_serving(settings: Settings) -> None:
    """Check that a server may run with the settings.

    Raises:
        SettingsError: In production, a setting is unsafe. The text names all of them. Elsewhere, the web listener would
            let callers in without the certificates that other settings require.
    """
    if settings.web_listen and settings.tls_client_ca:
        raise SettingsError(_WEB_CERTIFICATES)
    problems = {
        _DATABASE: settings.database_url is None,
        _ANONYMOUS: not settings.authenticates,
        _PLAINTEXT: _is_in_plaintext(settings, settings.listen),
        _WEB_PLAINTEXT: _is_in_plaintext(settings, settings.web_listen),
    }
    _raise_in_production(settings, [problem for problem, applies in problems.items() if applies])


def find_unencrypted(settings: Settings) -> list[str]:
    """Return a line for each connection of a server in production that others on the network may read or change.

    They are not refused, because a sidecar or the network may encrypt them, which cannot be checked here.
    """
    return [*_unencrypted(settings)] if settings.environment == "production" else []


def _raise_in_production(settings: Settings, problems: list[str]) -> None:
    if problems and settings.environment == "production":
        raise SettingsError("\n".join(problems))


def _is_in_plaintext(settings: Settings, address: str | None) -> bool:
    return settings.tls_certificate is None and address is not None and not is_loopback(split(address)[0])


def _unencrypted(settings: Settings) -> Iterator[str]:
    for name, url in (("DATABASE_URL", settings.database_url), ("DATABASE_READ_URL", settings.database_read_url)):
        if url and not is_verified(url.get_secret_value()):
            yield f"SPROCKET_{name}: expected sslmode=verify-full; {_CAN_BE_READ}"
    storage = settings.rate_limit_storage
    if storage and _is_plaintext(storage.get_secret_value(), "redis"):
        yield f"SPROCKET_RATE_LIMIT_STORAGE: expected rediss://; {_CAN_BE_READ}"
    if settings.otlp_endpoint and _is_plaintext(settings.otlp_endpoint, "http"):
        yield f"SPROCKET_OTLP_ENDPOINT: expected https://; {_CAN_BE_READ}"


def _is_plaintext(url: str, scheme: str) -> bool:
    """Return whether a URL has the scheme without TLS, and leads to another machine."""
    parsed = urlsplit(url)
    return parsed.scheme == scheme and not is_loopback(parsed.hostname or "")
