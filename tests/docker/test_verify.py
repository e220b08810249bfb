"""`orchestrator verify`, short, over every cell in its container: what is certified, and what differs as it declares."""

import json
import subprocess
import sys

import pytest

from orchestrator import certificates
from orchestrator.culprits import CULPRITS
from tests.docker.test_cells import CELLS, KNOWN, has_base

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1800)]  # all cells run before the first test

STEPS = 3
# docs/parity.md says why.
DECLARED = {("cntk", "rnn"): ["adam-epsilon-inside"]}


@pytest.fixture(scope="module")
def verified(root, docker_engine, tmp_path_factory):
    """Cells by framework and workload, and the folder with their certificates."""
    results = tmp_path_factory.mktemp("verified")
    frameworks = [name for name in KNOWN.frameworks if has_base(name)]
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", "verify", *frameworks, "--steps", str(STEPS),
         "--engine", "docker", "--json", "--results", results],
        cwd=root, capture_output=True, text=True, timeout=1800, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    return {(cell["framework"], cell["workload"]): cell for cell in json.loads(done.stdout)["cells"]}, results


@pytest.mark.parametrize("pair", CELLS, ids="-".join)
def test_a_cell_computes_what_the_reference_computes_or_what_it_declares(verified, pair):
    cells, results = verified
    if not has_base(pair[0]):
        pytest.skip(f"there is no base image for {pair[0]}")
    cell = cells[pair]
    assert (cell["word"], cell["culprits"]) == (("declared", DECLARED[pair]) if pair in DECLARED else ("certified", []))
    assert {CULPRITS[name].sentence for name in cell["culprits"]} <= set(cell["notes"])
    assert len(cell["loss_errors"]) == (0 if cell["workload"] == "resnet50" else STEPS)
    assert cell["probe_error"] > 0  # the oracle in float64, and no framework, is what they are held to
    certificate = certificates.read(certificates.path_of(results, *pair, "cpu"))
    assert certificate.environment["id"].startswith("sha256:")
    assert certificate.word == cell["word"]
