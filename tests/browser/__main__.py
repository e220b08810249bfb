"""Makes the picture of the HTML report in docs/reports.md anew: python -m tests.browser writes docs/report.png."""

import sys
import tempfile
from pathlib import Path

from tests.browser import browser
from tests.support import published

ROOT = Path(__file__).resolve().parents[2]
SIZE = 1280, 880  # the first screen
MAX_BYTES = 300_000


def main():
    programs = browser.find() or sys.exit("no chromium with its chromedriver on PATH")
    target = ROOT / "docs" / "report.png"
    with tempfile.TemporaryDirectory() as scratch:
        page = Path(scratch) / "report.html"
        page.write_text(published.rendered("html", published.shown()), encoding="utf-8")
        chromium = browser.start(*programs)
        try:
            chromium.open(page).screenshot(target, *SIZE)
        finally:
            chromium.driver.quit()
    if target.stat().st_size > MAX_BYTES:
        sys.exit(f"{target} is larger than {MAX_BYTES:,} bytes")


if __name__ == "__main__":
    main()
