"""`rosetta verify`: what rounding explains is certified, every planted mistake is named, nothing else is claimed."""

import contextlib
import dataclasses
import functools
import importlib
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rich.console import Console

from orchestrator.errors import StoreError, UsageError
from orchestrator.host import machine
from orchestrator.inputs import datasets, job_inputs, npy, weights
from orchestrator.inputs.dataset_folder import Dataset
from orchestrator.inputs.datasets import tinyshakespeare
from orchestrator.judge import dropout, parity, traces
from orchestrator.judge.parity import Trace
from orchestrator.plan import jobs, spec_file
from orchestrator.plan.workloads import MISTAKES, WORKLOADS
from orchestrator.record import certificates, run_folder
from orchestrator.record.artifacts import PART
from orchestrator.record.certificates import Envelope, Parity
from orchestrator.record.figures import Figures
from orchestrator.record.results import Provenance, Result
from orchestrator.report import parity_text
from orchestrator.run import preparation
from orchestrator.verify import reference, verifier
from tests import golden
from tests.support.engine_cases import Silent
from workloads.common import bench as workload_bench
from workloads.mistakes import planted, plants

STEPS, BATCH = 6, 4
SETTINGS = {
    "cnn": {"lr": 0.01, "momentum": 0.9, "dropout_conv": 0.0, "dropout_dense": 0.0},
    "rnn": {"lr": 0.001, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8},
}
TEST_SAMPLES = BATCH + BATCH // 2  # the last batch is half a batch
SMALL_GPT = WORKLOADS["gpt"].settings(
    **{**WORKLOADS["gpt"].small, "batch": BATCH, "steps": 12, "test_samples": 16 * TEST_SAMPLES}
)
SETTINGS["gpt"] = SMALL_GPT.for_device("cpu")
TRAINING = {"epochs": 1, "batch": BATCH, "train_samples": STEPS * BATCH, "test_samples": TEST_SAMPLES}


