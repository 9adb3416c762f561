"""The table of permissions in docs/authentication.md is that of the code."""

import re

from sprocket_grpc.auth.permissions import BUNDLES, REQUIRED
from tests import ROOT

DOCUMENT = (ROOT / "docs" / "authentication.md").read_text(encoding="utf-8")


def code(cell: str) -> list[str]:
    """Return what is in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def test_the_table_of_permissions_is_that_of_the_code() -> None:
    rows = re.findall(r"^\| `(sprocket\.[a-z_.]+)` \| (.*?) \| (.*?) \|$", DOCUMENT, re.MULTILINE)
    methods = {name: code(allowed) for name, allowed, _ in rows if name != "sprocket.force"}
    assert methods == {
        name: [path.rpartition("/")[2] for path, required in REQUIRED.items() if required == name]
        for name in sorted(set(REQUIRED.values()))
    }
    assert {name: code(bundles) for name, _, bundles in rows} == {
        name: [bundle for bundle, included in BUNDLES.items() if name in included] for name in BUNDLES["sprocket.admin"]
    }
