"""A real browser. Without Chromium these tests are skipped, or fail where it is required."""

import os
from collections.abc import Iterator

import pytest

from tests.browser import browser


@pytest.fixture(scope="session")
def chromium() -> Iterator[browser.Browser]:
    """The browser, one for all tests."""
    programs = browser.find()
    if programs is None:
        missing = "no chromium with its chromedriver on PATH"
        if os.environ.get("ROSETTA_REQUIRE_BROWSER"):
            pytest.fail(f"browser tests are required here: {missing}")
        pytest.skip(missing)
    started = browser.start(*programs)
    yield started
    started.driver.quit()