class Workshop:
    """A small job of the reference, run in this process, once for each precision and mistake.

    `on`, where given, makes it the second job of a cell, with dropout or without, see dropout.py."""

    def __init__(self, workload, folder):
        self.workload = workload
        self.folder = folder
        self.done = {}
        random = np.random.default_rng(1)
        self.steps = SETTINGS.get(workload, {}).get("steps", STEPS)
        self.initial = weights.initial_weights(workload, 1, SETTINGS.get(workload))
        np.savez(folder / "weights.npz", **self.initial)
        if workload == "gpt":
            for file, text in tinyshakespeare.synthesise(1, 4000, 400).items():
                np.save(folder / file, text)
            np.save(folder / "order.npy", random.integers(0, 3900, (self.steps, BATCH)).astype(np.int32))
            return
        for split in ("train", "test"):
            if workload == "cnn":
                x, classes = random.integers(0, 256, (STEPS * BATCH, 3, 32, 32), np.uint8), 10
            else:
                x, classes = random.integers(1, 30000, (STEPS * BATCH, 150), np.int32), 2
                x[np.arange(150) >= random.integers(20, 400, (STEPS * BATCH, 1))] = 0  # some reviews are short
            np.save(folder / f"x_{split}.npy", x)
            np.save(folder / f"y_{split}.npy", np.arange(STEPS * BATCH, dtype=np.int32) % classes)
        np.save(folder / "images.npy", random.random((1, 2, 3, 64, 64), np.float32))  # a pooled average needs no 224
        self.order(random.permutation(STEPS * BATCH))

    def order(self, order):
        np.save(self.folder / "order.npy", order[None].astype(np.int32))

    def trace(self, precision, mistake=None, on=None):
        key = (precision, mistake, on)
        if key not in self.done:
            self.done[key] = self._run(*key)
        return self.done[key]

    def reference(self):
        initial = self.trace("fp64", on=False) if getattr(WORKLOADS[self.workload], "dropout", None) else None
        return parity.ReferenceRun(trace=self.trace("fp64"), envelope=self.envelope(), initial=initial, versions={})

    def planted(self):
        return {name: self.trace("fp64", name) for name in WORKLOADS[self.workload].traced_mistakes}

    def envelope(self):
        rounded = [self.trace("fp32", name) for name in (None, *reference.NUDGES)]
        return parity.envelope(self.trace("fp64"), rounded)

    def _run(self, precision, mistake, on):
        inference = {"batch": 2, "batches": 1, "seconds": 0.0, "variant": "v1"}
        settings = {**TRAINING, **SETTINGS[self.workload]} if self.workload in SETTINGS else inference
        job = {
            "protocol": 2, "framework": "numpy", "workload": self.workload, "device": "cpu", "ranks": 1, "precision": precision,
            "seed": 1, "settings": settings, "trace": self.steps, "learning_curve": False,
        }  # fmt: skip
        if on is not None:
            settings = {**settings, "lr": dropout.STANDSTILL}
            settings.update((name, rate if on else 0.0) for name, rate in WORKLOADS[self.workload].dropout.items())
            job["settings"] = settings
        output = self.folder / f"{precision}-{mistake}-{on}"
        output.mkdir()
        module = importlib.import_module(f"workloads.numpy.{self.workload}")
        with (output / "events").open("wb") as file:
            events = workload_bench.Events(file.fileno())
            broke_off = contextlib.suppress(workload_bench.Diverged) if mistake else contextlib.nullcontext()
            with planted(mistake, self.workload) if mistake else contextlib.nullcontext(), broke_off:
                module.run(workload_bench.Job(job, str(self.folder), events))
        stream = (output / "events").read_bytes()
        kept = golden.artifacts(stream)
        events = [json.loads(line) for line in stream.splitlines() if not line.startswith(PART)]
        losses = tuple(event["loss"] for event in events if event["event"] == "step" and event["step"] <= self.steps)
        probe = kept.get("scores-0.npy" if self.workload in SETTINGS else "features-0.npy")
        probe = None if probe is None else probe.astype(np.float64)
        if probe is not None and self.workload in SETTINGS:
            probe = parity.log_probabilities(probe)
        found = {name: kept.get(f"weights-1.{name}.npy") for name in self.initial}
        updates = {name: array - self.initial[name] for name, array in found.items() if array is not None}
        scored = next((event["samples"] for event in events if event["event"] == "score"), None)
        return Trace(losses=losses, probe=probe, updates=updates, scored=scored)


WORKSHOPS = {}


@pytest.fixture
def workshop(tmp_path_factory):
    def get(workload):
        if workload not in WORKSHOPS:
            WORKSHOPS[workload] = Workshop(workload, tmp_path_factory.mktemp(workload))
        return WORKSHOPS[workload]

    return get


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning", "ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize(
    ("workload", "mistake"),
    [(name, mistake) for name, workload in WORKLOADS.items() for mistake in workload.traced_mistakes],
)
def test_a_planted_mistake_is_named(workshop, workload, mistake):
    """The cell makes the mistake in float32; it is distinguished from the reference, and from all other mistakes."""
    shop = workshop(workload)
    cell, exact, allowed = shop.trace("fp32", mistake), shop.trace("fp64"), shop.envelope()
    assert parity.judge(cell, exact, allowed).word == "diverges"
    assert parity.explain(cell, exact, shop.planted(), allowed) == (mistake,)


@pytest.mark.parametrize("workload", ["cnn", "rnn"])
def test_the_same_computation_in_another_order_is_certified(workshop, tmp_path, workload):
    """Samples trade places within each batch: other sums, other rounding, the same thing."""
    shop = workshop(workload)
    exact, allowed = shop.trace("fp64"), shop.envelope()
    other = Workshop(workload, tmp_path)
    order = np.load(shop.folder / "order.npy")[0].reshape(STEPS, BATCH)
    other.order(order[:, ::-1].ravel())
    cell, same_order = other.trace("fp32"), shop.trace("fp32")
    assert not np.array_equal(cell.probe, same_order.probe)
    verdict = parity.judge(cell, exact, allowed)
    assert (verdict.word, verdict.why) == ("certified", "")


