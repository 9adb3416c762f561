"""The settings: defaults, accepted values, and the errors of invalid ones."""

import traceback

import pytest
from sqlalchemy import make_url

from sprocket_grpc.config.database_url import connect_arguments, describe, normalise, split_by_hosts
from sprocket_grpc.config.environment import CLIENT_VARIABLES
from sprocket_grpc.config.settings import SettingsError, load_settings
from tests.support.setting_values import ACCEPTED, BESIDE, DEFAULTS, REFUSED, SECRET, URL, refusal

pytestmark = pytest.mark.usefixtures("no_settings")

# The variables that Kubernetes sets for a Service in the namespace (kubernetes.io, "Service").
SERVICE_LINKS = {
    "SERVICE_HOST": "10.0.0.11",
    "SERVICE_PORT": "50051",
    "SERVICE_PORT_GRPC": "50051",
    "PORT": "tcp://10.0.0.11:50051",
    "PORT_50051_TCP": "tcp://10.0.0.11:50051",
    "PORT_50051_TCP_PROTO": "tcp",
    "PORT_50051_TCP_PORT": "50051",
    "PORT_50051_TCP_ADDR": "10.0.0.11",
    "PORT_53_UDP_ADDR": "10.0.0.11",
    "PORT_9_SCTP": "sctp://10.0.0.11:9",
}


def pairs(table: dict[str, list[str]]) -> list[tuple[str, str]]:
    """Return the parameters of a test from a table of settings and their values."""
    return [(name, value) for name, values in table.items() for value in values]


# Accepted values.


def test_every_setting_has_its_documented_default() -> None:
    assert load_settings().model_dump() == DEFAULTS


def test_every_setting_is_covered_here() -> None:
    assert {name.lower() for name in ACCEPTED} == DEFAULTS.keys() - {"database_url"}


