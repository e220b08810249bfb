"""Documents point to what exists: links, headings, paths, tests and make targets. Code keeps the rules they state."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/*.md", "configs/*.md", "workloads/common/*.md", ".github/**/*.md")
    for path in ROOT.glob(pattern)
)
# Words that stand for a name of the reader's choice; as part of a path, any name will do.
PLACEHOLDER = re.compile(r"(?<![A-Z])(?:NAME|FRAMEWORK|WORKLOAD|DATASET|IMAGE|ENGINE|FORMAT)(?![A-Z])")
FOLDERS = "orchestrator|workloads|tests|images|configs|docs|ci|results/(?:reference|published)"


def text_of(document):
    return (ROOT / document).read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def tests_that_exist():
    sources = [path.read_text() for path in (ROOT / "tests").rglob("*.py")]
    return {name for source in sources for name in re.findall(r"def ((?:test|check)_\w+)", source)}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_to_a_file_and_a_heading(document):
    folder = (ROOT / document).parent
    for target in re.findall(r"\]\((?!https?://)([^)\s]+)\)", text_of(document)):
        path, _, heading = target.partition("#")
        linked = folder / path if path else ROOT / document
        assert linked.exists(), f"{document} links to {target}"
        if heading:
            assert heading in headings(linked.read_text(encoding="utf-8")), f"{document} links to {target}"


def headings(text):
    """The anchors that GitHub gives to the headings of a page."""
    lines = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_path_exists(document):
    named = re.findall(rf"`((?:{FOLDERS})/[^`\s:]*)`", text_of(document))
    assert [path for path in named if not any(ROOT.glob(PLACEHOLDER.sub("*", path.rstrip("/"))))] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_named_page_exists(document):
    for page in re.findall(r"`([A-Za-z]+\.md)`", text_of(document)):
        assert (ROOT / page).exists() or (ROOT / document).with_name(page).exists(), f"{document} names {page}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_named_test_exists(document, tests_that_exist):
    settings = {"test_samples"}
    named = set(re.findall(r"`(?:tests/\S+::)?((?:test|check)_\w+)`", text_of(document)))
    assert named - settings <= tests_that_exist


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_make_target_exists(document):
    targets = re.findall(r"^([a-z-]+):", text_of("Makefile"), re.MULTILINE)
    named = re.findall(r"(?:^    |`)make ([a-z-]+)", text_of(document), re.MULTILINE)
    assert set(named) <= set(targets)


def test_every_fault_is_injected_by_a_test():
    rows = [line for line in text_of("docs/reliability.md").splitlines() if line.startswith("| ")]
    faults = [row for row in rows if not row.endswith("| test |")]
    assert len(faults) > 40
    for row in faults:
        assert re.findall(r"`((?:test|check)_\w+)`", row.rsplit("|", 2)[1]), row


def test_the_index_lists_every_page_once():
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    listed = [link for link in re.findall(r"\]\(([^)#]+)\)", text_of("docs/README.md")) if link in pages]
    assert sorted(listed) == sorted(pages)


def test_contributing_is_short():
    assert len(text_of("CONTRIBUTING.md").splitlines()) <= 120


@pytest.mark.parametrize(
    ("library", "place"), [("docker", "engines/docker/"), ("ray", "engines/ray/"), ("yaml", "plan/yaml_tree.py")]
)
def test_a_library_is_imported_in_one_place(library, place):
    """CONTRIBUTING.md says where."""
    host = ROOT / "orchestrator"
    imports = re.compile(rf"^\s*(?:import|from) {library}\b", re.MULTILINE)
    importing = [path.relative_to(host).as_posix() for path in host.rglob("*.py") if imports.search(path.read_text())]
    assert importing
    assert all(path.startswith(place) for path in importing)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_python_module_to_run_exists(document):
    for module in re.findall(r"`[\w./]*python -m ((?:tests|orchestrator)[\w.]*)", text_of(document)):
        place = ROOT / module.replace(".", "/")
        assert place.with_suffix(".py").exists() or (place / "__main__.py").exists(), f"{document} names {module}"