@pytest.mark.parametrize("workload", ["cnn", "rnn", "gpt"])
def test_a_truncated_test_set_is_named(workshop, workload):
    shop = workshop(workload)
    labels = SETTINGS[workload].get("context", 1)  # of a sample
    scored, there = BATCH * labels, TEST_SAMPLES * labels
    cell, exact, allowed = shop.trace("fp32", "test-truncated"), shop.trace("fp64"), shop.envelope()
    assert (cell.scored, exact.scored) == (scored, there)
    verdict = parity.judge(cell, exact, allowed, broke_off="the host noticed it too")
    assert (verdict.word, verdict.culprits) == ("diverges", ("test-truncated",))
    assert verdict.why == f"it scored {scored} test samples of {there}"
    wrong = parity.judge(dataclasses.replace(cell, probe=cell.probe * 1.1), exact, allowed)
    assert (wrong.word, wrong.culprits) == ("diverges", ())  # those that it scored are wrong too
    more = parity.judge(dataclasses.replace(exact, scored=there + 1), exact, allowed)
    assert (more.word, more.culprits) == ("diverges", ())


@pytest.mark.parametrize("workload", ["cnn", "rnn"])
def test_a_last_batch_that_is_scored_wrongly_is_no_right_one(workshop, workload):
    """A model of a fixed batch size that is given half a batch, and answers with what it said before."""
    shop = workshop(workload)
    cell = shop.trace("fp32")
    stale = np.concatenate([cell.probe[:BATCH], cell.probe[: TEST_SAMPLES - BATCH]])
    verdict = parity.judge(dataclasses.replace(cell, probe=stale), shop.trace("fp64"), shop.envelope())
    assert (verdict.word, parity.where(verdict)) == ("diverges", "all losses are right: look at the evaluation")


@pytest.mark.parametrize("mistake", [None, "dropout-always", "dropout-never", "dropout-in-evaluation"])
@pytest.mark.parametrize("workload", ["cnn", "gpt"])
def test_what_a_cell_does_with_dropout(workshop, workload, mistake):
    shop = workshop(workload)
    cell, dropped, reference = shop.trace("fp32", mistake), shop.trace("fp32", mistake, True), shop.reference()
    plain = parity.judge(cell, reference.trace, reference.envelope)
    assert plain.word == ("diverges" if mistake == "dropout-always" else "certified")
    verdict = dropout.judge(plain, cell, dropped, reference)
    assert (verdict.word, verdict.culprits) == (("diverges", (mistake,)) if mistake else ("certified", ()))
    if mistake is None:
        assert verdict.dropout_error < 1e-5


@pytest.mark.parametrize(
    ("wrong", "astray"),
    [
        ("weights", ("conv3.weight",)),
        ("inputs", ("conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias")),
    ],
)
def test_the_first_layer_whose_update_is_wrong_is_named(tmp_path, workshop, monkeypatch, wrong, astray):
    """conv3's backward pass is off by 1 %: in the gradient of its own weight, or in that of the layers before it."""
    convolution = importlib.import_module("workloads.numpy.layers").Convolution
    original = convolution.backward

    def backward(self, dy):
        dx = original(self, dy)
        if self.parameters[0].shape[-2:] != (50, 100):
            return dx
        if wrong == "inputs":
            return dx * np.float32(1.01)
        self.gradients[0] = self.gradients[0] * np.float32(1.01)
        return dx

    shop = Workshop("cnn", tmp_path)
    monkeypatch.setattr(convolution, "backward", backward)
    cell = shop.trace("fp32")
    monkeypatch.undo()
    reference = workshop("cnn").reference()
    verdict = parity.judge(cell, reference.trace, reference.envelope)
    assert verdict.weights == astray
    assert f"{astray[-1]} is nearest to the loss" in parity.where(verdict)


