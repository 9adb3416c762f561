"""docs/backup.md: its commands restore a dump and a moment, and a restore means for clients what the page says."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url, text

from sprocket.v1.factory_pb2 import Factory, ListFactoriesRequest, UpdateFactoryRequest
from sprocket_grpc.storage import migrate
from sprocket_grpc.storage.embedded import embedded_postgres
from sprocket_grpc.storage.embedded.account import account_for
from sprocket_grpc.storage.embedded.binaries import find_binaries
from sprocket_grpc.storage.postgres.engine import create_plain_engine
from sprocket_grpc.storage.seed import seed
from tests import ROOT
from tests.storage.embedded.servers import open_directory
from tests.support.charts import entries_of, read
from tests.support.command_line import PATIENCE_SECONDS, environment, run
from tests.support.documents import Block, blocks, steps
from tests.support.service import Service, running_service
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

DOCUMENT = (ROOT / "docs" / "backup.md").read_text()
DUMP, BASE, RESTORE, CHECK = (block for block in blocks(DOCUMENT) if block.language == "console")
(CONFIGURATION,) = (block for block in blocks(DOCUMENT) if block.language == "ini")
SHOWN_DIRECTORY = "/var/lib/sprocket-backup"
SHOWN_MOMENT = "2026-11-27 12:00:00+00"
CONTENT = (
    "SELECT (SELECT count(*) FROM sprocket), (SELECT count(*) FROM audit_entry), (SELECT count(*) FROM chart_entry),"
    " (SELECT count(*) FROM api_key WHERE revoke_time IS NULL),"
    " (SELECT sum(first_sequence) FROM chart_start),"
    " (SELECT md5(string_agg(factory::text, ',' ORDER BY id)) FROM factory)"
)


@dataclass(frozen=True)
class Cluster:
    """A PostgreSQL with a database `sprocket`."""

    url: str

    def url_of(self, role: str, driver: str = "postgresql", database: str = "sprocket") -> str:
        """Return the URL for a role."""
        url = make_url(self.url).set(drivername=driver, username=role, database=database)
        return url.render_as_string(hide_password=False)

    def query(self, statement: str, database: str = "sprocket") -> list[tuple[object, ...]]:
        """Run a statement as a superuser outside a transaction, and return its rows."""
        with psycopg.connect(self.url_of("postgres", database=database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


@dataclass(frozen=True)
class Shell:
    """Runs blocks of commands of the page, in a directory in place of the one that it shows."""

    directory: Path

    def text_of(self, block: Block, moment: str = SHOWN_MOMENT) -> str:
        """Return a block with this directory and a moment in place of the shown ones."""
        return block.text.replace(SHOWN_DIRECTORY, str(self.directory)).replace(SHOWN_MOMENT, moment)

    def run(self, block: Block, *, as_postgres: bool = False, moment: str = SHOWN_MOMENT, **variables: str) -> None:
        """Run the commands of a block in a shell until one fails, as the user who runs PostgreSQL or as this one."""
        account = account_for(self.directory / "primary")
        commands = [step.command for step in steps(f"```console\n{self.text_of(block, moment)}```")]
        path = os.pathsep.join([str(find_binaries(account, None).directory), str(Path(sys.executable).parent)])
        done = subprocess.run(
            ["bash", "-euc", "\n".join(commands)],
            cwd=self.directory,
            env=environment({}) | variables | {"PATH": f"{path}{os.pathsep}{os.environ['PATH']}"},
            capture_output=True,
            check=False,
            text=True,
            timeout=PATIENCE_SECONDS,
            **(account.credentials if as_postgres else {}),
        )
        assert done.returncode == 0, f"{commands}: {done.stdout}{done.stderr}"


@pytest.fixture
def shell() -> Iterator[Shell]:
    """A directory for backups that both users can write, with the repository's `deploy` in it."""
    with open_directory() as directory:
        directory.chmod(0o777)
        (directory / "deploy").symlink_to(ROOT / "deploy")
        (directory / "wal").mkdir()
        (directory / "wal").chmod(0o777)
        yield Shell(directory)


