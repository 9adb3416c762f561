"""The pytest plugin, as other projects use it: each test here runs pytest on tests of such a project."""

import textwrap
from collections.abc import Sequence
from importlib.metadata import entry_points

import pytest

pytestmark = pytest.mark.slow

pytest_plugins = ["pytester"]

WITHOUT_ASYNCIO = ("-pno:asyncio", "-pno:anyio")
PYTEST_ASYNCIO = ("-pno:anyio", "-oasyncio_default_fixture_loop_scope=function")
PLUGIN = "sprocket_grpc.testing.plugin"

POSTGRES = """
import os
import pytest

@pytest.fixture(scope="session")
def sprocket_postgres():
    return os.environ["POSTGRES"]
"""

HELPERS = """
import asyncio
import functools
import logging
import threading

import grpc
import pytest

from sprocket.v1.audit_pb2 import ListAuditEntriesRequest
from sprocket.v1.audit_pb2_grpc import AuditServiceStub
from sprocket.v1.factory_pb2 import GetFactoryChartRequest, ListFactoriesRequest
from sprocket.v1.factory_pb2_grpc import FactoryServiceStub
from sprocket.v1.location_pb2 import CreateLocationRequest, ListLocationsRequest, Location
from sprocket.v1.location_pb2_grpc import LocationServiceStub

LOCATION = Location(display_name="Plant", address="1 Way", city="Ogdenville", postal_code="1", country_code="US")


def count(channel):
    return len(LocationServiceStub(channel).ListLocations(ListLocationsRequest()).locations)


def create(channel, **fields):
    return LocationServiceStub(channel).CreateLocation(CreateLocationRequest(location=LOCATION, **fields)).location


@pytest.fixture
def factories(sprocket_channel):
    return FactoryServiceStub(sprocket_channel)


async def entries_of_first_factory(factories, **fields):
    found = await factories.ListFactories(ListFactoriesRequest(page_size=1))
    entries = []
    async for response in factories.GetFactoryChart(GetFactoryChartRequest(factory_id=found.factories[0].id, **fields)):
        entries += response.chart.sprocket_production_actual
        if response.end_of_history:
            return entries
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, postgres: str) -> pytest.Pytester:
    """A project whose tests use the PostgreSQL of this suite, which is faster than starting another."""
    monkeypatch.setenv("POSTGRES", postgres)
    pytester.makeconftest(POSTGRES)
    return pytester


def run(project: pytest.Pytester, tests: str, *options: str) -> pytest.RunResult:
    """Run tests in the order of the file, with warnings as errors."""
    project.makepyfile(HELPERS + textwrap.dedent(tests))
    return project.runpytest_subprocess(
        "--strict-markers", "-Werror", "-pno:cacheprovider", "-pno:randomly", *(options or WITHOUT_ASYNCIO)
    )


def test_pytest_finds_the_plugin_by_itself() -> None:
    assert PLUGIN in [each.value for each in entry_points(group="pytest11")]


def test_a_project_that_does_not_use_the_fixtures_imports_nothing_of_the_service(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(f"""
        import sys

        def test_nothing():
            assert "{PLUGIN}" in sys.modules
            assert not {{"grpc", "google.protobuf", "sqlalchemy", "sprocket.v1"}} & set(sys.modules)
    """)
    pytester.runpytest_subprocess("-pno:cacheprovider").assert_outcomes(passed=1)


def test_without_its_extra_a_fixture_says_what_to_install(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("import sys\nsys.modules['sqlalchemy'] = None  # as if it were not installed")
    pytester.makepyfile("def test_needs_a_server(sprocket_sync_channel): pass")
    result = pytester.runpytest_subprocess("-pno:cacheprovider")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*pip install 'sprocket-grpc[[]testing[]]'*"])


def test_the_server_is_real_and_has_its_own_postgresql(pytester: pytest.Pytester) -> None:
    tests = """
        def test_it_is_served(sprocket_sync_channel):
            create(sprocket_sync_channel)
            assert count(sprocket_sync_channel) == 1
    """
    run(pytester, tests).assert_outcomes(passed=1)


def test_every_test_starts_with_the_requested_data_and_nothing_of_other_tests(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The server ignores the environment.
    monkeypatch.setenv("SPROCKET_API_KEYS", "true")
    monkeypatch.setenv("SPROCKET_PAGE_SIZE_DEFAULT", "1")
    tests = """
        def test_empty(sprocket_sync_channel):
            assert count(sprocket_sync_channel) == 0
            create(sprocket_sync_channel)

        @pytest.mark.sprocket_seeded
        def test_seeded(sprocket_sync_channel):
            assert count(sprocket_sync_channel) == 3
            create(sprocket_sync_channel)

        @pytest.mark.sprocket_seeded
        class TestSeeded:
            def test_again(self, sprocket_sync_channel):
                assert count(sprocket_sync_channel) == 3

        REQUEST = "8c5c0a3e-9d0f-4c57-9d53-6a2c3a0a0001"
        ids = set()

        @pytest.mark.parametrize("time", range(2))
        def test_requests_and_the_audit_log_are_forgotten(sprocket_sync_channel, time):
            assert count(sprocket_sync_channel) == 0
            audit = AuditServiceStub(sprocket_sync_channel)
            assert not audit.ListAuditEntries(ListAuditEntriesRequest()).audit_entries
            ids.update(create(sprocket_sync_channel, request_id=REQUEST).id for _ in "12")
            assert len(ids) == time + 1
    """
    run(project, tests).assert_outcomes(passed=5)


def test_calls_that_a_test_leaves_open_do_not_affect_the_next_test(project: pytest.Pytester) -> None:
    tests = """
        ended = threading.Event()
        logged = []

        class Log(logging.Handler):
            def emit(self, record):
                logged.append(record.getMessage())

        logging.getLogger().addHandler(Log(logging.WARNING))

        def write_until_ended(channel, writing):
            while not ended.is_set():
                try:
                    create(channel)
                    writing.set()
                except grpc.RpcError:
                    pass

        def test_that_leaves_a_writer(sprocket_address):
            writing = threading.Event()
            channel = grpc.insecure_channel(sprocket_address)
            threading.Thread(target=write_until_ended, args=[channel, writing], daemon=True).start()
            assert writing.wait(30)

        @pytest.mark.sprocket_seeded
        @pytest.mark.parametrize("time", range(5))
        def test_that_leaves_streams(sprocket_channel, time):
            factories = FactoryServiceStub(sprocket_channel)
            for _ in range(2):
                assert asyncio.run(entries_of_first_factory(factories, follow=True))

        @pytest.mark.parametrize("time", range(5))
        def test_after_them(sprocket_sync_channel, time):
            for _ in range(5):
                assert count(sprocket_sync_channel) == 0

        def test_the_last():
            ended.set()
            assert not logged
    """
    run(project, tests).assert_outcomes(passed=12)


@pytest.mark.parametrize(
    ("mark", "options"),
    [
        ("@in_a_loop_of_its_own", WITHOUT_ASYNCIO),
        ("@pytest.mark.asyncio", PYTEST_ASYNCIO),
        ("@pytest.mark.asyncio(loop_scope='session')", PYTEST_ASYNCIO),
        ("@pytest.mark.anyio", ("-pno:asyncio",)),
    ],
    ids=["no plugin for asyncio", "pytest-asyncio", "pytest-asyncio with one loop for all", "anyio"],
)
def test_asynchronous_tests_call_from_the_loop_they_run_in(
    project: pytest.Pytester, mark: str, options: Sequence[str]
) -> None:
    tests = f"""
        def in_a_loop_of_its_own(test):
            @functools.wraps(test)
            def run(*args, **kwargs):
                asyncio.run(test(*args, **kwargs))

            return run

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        {mark}
        @pytest.mark.sprocket_seeded
        @pytest.mark.parametrize("time", range(3))
        async def test_reads(factories, time):
            assert await entries_of_first_factory(factories) == [32, 29, 31, 30, 32] * 4

        {mark}
        async def test_both_channels_reach_the_same_server(sprocket_channel, sprocket_sync_channel):
            create(sprocket_sync_channel)
            async with sprocket_channel as channel:
                await channel.channel_ready()
                found = await LocationServiceStub(channel).ListLocations(ListLocationsRequest())
            assert len(found.locations) == 1
    """
    run(project, tests, *options).assert_outcomes(passed=4)


def test_workers_of_xdist_do_not_see_each_others_data(project: pytest.Pytester) -> None:
    tests = """
        @pytest.mark.parametrize("number", range(20))
        def test_alone(sprocket_sync_channel, number):
            for expected in range(3):
                assert count(sprocket_sync_channel) == expected
                create(sprocket_sync_channel)
    """
    run(project, tests, *WITHOUT_ASYNCIO, "-n2").assert_outcomes(passed=20)
