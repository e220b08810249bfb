"""The facts of a result's provenance that a comparison lists when they differ, by name and in words. Pure."""

from __future__ import annotations

from typing import Any

from orchestrator.record.provenance import CodeFacts, EnvironmentFacts, HostFacts
from orchestrator.record.results import Result
from orchestrator.text import MAX_CHARACTERS, printable

MAX_FACT = 4000  # characters of a fact that are compared; the screen shows fewer


def facts_of(result: Result) -> dict[str, str]:
    """The facts that may explain a difference: environment, machine, code and versions, in words."""
    provenance = result.provenance
    facts = {
        **_environment_facts(provenance.environment),
        "number of GPUs": len(result.job.gpus) or None,
        **_host_facts(provenance.host),
        **_code_facts(provenance.code),
        **_framework_facts(result),
    }
    return {name: in_words(value, MAX_FACT) for name, value in facts.items() if value not in (None, (), "")}


def in_words(value: Any, limit: int = MAX_CHARACTERS) -> str:
    """A fact in words, cut at `limit` characters."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return printable(" ".join(map(str, value)) if isinstance(value, list | tuple) else str(value), limit)


def _environment_facts(environment: EnvironmentFacts) -> dict[str, Any]:
    return {
        "image id": environment.id,
        "image digests": environment.digests,
        "base image": environment.base,
        "image's files sha256": environment.recipe_sha256,
        "lock sha256": environment.lock_sha256,
        "interpreter": environment.interpreter,
        "Python": environment.python,
    }


def _host_facts(host: HostFacts) -> dict[str, Any]:
    return {
        "NVIDIA driver": host.driver,
        "GPUs": tuple(gpu.name for gpu in host.gpus),
        "GPU power limits": tuple(gpu.power_limit for gpu in host.gpus if gpu.power_limit is not None),
        "machine id": host.id,
        "CPU": host.cpu,
        "CPUs used": host.cpus_used,
        "memory": host.memory,
        "CPU quota": host.cpu_quota,
        "memory limit": host.memory_limit,
        "kernel": host.kernel,
        "system": host.system,
        "Docker": host.docker,
    }


def _code_facts(code: CodeFacts) -> dict[str, Any]:
    """Versions and fingerprints: one of each part that the framework uses, or of all workloads in older results."""
    parts = {f"workloads/{name} sha256": digest for name, digest in (code.parts_sha256 or {}).items()}
    return {
        "version of this program": code.version,
        **(parts if code.parts_sha256 is not None else {"workload code sha256": code.workloads_sha256}),
        "git commit": code.git_commit,
        "uncommitted changes": code.git_dirty,
    }


def _framework_facts(result: Result) -> dict[str, Any]:
    """The facts that the framework reported when the job started."""
    start = result.start
    if start is None:
        return {}
    return {
        "device": start.device_name,
        "framework version": start.version,
        "threads": start.threads,
        "fused kernel": start.fused,
        "denormals": start.denormals,
        **{f"version of {name}": version for name, version in start.versions.items()},
    }
