"""Charts in both layouts."""

import pytest

from tests.support import charts


@pytest.fixture(params=["rows", "pages"])
def layout(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write charts as rows, and then most of them as pages."""
    monkeypatch.setattr(charts, "layout", request.param)
