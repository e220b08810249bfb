"""README is short, and what is generated in the documents is what the code generates now."""

import re
import xml.etree.ElementTree as ET

import pytest

from orchestrator.inputs import datasets
from orchestrator.plan import catalog
from orchestrator.report import formats
from tests.documents import generated, session
from tests.support import published
from tests.support.paths import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
MAX_WORDS = 900


def test_the_readme_is_short():
    """All words of the file count, also those in table cells and links, but not HTML comments."""
    words = re.sub(r"<!--.*?-->", "", README, flags=re.DOTALL).split()
    assert 200 < len(words) < MAX_WORDS


def test_the_generated_parts_are_current():
    old = [path.name for path, text in generated.files().items() if path.read_text(encoding="utf-8") != text]
    assert old == [], "run: python -m tests.documents"


def test_the_overview_has_each_published_result():
    (shown,) = generated.OVERVIEW.findall(README)
    cells = re.findall(r"(?<=\| )[\d.,]+(?: [^|\d]+)?(?= \|)", shown[2])
    results = [result for run in published.shown() for result in run.results if result.status == "ok"]
    assert len(cells) == len(results) > 30


def test_every_framework_of_the_catalog_has_a_row():
    page = (ROOT / "docs" / "frameworks.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `([\w-]+)` \|", page, re.MULTILINE) == list(catalog.load(ROOT).frameworks)


def test_the_page_about_reports_names_every_format():
    (named,) = re.findall(r"`--format` takes ([^.]*)\.", (ROOT / "docs" / "reports.md").read_text(encoding="utf-8"))
    assert set(re.findall(r"`(\w+)`", named)) == set(formats.names())


def test_the_costs_in_the_readme_are_known():
    """Sizes of images and data as the code declares them, and the time that PyTorch's jobs took in the published run."""
    text = " ".join(README.split())
    images = catalog.load(ROOT).images
    (pytorch,) = (image.labels for image in images if image.name == "pytorch")
    assert f"PyTorch's image ({pytorch['rosetta.disk.cpu']} on disk)" in text
    assert f"the CUDA image is larger ({pytorch['rosetta.disk.cuda']} on disk)" in text
    of_all = sum(float(image.labels.get("rosetta.disk.cpu", "0 GB").removesuffix(" GB")) for image in images)
    assert f"all frameworks ({of_all:.0f} GB on disk)" in text
    data = sum(datasets.labelled(name).archive.size for name in datasets.labelled_names())
    assert f"{data / 1e6:.0f} MB of data" in text
    results = [result for run in published.shown() for result in run.results]
    seconds = sum(result.seconds for result in results if result.job.framework == "pytorch")
    assert f"took {seconds / 60:.0f} minutes" in text


@pytest.mark.parametrize("name", ["cnn.svg", "session.svg"])
def test_a_picture_is_shown_and_loads_nothing(name):
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert f"(docs/{name})" in README
    assert ET.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314  (a file of this checkout)
    assert not re.search(r"url\((?!#)|@import|href|<script", text)


def test_the_recorded_session_shows_its_command():
    """Only a new recording can show whether the rest is current: python -m tests.documents.session."""
    picture = ET.parse(session.TARGET)  # noqa: S314  (a file of this checkout)
    assert f"$ {session.COMMAND}" in " ".join("".join(picture.getroot().itertext()).replace("\xa0", " ").split())
