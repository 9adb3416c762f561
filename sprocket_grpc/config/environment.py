"""The environment variables of the package, and the detection of misspelt ones."""

import difflib
import os
import re
from collections.abc import Iterable

PREFIX = "SPROCKET_"

CLIENT_PREFIX = f"{PREFIX}CLIENT_"
"""The prefix of the variables for client commands. A server accepts and ignores them."""

CLIENT_VARIABLES = [
    CLIENT_PREFIX + name
    for name in (
        *("API_KEY", "API_KEY_FILE", "INSECURE", "SERVER"),
        *("TIMEOUT_SECONDS", "TLS_CA", "TLS_CERTIFICATE", "TLS_KEY"),
    )
]

# Kubernetes sets variables such as SPROCKET_GRPC_SERVICE_HOST or SPROCKET_PORT_50051_TCP_ADDR for every Service in the
# namespace, including one named "sprocket" or "sprocket-grpc". They are not settings.
_SERVICE_LINK = re.compile(
    r"\w+_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)=.*|\w+_PORT=(tcp|udp|sctp)://.*"
)


def unknown_variables(prefix: str, known: Iterable[str]) -> list[str]:
    """Return an error line for every environment variable with this prefix that is not known, with a suggestion."""
    names = [*known]
    unknown = sorted(name for name in os.environ if name.startswith(prefix) and name not in names)
    return [_suggest(name, names) for name in unknown if not _SERVICE_LINK.fullmatch(f"{name}={os.environ[name]}")]


def _suggest(name: str, known: list[str]) -> str:
    # Compared without the prefix, which makes all names similar.
    similar = difflib.get_close_matches(name.removeprefix(PREFIX), [each.removeprefix(PREFIX) for each in known], n=1)
    return f"{name}: there is no such setting" + (f"; did you mean {PREFIX}{similar[0]}?" if similar else "")
