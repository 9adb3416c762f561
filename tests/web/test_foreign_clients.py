"""`buf curl` and `curl`, which know nothing of this server, call it in each protocol."""

import asyncio
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import ROOT
from tests.support.resources import MISSING_ID, create_factory, create_location
from tests.support.web import FACTORIES, LOCATIONS, WebService

BUF = str(Path(sys.executable).with_name("buf"))
PROTOCOLS = ["grpc", "grpcweb", "connect"]


async def run(*command: str) -> tuple[int, str, str]:
    """Run a program, and return its exit status and its output."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=pipe, stderr=pipe)
    async with asyncio.timeout(90):
        output, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode(), errors.decode()


async def buf(web: WebService, protocol: str, path: str, message: Any) -> tuple[int, str, str]:
    """Call a method with `buf curl`: by gRPC on its own listener, which needs HTTP/2."""
    options = ["--http2-prior-knowledge"] if protocol == "grpc" else []
    address = web.address if protocol == "grpc" else web.web
    request = ["--schema", "protos", "--protocol", protocol, *options, "-d", json.dumps(message)]
    return await run(BUF, "curl", *request, f"http://{address}{path}")


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_buf_curl_gets_the_same_response_in_each_protocol(web: WebService, protocol: str) -> None:
    location = await create_location(web)
    status, output, errors = await buf(web, protocol, f"{LOCATIONS}/GetLocation", {"id": location.id})
    assert (status, errors) == (0, "")
    assert json.loads(output)["location"]["id"] == location.id


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_buf_curl_gets_the_same_error_in_each_protocol(web: WebService, protocol: str) -> None:
    status, _, errors = await buf(web, protocol, f"{LOCATIONS}/GetLocation", {"id": MISSING_ID})
    error = json.loads(errors)
    assert (status, error["code"]) == (8 * 5, "not_found")
    assert [each["type"] for each in error["details"]] == [
        "google.rpc.ErrorInfo",
        "google.rpc.ResourceInfo",
        "google.rpc.RequestInfo",
    ]


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_buf_curl_gets_a_stream_in_each_protocol(web: WebService, protocol: str) -> None:
    factory = await create_factory(web)
    status, output, errors = await buf(web, protocol, f"{FACTORIES}/GetFactoryChart", {"factoryId": factory.id})
    assert (status, errors) == (0, "")
    assert json.loads(output)["resumeToken"]


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
@pytest.mark.parametrize("options", [[], ["--compressed"], ["--http1.0"], ["--http2"], ["-H", "expect: 100-continue"]])
async def test_curl_calls_with_any_of_its_options(web: WebService, options: list[str]) -> None:
    url = f"http://{web.web}{LOCATIONS}/ListLocations"
    status, output, _ = await run("curl", "-sS", *options, "--json", "{}", url)
    assert (status, output) == (0, "{}")
