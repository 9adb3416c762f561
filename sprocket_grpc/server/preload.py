"""Imports what only some settings need, before workers are forked: they share its memory, and start the sooner.

Without workers nothing is preloaded: each module is imported where it is needed.
"""

from importlib import import_module

from sprocket_grpc.config.settings import Settings

_NEEDED_FOR = {
    "authenticates": ["sprocket_grpc.interceptors.authorization"],
    "jwt_jwks": ["sprocket_grpc.auth.jwt"],
    "metrics_listen": ["sprocket_grpc.server.instrumentation", "sprocket_grpc.telemetry.prometheus"],
    "otlp_endpoint": ["sprocket_grpc.server.instrumentation", "sprocket_grpc.telemetry.otlp"],
    "rate_limit": ["sprocket_grpc.interceptors.rate_limit"],
    "rate_limit_storage": ["redis.asyncio"],
    "tls_certificate": ["sprocket_grpc.server.tls"],
    "tls_client_ca": ["sprocket_grpc.auth.mtls"],
    "web_listen": ["sprocket_grpc.web.listener"],
}
"""The modules that are imported only if a setting is set."""


def preload(settings: Settings) -> None:
    """Import the modules that a server with these settings needs."""
    for setting, modules in _NEEDED_FOR.items():
        if getattr(settings, setting):
            for module in modules:
                import_module(module)
