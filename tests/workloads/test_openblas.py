"""workloads/common/openblas.py and mkl.py: which code a library of an earlier year is made to run, on which CPU."""

import os

import pytest

from workloads.common import mkl, openblas

AVX512 = "avx avx2 avx512f avx512bw avx512cd avx512dq avx512vl"


def unset(monkeypatch, variable):
    """Remove a variable from the environment; it is as it was after the test."""
    monkeypatch.setenv(variable, "")
    monkeypatch.delenv(variable)


@pytest.mark.parametrize(
    ("maker", "flags", "code"),
    [
        ("GenuineIntel", AVX512, "SkylakeX"),
        ("GenuineIntel", "avx avx2", "Haswell"),
        ("GenuineIntel", "avx", None),
        ("AuthenticAMD", AVX512, None),  # an OpenBLAS that does not know its model goes by its family
    ],
)
def test_only_a_cpu_it_may_not_know_is_named_to_it(monkeypatch, tmp_path, maker, flags, code):
    unset(monkeypatch, openblas.VARIABLE)
    (tmp_path / "cpuinfo").write_text(f"processor: 0\nvendor_id\t: {maker}\nflags\t\t: fpu {flags}\n\nprocessor: 1\n")
    openblas.use_this_cpu(tmp_path / "cpuinfo")
    assert os.environ.get(openblas.VARIABLE) == code


def test_what_the_environment_says_stands(monkeypatch, tmp_path):
    monkeypatch.setenv(openblas.VARIABLE, "Nehalem")
    (tmp_path / "cpuinfo").write_text(f"vendor_id\t: GenuineIntel\nflags\t\t: {AVX512}\n\n")
    openblas.use_this_cpu(tmp_path / "cpuinfo")
    assert os.environ[openblas.VARIABLE] == "Nehalem"


@pytest.mark.parametrize("module", [openblas, mkl])
@pytest.mark.parametrize("code", [None, "5"])
def test_a_result_says_what_was_overruled(monkeypatch, module, code):
    unset(monkeypatch, module.VARIABLE)
    if code:
        monkeypatch.setenv(module.VARIABLE, code)
    text = "".join(module.notes())
    assert (module.VARIABLE in text, "=5 overrules" in text) == (bool(code), bool(code))
