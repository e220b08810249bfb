"""`rosetta doctor` on a terminal: one screen, for 80 columns or more."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from orchestrator.cli.diagnosis import Diagnosis, FrameworkDiagnosis
from orchestrator.host import quotas
from orchestrator.host.machine import Gpu
from orchestrator.plan.compat import GpuSupport, Problem
from orchestrator.run.first_run import FirstRun
from orchestrator.text import in_bytes, printable

MAX_CHARACTERS = 300  # of each name or message of a driver or daemon
KINDS: dict[GpuSupport, tuple[str, str]] = {
    "native": ("native", "green"),
    "jit": ("JIT", "yellow"),
    "cpu_only": ("–", "dim"),
    "impossible": ("no", "red"),
}


def page(diagnosis: Diagnosis) -> RenderableType:
    """Machine, Docker, GPUs, and how each framework can run on them."""
    return Group(
        _section("Machine", _machine(diagnosis)),
        _section("Docker", _docker(diagnosis)),
        _section("GPUs", _gpus(diagnosis)),
        _section("Data sets", _datasets(diagnosis)),
        _section("First run", _first_run(diagnosis)),
        _problems(diagnosis),
        Text("\nFrameworks", style="bold cyan"),
        _frameworks(diagnosis),
        *([] if diagnosis.usable else [Text("No engine can run any framework here.", style="bold red")]),
    )


def _machine(diagnosis: Diagnosis) -> Iterator[tuple[str, str]]:
    host = diagnosis.host
    yield "CPU", f"{host.cpu}, {len(host.cpus)} CPUs, {_gib(host.memory)}"
    if limits := quotas.in_words(host.cpu_quota, host.memory_limit):
        yield "limits", f"{limits[2:]}; a job gets {len(host.cpus_for(None))} of the CPUs"
    if (peak := diagnosis.peak) is not None:
        rates = f"{peak.flops / 1e9:,.0f} GFLOP/s, {peak.bandwidth / 1e9:,.1f} GB/s of memory"
        yield "at most", f"{rates}, on {peak.cpus} CPUs, measured {peak.measured}"
    yield "system", f"{host.system}, kernel {host.kernel}, {host.machine}"
    yield "cache", f"{diagnosis.cache}, {_gib(diagnosis.cache_free)} free"
    yield "Python", ", ".join(version if path else f"no {version}" for version, path in diagnosis.pythons.items())
    for image, path in diagnosis.given.items():
        yield "--python", f"{path} for image {image}"


def _docker(diagnosis: Diagnosis) -> Iterator[tuple[str, str]]:
    docker = diagnosis.docker
    server = docker.server
    if server is None:
        yield "server", "none"
        return
    yield "server", f"{server.product} {server.version}, API {server.api}, at {server.endpoint or 'unknown'}"
    yield "builds with", docker.builder or "nothing"
    yield "images", f"{server.root}, {_gib(docker.free)} free"
    access = docker.gpu_access
    ways = {"nvidia runtime": access.runtime, "CDI": access.cdi, "legacy hook": access.hook} if access else {}
    yield "GPUs through", ", ".join(name for name, there in ways.items() if there) or "nothing"


def _gpus(diagnosis: Diagnosis) -> Iterator[tuple[str, str]]:
    host = diagnosis.host
    if host.driver is None:
        yield "driver", "none: everything runs on the CPU"
        return
    yield "driver", f"{host.driver}, up to CUDA {host.cuda or 'unknown'}"
    for number, gpu in enumerate(host.gpus):
        yield f"GPU {number}", _gpu(gpu)


def _datasets(diagnosis: Diagnosis) -> Iterator[tuple[str, str]]:
    for each in diagnosis.first_run.datasets:
        yield each.dataset, each.in_words()


def _first_run(diagnosis: Diagnosis) -> Iterator[tuple[str, str]]:
    """What `bench` without options does before its jobs, and how long those took elsewhere."""
    found = diagnosis.first_run
    yield "download", f"{in_bytes(found.download)} of data" if found.download else "no data"
    yield "cache", f"{in_bytes(found.cache_disk)} more, for data and other inputs of jobs"
    if found.images:
        yield "images", _images(found)
    else:
        yield "images", "none: the process engine installs the same packages into the cache"
    if found.measured:
        yield "minutes", found.in_minutes()


def _images(found: FirstRun) -> str:
    built = f"{len(found.images) - len(found.to_build)} of {len(found.images)} are built"
    if not found.to_build:
        return built
    names = ", ".join(
        f"{each.image} {in_bytes(each.download) if each.download else '(not measured)'}" for each in found.to_build
    )
    return f"{built}; the others: {found.build_size() or 'sizes not measured'}; downloads: {names}"


def _gpu(gpu: Gpu) -> str:
    modes = {"ECC": gpu.ecc, "persistence": gpu.persistence, "MIG": gpu.mig}
    facts = [
        gpu.name,
        _gib(gpu.memory),
        f"compute capability {gpu.capability}",
        *([] if gpu.power_limit is None else [f"{gpu.power_limit:.0f} W"]),
        *(f"{mode} {'on' if on else 'off'}" for mode, on in modes.items() if on is not None),
    ]
    return ", ".join(facts)


def _problems(diagnosis: Diagnosis) -> RenderableType:
    lines: list[RenderableType] = []
    for problem in diagnosis.problems:
        lines.append(Text.assemble(("✗ ", "bold red"), _plain(problem.reason)))
        lines.append(_cure(problem))
    return Padding(Group(*lines), (1, 0, 0, 0)) if lines else Group()


def _cure(problem: Problem) -> RenderableType:
    lines = [Text(f"→ {_plain(line)}", style="yellow") for line in problem.remedy.splitlines()]
    return Padding(Group(*lines), (0, 0, 0, 2))


def _frameworks(diagnosis: Diagnosis) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=0, header_style="bold")
    table.add_column("Framework", min_width=18)
    table.add_column("CPU", min_width=7)
    table.add_column("GPU", min_width=6)
    table.add_column("why / what to do", ratio=1)
    for row in diagnosis.frameworks:
        word, style = KINDS[row.gpu.kind]
        table.add_row(
            Text(_plain(row.title)),
            Text(" ".join(row.engines) or "no", style="green" if row.engines else "red"),
            Text(word, style=style),
            Text(_plain(_why(row, gpu_expected=bool(diagnosis.host.gpus)))),
        )
    return table


def _why(row: FrameworkDiagnosis, *, gpu_expected: bool) -> str:
    """What limits a framework here; empty when the only limit is that there is no GPU."""
    if row.problem is not None:
        return f"{row.problem.reason} → {row.problem.remedy}"
    if not gpu_expected:
        return ""
    only = "" if not row.gpu.runs or row.gpu_engines == row.engines else f"; with --engine {row.gpu_engines[0]} only"
    return f"{row.gpu.reason}{only}" + (f" → {row.gpu.remedy}" if row.gpu.remedy else "")


def _section(title: str, facts: Iterator[tuple[str, str]]) -> RenderableType:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", min_width=12)
    grid.add_column(overflow="fold")
    for name, value in facts:
        grid.add_row(name, Text(_plain(value)))
    return Group(Text(title, style="bold cyan"), grid)


def _gib(size: int | None) -> str:
    return "unknown" if size is None else f"{size / 2**30:.0f} GiB"


def _plain(text: str) -> str:
    """Text that is safe to print: names come from drivers and daemons."""
    return printable(text, MAX_CHARACTERS)
