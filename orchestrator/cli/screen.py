"""Everything the command line prints, but for errors: notices, plans, tables."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from orchestrator.cli.diagnosis import Diagnosis
    from orchestrator.cli.progress import LiveListener
    from orchestrator.judge.comparison import Comparison
    from orchestrator.judge.reproduction import Answer
    from orchestrator.record.certificates import Certificate
    from orchestrator.record.results import Result
    from orchestrator.report.certified import Known
    from orchestrator.report.notices import Measured
    from orchestrator.report.table import Table as ReportTable
    from orchestrator.run.preparation import PreparedRun
    from orchestrator.verify.conformance import Finding
    from orchestrator.verify.verifier import VerifiedCell

REFERENCE = "results/reference/2017.json"


class Screen:
    """Results go to stdout; what only matters while waiting goes to stderr."""

    def __init__(self) -> None:
        self._out = Console(highlight=False)
        self._notices = Console(stderr=True, highlight=False)

    def say(self, text: str) -> None:
        """A line on stdout."""
        self._out.print(Text(text))

    def dim(self, text: str) -> None:
        """A line that matters only while waiting."""
        self._notices.print(Text(text, style="dim"))

    def warn(self, text: str) -> None:
        """A notice nobody should miss."""
        self._notices.print(Panel(Text(text), style="yellow", box=box.HEAVY, title="note", title_align="left"))

    def live(self, *, verbose: bool) -> LiveListener:
        """The listener that draws a run's progress."""
        from orchestrator.cli.progress import LiveListener

        return LiveListener(self._notices, self.warn, verbose=verbose)

    def show_start(self, folder: Path, prepared: PreparedRun) -> None:
        """What is about to happen."""
        jobs = prepared.jobs
        device = jobs[0].device if jobs else "cpu"
        self.dim(f"{prepared.host.title()}")
        self.dim(
            f"{len(jobs)} job{'s' if len(jobs) != 1 else ''} on the {device} with the {prepared.engine.name} engine, "
            f"spec {prepared.spec.name}, into {self.shorten(folder)}/"
        )

    def show_plan(self, prepared: PreparedRun) -> None:
        """The jobs of a dry run, in order, and which of them this machine's GPU cannot run."""
        jobs = prepared.jobs
        rows = [
            {"#": number, "job": job.id, "image": job.image, "data": job.dataset, "settings": _settings(job.settings)}
            for number, job in enumerate(jobs[:100], start=1)
        ]
        self.show_rows(f"{len(jobs):,} jobs with the {prepared.engine.name} engine", rows)
        if len(jobs) > len(rows):
            self.say(f"… and {len(jobs) - len(rows):,} more")
        for job, why in prepared.skips.items():
            self.say(f"skipped: {job}: {why.message}")

    def show_rows(self, title: str, rows: Sequence[dict[str, Any]]) -> None:
        """Plain rows as a table."""
        table = Table(
            title=title,
            box=box.SIMPLE_HEAD,
            pad_edge=False,
            padding=(0, 1, 0, 0),
            title_justify="left",
            title_style="bold cyan",
        )
        for name in rows[0] if rows else ():
            table.add_column(name, overflow="fold", min_width=min(12, max(len(_cell(row[name])) for row in rows)))
        for row in rows:
            table.add_row(*(Text(_cell(value)) for value in row.values()))
        self._out.print(table)

    def show_diagnosis(self, diagnosis: Diagnosis) -> None:
        """What this machine can run, on one screen."""
        from orchestrator.cli import diagnosis_page

        self._out.print(diagnosis_page.page(diagnosis))

    def print_json(self, value: object) -> None:
        """JSON for a program."""
        self._out.out(json.dumps(value, indent=1), highlight=False)

    def show_report(self, results: Sequence[Result], root: Path, certificates: Iterable[Certificate] = ()) -> None:
        """The tables of results, with their marks, and what failed."""
        from orchestrator.report import certified, terminal

        known = certified.known(certificates)
        terminal.show(self._out, _tables(results, root, known), results)

    def show_comparison(self, found: Comparison, a: str, b: str, limit: float | None) -> None:
        """Two sets of results, cell by cell."""
        from orchestrator.report import comparison_text

        comparison_text.show(self._out, found, a, b, limit)

    def show_answer(self, answer: Answer, *, json: bool) -> None:
        """What became of the repetition of a stored job, as soon as it is known; JSON waits for all."""
        from orchestrator.report import reproduction_text

        if not json:
            reproduction_text.show(self._out, answer)
            if answer.run is not None:
                self.say(f"  stored in {self.shorten(answer.run)}/")

    def show_answers(self, answers: Sequence[Answer], *, json: bool) -> None:
        """What became of all of them: for a program everything, for a person how many there are of each kind."""
        from orchestrator.report import reproduction_text

        if json:
            self.print_json(reproduction_text.as_json(answers))
        elif len(answers) > 1:
            self.say(f"\n{reproduction_text.summary(answers)}")

    def show_parity(self, cells: Sequence[VerifiedCell], run: str, *, json: bool) -> None:
        """Which cells compute the same as the reference, and what the others do instead."""
        from orchestrator.report import parity_text

        if json:
            self.print_json(parity_text.as_json(cells, run))
        else:
            parity_text.show(self._out, cells)

    def show_findings(self, framework: str, findings: Sequence[Finding], *, json: bool) -> None:
        """What `check` asked a framework, and the answers."""
        if json:
            self.print_json({"framework": framework, "findings": [dataclasses.asdict(each) for each in findings]})
            return
        table = Table.grid(padding=(0, 1))
        for finding in findings:
            mark = Text("✓", style="green") if finding.ok else Text("✗", style="bold red")
            table.add_row(mark, Text(finding.question), Text(finding.answer))
            if finding.advice:
                table.add_row("", "", Text(f"→ {finding.advice}", style="yellow"))
        self._out.print(table)
        wrong = sum(not finding.ok for finding in findings)
        self.say(f"\n{framework} conforms" if not wrong else f"\n{wrong} of {len(findings)} are not as they should be")

    def show_next(self, framework: str, paths: Sequence[str], *, locked: bool) -> None:
        """What to do with the files of a new framework."""
        steps = [
            *(
                []
                if locked
                else [f"ci/lock.sh {framework}, which did not work just now: it pins what the image installs"]
            ),
            f"edit {' '.join(path for path in paths if path.startswith('workloads/') and '__init__' not in path)}",
            f"orchestrator check {framework}: it builds the image and says what is missing; again, until it conforms",
            "add its row to README.md, and docs/gpu.md where it has a build with CUDA",
        ]
        self.say("\nnext:")
        for number, step in enumerate(steps, start=1):
            self.say(f"  {number}. {step}")

    def render_report(
        self, results: Iterable[Result], root: Path, form: str, certificates: Iterable[Certificate] = ()
    ) -> Iterator[str]:
        """The tables of results as text, piece by piece: table, markdown, csv or json."""
        from orchestrator.report import certified, terminal, text

        known = certified.known(certificates)
        if form == "csv":  # of any number of results, and no tables
            yield from text.csv_lines(results, known)
            return
        results = list(results)
        tables = _tables(results, root, known)
        if form == "json":
            yield text.json_text(tables, results, known)
            return
        if form == "markdown":
            yield text.markdown(tables)
            return
        console = Console(width=140, no_color=True, highlight=False)
        with console.capture() as capture:
            terminal.show(console, tables, results)
        yield capture.get()

    @staticmethod
    def render_page(runs: Sequence[Measured], root: Path, certificates: Iterable[Certificate] = ()) -> str:
        """The HTML report of runs."""
        from orchestrator.report import certified, html, page, published, sources

        trees = sources.trees(root, [result for each in runs for result in each.results])
        known = certified.known(certificates)
        return html.render(page.build(runs, published.load(root / REFERENCE), trees, known))

    @staticmethod
    def shorten(path: Path) -> str:
        """A path as a person would type it here."""
        try:
            return str(path.resolve().relative_to(Path.cwd()))
        except ValueError:
            return str(path)


def _tables(results: Sequence[Result], root: Path, known: Known) -> list[ReportTable]:
    from orchestrator.report import published, tables

    return [*tables.tables(results, published.load(root / REFERENCE), known), *tables.host_by_host(results)]


def _settings(settings: dict[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in settings.items() if value is not None)


def _cell(value: Any) -> str:
    if value is None:
        return "?"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " ".join(map(str, value)) or "no"
    return str(value)
