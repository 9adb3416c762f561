"""The settings of the web listener, a part of all settings."""

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode

from sprocket_grpc.config import validators


class WebSettings(BaseSettings):
    """The settings of the web listener.

    Attributes:
        web_connection_limit: The largest number of open connections to the web listener: 10 kB for each without TLS.
        web_hosts: The names under which browsers reach the web listener, beside localhost and addresses.
        web_listen: The address of the listener for browsers and curl. By default, there is one in development only, on
            the first free port from 127.0.0.1:8080 on.
        web_origins: The origins of web pages of others that may call, such as `https://app.example`.
        web_proxies: The addresses and networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed.
    """

    web_connection_limit: int = Field(default=5000, ge=1, le=1_000_000)
    web_hosts: Annotated[frozenset[str], NoDecode, BeforeValidator(validators.host_names)] | None = None
    web_listen: Annotated[str, AfterValidator(validators.address)] | None = None
    web_origins: Annotated[frozenset[str], NoDecode, BeforeValidator(validators.origins)] | None = None
    web_proxies: Annotated[str, AfterValidator(validators.networks)] | None = None
