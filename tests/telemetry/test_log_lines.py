"""No text that is logged can look like another field or another line, or act on a terminal."""

import json
import logging
import re
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sprocket.v1.factory_pb2 import ListFactoriesRequest
from sprocket_grpc.interceptors.access_log import shorten
from sprocket_grpc.telemetry.logs import BRIEF, FIELDS, JsonLines, PlainLines
from tests.support.auditing import call_as
from tests.support.errors import fails
from tests.support.log_lines import ACCESS, until_ended
from tests.support.service import Service

TEXT, JSON = PlainLines("12:34:56"), JsonLines()
LIST = "/sprocket.v1.FactoryService/ListFactories"
PREFIX = "12:34:56 INFO tests: "

FORGERIES = [
    "1 code=OK principal=admin",
    'x" code="OK',
    "a\nINFO tests: forged code=OK",
    "a\rb",
    "\x1b[2K\x1b[1A",
    "a\u2028b\u2029c\x85d",
    "\u202egnirts\u2066",
    "\x9b31m\x7f\x00",
    "=",
    '"',
    '"quoted"',
    "back\\slash\\n",
    "café 字 🏭",
    "\ud800",
    "\ufeff\u200b\u00a0",
]
texts = st.text() | st.sampled_from(FORGERIES) | st.text(' ="\\\n\x1b\u2028abc')
_TOKEN = re.compile(r'(?P<key>[a-z_]+)=(?P<value>"(?:[^"\\]|\\.)*"|[^ "=]*)(?: |$)')


def record(message: str, fields: dict[str, Any] | None = None, exc_info: Any = None) -> logging.LogRecord:
    made = logging.LogRecord("tests", logging.INFO, "", 0, "%s", (message,), exc_info)
    setattr(made, FIELDS, fields or {})
    return made


def read_back(line: str) -> tuple[str, dict[str, str]]:
    """Parse a line in text format: its message, and its fields as logfmt has them."""
    rest = line.removeprefix(PREFIX)
    if rest.startswith('"'):
        message, end = json.JSONDecoder().raw_decode(rest)
        rest = rest[end:].removeprefix(" ")
    else:
        end = rest.find("=") if "=" in rest else len(rest)
        end = rest.rfind(" ", 0, end) + 1 if "=" in rest else end
        message, rest = rest[:end].removesuffix(" ") if "=" in rest else rest, rest[end:]
    found = list(_TOKEN.finditer(rest))
    assert "".join(match[0] for match in found) == rest
    return message, {match["key"]: unquoted(match["value"]) for match in found}


def unquoted(value: str) -> str:
    return str(json.loads(value)) if value.startswith('"') else value


@given(message=texts, principal=texts, peer=texts)
def test_a_line_of_text_has_exactly_the_fields_that_were_logged(message: str, principal: str, peer: str) -> None:
    fields = {"principal": principal, "peer": peer, "code": "OK", "bytes": 5}
    line = TEXT.format(record(message, fields))
    assert line.isprintable()
    expected = {key: str(value) for key, value in fields.items() if value != ""}
    assert read_back(line) == (message, expected)


@given(message=texts, principal=texts)
def test_a_line_of_json_has_exactly_the_fields_that_were_logged(message: str, principal: str) -> None:
    line = JSON.format(record(message, {"principal": principal, "code": "OK"}))
    assert line.isascii()
    assert line.isprintable()
    read = json.loads(line)
    assert (read["message"], read["principal"], read["code"]) == (message, principal, "OK")


@pytest.mark.parametrize("forgery", FORGERIES)
@pytest.mark.parametrize("formatter", [TEXT, JSON], ids=["text", "json"])
def test_an_error_that_quotes_a_caller_begins_no_line(formatter: logging.Formatter, forgery: str) -> None:
    line = formatter.format(record("failed", exc_info=(ValueError, ValueError(forgery), None)))
    first, *more = line.split("\n")
    assert "failed" in first
    assert [each for each in line.split("\n") if not each.isprintable()] == []
    assert [each for each in more if not each.startswith("    ")] == []


async def test_a_request_id_cannot_forge_fields_of_the_access_log(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, ACCESS):
        with fails(grpc.StatusCode.INVALID_ARGUMENT):
            await call_as(service, "1 code=OK principal=admin", LIST, ListFactoriesRequest(page_size=-1))
        await until_ended(caplog, f"{LIST} INVALID_ARGUMENT")
    [line] = [TEXT.format(each) for each in caplog.records if each.name == ACCESS]
    assert re.fullmatch(
        r"12:34:56 INFO FactoryService/ListFactories INVALID_ARGUMENT [0-9.]+ ms anonymous "
        r'request_id="1 code=OK principal=admin"',
        line,
    )


