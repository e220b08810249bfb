"""`rosetta verify`, short, over every cell in its container: what is certified, and what differs as it declares."""

import json
import shutil
import subprocess
import sys

import pytest

from orchestrator import files
from orchestrator.judge import parity
from orchestrator.plan import spec_file
from orchestrator.plan.workloads import MISTAKES, WORKLOADS
from orchestrator.record import certificates
from orchestrator.run import preparation
from orchestrator.verify import verifier
from tests.support import checks
from tests.support.cells import CELLS, has_base
from tests.support.engine_cases import Silent
from tests.support.ledger_plugin import CHECKS

PER_CELL = 180  # seconds, at most, on a busy machine
# All cells of a workload run before the first test of them.
pytestmark = [pytest.mark.docker, pytest.mark.timeout(600 + PER_CELL * len(CELLS))]

STEPS = 3
# docs/parity.md says why.
DECLARED = {("cntk", "rnn"): ["adam-epsilon-inside"]}
# The allowance is no guess: two frameworks of different makers and images stay far below it.
INDEPENDENT = ("pytorch", "tensorflow")


def cell(framework, workload):
    """Arguments of a test of one cell, which is a check of its own."""
    mark = checks.mark(checks.verify(framework, workload))
    return pytest.param(framework, workload, id=f"{framework}-{workload}", marks=mark)


@pytest.fixture(scope="module")
def verified(request, root, docker_engine, tmp_path_factory):
    """A function that verifies, once, all cells of a workload that this session tests.

    It returns the cells by framework, and the folder with their certificates. Together they need one reference run.
    """
    done = {}
    wanted = [item.callspec.params for item in request.session.items if item.function is test_a_cell_is_certified]
    due = request.config.stash[CHECKS].due

    def run(workload):
        if workload not in done:
            pairs = [(each["framework"], each["workload"]) for each in wanted if each["workload"] == workload]
            names = [pair[0] for pair in pairs if has_base(pair[0]) and due(checks.verify(*pair))]
            done[workload] = verify(root, workload, names, tmp_path_factory.mktemp("verified"))
        return done[workload]

    return run


def verify(root, workload, frameworks, results):
    """Run the command line on these cells."""
    argv = [sys.executable, "-m", "orchestrator", "verify", *frameworks, "--workload", workload]
    argv += ["--steps", str(STEPS), "--engine", "docker", "--json", "--results", str(results)]
    limit = 300 + PER_CELL * len(frameworks)
    ended = subprocess.run(argv, cwd=root, capture_output=True, text=True, timeout=limit, check=False)
    assert ended.returncode in {0, 1}, ended.stderr + ended.stdout  # 1: some cells diverge, and their tests say which
    return {cell["framework"]: cell for cell in json.loads(ended.stdout)["cells"]}, results


@pytest.mark.parametrize(("framework", "workload"), [cell(*each) for each in CELLS])
def test_a_cell_is_certified(verified, framework, workload):
    """Or differs from the reference as it declares."""
    if not has_base(framework):
        pytest.skip(f"there is no base image for {framework}")
    cells, results = verified(workload)
    cell, pair = cells[framework], (framework, workload)
    expected = ("declared", DECLARED[pair]) if pair in DECLARED else ("certified", [])
    assert (cell["word"], cell["culprits"]) == expected, cell
    assert {MISTAKES[name].sentence for name in cell["culprits"]} <= set(cell["notes"])
    assert len(cell["loss_errors"]) == (0 if workload == "resnet50" else STEPS)
    assert cell["probe_error"] > 0  # they are compared with the reference in float64, which no framework is
    variant = "v1" if workload == "resnet50" else None
    certificate = certificates.read(certificates.path_of(results, *pair, "cpu", variant))
    assert certificate.environment.id.startswith("sha256:")
    assert certificate.word == cell["word"]
    assert certificate.parity.times_rounding == cell["times_rounding"]
    if framework in INDEPENDENT:
        assert 0 < cell["times_rounding"] < parity.ALLOWANCE / 4


ADAM = """
class EpsilonInside(torch.optim.Optimizer):
    def __init__(self, parameters, lr, betas, eps, fused):
        super().__init__(parameters, {"lr": lr, "betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self):
        (group,) = self.param_groups
        beta1, beta2 = group["betas"]
        for p in group["params"]:
            if not self.state[p]:
                self.state[p].update(t=0, m=torch.zeros_like(p), v=torch.zeros_like(p))
            state = self.state[p]
            state["t"] += 1
            state["m"].lerp_(p.grad, 1 - beta1)
            state["v"].mul_(beta2).addcmul_(p.grad, p.grad, value=1 - beta2)
            pace = group["lr"] * (1 - beta2 ** state["t"]) ** 0.5 / (1 - beta1 ** state["t"])
            p.addcdiv_(state["m"], state["v"].sqrt() + group["eps"], value=-pace)


def run("""
BUILT = "return model.to(device, memory_format=runtime.MEMORY_FORMATS[layout]).eval()"
WARM_UP = """model = model.to(device, memory_format=runtime.MEMORY_FORMATS[layout])
    with torch.no_grad():
        model.train()(torch.from_numpy(job.images(layout="NCHW")[0]))
    return model.eval()
"""
# The mistake, the culprits it has to be distinguished from, and the edits to PyTorch's own file that make it.
PLANTED = {
    "cnn": ("dampening", "momentum", [("momentum=job", "dampening=0.9, momentum=job")]),
    "rnn": ("adam-epsilon-inside", "Adam", [("\ndef run(", ADAM), ("torch.optim.Adam(", "EpsilonInside(")]),
    "resnet50": ("bn-moved-0.1", "BatchNorm", [(BUILT, WARM_UP)]),
}


def planted(workload):
    """The test of one mistake, which is a check of its own."""
    check = checks.frameworks(f"mistake {workload}", "tests/docker/test_verify.py", "pytorch", inputs=checks.JUDGEMENT)
    return pytest.param(workload, marks=checks.mark(check))


@pytest.mark.parametrize("workload", [planted(workload) for workload in PLANTED])
def test_a_mistake_in_another_framework_is_named(root, docker_engine, tmp_path, workload):
    """What recognises a mistake is NumPy; what makes it here is PyTorch's own code, in PyTorch's container."""
    mistake, family, edits = PLANTED[workload]
    for name in ("images/numpy", "images/pytorch", "workloads", "configs"):
        shutil.copytree(root / name, tmp_path / name)
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
    choices = {"frameworks": ["pytorch"], "workloads": [workload], "device": "cpu", "engine": "docker"}
    overrides = [spec_file.Override(path=(key,), value=value, origin=key) for key, value in choices.items()]
    overrides += [spec_file.parse_setting(f"{workload}.batch={2 if workload == 'resnet50' else 16}")]
    base = preparation.Request(root=tmp_path, results=tmp_path / "results", cache=files.default_cache())
    request = verifier.request(base, STEPS, overrides)
    prepared = verifier.prepare(request)
    folder = preparation.start(request, prepared)
    (cell,) = verifier.Verifier(request, folder, prepared, Silent(), only_mistakes=near).run()
    assert (cell.parity.word, cell.parity.culprits) == ("diverges", (mistake,)), cell.parity
