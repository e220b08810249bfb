"""PROTOCOL.md says of settings, inputs and weights what the declarations say."""

import re

import pytest

from orchestrator.inputs import datasets
from orchestrator.inputs.dataset import LabelledDataset
from orchestrator.plan.spec import BANDS
from orchestrator.plan.workload import WindowTraining
from orchestrator.plan.workloads import WORKLOADS


@pytest.fixture(scope="module")
def rows(root):
    """First cell of a row → the others, of all tables of PROTOCOL.md."""
    text = (root / "workloads" / "common" / "PROTOCOL.md").read_text(encoding="utf-8")
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")
    ]
    return {first: others for first, *others in cells}


def part_of(row, workload):
    """What a row says of one workload: it goes on until the next workload's name, or the end of the sentence."""
    found = re.search(rf"`{workload}`: (.*?)(?:\. |$|\. `)", row)
    assert found, f"nothing about {workload} in: {row}"
    return found[1]


@pytest.mark.parametrize("workload", WORKLOADS)
def test_settings(rows, workload):
    listed = [word.strip() for word in re.sub(r"\(.*?\)", "", part_of(rows["`settings`"][0], workload)).split(",")]
    declared = WORKLOADS[workload].settings().for_device("cpu")
    assert listed == [name for name in declared if name not in BANDS]


OF_TEXTS = [name for name, each in WORKLOADS.items() if isinstance(each, WindowTraining)]


@pytest.mark.parametrize("workload", OF_TEXTS)
def test_inputs_of_a_training_on_a_text(rows, workload):
    dataset = datasets.definition(WORKLOADS[workload].dataset)
    text = part_of(rows["`text_train.npy`, `text_test.npy`"][0], workload)
    assert text == f"uint8 (n,), the number of each character, 0 to {len(dataset.format.characters) - 1}"
    assert "(epochs × steps, batch)" in part_of(rows["`order.npy`"][0], workload)


@pytest.mark.parametrize("workload", [name for name, each in WORKLOADS.items() if each.trains and name not in OF_TEXTS])
def test_inputs_of_a_training(rows, workload):
    dataset = datasets.definition(WORKLOADS[workload].dataset)
    assert isinstance(dataset, LabelledDataset)
    shape = ", ".join(map(str, ("n", *dataset.format.x_shape)))
    assert f"{dataset.format.x_dtype} ({shape})" in part_of(rows["`x_train.npy`, `x_test.npy`"][0], workload)


@pytest.mark.parametrize("workload", [name for name, each in WORKLOADS.items() if not each.trains])
def test_inputs_of_an_inference(rows, workload):
    settings = {"batches": 2, "batch": 3}
    ((file, array),) = datasets.definition(WORKLOADS[workload].dataset).generate(1, settings).items()
    assert array.dtype == "<f4"
    shape = ", ".join(["batches", "batch", *map(str, array.shape[2:])])
    assert f"float32 ({shape})" in part_of(rows[f"`{file}`"][0], workload)


@pytest.mark.parametrize("workload", WORKLOADS)
def test_weights(rows, workload):
    text = rows[f"`{workload}`"][0]
    declared = {name: weight.shape for name, weight in WORKLOADS[workload].weights.items()}
    shapes = {
        name: tuple(map(int, filter(None, numbers.split(","))))
        for name, numbers in re.findall(r"`([^`]+)` \(([\d, ]+)\)", text)
    }
    assert shapes.items() <= declared.items()
    if "a `.bias` for each" in text:
        shapes |= {name.replace(".weight", ".bias"): shape[:1] for name, shape in shapes.items()}
    patterns = [] if shapes else list(map(pattern_of, re.findall(r"`([^`]*\.(?:weight|\*))`", text)))
    assert shapes or patterns
    for name, shape in declared.items():
        assert shapes.get(name) == shape or any(re.fullmatch(pattern, name) for pattern in patterns), name


def pattern_of(words):
    """`layer{s}.{b}.conv{1,2,3}.weight` as a regular expression."""
    found = re.escape(words).replace(r"\*", "(gamma|beta|mean|var)")
    found = found.replace(r"\{s\}", "[1-4]").replace(r"\{b\}", r"\d")
    return found.replace(r"\{1,2,3\}", "[123]")