@pytest.mark.parametrize("workload", WORKLOADS)
def test_planting_leaves_nothing_behind(workload):
    for mistake, replacements in plants(workload).items():
        changed = replacements()
        before = [getattr(target, name) for target, name, _ in changed]
        with planted(mistake, workload):
            assert [getattr(target, name) for target, name, _ in changed] != before
        assert [getattr(target, name) for target, name, _ in changed] == before


@pytest.mark.parametrize("workload", WORKLOADS)
def test_every_declared_mistake_can_be_planted_and_no_other(workload):
    assert set(WORKLOADS[workload].mistakes) | set(reference.NUDGES) == set(plants(workload))


EXACT = Trace(losses=(2.0, 1.0, 0.5), probe=np.array([[1.0, -2.0]]))
ALLOWED = Envelope(losses=(1e-6, 1e-6, 1e-5), probe=1e-5)


def cell(losses=EXACT.losses, probe=EXACT.probe):
    return Trace(losses=tuple(losses), probe=None if probe is None else np.array(probe))


def test_the_envelope_grows_with_the_steps_and_has_a_floor():
    rounded = Trace(losses=(2.0, 1.0 + 1e-5, 0.5), probe=np.array([[1.0, -2.0 + 1e-4]]))
    found = parity.envelope(EXACT, [rounded, EXACT])
    floor = parity.ALLOWANCE * parity.FP32_EPSILON
    assert found.losses == pytest.approx((floor, parity.ALLOWANCE * 1e-5, parity.ALLOWANCE * 1e-5))
    assert found.probe == pytest.approx(parity.ALLOWANCE * 5e-5)


def test_an_envelope_needs_two_runs_of_one_job():
    with pytest.raises(ValueError, match="same job"):
        parity.envelope(EXACT, [EXACT, cell(losses=EXACT.losses[:2])])


@pytest.mark.parametrize(
    ("found", "word", "first", "place"),
    [
        (cell(), "certified", None, ""),
        (cell(losses=(2.1, 1.0, 0.5)), "diverges", 1, "the first loss is wrong already"),
        (cell(losses=(2.0, 1.0, 0.5001)), "diverges", 3, "the first loss and the first update are right"),
        (cell(probe=[[1.0, -2.001]]), "diverges", None, "all losses are right"),
        (cell(probe=None), "not run", None, ""),
        (cell(probe=[[1.0, -2.0, 0.0]]), "not run", None, ""),
        (cell(losses=(2.0, 1.0)), "not run", None, ""),
    ],
)
def test_verdicts(found, word, first, place):
    verdict = parity.judge(found, EXACT, ALLOWED)
    assert (verdict.word, verdict.first_step) == (word, first)
    assert bool(verdict.why) == (word != "certified")
    assert parity.where(verdict).startswith(place)
    assert bool(parity.where(verdict)) == (word == "diverges")


def test_the_distance_is_reported_in_units_of_what_float32_costs():
    """The envelope is ALLOWANCE of them."""
    assert parity.judge(cell(), EXACT, ALLOWED).times_rounding == 0
    half = parity.judge(cell(probe=[[1.0, -2.00001]]), EXACT, ALLOWED)
    assert (half.word, half.times_rounding) == ("certified", pytest.approx(parity.ALLOWANCE / 2))
    twice = parity.judge(cell(losses=(2.000004, 1.0, 0.5)), EXACT, ALLOWED)
    assert (twice.word, twice.times_rounding) == ("diverges", pytest.approx(parity.ALLOWANCE * 2))
    assert parity.judge(Trace(losses=(), probe=None), EXACT, ALLOWED).times_rounding is None


