"""`rosetta doctor`: show what this machine can run."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli import place
from orchestrator.cli.options import JsonOption, PythonOption, python_option
from orchestrator.errors import HostError

DoctorGpuOption = Annotated[str, typer.Option(help="the GPU to examine: its index or its UUID")]


DoctorBenchOption = Annotated[
    bool, typer.Option("--bench", help="measure what the CPUs can do at most: reports then show each job's share of it")
]


def command(
    gpu: DoctorGpuOption = "0", python: PythonOption = None, bench: DoctorBenchOption = False, json: JsonOption = False
) -> None:
    """Show what this machine can run, what it lacks, and what to do. Builds and downloads nothing.

    Ends with exit code 4 when no engine can run a single job.

    \b
    Examples:
      rosetta doctor
      rosetta doctor --gpu 1 --json
      rosetta doctor --bench
      rosetta doctor --python numpy=/opt/python3.11/bin/python3
    """
    from orchestrator import files
    from orchestrator.cli import diagnosis
    from orchestrator.cli.screen import Screen
    from orchestrator.host import machine, peak
    from orchestrator.plan import catalog

    with Screen() as screen:
        given = dict(map(python_option, python or ()))
        if bench:
            with screen.live() as listener:
                listener.preparing("a product of matrices and a copy of memory, to measure this machine")
                peak.store(peak.measure(machine.inspect()), files.default_cache())
        found = diagnosis.examine(catalog.load(place.current().root), files.default_cache(), gpu, given)
        if json:
            screen.print_json(found.as_json())
        else:
            screen.show_diagnosis(found)
    if not found.usable:
        raise typer.Exit(HostError.exit_code)
