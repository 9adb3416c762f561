"""What production refuses: all that is convenient on one's own machine and not safe anywhere else."""

from ipaddress import ip_address

from sprocket_grpc.config.settings import Settings, SettingsError

_OWN_DATABASE = "SPROCKET_DATABASE_URL: expected in production; the private PostgreSQL is for development"
_ANONYMOUS = (
    "SPROCKET_API_KEYS, SPROCKET_JWT_JWKS or SPROCKET_TLS_CLIENT_CA: expected one of them in production, "
    "or else anyone may do anything"
)
_PLAINTEXT = (
    "SPROCKET_TLS_CERTIFICATE: expected in production, or a SPROCKET_LISTEN that only this machine reaches, "
    "such as 127.0.0.1:50051"
)
_SAMPLE_DATA = "SPROCKET_ENVIRONMENT: production gets no sample data"


def check_database(settings: Settings) -> None:
    """Check that a command may use the database of the settings.

    Raises:
        SettingsError: This is production, and it may not.
    """
    _refuse(settings, [] if settings.database_url else [_OWN_DATABASE])


def check_sample_data(settings: Settings) -> None:
    """Check that sample data may be added.

    Raises:
        SettingsError: This is production.
    """
    _refuse(settings, [_SAMPLE_DATA])


def check_serving(settings: Settings) -> None:
    """Check that a server may run with the settings.

    Raises:
        SettingsError: This is production, and it may not. The text names all that is wrong.
    """
    problems = {
        _OWN_DATABASE: settings.database_url is None,
        _ANONYMOUS: not settings.authenticates,
        _PLAINTEXT: settings.tls_certificate is None and not _is_loopback(settings.listen),
    }
    _refuse(settings, [problem for problem, is_so in problems.items() if is_so])


def _refuse(settings: Settings, problems: list[str]) -> None:
    if problems and settings.environment == "production":
        raise SettingsError("\n".join(problems))


def _is_loopback(listen: str) -> bool:
    host = listen.rpartition(":")[0].strip("[]")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