VERDICTS = [
    (Parity(word="certified", why="", loss_errors=(1e-7,), probe_error=2e-7), "certified|1e-07 / 2e-07"),
    (
        Parity(
            word="declared", why="the loss of step 2 is off", loss_errors=(1e-7, 3e-4), probe_error=1e-3, first_step=2,
            update_errors={"embedding.weight": 0.4}, weights=("embedding.weight",), culprits=("adam-epsilon-inside",),
        ),
        "declared|at embedding, step 1|3e-04 / 1e-03",
    ),
    (
        Parity(
            word="diverges", why="the loss of step 2 is off", loss_errors=(1e-7, 0.1), probe_error=0.2, first_step=2,
            weights=("conv1.weight", "conv3.weight", "conv3.bias"), culprits=("unit-gain",),
        ),
        "diverges|at conv3, step 1|1e-01 / 2e-01",
    ),
    (Parity(word="diverges", why="w", loss_errors=(0.1,), first_step=1), "diverges|at loss, step 1|1e-01"),
    (Parity(word="diverges", why="w", loss_errors=(0, 0, 0.1), first_step=3), "diverges|at loss, step 3|1e-01"),
    (Parity(word="diverges", why="w", loss_errors=(0, 0), probe_error=1), "diverges|at scores, after step 2|0e+00 / 1e+00"),
    (Parity(word="diverges", why="w", loss_errors=(0,), culprits=("dropout-never",)), "diverges|at dropout, step 1|0e+00"),
    (Parity(word="diverges", why="w", probe_error=0.5), "diverges|at features|5e-01"),
    (Parity(word="not run", why="no image", loss_errors=(0.1,)), "not run"),
]  # fmt: skip


@pytest.mark.parametrize(("verdict", "shown"), VERDICTS)
def test_the_matrix_says_at_which_layer_and_step_a_cell_diverges(verdict, shown):
    cell = verifier.VerifiedCell(framework="f", title="F", workload="cnn", parity=verdict, envelope=ALLOWED, notes=())
    lines = printed([cell]).splitlines()[3:]
    assert [line.removeprefix(" F").strip() for line in lines][: shown.count("|") + 1] == shown.split("|")
    assert parity.at(verdict) == next((line[3:] for line in shown.split("|") if line.startswith("at ")), "")
    (as_json,) = parity_text.as_json([cell], "run")["cells"]
    assert as_json["at"] == parity.at(verdict)


def test_the_terminal_tells_the_story_of_what_is_not_certified():
    titles = ("Right", "Declared", "Wrong", "First", "Later", "Evaluation", "Dropout", "Features", "Absent")
    notes = (MISTAKES["adam-epsilon-inside"].sentence,)
    text = printed(
        verifier.VerifiedCell(
            framework=title.lower(), title=title, workload="cnn", parity=verdict, envelope=ALLOWED,
            notes=notes if title == "Declared" else (),
        )
        for title, (verdict, _) in zip(titles, VERDICTS, strict=True)
    )  # fmt: skip
    assert "Right cnn" not in text
    assert "Declared cnn declared: the loss of step 2 is off" in text
    assert "note of the framework: Adam adds epsilon before it corrects the bias of v" in text
    assert "Wrong cnn diverges: the loss of step 2 is off" in text
    assert "→ the reference gives the same when momentum has unit gain" in text
    assert "First cnn diverges: w" in text
    assert "→ no known mistake explains it; the first loss is wrong already" in text
    assert "Absent cnn not run: no image" in text


def printed(cells):
    """What a wide terminal shows, without the spaces at the ends of lines."""
    console = Console(width=200, file=io.StringIO())
    parity_text.show(console, list(cells))
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())


def test_a_weight_that_is_not_shown_is_not_certified():
    exact = Trace(losses=EXACT.losses, probe=EXACT.probe, updates={"a": np.ones(2), "b": np.ones(2)})
    allowed = ALLOWED.model_copy(update={"updates": {"a": 1e-6, "b": 1e-6}})
    verdict = parity.judge(cell(), exact, allowed)
    assert (verdict.word, verdict.why) == ("not run", "it did not show a after the first step")
    assert parity.judge(exact, exact, allowed).word == "certified"


