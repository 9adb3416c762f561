"""A pytest plugin for .ci/previous: the databases of these tests are migrated by the command of another version.

MIGRATING_COMMAND is that command. With MIGRATING_DOWN_TO, its migrations are then reverted to that revision.
"""

import os
import subprocess
from typing import Any

from sprocket_grpc.storage import migrate
from tests.conformance import writes


def upgrade(url: str) -> None:
    """Migrate a database like `migrate.upgrade`, but by the command."""
    down_to = os.environ.get("MIGRATING_DOWN_TO")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for options in ([], ["--down", down_to] if down_to else ["--check"]):
        subprocess.run(  # noqa: S603  # our own command
            [os.environ["MIGRATING_COMMAND"], "migrate", *options],
            env=environment | {"SPROCKET_DATABASE_URL": url},
            check=True,
            stdout=subprocess.DEVNULL,
        )


_dump = writes.dump


async def dump_without_partitions(service: Any) -> dict[str, list[str]]:  # noqa: ANN401  # of that version
    """Return the rows of tables. Remove this when the previous version has partitions, and does not count them."""
    return {name: rows for name, rows in (await _dump(service)).items() if not name.startswith("audit_entry_")}


migrate.upgrade = upgrade
writes.dump = dump_without_partitions
