"""A sealed file gives back what was written, however it is laid out since, and nothing that was written otherwise."""

import hashlib
import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator import sealed
from orchestrator.errors import StoreError
from orchestrator.record import capsule
from orchestrator.record.provenance import EnvironmentFacts
from orchestrator.record.results import Result
from tests.support import published
from tests.support.results import trained

NASTY = st.text(st.sampled_from('\n }{",: \\"é\u2028\U0001f600provenance'), max_size=30)
FACTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | NASTY,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NASTY, inner, max_size=3),
    max_leaves=10,
)


def stored(facts):
    """A result with these facts in its provenance and its settings."""
    result = trained()
    return result.model_copy(
        update={
            "job": result.job.model_copy(update={"settings": facts}),
            "provenance": result.provenance.model_copy(update={"environment": EnvironmentFacts.model_validate(facts)}),
        }
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.dictionaries(NASTY, FACTS, max_size=4))
def test_what_was_sealed_comes_back(tmp_path, facts):
    path = tmp_path / "result.json"
    path.write_bytes(sealed.dump(stored(facts)))
    found = sealed.load(path, Result)
    assert found == stored(facts)
    assert found.model_dump_json() == stored(facts).model_dump_json()  # 1 == 1.0, and dictionaries have no order


@pytest.mark.parametrize("layout", [{"indent": 4}, {"separators": (",", ":")}, {"indent": 1, "ensure_ascii": False}])
def test_another_layout_is_the_same_file(tmp_path, layout):
    path = tmp_path / "result.json"
    result = stored({"épochs": 2, "batch": 64, "lr": 1e-08})
    path.write_text(json.dumps(json.loads(sealed.dump(result)), **layout))
    assert sealed.load(path, Result).model_dump_json() == result.model_dump_json()


def test_files_of_earlier_versions_are_read(tmp_path):
    """They have the digest of their content with its keys sorted."""
    path = tmp_path / "result.json"
    content = stored({"lr": 0.1, "batch": 64}).model_dump(mode="json")
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    path.write_text(json.dumps({**content, "sha256": hashlib.sha256(canonical).hexdigest()}, indent=1))
    assert list(sealed.load(path, Result).job.settings) == ["lr", "batch"]


@pytest.mark.parametrize("layout", [{"indent": 1}, {"indent": 4}])
def test_no_number_can_be_corrected_in_any_layout(tmp_path, layout):
    path = tmp_path / "result.json"
    content = json.loads(sealed.dump(trained()))
    content["figures"]["accuracy"] += 0.1
    path.write_text(json.dumps(content, **layout) + "\n")
    with pytest.raises(StoreError, match="does not match its sha256"):
        sealed.load(path, Result)


def test_a_file_of_another_kind_with_a_right_digest_is_named(tmp_path):
    path = tmp_path / "result.json"
    path.write_bytes(sealed.dump(trained().provenance))
    with pytest.raises(StoreError, match=r"result\.json: not written by this program, or edited: job: Field required"):
        sealed.load(path, Result)


def test_no_number_is_read_that_is_none(tmp_path):
    path = tmp_path / "result.json"
    content = sealed.dump(trained()).replace(b'"seconds": 10.0', b'"seconds": NaN')
    content = content[: content.index(b',\n "sha256"')] + b"\n}\n"
    digest = hashlib.sha256(content).hexdigest().encode()
    path.write_bytes(content.removesuffix(b"\n}\n") + b',\n "sha256": "' + digest + b'"\n}\n')
    with pytest.raises(StoreError, match="seconds: Input should be a finite number"):
        sealed.load(path, Result)


def test_a_file_that_is_too_large_is_said_to_be(tmp_path):
    path = tmp_path / "result.json"
    path.write_bytes(sealed.dump(trained()))
    os.truncate(path, sealed.MAX_BYTES + 1)
    with pytest.raises(StoreError, match="larger than"):
        sealed.load(path, Result)


def test_a_capsule_that_is_too_large_to_be_read_is_not_written(tmp_path):
    kept = published.runs()[0]
    large = kept.model_copy(update={"run": kept.run.model_copy(update={"command": ("x" * sealed.MAX_BYTES,)})})
    with pytest.raises(StoreError, match=r"more than the .* that a capsule may have"):
        capsule.write(tmp_path / "capsule.json", [large])
    assert not (tmp_path / "capsule.json").exists()
