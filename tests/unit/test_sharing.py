"""Results that share what they have in common are the same results."""

from orchestrator import sharing
from tests import published


def test_nothing_but_memory_changes():
    run = published.runs()[0]
    results = [*run.results, *(each.model_copy(deep=True) for each in run.results)]
    found = list(sharing.shared(results))
    assert found == results
    one, other = found[0], found[len(run.results)]
    assert one.provenance.host is other.provenance.host
    assert one.job.settings is other.job.settings
    assert one.start is other.start
    assert one.figures is not other.figures


def test_equal_to_a_computer_is_not_the_same():
    """1 == 1.0 == True: what is shared has to be written the same, too."""
    result = published.runs()[0].results[0]
    told = [result.model_copy(update={"job": result.job.model_copy(update={"settings": {"x": x}})}) for x in (1, 1.0)]
    assert [repr(each.job.settings["x"]) for each in sharing.shared(told)] == ["1", "1.0"]