def test_a_training_that_broke_off_is_judged_by_what_it_reported():
    assert parity.judge(cell(losses=(2.0,), probe=None), EXACT, ALLOWED, broke_off="loss is nan").why == "loss is nan"
    broken = parity.judge(cell(losses=(2.5,), probe=None), EXACT, ALLOWED, broke_off="loss is nan")
    assert (broken.word, broken.first_step) == ("diverges", 1)


def test_no_mistake_is_named_where_none_fits():
    found = cell(losses=(3.0, 2.0, 1.0))
    near = {"nearer": cell(losses=(2.9, 1.9, 0.9)), "broke off": cell(losses=(), probe=None)}
    assert parity.explain(found, EXACT, near, ALLOWED) == ()


SCORES = arrays(np.float64, (3, 4), elements=st.floats(-50, 50))


@given(SCORES, st.floats(-100, 100))
def test_logits_and_probabilities_are_read_as_the_same(scores, shift):
    expected = parity.log_probabilities(scores - 1000)
    assert np.exp(expected).sum(axis=1) == pytest.approx(1)
    np.testing.assert_allclose(parity.log_probabilities(np.exp(expected)), expected, atol=1e-9)
    np.testing.assert_allclose(parity.log_probabilities(scores - 1000 + shift), expected, atol=1e-9)


def result_of(folder, workload="cnn", artifacts=("scores-0.npy",)):
    """A stored result of a job that has reported a loss and left artifacts; its output folder."""
    job = jobs.Job(
        id="j", framework="f", title="F", image="f", module="f", env={}, workload=workload, dataset="cifar10",
        device="cpu", repeat=1, precision="fp32", seed=1, trace=1, settings={}, timeout=1.0, memory=None, cpus=None,
    )  # fmt: skip
    (folder / "j.output").mkdir()
    result = Result(
        job=job, status="ok", figures=Figures(losses=(1.0,), artifacts=artifacts), began="", seconds=1.0,
        provenance=Provenance(engine="docker", environment={}, code={}, host={}),
    )  # fmt: skip
    return result, folder / "j.output"


@pytest.mark.parametrize(
    "hostile",
    [
        np.array([[None]]),
        np.array([[np.nan, 1.0]]),
        np.array([["a"]]),
        np.array([1.0]),
        np.empty((0, 2)),
        np.zeros((2, 2), complex),
    ],
    ids=["pickle", "nan", "text", "vector", "empty", "complex"],
)
def test_a_probe_that_is_none_is_not_compared(tmp_path, hostile):
    result, output = result_of(tmp_path)
    np.save(output / "scores-0.npy", hostile, allow_pickle=True)
    assert traces.read(run_folder.RunFolder(tmp_path), result).probe is None


def test_weights_are_read_as_updates_where_they_have_the_right_shape(tmp_path):
    initial = weights.initial_weights("cnn", 1)
    shown = {"conv1.bias": initial["conv1.bias"] + 1, "conv2.bias": np.zeros(3), "fc2.bias": np.full(10, np.nan)}
    result, output = result_of(tmp_path, artifacts=tuple(f"weights-1.{name}.npy" for name in shown))
    for name, array in shown.items():
        np.save(output / f"weights-1.{name}.npy", array)
    updates = traces.read(run_folder.RunFolder(tmp_path), result).updates
    assert list(updates) == ["conv1.bias"]
    assert updates["conv1.bias"].tolist() == [1.0] * 50


def test_a_probe_that_promises_more_than_it_holds_is_not_compared(tmp_path):
    result, output = result_of(tmp_path)
    np.save(output / "scores-0.npy", np.zeros((4, 4)))
    (output / "scores-0.npy").write_bytes((output / "scores-0.npy").read_bytes()[:-8])
    assert traces.read(run_folder.RunFolder(tmp_path), result).probe is None
    (output / "scores-0.npy").unlink()
    assert traces.read(run_folder.RunFolder(tmp_path), result).probe is None


