"""The commands that the explorer makes: a shell reads them as they are meant, and they work as they are printed."""

import json
import os
import random
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest

from tests.browser.conftest import NewPage
from tests.support.callers import certificate, create_key, server_certificate
from tests.support.dashboard import FACTORY_IDS
from tests.support.explorer import Explorer, run_in_shell
from tests.support.grpcurl import BUF
from tests.support.ports import free_address, free_port
from tests.support.site import Site, running_site

if TYPE_CHECKING:
    from playwright.async_api import Page

pytestmark = pytest.mark.slow

LIST, CHART = "FactoryService/ListFactories", "FactoryService/GetFactoryChart"
PROGRAMS = ["curl", "grpcurl", "buf curl"]
SHELLS = [each for each in ("sh", "bash", "zsh") if shutil.which(each)]
NASTY = [
    "'",
    '"',
    "$",
    "`",
    "\\",
    "!",
    "\n",
    "\t",
    " ",
    "-",
    "--",
    "#",
    "~",
    "*",
    "?",
    "[",
    "]",
    "{",
    "}",
    "(",
    ")",
    "<",
]
NASTY += [
    ">",
    "|",
    "&",
    ";",
    "%",
    "%s",
    "\\n",
    "\\'",
    "'\\''",
    "$(id)",
    "$KEY",
    "é",
    "🏭",
    "\u2028",
    "\u202e",
    "\0",
    "\x7f",
]
HOSTS = [f"a{each}b.localhost" for each in "!$&'()*,;=`{}~\"+"]
PLACES = [
    "http://[::1]:8080",
    "https://[fe80::1]",
    "http://127.0.0.1:1",
    "https://sprocket.example",
    "http://localhost",
]

_MAKE = """async ([calls, places]) => {
    const { Contract } = await import("/static/explorer-contract.js");
    const { commandOf } = await import("/static/explorer-commands.js");
    const contract = await Contract.load();
    const found = places.filter((each) => URL.canParse(each)).map((each) => new URL(each));
    return found.flatMap((place) => calls.map(([program, link, request]) => ({
        program, link, request, origin: place.origin, grpc: `${place.hostname}:${contract.grpc.port}`,
        text: commandOf(program, contract, contract.method(link), request, { isAuthenticated: true, place }),
    })));
}"""

_SHOW = r"""
show() { printf '%s\0' "$@"; echo; od -An -v -tx1; }
curl() { show curl "$@"; }
buf() { show buf "$@"; }
grpcurl() { show grpcurl "$@"; }
"""

Made: TypeAlias = dict[str, str]
"""A command, with what it is made of: `text`, `program`, `link`, `request`, `origin` and `grpc`, an address."""


async def make_commands(page: "Page", calls: Sequence[tuple[str, str, str]], places: Sequence[str]) -> list[Made]:
    """Return the commands of calls, each a program, a link and a request, on pages at some places."""
    made: list[Made] = await page.evaluate(_MAKE, [calls, places])
    return made


Run: TypeAlias = tuple[list[str], bytes]
"""The words with which a program was run, and what it could read."""


async def run_by(shell: str, commands: Sequence[Made]) -> list[Run]:
    """Let a shell run commands, one after the other."""
    script = "".join(f"{each['text']}\nprintf '\\1'\n" for each in commands)
    *outputs, rest = (await run_in_shell(_SHOW + script, shell, KEY="a key")).split("\1")
    assert rest == ""
    return [(words, bytes.fromhex(data)) for *words, data in (each.split("\0") for each in outputs)]


def expected_words(made: Made, body: str) -> list[str]:
    """Return the words with which a program should run, with a body."""
    header, path = ["-H", "authorization: Bearer a key"], f"sprocket.v1.{made['link']}"
    url = f"{made['origin']}/{path}"
    if made["program"] == "grpcurl":
        return ["grpcurl", "-plaintext", *header, "-d", body, made["grpc"], path]
    if made["program"] == "buf curl":
        options = ["--protocol", "grpc", "--http2-prior-knowledge"]
        return ["buf", "curl", *options, *header, "-d", body, f"http://{made['grpc']}/{path}"]
    if made["link"] == CHART:
        content = ["-H", "content-type: application/connect+json"]
        return ["curl", "-sSN", *header, *content, "--data-binary", "@-", "--output", "-", url]
    return ["curl", "-sS", *header, "-H", "content-type: application/json", "--data-raw", body, url]


