"""Results that were published: for tests that want real ones, and for README itself.

python -m tests.support.published        writes README's tables anew, from the capsules in results/published/ that it names
"""

import re
from collections.abc import Sequence
from pathlib import Path

from orchestrator.record import capsule
from orchestrator.record.run_folder import RunFolder
from orchestrator.report import collected, formats
from orchestrator.report.certified import Origin
from tests.support.paths import ROOT

FOLDER = ROOT / "results" / "published"
README = ROOT / "README.md"
SHOWN = re.compile(r"(?<=<!-- )(results/published/\S+)( -->\n)(.*?)(\n<!-- end -->)", re.DOTALL)


def shown() -> list[capsule.Kept]:
    """The runs whose tables README has."""
    found = SHOWN.findall(README.read_text(encoding="utf-8"))
    return [run for path, *_ in found for run in capsule.runs_in(ROOT / path)]


def runs() -> list[capsule.Kept]:
    """All of them, those that README shows first."""
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
    """The tables of a capsule, as README has them."""
    return rendered("markdown", capsule.runs_in(path)).strip()


def rendered(form: str, runs: Sequence[capsule.Kept]) -> str:
    """A report of runs out of capsules, with the certificates that they hold."""
    own = [each for run in runs for each in run.certificates]  # of those who published them
    return "".join(formats.load(form).write(collected.of_runs(runs, ROOT, [Origin(mine=True)] * len(runs), own)))


def readme(text: str) -> str:
    """README's text with its tables made anew."""
    return SHOWN.sub(lambda found: f"{found[1]}{found[2]}{tables(ROOT / found[1])}{found[4]}", text)


if __name__ == "__main__":
    README.write_text(readme(README.read_text(encoding="utf-8")), encoding="utf-8")
