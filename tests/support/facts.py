"""Results with another provenance."""

from orchestrator.record.provenance import CodeFacts, EnvironmentFacts, HostFacts

KINDS = {"environment": EnvironmentFacts, "code": CodeFacts, "host": HostFacts}


def with_facts(result, **parts):
    """The result with parts of its provenance replaced. Environment, code and host are dictionaries of facts."""
    changed = {name: KINDS[name].model_validate(part) if name in KINDS else part for name, part in parts.items()}
    return result.model_copy(update={"provenance": result.provenance.model_copy(update=changed)})