@contextmanager
def cluster(directory: Path, configuration: str = "") -> Iterator[Cluster]:
    """Run a new PostgreSQL with an empty database."""
    with embedded_postgres(directory, durable=False):
        pass
    with (directory / "postgresql.conf").open("a") as file:
        file.write(configuration)
    with embedded_postgres(directory, durable=False) as url:
        started = Cluster(url)
        started.query("CREATE DATABASE sprocket", database="postgres")
        yield started


@contextmanager
def primary(shell: Shell) -> Iterator[Cluster]:
    """Run the PostgreSQL that is backed up, with the roles, sample data that has begun to expire, and an API key."""
    sockets = f"unix_socket_directories = '{shell.directory}'\nlisten_addresses = ''\n"  # of the restored one
    with cluster(shell.directory / "primary", shell.text_of(CONFIGURATION) + sockets) as started:
        started.query((ROOT / "deploy" / "postgresql" / "roles.sql").read_text())
        owner = started.url_of("sprocket_owner", "postgresql+psycopg")
        migrate.upgrade(owner, role="sprocket_server")
        with create_plain_engine(owner).begin() as connection:
            seed(connection)
            connection.execute(text("SELECT expire_chart_before(id, chart_time_micros, 5) FROM factory"))
        run("api-key", "create", "dashboards", "--permission", "read", database_url=owner)
        yield started


def test_a_dump_is_restored_with_everything_but_passwords(shell: Shell) -> None:
    """The commands of the page do, twice: its roles may exist already."""
    with primary(shell) as old, cluster(shell.directory / "new") as new:
        before = old.query(CONTENT)
        for _ in range(2):
            shell.run(
                DUMP,
                DATABASE_URL=old.url_of("sprocket_owner"),
                NEW_DATABASE_URL=new.url_of("postgres"),
                NEW_OWNER_URL=new.url_of("sprocket_owner"),
            )
            assert new.query(CONTENT) == before
            new.query("DROP DATABASE sprocket", database="postgres")
            new.query("CREATE DATABASE sprocket", database="postgres")


@contextmanager
def restored(shell: Shell, moment: str) -> Iterator[Cluster]:
    """Run the cluster that the commands of the page restore and start."""
    shell.run(RESTORE, as_postgres=True, moment=moment)
    try:
        yield Cluster(f"postgresql+psycopg://postgres@/sprocket?host={shell.directory}&port=5432")
    finally:
        shell.run(Block("console", 0, f"$ pg_ctl --pgdata={SHOWN_DIRECTORY}/restored stop\n"), as_postgres=True)


async def set_goal(service: Service, factory_id: str, goal: int) -> str:
    """Change a factory's goal, and return the resume token after it."""
    factory = Factory(id=factory_id, sprocket_production_goal=goal)
    await service.factories.UpdateFactory(UpdateFactoryRequest(factory=factory))
    responses = await read(service, factory_id)
    return responses[-1].resume_token


async def test_a_moment_is_restored_and_clients_find_what_the_page_says(shell: Shell) -> None:
    """Tokens of before are valid, one of the lost time skips what comes in its place, and the key is valid again."""
    with primary(shell) as old:
        shell.run(BASE, as_postgres=True, REPLICATION_URL=old.url_of("postgres", database="postgres"))
        async with running_service(old.url_of("sprocket_server", "postgresql+psycopg")) as service:
            first = await service.factories.ListFactories(ListFactoriesRequest(page_size=1))
            kept = await set_goal(service, first.factories[0].id, 4711)
            before = old.query(CONTENT)
            ((moment,),) = old.query("SELECT clock_timestamp()::text")
            lost = await set_goal(service, first.factories[0].id, 4712)
        old.query("UPDATE api_key SET revoke_time = now()")
        ((segment,),) = old.query("SELECT pg_walfile_name(pg_switch_wal())")
        wait_until((shell.directory / "wal" / str(segment)).exists)
    with restored(shell, str(moment)) as new:
        wait_until(lambda: new.query("SELECT pg_is_in_recovery()") == [(False,)])
        shell.run(CHECK, RESTORED_OWNER_URL=new.url_of("sprocket_owner"))
        assert new.query(CONTENT) == before
        async with running_service(new.url_of("sprocket_server", "postgresql+psycopg")) as service:
            await service.factories.ListFactories(ListFactoriesRequest(page_size=1, page_token=first.next_page_token))
            await read(service, first.factories[0].id, resume_token=kept)
            assert not entries_of(await read(service, first.factories[0].id, resume_token=lost))
