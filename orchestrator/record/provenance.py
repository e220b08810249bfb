"""The facts that a result records about its environment, its code and its machine.

A field is None, or absent in the file, where an engine has no such fact or where an older version did not record it.
Keys that are unknown here come from a newer version or from another engine. They are kept and shown, but not compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import ConfigDict, Field, GetJsonSchemaHandler, SerializerFunctionWrapHandler, model_serializer
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from orchestrator.host.machine import Host
from orchestrator.strict import Strict

Item = TypeVar("Item")
Several = Annotated[tuple[Item, ...], Field(strict=False)]  # engines and JSON give lists


class RecordedFacts(Strict):
    """Known facts as fields, and unknown keys beside them. A file gets exactly the keys that were given."""

    model_config = ConfigDict(extra="allow")

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all was recorded."""
        return not self.model_fields_set

    @model_serializer(mode="wrap")
    def _only_given_keys(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in write(self).items() if key in self.model_fields_set}

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The schema of the fields. Without this it would be that of `_only_given_keys`: any object."""
        fields: Any = {key: value for key, value in core_schema.items() if key != "serialization"}
        return handler(fields)


class EnvironmentFacts(RecordedFacts):
    """The image or virtual environment that a job ran in."""

    image: str | None = None  # the folder below images/
    variant: str | None = None  # "cpu" or "cuda"
    tag: str | None = None
    id: str | None = None  # of the image
    digests: Several[str] = ()  # of the image in registries
    base: str | None = None  # the image that it is built on
    recipe_sha256: str | None = None  # of the Dockerfile and the files beside it, without the base
    lock_sha256: str | None = None  # of the lock file; None for an interpreter that the user named
    labels: dict[str, str] = Field(default_factory=dict)
    python: str | None = None  # version
    interpreter: str | None = None
    given_by_user: bool | None = None


class CodeFacts(RecordedFacts):
    """The code that produced a result."""

    version: str | None = None  # of this program
    workloads_sha256: str | None = None  # of everything below workloads/
    git_commit: str | None = None
    git_dirty: bool | None = None  # whether the checkout differed from that commit
    parts_sha256: dict[str, str] | None = None  # a folder or file below workloads/ that the framework uses → sha256


class GpuFacts(RecordedFacts):
    """One GPU of a machine, as `host.machine.Gpu` describes it."""

    index: int | None = None
    name: str | None = None
    uuid: str | None = None
    memory: int | None = None  # bytes
    capability: str | None = None
    power_limit: float | None = None  # W
    ecc: bool | None = None
    persistence: bool | None = None
    mig: bool | None = None


class HostFacts(RecordedFacts):
    """The machine that a job ran on, and the engine that ran it there. Empty for a job that no machine could run."""

    cpu: str | None = None  # model
    cpus: Several[int] = ()  # that the orchestrator may use
    cpus_used: Several[int] = ()  # that the job may use
    memory: int | None = None  # bytes
    cpu_quota: float | None = None  # CPUs' time that control groups allow the job; None without a quota
    memory_limit: int | None = None  # bytes that they allow it; None without a limit
    system: str | None = None
    kernel: str | None = None
    machine: str | None = None  # architecture
    driver: str | None = None  # version of the NVIDIA driver
    gpus: Several[GpuFacts] = ()
    id: str | None = None  # of this installation
    cuda: str | None = None  # that the driver supports
    driver_problem: str | None = None
    docker: str | None = None  # versions of the engine
    docker_api: str | None = None
    ray: str | None = None
    orchestrator_python: str | None = None

    def models_of(self, uuids: Sequence[str]) -> list[str]:
        """The sorted models of the GPUs with these UUIDs."""
        return sorted(str(gpu.name) for gpu in self.gpus if gpu.uuid in uuids)


def environment_facts(facts: Mapping[str, Any]) -> EnvironmentFacts:
    """The facts that an engine gives about an environment. Raises pydantic.ValidationError for a wrong type."""
    return EnvironmentFacts.model_validate(dict(facts))


def host_facts(host: Host, engine: Mapping[str, Any], cpus_used: Sequence[int]) -> HostFacts:
    """The facts about a machine, with those that an engine gives about itself and the CPUs that a job may use."""
    return HostFacts.model_validate({**host.facts(), **engine, "cpus_used": tuple(cpus_used)})
