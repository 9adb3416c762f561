"""A sample of the conformance suite over each protocol of the web listener.

`pytest tests/conformance --protocol connect-json` runs the whole suite.
"""

from collections.abc import AsyncIterator

import pytest

from tests.conformance.test_create import *  # noqa: F403  # its tests
from tests.conformance.test_malformed import *  # noqa: F403  # as above
from tests.conformance.test_missing import *  # noqa: F403  # as above
from tests.support.service import Service
from tests.support.web import service_by
from tests.support.web_channel import EACH, PROTOCOLS, protocol_of


@pytest.fixture(params=PROTOCOLS)
async def service(request: pytest.FixtureRequest, database_url: str) -> AsyncIterator[Service]:
    """A server whose client speaks another protocol than gRPC."""
    async with service_by(request.param, database_url) as running:
        yield running


def test_the_whole_suite_can_be_shared_among_all_protocols() -> None:
    assert {protocol_of(f"test {number}", EACH) for number in range(100)} == {*PROTOCOLS}
    assert protocol_of("test", EACH) == protocol_of("test", EACH)
    assert [protocol_of("test", each) for each in (None, *PROTOCOLS)] == [None, *PROTOCOLS]