@pytest.mark.parametrize(("name", "value"), pairs({name: list(values) for name, values in ACCEPTED.items()}))
def test_a_value_within_the_bounds_is_accepted(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    for each, set_to in (BESIDE.get(name, {}) | {name: value}).items():
        monkeypatch.setenv(f"SPROCKET_{each}", set_to)
    assert getattr(load_settings(), name.lower()) == ACCEPTED[name][value]


@pytest.mark.parametrize("name", DEFAULTS)
def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"SPROCKET_{name.upper()}", "")
    assert getattr(load_settings(), name) == DEFAULTS[name]


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_common_scheme_of_a_database_url_is_accepted(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    monkeypatch.setenv("SPROCKET_DATABASE_URL", URL.replace("postgresql", scheme))
    url = load_settings().database_url
    assert url
    assert url.get_secret_value() == URL.replace("postgresql", "postgresql+psycopg")


@pytest.mark.parametrize(
    "given",
    [
        "someone:{}@a.example:5433,b.example/sprockets?sslmode=require",
        "someone:{}@/sprockets?sslmode=require&host=a.example:5433&host=b.example",
        "someone:{}@/sprockets?host=a.example,b.example&sslmode=require&port=5433,5432",
    ],
    ids=["as libpq", "as SQLAlchemy", "as psycopg"],
)
def test_several_hosts_are_accepted_in_all_common_forms(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("SPROCKET_DATABASE_URL", f"postgresql://{given.format(SECRET)}")
    url = load_settings().database_url
    assert url
    arguments = make_url(url.get_secret_value())
    assert (arguments.username, arguments.password, arguments.database) == ("someone", SECRET, "sprockets")
    assert arguments.query == {"host": "a.example,b.example", "port": "5433,5432", "sslmode": "require"}
    assert describe(url.get_secret_value()) == "sprockets on a.example:5433, b.example:5432"
    assert [describe(each) for each in split_by_hosts(url.get_secret_value())] == [
        "sprockets on a.example:5433",
        "sprockets on b.example:5432",
    ]


def test_with_several_hosts_the_primary_is_used_unless_the_url_says_otherwise() -> None:
    two = normalise("postgresql://a.example,b.example/sprockets")
    assert connect_arguments(two)["target_session_attrs"] == "read-write"
    assert "target_session_attrs" not in connect_arguments(f"{two}&target_session_attrs=any")
    assert "target_session_attrs" not in connect_arguments("postgresql+psycopg://a.example/sprockets")


def test_connection_parameters_in_the_url_override_the_defaults() -> None:
    assert connect_arguments("postgresql+psycopg://a.example/sprockets")["connect_timeout"] == 5
    assert "connect_timeout" not in connect_arguments("postgresql+psycopg://a.example/sprockets?connect_timeout=9")


def test_a_server_ignores_client_variables_but_refuses_a_misspelt_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in CLIENT_VARIABLES:
        monkeypatch.setenv(name, SECRET)
    load_settings()
    monkeypatch.setenv("SPROCKET_CLIENT_TLSCA", SECRET)
    assert refusal() == ["SPROCKET_CLIENT_TLSCA: there is no such setting; did you mean SPROCKET_CLIENT_TLS_CA?"]


@pytest.mark.parametrize("service", ["SPROCKET", "SPROCKET_GRPC", "SPROCKET_GRPC_V2"])
def test_the_service_links_of_kubernetes_are_ignored(monkeypatch: pytest.MonkeyPatch, service: str) -> None:
    for name, value in SERVICE_LINKS.items():
        monkeypatch.setenv(f"{service}_{name}", value)
    assert load_settings().model_dump() == DEFAULTS


# Refused values.


@pytest.mark.parametrize(("name", "value"), pairs(REFUSED))
def test_an_invalid_value_is_refused_with_the_name_and_what_is_expected(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"SPROCKET_{name}", value)
    [line] = refusal()
    assert line.startswith(f"SPROCKET_{name}: expected ")


@pytest.mark.parametrize("name", [*REFUSED, "DATABASE_URL"])
def test_a_refusal_never_tells_the_value(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"SPROCKET_{name}", SECRET)
    with pytest.raises(SettingsError) as raised:
        load_settings()
    assert SECRET not in "".join(traceback.format_exception(raised.value))


def test_a_default_page_over_the_largest_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPROCKET_PAGE_SIZE_DEFAULT", "21")
    monkeypatch.setenv("SPROCKET_PAGE_SIZE_MAXIMUM", "20")
    assert refusal() == ["SPROCKET_PAGE_SIZE_DEFAULT: expected at most SPROCKET_PAGE_SIZE_MAXIMUM"]


def test_permissions_of_common_names_are_refused_while_common_names_identify_no_caller(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in (BESIDE["TLS_CLIENT_RIGHTS"] | {"TLS_CLIENT_RIGHTS": "dns:a=read;cn:The Boss=admin"}).items():
        monkeypatch.setenv(f"SPROCKET_{name}", value)
    assert refusal() == [
        "SPROCKET_TLS_CLIENT_COMMON_NAMES: expected true with common names in SPROCKET_TLS_CLIENT_RIGHTS"
    ]
    monkeypatch.setenv("SPROCKET_TLS_CLIENT_COMMON_NAMES", "true")
    assert load_settings().tls_client_rights == {"dns:a": ["read"], "cn:The Boss": ["admin"]}


@pytest.mark.parametrize("name", BESIDE)
def test_a_setting_without_those_it_requires_is_refused_with_their_names(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(f"SPROCKET_{name}", next(iter(ACCEPTED[name])))
    lines = refusal()
    assert lines
    for line in lines:
        missing, _, rest = line.removeprefix("SPROCKET_").partition(":")
        assert missing in BESIDE[name]
        assert rest == f" expected together with SPROCKET_{name}"


def test_reflection_is_on_in_development_only_unless_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().reflects
    monkeypatch.setenv("SPROCKET_ENVIRONMENT", "production")
    assert not load_settings().reflects
    monkeypatch.setenv("SPROCKET_REFLECTION", "true")
    assert load_settings().reflects


@pytest.mark.parametrize(
    ("name", "meant"),
    [("POOL_SISE", "POOL_SIZE"), ("POOL_SIZE_X", "POOL_SIZE"), ("DATABASE_URI", "DATABASE_URL"), ("LSTEN", "LISTEN")],
)
def test_a_misspelt_setting_is_refused_with_a_suggestion(
    monkeypatch: pytest.MonkeyPatch, name: str, meant: str
) -> None:
    monkeypatch.setenv(f"SPROCKET_{name}", SECRET)
    assert refusal() == [f"SPROCKET_{name}: there is no such setting; did you mean SPROCKET_{meant}?"]


def test_a_setting_unlike_any_other_is_refused_without_a_guess(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPROCKET_QQQQQQQQQQQQQQQQ", "1")
    assert refusal() == ["SPROCKET_QQQQQQQQQQQQQQQQ: there is no such setting"]


@pytest.mark.parametrize("name", ["SPROCKET_PORT", "SPROCKET_LISTEN_PORT"])
def test_a_port_that_a_person_set_is_not_taken_for_a_service_link(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "8080")  # Kubernetes would say tcp://10.0.0.11:8080
    assert refusal()[0].startswith(f"{name}: there is no such setting")


def test_all_invalid_settings_are_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("POOL_SIZE", "LISTEN", "DATABASE_URL", "POOL_SISE", "LOG_LEVL"):
        monkeypatch.setenv(f"SPROCKET_{name}", SECRET)
    names = sorted(line.partition(":")[0].removeprefix("SPROCKET_") for line in refusal())
    assert names == ["DATABASE_URL", "LISTEN", "LOG_LEVL", "POOL_SISE", "POOL_SIZE"]


@pytest.mark.parametrize(
    "url",
    [
        SECRET,
        f"mysql://someone:{SECRET}@db.example/sprockets",
        f"postgresql+asyncpg://someone:{SECRET}@db.example/sprockets",
        f"postgresql:/someone:{SECRET}@db.example/sprockets",
        f"postgresql://someone:{SECRET}@db.example:port/sprockets",
        f"postgresql://someone:{SECRET}@[::1/sprockets",
        f"postgresql://someone:half@{SECRET}@db.example/sprockets",
        f"postgresql://someone:half@{SECRET}@a.example,b.example/sprockets",
        f"postgresql://someone:{SECRET}@a.example,,b.example/sprockets",
        f"postgresql://someone:{SECRET}@a.example,b.example,/sprockets",
        f"postgresql://someone:{SECRET}@a.example,b.example:port/sprockets",
        f"postgresql://someone:{SECRET}@/sprockets?host=a.example,b.example&port=1,2,3",
    ],
    ids=[
        "no url",
        "other database",
        "other driver",
        "one slash",
        "port of letters",
        "open bracket",
        "bare @",
        "bare @ before several hosts",
        "no host between commas",
        "no host after a comma",
        "port of letters of several",
        "more ports than hosts",
    ],
)
def test_an_invalid_database_url_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("SPROCKET_DATABASE_URL", url)
    [line] = refusal()
    assert line.startswith("SPROCKET_DATABASE_URL: expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
