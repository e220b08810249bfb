"""The generated parts of the documents: tables and a picture of published results, and the table of frameworks."""

import re
from pathlib import Path

from orchestrator.plan import catalog
from orchestrator.plan.workload import InferenceWorkload
from orchestrator.plan.workloads import WORKLOADS
from orchestrator.record import capsule
from orchestrator.report import columns
from orchestrator.report.table import Column
from tests.documents import ranking
from tests.support import published
from tests.support.paths import ROOT

OVERVIEW = re.compile(r"(?<=<!-- overview of )(results/published/\S+)( -->\n)(.*?)(\n<!-- end -->)", re.DOTALL)
FRAMEWORKS = re.compile(r"(?<=<!-- frameworks -->\n).*?(?=\n<!-- end -->)", re.DOTALL)


def files() -> dict[Path, str]:
    """Every file with a generated part, and the text that it must have."""
    readme, frameworks = ROOT / "README.md", ROOT / "docs" / "frameworks.md"
    return {
        readme: OVERVIEW.sub(lambda found: f"{found[1]}{found[2]}{overview(ROOT / found[1])}{found[4]}", _text(readme)),
        published.PAGE: published.page(_text(published.PAGE)),
        frameworks: FRAMEWORKS.sub(lambda _: framework_table(), _text(frameworks)),
        ROOT / "docs" / "cnn.svg": ranking.svg(_tables(published.shown())[0]),
    }


def overview(capsule_file: Path) -> str:
    """One row for each framework, one column for each workload: the speed and the mark of the cell."""
    tables = _tables(capsule.runs_in(capsule_file))
    speeds: dict[str, dict[str, str]] = {}
    for table in tables:
        for results, mark in zip(table.results, table.marks, strict=True):
            job = results[0].job
            inference = isinstance(WORKLOADS[job.workload], InferenceWorkload)
            speed = Column(title="", form=",.1f" if inference else ",.0f").show(columns.timed(results, _speed))
            assert job.workload not in speeds.get(job.title, {}), f"{job.title} has two rows for {job.workload}"
            speeds.setdefault(job.title, {})[job.workload] = f"{speed} {mark.symbol}" if mark else speed
    names = [name for name in WORKLOADS if any(name in row for row in speeds.values())]
    head = ["Framework", *(f"{name}: {WORKLOADS[name].samples}/s" for name in names)]
    lines = [head, ["---", *["---:"] * len(names)]]
    lines += [[title, *(row.get(name, "–") for name in names)] for title, row in sorted(speeds.items(), key=_by_title)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def framework_table() -> str:
    """The frameworks of the catalog, which is what the labels in images/*/Dockerfile say."""
    head = ["framework", "title", "version", "workloads", "image", "Python", "download, disk: CPUs", "GPUs"]
    lines = [head, ["---"] * 6 + ["---:"] * 2]
    for framework, image in catalog.load(ROOT).frameworks.values():
        cpu, cuda = (_sizes(image, variant) for variant in ("cpu", "cuda"))
        workloads, python = " ".join(framework.workloads), image.python or "–"
        lines.append(
            [f"`{framework.id}`", framework.title, framework.version, workloads, image.name, python, cpu, cuda]
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _sizes(image, variant):
    """What a build downloads besides its base image, and the size of the image."""
    if variant not in image.locks:
        return "–"
    sizes = [image.labels.get(f"rosetta.{size}.{variant}") for size in ("download", "disk")]
    return ", ".join(sizes) if all(sizes) else "not built"


def _tables(runs):
    """The tables of some runs, with one of each workload."""
    return published.content(runs).tables()


def _speed(figures):
    """Samples per second: of a training whose model was scored, or of the timed passes of an inference."""
    return figures.images_per_s if figures.score is None else figures.train_samples_per_s


def _by_title(row):
    return row[0].casefold()


def _text(path):
    return path.read_text(encoding="utf-8")
