"""A row holds like with like: what distinguishes two rows is named, and nothing else is."""

import pytest

from orchestrator.judge.conditions import conditions_of, grouped, split
from orchestrator.judge.software import TITLES
from orchestrator.record.results import Failure
from tests.support.facts import with_facts
from tests.support.results import result, trained

LOCKS = {"a": "a" * 64, "b": "b" * 64}


def built(it, *, version="2.4.6", build="", versions=None, parts=None, whole="f" * 64, **environment):
    """A result with known software."""
    versions = {"python": "3.11.7", "numpy": "2.4.6", **(versions or {})}
    start = it.start.model_copy(update={"version": version + build, "versions": versions})
    facts = {"lock_sha256": LOCKS["a"], **environment}
    code = {
        "workloads_sha256": whole,
        "parts_sha256": {"common": "1" * 64, "numpy": "2" * 64} if parts is None else parts,
    }
    return with_facts(it.model_copy(update={"start": start}), environment=facts, code=code)


def rows(*results, **options):
    """For each row: the numbers of its repeats, and the facts of its software that are named."""
    found = grouped(results, **options)
    return [
        ([each.job.repeat for each in same], {fact: conditions[fact] for fact in TITLES if conditions[fact]})
        for conditions, same in found
    ]


def varying(*results):
    return split([conditions for conditions, _ in grouped(results)])[1]


def test_equal_software_is_one_row_and_not_named():
    assert rows(built(trained()), built(trained(repeat=2))) == [([1, 2], {})]


GIVEN = {"lock_sha256": None, "given_by_user": True, "interpreter": "/a/bin/python"}


@pytest.mark.parametrize(
    ("one", "other", "named"),
    [
        ({}, {"version": "2.2.6"}, ({"version": "2.4.6"}, {"version": "2.2.6"})),
        ({"build": "+cpu"}, {"build": "+mkl"}, ({"build": "cpu"}, {"build": "mkl"})),
        ({}, {"lock_sha256": LOCKS["b"]}, ({"lock": "aaaaaaa"}, {"lock": "bbbbbbb"})),
        ({"recipe_sha256": "c" * 64}, {"recipe_sha256": "d" * 64}, ({"image": "ccccccc"}, {"image": "ddddddd"})),
        (
            {},
            {"parts": {"common": "3" * 64, "numpy": "2" * 64}},
            ({"code": "common 1111111"}, {"code": "common 3333333"}),
        ),
        (
            {},
            {"versions": {"python": "3.11.9"}},
            ({"interpreter": "Python 3.11.7"}, {"interpreter": "Python 3.11.9"}),
        ),
        (GIVEN, {**GIVEN, "interpreter": "/b"}, ({"interpreter": "/a/bin/python"}, {"interpreter": "/b"})),
        (
            {**GIVEN, "versions": {"blas": "1"}},
            {**GIVEN, "versions": {"blas": "2"}},
            ({"libraries": "blas 1"}, {"libraries": "blas 2"}),
        ),
        ({}, GIVEN, ({"lock": "aaaaaaa"}, {"lock": "no lock", "interpreter": "/a/bin/python"})),
    ],
)
def test_other_software_is_another_row_that_names_the_difference(one, other, named):
    pair = built(trained(), **one), built(trained(repeat=2), **other)
    assert rows(*pair) == [([1], named[0]), ([2], named[1])]
    assert set(varying(*pair)) == set(named[0]) | set(named[1])


def test_libraries_are_compared_only_where_no_lock_says_which_they_are():
    """A library may name the CPU that it found, and so differ from machine to machine."""
    assert (
        len(rows(built(trained(), versions={"blas": "Haswell"}), built(trained(repeat=2), versions={"blas": "Zen"})))
        == 1
    )


def test_each_framework_has_software_of_its_own():
    found = [built(trained("numpy")), built(trained("pytorch"), version="2.13", lock_sha256=LOCKS["b"])]
    assert rows(*found) == [([1], {}), ([1], {})]
    assert varying(*found) == []


def test_digits_are_shown_until_they_differ():
    near = [built(trained(repeat=n), lock_sha256=f"{'a' * 10}{n}{'0' * 53}") for n in (1, 2)]
    assert [words["lock"] for _, words in rows(*near)] == ["aaaaaaaaaa100000", "aaaaaaaaaa200000"]


def test_results_without_parts_are_compared_by_all_code():
    older, newer = built(trained(), parts={}), built(trained(repeat=2))
    older = with_facts(older, code={"workloads_sha256": "f" * 64})
    assert rows(older, newer) == [([1, 2], {})]
    assert rows(older, built(trained(repeat=2), whole="e" * 64)) == [
        ([1], {"code": "workloads/ fffffff"}),
        ([2], {"code": "workloads/ eeeeeee"}),
    ]


def test_a_job_that_failed_early_joins_the_row_of_its_repeats():
    why = Failure(kind="killed", message="m")
    unknown = result("numpy", failure=why, repeat=1).model_copy(update={"start": None})
    unknown = with_facts(unknown, environment={}, code=built(trained()).provenance.code.model_dump())
    assert rows(unknown, built(trained("numpy", repeat=2))) == [([1, 2], {})]
    other = with_facts(unknown, code={"workloads_sha256": "x", "parts_sha256": {"common": "9" * 64, "numpy": "2" * 64}})
    assert [numbers for numbers, _ in rows(other, built(trained("numpy", repeat=2)))] == [[1], [2]]


def infers(device, number, **software):
    return built(result(workload="resnet50", device=device, images_per_s=3.0, repeat=number), **software)


def test_cpu_and_gpu_of_one_release_share_a_row_though_their_builds_differ():
    cpu = infers("cpu", 1, build="+cpu", recipe_sha256="c" * 64)
    gpu = infers("gpu", 2, build="+cu126", lock_sha256=LOCKS["b"], recipe_sha256="d" * 64)
    assert rows(cpu, gpu, ignore=("device", "batches")) == [([1, 2], {})]
    later = infers("gpu", 3, version="2.5.0", build="+cu126", lock_sha256=LOCKS["b"], recipe_sha256="d" * 64)
    assert rows(cpu, gpu, later, ignore=("device", "batches")) == [
        ([1, 2], {"version": "2.4.6"}),
        ([3], {"version": "2.5.0"}),
    ]


def test_the_number_of_gpus_is_a_condition():
    def on(*gpus, **kwargs):
        it = trained(device="gpu", **kwargs)
        return it.model_copy(update={"job": it.job.model_copy(update={"gpus": gpus})})

    pair = [on("GPU-1"), on("GPU-1", "GPU-2", repeat=2)]
    assert varying(*pair) == ["gpus"]
    assert [conditions_of(each)["gpus"] for each in pair] == ["", "2 GPUs"]


@pytest.mark.parametrize("limit", [{"cpu_quota": 0.5}, {"memory_limit": 1 << 30}])
def test_a_limit_of_control_groups_is_part_of_the_machine(limit):
    free = trained()
    limited = with_facts(trained(repeat=2), host={"cpu": "CPU X", "cpus_used": [0, 1], **limit})
    assert varying(free, limited) == ["host"]
    assert conditions_of(limited)["host"] in {
        "CPU X, 2 CPUs, quota of 0.5 CPUs",
        "CPU X, 2 CPUs, memory limit of 1 GiB",
    }
