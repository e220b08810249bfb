"""Results that were published: for tests that want real ones, and for the tables of docs/results.md."""

import re
from collections.abc import Sequence
from pathlib import Path

from orchestrator.record import capsule
from orchestrator.record.run_folder import RunFolder
from orchestrator.report import collected, formats
from orchestrator.report.certified import Origin
from tests.support.paths import ROOT

FOLDER = ROOT / "results" / "published"
PAGE = ROOT / "docs" / "results.md"
SHOWN = re.compile(r"(?<=<!-- )(results/published/\S+)( -->\n)(.*?)(\n<!-- end -->)", re.DOTALL)


def shown() -> list[capsule.Kept]:
    """The runs whose tables docs/results.md has."""
    found = SHOWN.findall(PAGE.read_text(encoding="utf-8"))
    return [run for path, *_ in found for run in capsule.runs_in(ROOT / path)]


def runs() -> list[capsule.Kept]:
    """All of them, those of docs/results.md first."""
    first = shown()
    others = (run for path in sorted(FOLDER.glob("*.json")) for run in capsule.runs_in(path))
    return [*first, *(run for run in others if run.id not in {each.id for each in first})]


def unpack(results: Path) -> Path:
    """The first, as a run folder under `results`."""
    first = runs()[0]
    folder = RunFolder(results / first.run.id)
    folder.path.mkdir(parents=True)
    folder.write_run(first.run)
    for result in first.results:
        folder.write_result(result)
    return folder.path


def tables(path: Path) -> str:
    """The tables of a capsule, as docs/results.md has them."""
    return rendered("markdown", capsule.runs_in(path)).strip()


def rendered(form: str, runs: Sequence[capsule.Kept]) -> str:
    """A report of runs out of capsules, with the certificates that they hold."""
    return "".join(formats.load(form).write(content(runs)))


def content(runs: Sequence[capsule.Kept]) -> collected.ReportContent:
    """What a report of runs out of capsules shows, with the certificates that they hold."""
    own = [each for run in runs for each in run.certificates]  # of those who published them
    return collected.of_runs(runs, ROOT, [Origin(mine=True)] * len(runs), own)


def page(text: str) -> str:
    """The text of docs/results.md with its tables made anew."""
    return SHOWN.sub(lambda found: f"{found[1]}{found[2]}{tables(ROOT / found[1])}{found[4]}", text)