CERTIFICATE = certificates.Certificate(
    framework="numpy", workload="cnn", device="cpu", engine="docker", parity=Parity(word="certified", why=""),
    envelope=ALLOWED, steps=3, environment={"id": "sha256:1"}, code={"numpy": "2", "common": "3"},
    workloads_sha256="6", weights_sha256="4", data="5", versions={}, oracle={}, run="r", made="now",
)  # fmt: skip


def test_a_certificate_is_sealed(tmp_path):
    path = certificates.write(tmp_path, CERTIFICATE)
    assert path == tmp_path / "certificates" / "numpy-cnn-cpu.json"
    assert certificates.read(path) == CERTIFICATE
    path.write_text(path.read_text().replace('"certified"', '"diverges"'))
    with pytest.raises(StoreError, match="does not match its sha256"):
        certificates.read(path)


FRAMEWORKS = {  # copies of the reference with something planted: file, what it says, what it says then
    "wrong": [
        ("rnn.py", "m / (1 - self.beta1**self.t)", "m"),
        ("rnn.py", "v / (1 - self.beta2**self.t)", "v"),
    ],
    "always": [
        ("cnn.py", 'dropout(job.settings["dropout_conv"])', "dropout(0.25)"),
        ("cnn.py", 'dropout(job.settings["dropout_dense"])', "dropout(0.5)"),
    ],
    "never": [("cnn.py", "return [Dropout(rate, generator)] if rate else []", "return []")],
    "evaluation": [("cnn.py", "return forward(without_dropout, ", "return forward(model, ")],
    "truncated": [
        (name, "epoch.score(predict, x_test, y_test)", "epoch.score(predict, x_test[:8], y_test[:8])")
        for name in ("cnn.py", "rnn.py")
    ],
}


@pytest.fixture
def project(root, tmp_path):
    """A checkout with the reference, and a framework for each of FRAMEWORKS."""
    shutil.copytree(root / "images" / "numpy", tmp_path / "images" / "numpy")
    for folder in ("common", "mistakes", "numpy"):
        shutil.copytree(root / "workloads" / folder, tmp_path / "workloads" / folder)
    shutil.copy(root / "workloads" / "__init__.py", tmp_path / "workloads")
    shutil.copytree(root / "configs", tmp_path / "configs")
    dockerfile = tmp_path / "images" / "numpy" / "Dockerfile"
    text = dockerfile.read_text()
    text = text.replace('rosetta.frameworks="numpy"', f'rosetta.frameworks="numpy {" ".join(FRAMEWORKS)}"')
    for name, edits in FRAMEWORKS.items():
        shutil.copytree(root / "workloads" / "numpy", tmp_path / "workloads" / name)
        for file, old, new in edits:
            planted_in(tmp_path / "workloads" / name / file, old, new)
        text += f"\nLABEL rosetta.framework.{name}.title={name} rosetta.framework.{name}.version=1\n"
    dockerfile.write_text(text)
    return tmp_path


def planted_in(path, old, new):
    text = path.read_text()
    assert old in text, f"{path.name} has no {old!r} any more"
    path.write_text(text.replace(old, new))


def verified(project, monkeypatch, workload, *frameworks, steps=4, only_mistakes=None):
    """The cells of a real run of these, in processes of this Python; batches of 8, the last one of the test 4."""
    base = preparation.Request(
        root=project, results=project / "results", cache=project / "cache", pythons={"numpy": Path(sys.executable)}
    )
    choices = {"engine": "process", "device": "cpu", "workloads": [workload], "frameworks": list(frameworks)}
    overrides = [spec_file.Override(path=(key,), value=value, origin=key) for key, value in choices.items()]
    overrides += [spec_file.parse_setting(f"{workload}.{size}") for size in ("batch=8", "test_samples=12")]
    request = verifier.request(base, steps, overrides)
    prepared = verifier.prepare(request)
    monkeypatch.setattr(job_inputs.Store, "_dataset", few_samples(project))
    folder = preparation.start(request, prepared)
    judged = verifier.Verifier(request, folder, prepared, Silent(), only_mistakes=only_mistakes).run()
    return {cell.framework: cell for cell in judged}


