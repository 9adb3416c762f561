"""Pages of the audit log end by bytes as well as by number."""

import pytest

from sprocket.v1.audit_pb2 import ListAuditEntriesRequest, ListAuditEntriesResponse
from tests.conformance.greatest import greatest_values
from tests.conformance.test_response_bytes import CLIENT_LIMIT_BYTES
from tests.support.books import query
from tests.support.resources import LOCATION
from tests.support.service import Service

_UPDATES = """
    DO $$ BEGIN
        FOR number IN 1..1000 LOOP UPDATE location SET update_time = update_time + interval '1 microsecond'; END LOOP;
    END $$
"""


async def responses_of(service: Service, page_size: int) -> list[ListAuditEntriesResponse]:
    request = ListAuditEntriesRequest(page_size=page_size)
    responses = [await service.audit.ListAuditEntries(request)]
    while token := responses[-1].next_page_token:
        request.page_token = token
        responses.append(await service.audit.ListAuditEntries(request))
    return responses


@pytest.mark.parametrize("page_size", [700, 1000])
async def test_a_thousand_updates_of_the_longest_texts_are_listed_once_each(service: Service, page_size: int) -> None:
    await LOCATION.create(service, **greatest_values(LOCATION))
    await query(service, _UPDATES)
    responses = await responses_of(service, page_size)
    ids = [entry.id for response in responses for entry in response.audit_entries]
    assert len(ids) == 1001
    assert ids == sorted(set(ids), reverse=True)
    assert max(response.ByteSize() for response in responses) < CLIENT_LIMIT_BYTES
    assert len(responses[0].audit_entries) < page_size  # by number alone, it would be too large
