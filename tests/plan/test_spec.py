"""A spec says what is wrong with it, where, and what would be right."""

import json
import re
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import SpecError, UsageError
from orchestrator.plan import spec, spec_file

KNOWN = ("keras-tf", "mxnet", "numpy", "pytorch")
ENGINES = ("auto", "docker", "process")


def parse(text, **kwargs):
    return spec_file.parse(text, name="my.yaml", frameworks=KNOWN, engines=ENGINES, **kwargs)


def complaint(text, **kwargs):
    with pytest.raises((SpecError, UsageError)) as caught:
        parse(text, **kwargs)
    return caught.value.message


def test_defaults_are_the_2017_study():
    run_spec = parse("name: x")
    assert (run_spec.cnn.epochs, run_spec.cnn.batch, run_spec.cnn.lr, run_spec.cnn.momentum) == (10, 64, 0.01, 0.9)
    assert (run_spec.cnn.dropout_conv, run_spec.cnn.dropout_dense) == (0.25, 0.5)
    assert (run_spec.rnn.epochs, run_spec.rnn.lr, run_spec.rnn.beta1, run_spec.rnn.beta2, run_spec.rnn.epsilon) == (
        3,
        0.001,
        0.9,
        0.999,
        1e-8,
    )
    assert (run_spec.resnet50.batch, run_spec.resnet50.variant) == (32, "v1")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: x\ncnn:\n  epohcs: 1\n", "my.yaml:3: unknown key 'cnn.epohcs'; did you mean 'cnn.epochs'?"),
        ("name: x\nenigne: docker\n", "my.yaml:2: unknown key 'enigne'; did you mean 'engine'?"),
        ("name: x\nframeworks: [numpy,\n  pytroch]\n", "my.yaml:3: frameworks.1: no framework is called 'pytroch'; did you mean 'pytorch'?"),
        ("name: x\nengine: dokcer\n", "my.yaml:2: engine: no engine is called 'dokcer'; did you mean 'docker'?"),
        ("name: x\nengine: 'a b'\n", "my.yaml:2: engine: no engine is called 'a b'; there are: auto, docker, process"),
        ("name: x\nhosts: {engine: dokcer}\n", "my.yaml:2: hosts.engine: no engine is called 'dokcer'; did you mean 'docker'?"),
        ("name: x\ncnn: {epochs: '3'}\n", "my.yaml:2: cnn.epochs: must be a whole number, not '3'"),
        ("name: x\ncnn:\n\n  epochs: 0\n", "my.yaml:4: cnn.epochs: must be 1 or more, not 0"),
        ("name: x\nlimits: {timeout: .inf}\n", "my.yaml:2: limits.timeout: must be a finite number, not inf"),
        ("name: x\nrepeats: 10001\n", "my.yaml:2: repeats: must be auto, or a whole number from 1 to 10,000, not 10001"),
        ("name: x\nrepeats: always\n", "my.yaml:2: repeats: must be auto, or a whole number from 1 to 10,000, not 'always'"),
        ("name: x\nrepeats: true\n", "my.yaml:2: repeats: must be auto, or a whole number from 1 to 10,000, not True"),
        ("name: x\nbudget: soon\n", "my.yaml:2: budget: must be a time such as 90, 90s, 30m, 2h or 1h30m, not 'soon'"),
        ("name: x\nbudget: 0m\n", "my.yaml:2: budget: must be more than 0"),
        ("name: x\nworkloads: [cnn, rrn]\n", "my.yaml:2: workloads.1: no workload is called 'rrn'; did you mean 'rnn'?"),
        ("name: x\nworkloads: []\n", "my.yaml:2: workloads: must have at least 1 item"),
        ("name: x\nworkloads: cnn\n", "my.yaml:2: workloads: must be a list, not 'cnn'"),
        ("name: x\nworkloads: [cnn, cnn]\n", "my.yaml:2: workloads: 'cnn' is listed more than once; to measure again use `repeats`"),
        ("name: x\ncnn:\n  accuracy: [0.8, 0.75]\n", "my.yaml:3: cnn.accuracy: must be [lowest, highest]"),
        ("cnn: {}\n", "my.yaml:1: name: is missing"),
        ("name: x\nname: y\n", "my.yaml:2: 'name' is given twice"),
        ("- name\n", "my.yaml: not a spec: keys and values expected"),
        ("", "my.yaml: empty"),
        ("name: x\ncnn: {epochs: 1\n", "my.yaml:3: not valid YAML: expected ',' or '}', but got '<stream end>'"),
        ("name: !!python/object/apply:os.system [id]\n", "my.yaml:1: not valid YAML: could not determine a constructor"),
        ("name: x\na: &a [*a]\n", "my.yaml:2: an anchor contains itself"),
        ("[" * 5000, "my.yaml: nested too deeply"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_line(text, expected):
    assert complaint(text).startswith(expected)


def test_all_mistakes_are_reported_at_once():
    message = complaint("name: x\ncnn: {epochs: 0}\nrnn: {lr: -1}\n")
    assert re.findall(r"my.yaml:(\d)", message) == ["2", "3"]


def test_too_few_samples_for_one_batch():
    assert "cnn: train_samples is smaller than one batch of 64" in complaint("name: x\ncnn: {train_samples: 63}")


def test_anchors_and_merges_keep_their_lines():
    text = "name: x\ncnn: &base\n  epochs: 2\nrnn:\n  <<: *base\n  epochs: 5\n"
    run_spec = parse(text)
    assert (run_spec.cnn.epochs, run_spec.rnn.epochs) == (2, 5)
    assert complaint(text.replace("5", "-5")).startswith("my.yaml:6: rnn.epochs")


def test_numbers_as_people_write_them():
    run_spec = parse("name: x\ncnn: {lr: 1e-3, momentum: .5e-1}\nrnn: {lr: 1.5e3}\nlimits: {memory: 8 GiB}")
    assert (run_spec.cnn.lr, run_spec.cnn.momentum, run_spec.rnn.lr) == (0.001, 0.05, 1500)
    assert run_spec.limits.memory == 8 << 30


TIMES = [("90", 90), ("90s", 90), ("30m", 1800), ("1.5 h", 5400), ("12.5", 12.5), ("1h30m", 5400), ("2H 5s", 7205)]


@pytest.mark.parametrize(("text", "seconds"), TIMES)
def test_every_time_takes_the_same_forms(text, seconds):
    run_spec = parse(f"name: x\nrepeats: auto\nbudget: {text}\nlimits: {{timeout: {text}, silence: '{text}'}}")
    assert (run_spec.budget, run_spec.limits.timeout, run_spec.limits.silence) == (seconds, seconds, seconds)
    settings = [spec_file.parse_setting(f"{key}={text}") for key in ("budget", "limits.timeout", "limits.silence")]
    settings.append(spec_file.Override(path=("budget",), value=text, origin="--budget"))
    run_spec = parse("name: x", overrides=settings)
    assert (run_spec.budget, run_spec.limits.timeout, run_spec.limits.silence) == (seconds, seconds, seconds)


@pytest.mark.parametrize("text", ["1:30", "2x", "m", "h30", "30m1h", "true", "[1]", "1e10", "-5", "0s", "٣s"])
def test_what_is_no_time_is_refused(text):
    assert complaint("name: x", overrides=[spec_file.Override(path=("budget",), value=text, origin="--budget")])
    assert complaint(f"name: x\nlimits:\n  timeout: {text}").startswith("my.yaml:3: ")


@pytest.mark.parametrize(
    ("written", "reads", "instead"),
    [
        ("010", "reads 010 as octal, which is 8", "write 8 or 10"),
        ("-0_17", "reads -0_17 as octal, which is -15", "write -15 or -17"),
        ("1:30", "reads 1:30 in base 60, as 90", "write 90, a time such as 90s or 1h30m"),
        ("1:30:00.5", "reads 1:30:00.5 in base 60, as 5400.5", "write 5400.5"),
        ("2024-01-01", "reads 2024-01-01 as a date", '"2024-01-01" in quotes'),
        ("2024-01-01 10:00:00", "reads 2024-01-01 10:00:00 as a date", "in quotes"),
        ("no", "reads no as false", 'write false, or "no" in quotes'),
        ("Yes", "reads Yes as true", 'write true, or "Yes" in quotes'),
        ("on", "reads on as true", '"on" in quotes'),
        ("OFF", "reads OFF as false", '"OFF" in quotes'),
        ("=", "gives = a meaning of its own", '"=" in quotes'),
    ],
)
def test_what_yaml_reads_in_its_own_way_is_refused_wherever_it_stands(written, reads, instead):
    texts = (f"name: x\nseed: {written}", f"name: x\nframeworks: [{written}]", f"name: x\n{written}: 1")
    for text in texts:
        with pytest.raises(SpecError) as caught:
            parse(text)
        assert caught.value.message == f"my.yaml:2: YAML {reads}"
        assert instead in caught.value.hint
    with pytest.raises(UsageError, match=re.escape(f"--set seed={written}: YAML {reads}")):
        spec_file.parse_setting(f"seed={written}")


@pytest.mark.parametrize("written", ["010", "1:30", "2024-01-01", "no", "on", "1e3", "="])
def test_in_quotes_it_is_text(written):
    assert parse(f"name: x\ndescription: '{written}'").description == written
    assert spec_file.parse_setting(f'description="{written}"').value == written


def test_a_number_where_text_belongs_asks_for_quotes():
    for line, what, instead in (
        ("description: 1e3", "must be text, not 1000.0", 'write description: "1000.0"'),
        ("seed: 1e3", "must be a whole number, not 1000.0", "write seed: 1000"),
    ):
        with pytest.raises(SpecError) as caught:
            parse(f"name: x\n{line}")
        assert caught.value.message.endswith(what)
        assert caught.value.hint == instead


@pytest.mark.parametrize("value", ["!!bool x", "!!int x", "!!float x", "!!timestamp x", "2024-13-45", "9" * 5000])
def test_a_value_that_is_none_of_its_type_is_named_with_its_line(value):
    assert complaint(f"name: x\nseed: {value}").startswith("my.yaml:2: not valid YAML: ")


def test_ten_thousand_repeats_are_fine():
    assert parse("name: x\nrepeats: 10000").repeats == 10_000


def test_an_alias_bomb_is_refused_quickly():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    began = time.monotonic()
    assert "once aliases are written out" in complaint("\n".join(lines))
    assert time.monotonic() - began < 5


def test_a_huge_file_is_refused(tmp_path):
    path = tmp_path / "huge.yaml"
    path.write_bytes(b"#" * (2 << 20))
    with pytest.raises(SpecError, match="larger than 1 MiB"):
        spec_file.load(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"no spec file .*nope\.yaml"):
        spec_file.load(tmp_path / "nope.yaml")


@pytest.mark.parametrize("name", ["smoke", "smoke.yaml"])
def test_a_spec_of_the_program_goes_by_its_name(root, name):
    assert spec_file.load(Path(name), folder=root / "configs") == spec_file.load(root / "configs" / "smoke.yaml")


def test_a_file_comes_before_a_spec_of_that_name(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("smoke.yaml").write_text("name: mine\n")
    Path("quick").mkdir()
    assert spec_file.load(Path("smoke.yaml"), folder=root / "configs").name == "mine"
    assert spec_file.load(Path("smoke"), folder=root / "configs").name == "smoke"
    assert spec_file.load(Path("quick"), folder=root / "configs").name == "quick"


def test_an_unknown_name_names_the_nearest_spec_or_lists_them(root):
    with pytest.raises(UsageError, match="no spec file smoky; did you mean 'smoke'") as caught:
        spec_file.load(Path("smoky"), folder=root / "configs")
    assert caught.value.hint == "type rosetta bench smoke"
    with pytest.raises(UsageError, match="no spec file zzz") as caught:
        spec_file.load(Path("zzz"), folder=root / "configs")
    assert caught.value.hint.endswith("quick, seed, smoke")


def test_set_changes_one_value_and_leaves_anchored_twins_alone():
    run_spec = parse("name: x\ncnn: &a {epochs: 2}\nrnn: *a", overrides=[spec_file.parse_setting("cnn.epochs=7")])
    assert (run_spec.cnn.epochs, run_spec.rnn.epochs) == (7, 2)


def test_other_settings_void_the_expected_accuracy():
    text = "name: x\ncnn: {accuracy: [0.75, 0.8]}\nrnn: {accuracy: [0.8, 0.9]}"
    changed = spec_file.parse(text, name="t", overrides=[spec_file.parse_setting("cnn.epochs=1")])
    assert (changed.cnn.accuracy, changed.rnn.accuracy) == (None, (0.8, 0.9))
    overrides = [spec_file.parse_setting("cnn.epochs=1"), spec_file.parse_setting("cnn.accuracy=[0.3, 0.5]")]
    assert spec_file.parse(text, name="t", overrides=overrides).cnn.accuracy == (0.3, 0.5)


def test_a_wrong_set_is_blamed_not_the_file():
    message = complaint("name: x", overrides=[spec_file.parse_setting("cnn.epochs=-1")])
    assert message == "--set cnn.epochs=-1: must be 1 or more"
    message = complaint("name: x", overrides=[spec_file.parse_setting("cnn.epoch=1")])
    assert message == "--set cnn.epoch=1: unknown key 'cnn.epoch'; did you mean 'cnn.epochs'?"


@pytest.mark.parametrize("text", ["cnn.epochs", "=1", ".epochs=1", ""])
def test_a_malformed_set_is_refused(text):
    with pytest.raises(UsageError, match="not of the form KEY=VALUE"):
        spec_file.parse_setting(text)


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[2] / "configs").glob("*.yaml")), ids=lambda p: p.name)
def test_the_specs_that_come_with_the_project_are_valid(path):
    assert spec_file.load(path).name == path.stem


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=200), st.binary(max_size=200)))
def test_no_text_crashes_the_parser(text):
    try:
        parse(text)
    except SpecError as error:
        assert error.message  # noqa: PT017  (SpecError is the only exception allowed)


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10) | st.sampled_from(list(spec.Spec.model_fields)), inner, max_size=4),
        max_leaves=20,
    )
)  # fmt: skip
def test_no_tree_crashes_the_parser(tree):
    try:
        parse(yaml.safe_dump(tree))
    except SpecError as error:
        assert error.message  # noqa: PT017


def test_the_documentation_lists_every_key_with_its_default(root):
    """configs/README.md is the reference: a new key, or a new default, must be in it."""
    documented = dict(
        re.findall(r"^\| `([\w.]+)` \| (.+?) \|", (root / "configs" / "README.md").read_text(), re.MULTILINE)
    )
    fields = {}
    for key, field in spec.Spec.model_fields.items():
        if isinstance(field.default, spec.Strict):
            fields |= {f"{key}.{name}": part.default for name, part in type(field.default).model_fields.items()}
        else:
            fields[key] = field.default
    assert set(documented) == set(fields)
    for key, default in fields.items():
        if isinstance(default, int | float | str) and default and key != "name":
            assert documented[key] == f"`{json.dumps(default).strip(chr(34))}`", key
