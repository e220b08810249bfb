"""The ray engine, on real nodes."""

import pytest

from tests import engine_cases as cases


@pytest.mark.parametrize("check", [value for name, value in vars(cases).items() if name.startswith("check_")])
def test_the_contract_of_engines(check, cluster, tmp_path):
    check(cluster, tmp_path)
