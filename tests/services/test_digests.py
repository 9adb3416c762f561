"""The digests of requests: fixed for ever, since tokens and recorded requests of other versions contain them."""

from google.protobuf.timestamp_pb2 import Timestamp

from sprocket.v1.factory_pb2 import FollowFactoryChartsRequest, GetFactoryChartRequest
from sprocket.v1.sprocket_pb2 import CreateSprocketRequest, ListSprocketsRequest, Sprocket
from sprocket_grpc.services.charts import resume_token
from sprocket_grpc.services.standard import page_token, writes
from sprocket_grpc.services.standard.requests import digest
from tests.support.resources import MISSING_ID

TOKEN = "t"  # noqa: S105  # no secret
# What the version of 2026-11-25 makes of the requests below.
PAGE = "cb01556e3073b40a43b247e157b95965"  # pragma: allowlist secret
RESUME_ONE = "9ef75bddce5153a313b7529f71492748"  # pragma: allowlist secret
RESUME_MANY = "aa23a3da14ba28f03dc228c6d0d5c988"  # pragma: allowlist secret
RETRY = "45fc5e6c1ff32297a14cc1cd2da837e99ebd85970a935bb89041732e762bec27"  # pragma: allowlist secret

START = Timestamp(seconds=1_700_000_000)


def resume_digest(request: GetFactoryChartRequest | FollowFactoryChartsRequest) -> str:
    """Return what the resume tokens of a request contain of it."""
    return digest(request, resume_token.FREE_FIELDS.intersection(request.DESCRIPTOR.fields_by_name))[:16].hex()


def test_a_page_token_of_another_version_fits_the_same_list() -> None:
    request = ListSprocketsRequest(
        page_size=7, page_token=TOKEN, filter='display_name = "a"', order_by="id desc", show_total_size=True
    )
    assert digest(request, page_token.FREE_FIELDS)[:16].hex() == PAGE


def test_a_resume_token_of_another_version_fits_the_same_streams() -> None:
    one = GetFactoryChartRequest(
        factory_id=MISSING_ID, max_points=60, follow=True, resume_token=TOKEN, start_time=START
    )
    assert resume_digest(one) == RESUME_ONE
    many = FollowFactoryChartsRequest(factory_ids=[MISSING_ID], max_points=60, resume_token=TOKEN, start_time=START)
    assert resume_digest(many) == RESUME_MANY


def test_a_retry_at_another_version_is_recognised() -> None:
    request = CreateSprocketRequest(request_id=MISSING_ID, validate_only=True, sprocket=Sprocket(display_name="a"))
    assert digest(request, writes.FREE_FIELDS).hex() == RETRY


def test_a_digest_depends_on_every_other_field() -> None:
    request = CreateSprocketRequest(request_id=MISSING_ID, sprocket=Sprocket(display_name="a"))
    other = CreateSprocketRequest(request_id=MISSING_ID, sprocket=Sprocket(display_name="b"))
    assert digest(request, writes.FREE_FIELDS) != digest(other, writes.FREE_FIELDS)
