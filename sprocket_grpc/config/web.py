"""Where the web listener listens."""

from collections.abc import Sequence

from sprocket_grpc.config.settings import Settings

_DEFAULTS = [f"127.0.0.1:{port}" for port in range(8080, 8180)]


def web_addresses(settings: Settings) -> Sequence[str]:
    """Return the addresses for the web listener, of which the first free one is used; empty if there is no listener.

    In development there is one by default, but none where a client certificate is required, which HTTP lacks.
    """
    if settings.web_listen:
        return [settings.web_listen]
    return _DEFAULTS if settings.environment == "development" and settings.tls_client_ca is None else []
