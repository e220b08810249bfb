"""The results that README shows: for tests that want real ones."""

from pathlib import Path

from orchestrator import capsule
from orchestrator.store import RunFolder

FOLDER = Path(__file__).resolve().parents[1] / "results" / "published"


def runs():
    """All of them."""
    return [run for path in sorted(FOLDER.glob("*.json")) for run in capsule.runs_in(path)]


def unpack(results):
    """The first, as a run folder under `results`."""
    first = runs()[0]
    folder = RunFolder(results / first.run.id)
    folder.path.mkdir(parents=True)
    folder.write_run(first.run)
    for result in first.results:
        folder.write_result(result)
    return folder.path