def check(made: Made, run: Run) -> None:
    """Assert that a program was run as it is meant, with the request."""
    words, data = run
    is_stream = made["program"] == "curl" and made["link"] == CHART
    body = data[5:].decode() if is_stream else next(each for each in words if each.startswith("{"))
    assert (words, json.loads(body)) == (expected_words(made, body), json.loads(made["request"]))
    assert data[:5] == (b"\0" + (len(data) - 5).to_bytes(4, "big") if is_stream else b"")


def nasty_values() -> list[str]:
    """Return texts that shells and programs could take for something else."""
    chance = random.Random(4711)  # noqa: S311  # no secret
    return [*NASTY, "".join(NASTY), *("".join(chance.choices(NASTY, k=12)) for _ in range(20))]


@pytest.fixture
async def docs(page: "Page", site: Site) -> "Page":
    """A page with the explorer."""
    await Explorer(page, site.url).open("")
    return page


@pytest.mark.parametrize("shell", SHELLS)
async def test_no_value_of_a_request_is_more_than_a_value_to_a_shell(docs: "Page", shell: str) -> None:
    values = nasty_values()
    requests = [(LIST, json.dumps({"filter": each}, ensure_ascii=False, indent=2)) for each in values]
    requests += [(CHART, json.dumps({"factoryId": each}, ensure_ascii=False)) for each in values]
    calls = [(program, link, request) for program in PROGRAMS for link, request in requests]
    made = await make_commands(docs, calls, PLACES[:1])
    assert len(made) == len(calls)
    for each, run in zip(made, await run_by(shell, made), strict=True):
        check(each, run)


@pytest.mark.parametrize("shell", SHELLS)
async def test_no_name_of_a_host_is_more_than_a_name_to_a_shell(docs: "Page", shell: str) -> None:
    calls = [(program, link, "{}") for program in PROGRAMS for link in (LIST, CHART)]
    made = await make_commands(docs, calls, [*PLACES, *(f"http://{each}:8080" for each in HOSTS)])
    assert len(made) > len(PLACES) * len(calls)  # browsers accept some of the hosts
    for each, run in zip(made, await run_by(shell, made), strict=True):
        check(each, run)


async def assert_all_answer(page: "Page", place: str, **environment: str) -> None:
    """Run the commands of the programs that are installed, which answer with what the server has."""
    factory = json.dumps({"factoryId": FACTORY_IDS[0]})
    programs = [each for each in PROGRAMS if shutil.which(each.split()[0], path=f"{BUF.parent}:{os.environ['PATH']}")]
    calls = [(program, link, text) for program in programs for link, text in ((LIST, "{}"), (CHART, factory))]
    for each in await make_commands(page, calls, [place]):
        answer = await run_in_shell(each["text"], **environment)
        assert ("Factory 1" if each["link"] == LIST else "resumeToken") in answer


def lacks_ipv6() -> bool:
    """Return whether this machine has no IPv6."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return False
    except OSError:
        return True


@pytest.mark.skipif(lacks_ipv6(), reason="this machine has no IPv6")
async def test_commands_work_by_ipv6(page: "Page", database_url: str) -> None:
    web_port, port = free_port(), free_port()
    async with running_site(database_url, web_listen=f"[::]:{web_port}", listen=f"[::]:{port}"):
        await Explorer(page, f"http://127.0.0.1:{web_port}").open("")
        await assert_all_answer(page, f"http://[::1]:{web_port}", KEY="")


async def test_commands_work_with_tls_and_a_key(new_page: NewPage, database_url: str, tmp_path: Path) -> None:
    root, trusted = certificate("root"), tmp_path / "root.crt"
    trusted.write_bytes(root.pem)
    files = {name: str(path) for name, path in server_certificate(root).write(tmp_path).items()}
    address = free_address()
    async with running_site(database_url, web_listen=address, api_keys="true", **files):  # pragma: allowlist secret
        page = await new_page(ignore_https_errors=True)
        await Explorer(page, f"https://{address}").open("")
        trust = {"CURL_CA_BUNDLE": str(trusted), "SSL_CERT_FILE": str(trusted)}
        await assert_all_answer(page, f"https://{address}", KEY=create_key(database_url, "read").text, **trust)
