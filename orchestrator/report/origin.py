"""The runs that a report was made from: their ids, when they began, and the code that measured them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.record.results import Result
from orchestrator.text import clip

COMMIT = 7  # digits of a commit that are shown


class RunOrigin(BaseModel):
    """One run. A run that was resumed with other code has several versions or commits."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    began: str = Field(description="UTC, ISO 8601")
    versions: list[str] = Field(description="of this program")
    commits: list[str] = Field(description="of the checkout, with `git`")
    uncommitted_changes: bool = Field(description="whether the checkout differed from its commit during a job")
    results: int = Field(description="how many of the report's results are from this run")

    @property
    def words(self) -> str:
        """The run in one line."""
        version = f"version {', '.join(map(clip, self.versions))}" if self.versions else ""
        commits = ", ".join(commit[:COMMIT] for commit in self.commits)
        changed = " with uncommitted changes" if self.uncommitted_changes else ""
        commit = f"commit {commits}{changed}" if commits else ""
        began = f"{self.began[:16].replace('T', ' ')} UTC"
        none = "" if self.results else "no results of its own"
        return " · ".join(filter(None, (f"run {clip(self.id)}", began, version, commit, none)))


def of(name: str, began: str, results: Sequence[Result]) -> RunOrigin:
    """The origin of the results of a run."""
    codes = [result.provenance.code for result in results]
    return RunOrigin(
        id=name,
        began=began,
        versions=_distinct(code.version for code in codes),
        commits=_distinct(code.git_commit for code in codes),
        uncommitted_changes=any(code.git_dirty for code in codes),
        results=len(results),
    )


def runs_of_results(origins: Iterable[RunOrigin]) -> list[str]:
    """The id of the run of each result, where the results of one run follow those of the run before."""
    return [each.id for each in origins for _ in range(each.results)]


def _distinct(values: Iterable[str | None]) -> list[str]:
    return [value for value in dict.fromkeys(values) if value]