def test_a_cluster_is_not_verified(project):
    base = preparation.Request(root=project, results=project / "results", cache=project / "cache", pythons={})
    with pytest.raises(UsageError, match="not on a cluster"):
        verifier.request(base, 4, [spec_file.Override(path=("engine",), value="ray", origin="--engine")])


@pytest.mark.slow
def test_a_run_certifies_what_is_right_and_names_what_is_wrong(project, monkeypatch):
    """The whole way: processes, artifacts, certificates. Of the mistakes, two are tried."""
    tried = ("adam-epsilon-inside", "adam-uncorrected")
    cells = verified(project, monkeypatch, "rnn", "numpy", "wrong", only_mistakes=tried)
    right, wrong = cells["numpy"], cells["wrong"]
    assert (right.framework, right.parity.word, right.parity.culprits) == ("numpy", "certified", ())
    assert (wrong.framework, wrong.parity.word, wrong.parity.culprits) == ("wrong", "diverges", ("adam-uncorrected",))
    assert wrong.parity.first_step == 2
    assert len(right.parity.loss_errors) == 4
    found = certificates.read(certificates.path_of(project / "results", "wrong", "rnn", "cpu"))
    assert found.parity == wrong.parity
    assert found.by == machine.user_name()
    assert set(found.code) == {
        "__init__.py",
        "wrong",
        "numpy",
        "common",
    }  # its files still import those they were copied from
    assert certificates.path_of(project / "results", "numpy", "rnn", "cpu").is_file()
    assert not list((project / "results").glob("*/run.json"))  # a report of the latest run does not find it


@pytest.mark.slow
def test_what_a_real_run_does_with_dropout(project, monkeypatch):
    """Its two jobs see the same first batch, or dropout that is always on could not be noticed."""
    cells = verified(project, monkeypatch, "cnn", "numpy", "always", "never", "evaluation")
    assert {name: (cell.parity.word, cell.parity.culprits) for name, cell in cells.items()} == {
        "numpy": ("certified", ()),
        "always": ("diverges", ("dropout-always",)),
        "never": ("diverges", ("dropout-never",)),
        "evaluation": ("diverges", ("dropout-in-evaluation",)),
    }


@pytest.mark.slow
@pytest.mark.parametrize("workload", ["cnn", "rnn"])
def test_a_run_that_drops_the_last_test_batch_diverges(project, monkeypatch, workload):
    """The host refuses such a job as one that breaks the protocol; what it computed is known all the same."""
    (cell,) = verified(project, monkeypatch, workload, "truncated", steps=2).values()
    assert (cell.parity.word, cell.parity.culprits) == ("diverges", ("test-truncated",))
    assert cell.parity.why == "it scored 8 test samples of 12"
    assert parity.at(cell.parity) == "scores, after step 2"


def few_samples(folder):
    """Stands in for preparing the datasets: 64 samples of each."""

    @functools.cache
    def made(name):
        arrays_ = datasets.labelled(name).synthesise(1, 64, 64)
        place = folder / "data" / name
        place.mkdir(parents=True)
        for file, array in arrays_.items():
            kind = np.uint8 if array.dtype == np.uint8 else np.int32
            npy.write_array(place / file, kind, array.shape, [array])
        return Dataset(
            name=name, source="synthetic", origin="test", folder=place, fingerprint="few",
            files={file: place / file for file in arrays_}, shapes={file: each.shape for file, each in arrays_.items()},
        )  # fmt: skip

    return lambda _store, job: made(job.dataset)


def test_the_command_line_says_which_framework_it_does_not_know(root):
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", "verify", "nunpy"],
        cwd=root, capture_output=True, text=True, check=False, timeout=60, env=os.environ,
    )  # fmt: skip
    assert done.returncode == 2
    assert "did you mean 'numpy'" in done.stderr
