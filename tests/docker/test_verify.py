"""`orchestrator verify`, short, over every cell in its container: what is certified, and what differs as it declares.

ROSETTA_VERIFY=changed leaves out the frameworks that passed on this machine before and are as they were then, they, the
reference and the judgement.
"""

import json
import os
import shutil
import subprocess
import sys

import pytest

from orchestrator import files
from orchestrator.judge import parity
from orchestrator.plan import spec
from orchestrator.plan.workloads import MISTAKES, WORKLOADS
from orchestrator.record import certificates
from orchestrator.run import preparation
from orchestrator.verify import reference, verifier
from tests.docker import stamps
from tests.support.cells import CELLS, KNOWN, REFERENCE, has_base
from tests.support.engine_cases import Silent

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1800)]  # all cells run before the first test

STEPS = 3
# docs/parity.md says why.
DECLARED = {("cntk", "rnn"): ["adam-epsilon-inside"]}
# The allowance is no guess: two frameworks of different makers and images stay far below it.
INDEPENDENT = ("pytorch", "tensorflow")
JUDGEMENT = [__file__, stamps.ROOT / "configs" / "verify.yaml"] + [
    path for package in ("judge", "verify") for path in sorted((stamps.ROOT / "orchestrator" / package).glob("*.py"))
]


def stamp_of(framework, workload):
    told, image = KNOWN.frameworks[framework]
    modules = [KNOWN.frameworks[REFERENCE][0].module, told.module]
    return stamps.stamp(f"{framework}-{workload}-verified", image, "cpu", modules, JUDGEMENT)


def passed_before(framework):
    """Whether all cells of the framework did, and that is enough."""
    asked = os.environ.get("ROSETTA_VERIFY") == "changed"
    return asked and all(stamp_of(*pair).exists() for pair in CELLS if pair[0] == framework)


@pytest.fixture(scope="module")
def verified(root, docker_engine, tmp_path_factory):
    """Cells by framework and workload, and the folder with their certificates."""
    results = tmp_path_factory.mktemp("verified")
    frameworks = [name for name in KNOWN.frameworks if has_base(name) and not passed_before(name)]
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", "verify", *frameworks, "--steps", str(STEPS),
         "--engine", "docker", "--json", "--results", results],
        cwd=root, capture_output=True, text=True, timeout=1800, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    return {(cell["framework"], cell["workload"]): cell for cell in json.loads(done.stdout)["cells"]}, results


@pytest.mark.parametrize("pair", CELLS, ids="-".join)
def test_a_cell_computes_what_the_reference_computes_or_what_it_declares(request, pair):
    if not has_base(pair[0]):
        pytest.skip(f"there is no base image for {pair[0]}")
    if passed_before(pair[0]):
        stamps.skip("-".join(pair), stamp_of(*pair))
    cells, results = request.getfixturevalue("verified")
    cell = cells[pair]
    assert (cell["word"], cell["culprits"]) == (("declared", DECLARED[pair]) if pair in DECLARED else ("certified", []))
    assert {MISTAKES[name].sentence for name in cell["culprits"]} <= set(cell["notes"])
    assert len(cell["loss_errors"]) == (0 if cell["workload"] == "resnet50" else STEPS)
    assert cell["probe_error"] > 0  # the oracle in float64, and no framework, is what they are held to
    variant = "v1" if cell["workload"] == "resnet50" else None
    certificate = certificates.read(certificates.path_of(results, *pair, "cpu", variant))
    assert certificate.environment["id"].startswith("sha256:")
    assert certificate.word == cell["word"]
    assert certificate.parity.times_rounding == cell["times_rounding"]
    if pair[0] in INDEPENDENT:
        assert 0 < cell["times_rounding"] < parity.ALLOWANCE / 4
    stamps.leave(stamp_of(*pair))


ADAM = """
class EpsilonInside:
    def __init__(self, parameters, lr, betas, eps, fused):
        self.parameters, self.lr, self.betas, self.eps, self.t = list(parameters), lr, betas, eps, 0
        self.moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in self.parameters]

    def zero_grad(self):
        for p in self.parameters:
            p.grad = None

    @torch.no_grad()
    def step(self):
        self.t += 1
        beta1, beta2 = self.betas
        pace = self.lr * (1 - beta2**self.t) ** 0.5 / (1 - beta1**self.t)
        for p, (m, v) in zip(self.parameters, self.moments):
            m.lerp_(p.grad, 1 - beta1)
            v.mul_(beta2).addcmul_(p.grad, p.grad, value=1 - beta2)
            p.addcdiv_(m, v.sqrt() + self.eps, value=-pace)


def run("""
BUILT = "return model.to(device, memory_format=runtime.MEMORY_FORMATS[layout]).eval()"
WARM_UP = """model = model.to(device, memory_format=runtime.MEMORY_FORMATS[layout])
    with torch.no_grad():
        model.train()(torch.from_numpy(job.images(layout="NCHW")[0]))
    return model.eval()
"""
# The mistake, the culprits it has to be told from, and the edits to PyTorch's own file that make it.
PLANTED = {
    "cnn": ("dampening", "momentum", [("momentum=job", "dampening=0.9, momentum=job")]),
    "rnn": ("adam-epsilon-inside", "Adam", [("\ndef run(", ADAM), ("torch.optim.Adam(", "EpsilonInside(")]),
    "resnet50": ("bn-moved-0.1", "BatchNorm", [(BUILT, WARM_UP)]),
}


@pytest.mark.parametrize("workload", PLANTED)
def test_a_mistake_in_another_framework_is_named(root, docker_engine, tmp_path, monkeypatch, workload):
    """What recognises a mistake is NumPy; what makes it here is PyTorch's own code, in PyTorch's container."""
    mistake, family, edits = PLANTED[workload]
    for name in (
        "images/numpy",
        "images/pytorch",
        "workloads/common",
        "workloads/mistakes",
        "workloads/numpy",
        "workloads/pytorch",
    ):
        shutil.copytree(root / name, tmp_path / name)
    shutil.copytree(root / "configs", tmp_path / "configs")
    shutil.copy(root / "workloads" / "__init__.py", tmp_path / "workloads")
    path = tmp_path / "workloads" / "pytorch" / f"{workload}.py"
    text = path.read_text()
    for old, new in edits:
        assert old in text, f"{path.name} has no {old!r} any more"
        text = text.replace(old, new)
    path.write_text(text)
    near = tuple(
        name for name in WORKLOADS[workload].traced_mistakes if family.lower() in MISTAKES[name].sentence.lower()
    )
    assert len(near) >= 4
    monkeypatch.setattr(reference, "suspects", lambda _: near)
    told = {"frameworks": ["pytorch"], "workloads": [workload], "device": "cpu", "engine": "docker"}
    overrides = [spec.Override(path=(key,), value=value, origin=key) for key, value in told.items()]
    overrides += [spec.parse_setting(f"{workload}.batch={2 if workload == 'resnet50' else 16}")]
    base = preparation.Request(root=tmp_path, results=tmp_path / "results", cache=files.default_cache())
    request = verifier.request(base, STEPS, overrides)
    prepared = verifier.prepare(request, print)
    folder = preparation.start(request, prepared)
    (cell,) = verifier.Verifier(request, folder, prepared, Silent(), pytest.fail).run()
    assert (cell.parity.word, cell.parity.culprits) == ("diverges", (mistake,)), cell.parity
