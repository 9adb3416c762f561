"""Variables of the environment: which are ours, and what a misspelt one was meant to be."""

import difflib
import os
import re
from collections.abc import Iterable

PREFIX = "SPROCKET_"

CLIENT_PREFIX = f"{PREFIX}CLIENT_"
"""The variables of commands that are clients. A server knows them, and takes no notice of them."""

CLIENT_VARIABLES = [
    CLIENT_PREFIX + name
    for name in ("API_KEY", "API_KEY_FILE", "SERVER", "TIMEOUT_SECONDS", "TLS_CA", "TLS_CERTIFICATE", "TLS_KEY")
]

# Kubernetes sets variables such as SPROCKET_GRPC_SERVICE_HOST or SPROCKET_PORT_50051_TCP_ADDR for every Service
# of the namespace, so for one that is called "sprocket" or "sprocket-grpc" too: they are no settings.
_SERVICE_LINK = re.compile(
    r"\w+_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)=.*|\w+_PORT=(tcp|udp|sctp)://.*"
)


def unknown_variables(prefix: str, known: Iterable[str]) -> list[str]:
    """Say which variables of this process begin so and are none of ours, a line each, with what may be meant."""
    names = [*known]
    strangers = sorted(name for name in os.environ if name.startswith(prefix) and name not in names)
    return [_suggest(name, names) for name in strangers if not _SERVICE_LINK.fullmatch(f"{name}={os.environ[name]}")]


def _suggest(name: str, known: list[str]) -> str:
    # Without the prefix, which makes all of them alike.
    near = difflib.get_close_matches(name.removeprefix(PREFIX), [each.removeprefix(PREFIX) for each in known], n=1)
    return f"{name}: there is no such setting" + (f"; did you mean {PREFIX}{near[0]}?" if near else "")
