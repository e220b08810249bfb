"""Everything the command line prints, except errors: warnings, plans, tables."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from orchestrator.cli import logs

if TYPE_CHECKING:
    from orchestrator.cli.diagnosis import Diagnosis
    from orchestrator.cli.next_steps import Step
    from orchestrator.cli.progress import LiveListener
    from orchestrator.cli.selection import Signed
    from orchestrator.judge.comparison import Comparison
    from orchestrator.judge.reproduction import Answer
    from orchestrator.record.results import Result
    from orchestrator.report.collected import ReportContent
    from orchestrator.run.preparation import PreparedRun
    from orchestrator.verify.conformance import Finding
    from orchestrator.verify.verifier import VerifiedCell


class Screen:
    """Prints results to stdout, and progress and warnings to stderr.

    A quiet one prints results only. Used in a `with` block it also prints log messages: warnings, and details when it
    is verbose.
    """

    def __init__(self, *, verbose: bool = False, quiet: bool = False) -> None:
        self._out = Console(highlight=False)
        self._notices = Console(stderr=True, highlight=False, quiet=quiet)
        self._alarms = Console(stderr=True, highlight=False) if quiet else self._notices
        self._verbose = verbose
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Screen:  # noqa: PYI034  (Self is newer than Python 3.10)
        self._open.enter_context(logs.on_terminal(self, verbose=self._verbose))
        return self

    def __exit__(self, *exc: object) -> None:
        self._open.close()

    def print_line(self, text: str) -> None:
        """Print a line to stdout."""
        self._out.print(Text(text))

    def dim(self, text: str) -> None:
        """Print a detail, such as the progress of a run, to stderr."""
        self._notices.print(Text(text, style="dim", overflow="fold"))

    def warn(self, text: str) -> None:
        """Print a warning in a frame. While progress is shown, it appears above the bars."""
        self._notices.print(Panel(Text(text), style="yellow", box=box.HEAVY, title="note", title_align="left"))

    def alarm(self, text: str) -> None:
        """Print a warning that nobody may overlook: also for those who asked for no notes."""
        self._alarms.print(Panel(Text(text), style="bold red", box=box.HEAVY, title="WARNING", title_align="left"))

    def live(self, *, log: Path | None = None) -> LiveListener:
        """A listener that shows how a run, or other work that takes long, goes. `log` has the output of builds."""
        from orchestrator.cli.progress import LiveListener

        return LiveListener(self._notices, log=log)

    def show_start(self, folder: Path, prepared: PreparedRun) -> None:
        """Print what is about to run, and where."""
        jobs = prepared.jobs
        device = jobs[0].device if jobs else "cpu"
        self.dim(f"{prepared.host.title()}")
        self.dim(
            f"{len(jobs)} job{'s' if len(jobs) != 1 else ''} on the {device} with the {prepared.engine.name} engine, "
            f"spec {prepared.spec.name}, into {self.shorten(folder)}/"
        )

    def show_plan(self, prepared: PreparedRun) -> None:
        """Print the jobs of a dry run in order, and those that this machine's GPU cannot run."""
        jobs = prepared.jobs
        rows = [
            {"#": number, "job": job.id, "image": job.image, "data": job.dataset, "settings": _settings(job.settings)}
            for number, job in enumerate(jobs[:100], start=1)
        ]
        count = f"{len(jobs):,} job{'s' if len(jobs) != 1 else ''}"
        self.show_rows(f"{count} with the {prepared.engine.name} engine", rows)
        if len(jobs) > len(rows):
            self.print_line(f"… and {len(jobs) - len(rows):,} more")
        for job, why in prepared.skips.items():
            self.print_line(f"skipped: {job}: {why.message}")

    def show_rows(self, title: str, rows: Sequence[dict[str, Any]]) -> None:
        """Print rows of plain values as a table; where it is too wide for the terminal, each row as a list."""
        from orchestrator.report import terminal
        from orchestrator.report.table import Column

        heads = [Column(title=name) for name in (rows[0] if rows else ())]
        table, _ = terminal.grid(heads, [[_cell(value) for value in row.values()] for row in rows], self._out.width)
        self._out.print(Text(title, style="bold cyan"))
        self._out.print(table)

    def show_diagnosis(self, diagnosis: Diagnosis) -> None:
        """Print what this machine can run."""
        from orchestrator.cli import diagnosis_page

        self._out.print(diagnosis_page.page(diagnosis))

    def print_json(self, value: object) -> None:
        """Print JSON for a program."""
        self._out.out(json.dumps(value, indent=1), highlight=False)

    def show_report(self, content: ReportContent) -> None:
        """Print the verdict, the tables of results, then the jobs that failed."""
        from orchestrator.report import terminal

        def log_of(result: Result) -> Path | None:
            log = content.log_of(result)
            return log and Path(self.shorten(log))

        terminal.show(self._out, content.tables(), content.results, content.origins, content.verdict, log_of)

    def show_steps(self, steps: Sequence[Step]) -> None:
        """Print the commands that fit what was just shown, each on one line, to be copied."""
        if steps:
            self.print_line("\nnext:")
        for step in steps:
            self._out.print(Text(f"  {step.command}"), soft_wrap=True)
            self._out.print(Padding(Text(step.why, style="dim"), (0, 0, 0, 6), expand=False))

    def show_signature(self, signed: Signed) -> None:
        """Print to stderr who signed a file. A file without a signature has none to speak of: nothing is printed."""
        from orchestrator.record import allowed_signers

        name, signature = signed.path.name, signed.signature
        if signature is None:
            return
        if signature.signer:
            self.dim(f"{name}: signed by {signature.signer} ({signature.fingerprint})")
            return
        self.warn(f"nobody vouches for {name}: {signature.doubt}")
        if signature.key:
            path = allowed_signers.find() or allowed_signers.own()
            self.dim(f"To trust that key, have its owner confirm the fingerprint, then add this line to {path}:")
            self._notices.print(Text(f"NAME {signature.key}"), soft_wrap=True)  # on one line, to be copied

    def show_comparison(self, found: Comparison, a: str, b: str, limit: float | None) -> None:
        """Print a comparison of two sets of results, cell by cell."""
        from orchestrator.report import comparison_text

        comparison_text.show(self._out, found, a, b, limit, verbose=self._verbose)

    def show_answer(self, answer: Answer, *, json: bool) -> None:
        """Print the verdict on one stored job. JSON is printed for all jobs together, by show_answers."""
        from orchestrator.report import reproduction_text

        if not json:
            reproduction_text.show(self._out, answer)
            if answer.run is not None:
                self.print_line(f"  stored in {self.shorten(answer.run)}/")

    def show_answers(self, answers: Sequence[Answer], *, json: bool) -> None:
        """Print all verdicts as JSON, or how many there are of each kind."""
        from orchestrator.report import reproduction_text

        if json:
            self.print_json(reproduction_text.as_json(answers))
        elif len(answers) > 1:
            self.print_line(f"\n{reproduction_text.summary(answers)}")

    def show_parity(self, cells: Sequence[VerifiedCell], run: str, *, json: bool) -> None:
        """Print which cells compute the same as the reference, and how the others differ."""
        from orchestrator.report import parity_text

        if json:
            self.print_json(parity_text.as_json(cells, run))
        else:
            parity_text.show(self._out, cells)

    def show_findings(self, framework: str, findings: Sequence[Finding], *, json: bool) -> None:
        """Print the tests of `check` and their outcomes."""
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
        if wrong:
            self.print_line(f"\n{wrong} of {len(findings)} tests failed")

    def show_list(self, title: str, steps: Sequence[str]) -> None:
        """Print what to do, in order; nothing without any step."""
        for number, step in enumerate(steps, start=1):
            if number == 1:
                self.print_line(f"\n{title}:")
            self.print_line(f"  {number}. {step}")

    @staticmethod
    def shorten(path: Path) -> str:
        """A path relative to the current folder, if it is below that."""
        try:
            return str(path.resolve().relative_to(Path.cwd()))
        except ValueError:
            return str(path)


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