# The access log, as people read it.


def call_line(**fields: Any) -> str:
    """Return the line of text of a call with these fields, which JSON has with all others."""
    usual = {
        "method": LIST,
        "code": "OK",
        "duration_ms": 1.274,
        "principal": "api-key:dashboards",
        "request_id": "01a2204e-4486-76ce-8536-ed933854373f",
        "trace_id": "",
        "peer": "ipv6:[2001:db8::1234:5678:9abc]:53552",
        "request_bytes": 1_000_000,
        "response_bytes": 1_000_000,
        "responses": 1,
    }
    made = logging.LogRecord(ACCESS, logging.INFO, "", 0, "%s %s", (LIST, "OK"), None)
    setattr(made, FIELDS, usual | fields)
    setattr(made, BRIEF, shorten)
    return TEXT.format(made)


def test_the_line_of_a_call_fits_a_terminal_of_120_columns() -> None:
    line = call_line()
    assert line == (
        "12:34:56 INFO FactoryService/ListFactories OK 1.3 ms api-key:dashboards "
        "request_id=01a2204e-4486-76ce-8536-ed933854373f"
    )
    assert len(line) <= 120


def test_the_line_of_a_call_has_its_trace_and_how_many_have_no_line_if_there_are_any() -> None:
    line = call_line(trace_id="4bf92f3577b34da6a3ce929d0e0e4736", refused_without_line=12, request_id="mine")
    assert line.endswith(
        " api-key:dashboards refused_without_line=12 request_id=mine trace_id=4bf92f3577b34da6a3ce929d0e0e4736"
    )


def test_the_line_of_a_path_that_is_no_method_has_its_one_name() -> None:
    assert call_line(method="_OTHER", code="UNIMPLEMENTED").startswith("12:34:56 INFO _OTHER UNIMPLEMENTED 1.3 ms ")


@pytest.mark.parametrize(
    ("duration_ms", "shown"), [(0.04, "0.0"), (9.96, "10.0"), (12.7, "13"), (12_345.6, "12346")], ids=str
)
def test_a_duration_has_decimals_only_while_it_is_short(duration_ms: float, shown: str) -> None:
    assert f" OK {shown} ms " in call_line(duration_ms=duration_ms)


@given(principal=texts.filter(bool))
def test_a_principal_cannot_forge_the_line_of_a_call(principal: str) -> None:
    start, end = "12:34:56 INFO FactoryService/ListFactories OK 1.3 ms ", " request_id=mine"
    line = call_line(principal=principal, request_id="mine")
    assert line.isprintable()
    assert line.startswith(start)
    assert line.endswith(end)
    shown = line.removeprefix(start).removesuffix(end)
    assert _TOKEN.fullmatch(f"principal={shown}")
    assert unquoted(shown) == principal


def test_a_line_names_the_logger_of_a_library_only() -> None:
    made = [logging.LogRecord(name, logging.WARNING, "", 0, "late", (), None) for name in ("sprocket_grpc.x", "x")]
    assert [TEXT.format(each) for each in made] == ["12:34:56 WARNING late", "12:34:56 WARNING x: late"]


# Fields of other lines.


@pytest.mark.parametrize("message", ["/sprocket.v1.FactoryService/ListFactories OK", "café 字 🏭: 5 %", 'role "x"', ""])
def test_a_usual_message_and_usual_values_are_not_quoted(message: str) -> None:
    fields = {"code": "OK", "peer": "ipv6:[::1]:5000", "principal": "api-key:münchen", "duration_ms": 1.5}
    expected = f"{PREFIX}{message} code=OK peer=ipv6:[::1]:5000 principal=api-key:münchen duration_ms=1.5"
    assert TEXT.format(record(message, fields)) == expected


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("a b", '"a b"'),
        ("1 code=OK", '"1 code=OK"'),
        ('"', r'"\""'),
        ("a\nb", r'"a\nb"'),
        ("\x1b[0m", r'"\u001b[0m"'),
        ("\u202e\U000e0001", r'"\u202e\udb40\udc01"'),
        ("\x7f\x9b", r'"\u007f\u009b"'),
        ("café\n", r'"café\n"'),
    ],
)
def test_a_value_with_a_meaning_is_a_json_string(value: str, written: str) -> None:
    assert TEXT.format(record("x", {"key": value})) == f"{PREFIX}x key={written}"
