"""The checks for production, which reject settings that are convenient in development but unsafe."""

from ipaddress import ip_address

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
        SettingsError: In production, a setting is unsafe. The text names all of them.
    """
    problems = {
        _DATABASE: settings.database_url is None,
        _ANONYMOUS: not settings.authenticates,
        _PLAINTEXT: settings.tls_certificate is None and not _is_loopback(settings.listen),
    }
    _raise_in_production(settings, [problem for problem, applies in problems.items() if applies])


def _raise_in_production(settings: Settings, problems: list[str]) -> None:
    if problems and settings.environment == "production":
        raise SettingsError("\n".join(problems))


def _is_loopback(listen: str) -> bool:
    host = listen.rpartition(":")[0].strip("[]")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
