"""The settings of the web listener, a part of all settings."""

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode

from sprocket_grpc.config import validators


class WebSettings(BaseSettings):
    """The settings of the web listener. docs/configuration.md has these descriptions: `make generate` copies them.

    Attributes:
        web_connection_limit: The maximum number of open connections to the web listener: 10 kB for each without TLS.
        web_hosts: The names, separated by commas, under which browsers reach the web listener, in addition to
            `localhost` and addresses. Requests for other names are refused. By default, none.
        web_listen: The address of the listener for browsers and curl. By default, there is one in development only, on
            the first free port from `127.0.0.1:8080` on.
        web_origins: The origins of other web pages, separated by commas, that may call the web listener, such as
            `https://app.example`. By default, none.
        web_proxies: The addresses and networks of proxies, separated by commas, whose `X-Forwarded-For` and
            `X-Forwarded-Proto` the web listener trusts. By default, none.
    """

    web_connection_limit: int = Field(default=5000, ge=1, le=1_000_000)
    web_hosts: Annotated[frozenset[str], NoDecode, BeforeValidator(validators.host_names)] | None = None
    web_listen: Annotated[str, AfterValidator(validators.address)] | None = None
    web_origins: Annotated[frozenset[str], NoDecode, BeforeValidator(validators.origins)] | None = None
    web_proxies: Annotated[str, AfterValidator(validators.networks)] | None = None
