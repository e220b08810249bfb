"""`rosetta report`: print or write what was measured, in any form."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from orchestrator.cli import place
from orchestrator.cli.options import DEFAULT_RESULTS, ResultsOption
from orchestrator.errors import StoreError, UsageError
from orchestrator.plan.complaints import nearest
from orchestrator.report import formats

if TYPE_CHECKING:
    from orchestrator.cli.screen import Screen
    from orchestrator.cli.selection import Sources
    from orchestrator.record.run_folder import RunSource
    from orchestrator.report.collected import ReportContent

RunsArgument = Annotated[
    Optional[list[str]],
    typer.Argument(help="run ids, folders or capsules; the latest run when none is given", metavar="RUN"),
]
OutputOption = Annotated[
    Optional[Path], typer.Option("-o", "--output", help="write to this file; -: stdout", metavar="FILE")
]
OpenOption = Annotated[
    bool, typer.Option("--open", help="write the HTML report into the run's folder, or to -o, and open it in a browser")
]
CapsuleOption = Annotated[
    Optional[Path],
    typer.Option(
        help="also write specs, results and provenance into one file, for `reproduce`; -: stdout, and nothing else",
        metavar="FILE",
    ),
]


def _known_format(name: str) -> str:
    known = formats.names()
    if name not in known:
        near = nearest(name, known)
        raise UsageError(
            f"--format {name[:60]}: must be {', '.join(known[:-1])} or {known[-1]}"
            + (f"; did you mean {near!r}?" if near else ""),
            hint=f"type --format {near or formats.PAGE}",
        )
    return name


FormatOption = Annotated[
    str,
    typer.Option(
        "--format", help=f"how to write it: {', '.join(formats.names())}", metavar="FORMAT", callback=_known_format
    ),
]


def command(
    run: RunsArgument = None,
    format_: FormatOption = formats.DEFAULT,
    output: OutputOption = None,
    open_: OpenOption = False,
    capsule: CapsuleOption = None,
    results: ResultsOption = DEFAULT_RESULTS,
) -> None:
    """Print the tables of one or more runs again, or write them in another form.

    \b
    Examples:
      rosetta report
      rosetta report --format markdown -o table.md
      rosetta report --format html -o report.html
      rosetta report --open
      rosetta report 20261123-140000-quick 20261124-140000-quick --format csv
      rosetta report --capsule capsule.json
    """
    from orchestrator import files
    from orchestrator.cli import next_steps, selection
    from orchestrator.cli.screen import Screen
    from orchestrator.host import peak
    from orchestrator.outputs import is_stdout
    from orchestrator.report import collected

    _check_outputs(output, capsule, open_=open_)
    if open_ and format_ not in {formats.DEFAULT, formats.PAGE}:
        raise UsageError(f"--open shows the HTML report, not {format_}", hint="leave --format out")
    with Screen() as screen:
        sources = selection.sources(results, run or (None,))
        for signed in sources.signed:
            screen.show_signature(signed)
        measured = peak.load(files.default_cache())
        content = collected.of_runs(sources.runs, place.current().root, sources.origins, sources.own, measured)
        if output is not None or not (capsule and is_stdout(capsule)):  # "-": stdout holds the capsule alone
            _deliver(content, formats.PAGE if open_ else format_, output, screen, open_=open_)
            if output is None and not open_ and format_ == formats.DEFAULT:
                screen.show_steps(next_steps.after(content, run or ()))
        if capsule is not None:
            _write_capsule(capsule, sources, screen)
    if damaged := [*sources.unread, *content.damaged]:
        raise collected.left_out(damaged)


def _check_outputs(output: Path | None, capsule: Path | None, *, open_: bool) -> None:
    """Raise UsageError for outputs that contradict each other."""
    from orchestrator.outputs import is_stdout

    if open_ and output is not None and is_stdout(output):
        raise UsageError("--open needs a file, and -o - is standard output", hint="name a file with -o")
    if output is not None and output == capsule:
        raise UsageError(f"the report and the capsule would both be written to {output}", hint="name two files")


def _deliver(content: ReportContent, form: str, output: Path | None, screen: Screen, *, open_: bool) -> None:
    """Print the report, or write it to a file, and open that in a browser."""
    from orchestrator.outputs import is_stdout
    from orchestrator.report import browser

    module = formats.load(form)
    path = output
    if output is None and module.FILE_NAME is not None:
        path = _folder_of([each.source for each in content.runs]) / module.FILE_NAME
        if path.is_symlink() or (path.exists() and not path.is_file()):  # the folder may come from somebody else
            raise StoreError(f"{path} is a link, or no file: nothing is written there", hint="name a file with -o")
    if path is not None:
        _write(path, module.write(content))
        if module.FILE_NAME is not None and not is_stdout(path):
            screen.print_line(f"the report is in {screen.shorten(path)}")
        if open_ and not browser.show(path):
            screen.warn("there is no browser here: copy the report to a machine that has one")
    elif form == formats.DEFAULT:  # as wide as the terminal, and in colour
        screen.show_report(content)
    else:
        sys.stdout.writelines(module.write(content))


def _write_capsule(path: Path, sources: Sources, screen: Screen) -> None:
    """Write the runs, each with the certificates of its own origin, into one file."""
    from orchestrator.record import capsule

    pairs = list(zip(sources.runs, sources.origins, strict=True))
    kept = [  # the report names what is damaged
        capsule.kept(run, sources.own if origin.mine else origin.certificates)[0] for run, origin in pairs
    ]
    capsule.write(path, kept)
    if others := dict.fromkeys(origin.place for _, origin in pairs if not origin.mine):
        screen.warn(f"{path} also holds results of {', '.join(others)}: who signs it vouches for them, too")
    count = sum(len(each.results) for each in kept)
    screen.dim(f"{count} {'result is' if count == 1 else 'results are'} in {path}")


def _folder_of(runs: Sequence[RunSource]) -> Path:
    """The folder of the only run. Raises UsageError."""
    from orchestrator.record.run_folder import RunFolder

    if len(runs) > 1 or not isinstance(runs[0], RunFolder):
        raise UsageError("a report of several runs, or of a capsule, needs an output file", hint="name it with -o FILE")
    return runs[0].path


def _write(path: Path, parts: Iterable[str]) -> None:
    from orchestrator.outputs import user_file

    try:
        with user_file(path) as file:
            file.writelines(part.encode() for part in parts)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror}", hint="name another file with -o") from error
