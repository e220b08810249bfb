"""Results with another provenance."""

from typing import Any

from orchestrator.record.provenance import CodeFacts, EnvironmentFacts, HostFacts, RecordedFacts
from orchestrator.record.results import Result

KINDS: dict[str, type[RecordedFacts]] = {"environment": EnvironmentFacts, "code": CodeFacts, "host": HostFacts}


def with_facts(result: Result, **parts: Any) -> Result:
    """The result with parts of its provenance replaced. Environment, code and host are dictionaries of facts."""
    changed = {name: KINDS[name].model_validate(part) if name in KINDS else part for name, part in parts.items()}
    return result.model_copy(update={"provenance": result.provenance.model_copy(update=changed)})
