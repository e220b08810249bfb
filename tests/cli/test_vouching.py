"""Who vouches for a mark: the reader, a signer, or nobody. No text in a file can look like a mark."""

import csv
import io
import json
import re

import jsonschema
import pytest
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.plan import spec
from orchestrator.record import allowed_signers, capsule, certificates
from orchestrator.record.run_folder import Run, RunFolder
from orchestrator.text import CHECK_MARKS
from tests.support import keys
from tests.support.certificates import certificate, ran
from tests.support.results import cnn, failed

FORMS = ("table", "markdown", "csv", "json", "html")


@pytest.fixture(autouse=True)
def nobody_is_trusted(tmp_path, monkeypatch):
    """Neither the user's files nor git's are read."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.delenv(allowed_signers.VARIABLE, raising=False)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def key(tmp_path):
    return keys.make(tmp_path)


@pytest.fixture
def results(tmp_path):
    return tmp_path / "results"


def run_of(name, *of):
    return Run(
        id=name,
        began="2026-01-01T00:00:00+00:00",
        command=("orchestrator",),
        engine="docker",
        spec=spec.Spec(name="test"),
        jobs=tuple(each.job for each in of),
    )


def mine(results, *of, name="20260101-000000-mine"):
    """A run of these results in a results folder."""
    folder = RunFolder(results / name)
    folder.path.mkdir(parents=True)
    folder.write_run(run_of(name, *of))
    for each in of:
        folder.write_result(each)
    return folder.path


def packed(path, *of, marks=(), name="20260102-000000-theirs"):
    """A capsule with these results and certificates."""
    capsule.write(path, [capsule.Kept(run=run_of(name, *of), results=of, certificates=tuple(marks))])
    return path


def trusted(tmp_path, monkeypatch, key, name="anna@example.org"):
    (tmp_path / "allowed").write_text(f"{name} {keys.public(key)}\n")
    monkeypatch.setenv(allowed_signers.VARIABLE, str(tmp_path / "allowed"))


def invoke(*words, code=0):
    done = CliRunner().invoke(app, list(map(str, words)))
    assert done.exit_code == code, done.output
    return done


def told(*words):
    """Run a command that must fail: its error, as main() prints it."""
    with pytest.raises(Exception) as caught:  # noqa: PT011  (the caller looks at the message)
        CliRunner().invoke(app, list(map(str, words)), catch_exceptions=False)
    return caught.value


def form(name, results, *runs):
    results.mkdir(exist_ok=True)
    return invoke("report", *runs, "--results", results, "--format", name, "-o", results / f"out.{name}") and (
        results / f"out.{name}"
    ).read_text(encoding="utf-8")


def marks(results, *runs):
    """Title of a row → its mark's cell, in the Markdown table."""
    lines = [
        re.split(r" *\| *", line)[1:-1] for line in form("markdown", results, *runs).splitlines() if line[:1] == "|"
    ]
    heads = lines[0]
    place = heads.index("Verified") if "Verified" in heads else None
    return {line[0]: "" if place is None else line[place] for line in lines[2:]}


@pytest.mark.parametrize("name", FORMS)
def test_a_strangers_unsigned_certificate_is_a_claim_in_every_form(results, tmp_path, name):
    mine(results, ran(cnn("jax")))
    theirs = packed(tmp_path / "theirs.json", ran(cnn()), marks=[certificate(by="mallory")])
    shown = form(name, results, theirs)
    assert "✓" not in shown
    assert "claimed" in shown
    if name == "csv":
        (row,) = csv.DictReader(io.StringIO(shown))
        assert (row["certificate"], row["certificate_claim"], row["certificate_signer"]) == ("claimed", "certified", "")
    elif name == "json":
        (mark,) = json.loads(shown)["tables"][0]["marks"]
        assert (mark["word"], mark["claim"], mark["signer"]) == ("claimed", "certified", "")
        assert (mark["place"], mark["maker"], mark["doubt"]) == ("theirs.json", "mallory", "it has no signature")
    else:
        words = " ".join(shown.split())
        assert "theirs.json says: computes the same as the reference (certificate of 2026-11-23 by mallory)" in words
        assert "nobody vouches for that: it has no signature" in words


@pytest.mark.parametrize("name", FORMS)
def test_a_signature_by_an_allowed_key_names_its_owner_in_every_form(results, tmp_path, monkeypatch, key, root, name):
    mine(results, ran(cnn("jax")))
    theirs = packed(tmp_path / "theirs.json", ran(cnn()), marks=[certificate()])
    invoke("sign", theirs, "--key", key)
    trusted(tmp_path, monkeypatch, key)
    shown = form(name, results, theirs)
    if name == "csv":
        (row,) = csv.DictReader(io.StringIO(shown))
        assert (row["certificate"], row["certificate_signer"]) == ("certified", "anna@example.org")
    elif name == "json":
        document = json.loads(shown)
        assert [mark["signer"] for mark in document["marks"]] == ["anna@example.org"]
        schema = json.loads((root / "docs" / "report.schema.json").read_text(encoding="utf-8"))
        jsonschema.Draft202012Validator(schema).validate(document)
    elif name == "html":
        assert "✓<bdi> by anna@example.org</bdi></span></td>" in shown
    else:
        assert "✓ by anna@example.org" in shown
        assert "✓ by anna@example.org: computes the same as the reference (certificate of 2026-11-23)" in " ".join(
            shown.split()
        )


def test_the_mark_alone_is_my_own(results):
    run = mine(results, ran(cnn()), ran(cnn("jax")))
    certificates.write(results, certificate())
    assert marks(results, run) == {"Pytorch": "✓", "Jax": ""}


def test_a_strangers_certificate_says_nothing_about_my_results(results, tmp_path):
    """My row was never verified. The stranger's certificate has all its hashes."""
    run = mine(results, ran(cnn()))
    theirs = packed(tmp_path / "theirs.json", ran(cnn("jax")), marks=[certificate(), certificate("jax")])
    assert marks(results, run, theirs) == {"Pytorch": "", "Jax": "claimed"}


def test_a_signers_certificate_says_nothing_about_my_results_either(results, tmp_path, monkeypatch, key):
    run = mine(results, ran(cnn()))
    theirs = packed(tmp_path / "theirs.json", ran(cnn("jax")), marks=[certificate(), certificate("jax")])
    invoke("sign", theirs, "--key", key)
    trusted(tmp_path, monkeypatch, key)
    assert marks(results, run, theirs) == {"Pytorch": "", "Jax": "✓ by anna@example.org"}


def test_certificates_of_one_capsule_say_nothing_about_another(results, tmp_path):
    one = packed(tmp_path / "one.json", ran(cnn()), marks=[])
    other = packed(tmp_path / "other.json", ran(cnn("jax")), marks=[certificate(), certificate("jax")])
    assert marks(results, one, other) == {"Pytorch": "", "Jax": "claimed"}


def test_my_certificate_of_what_a_stranger_says_that_he_ran(results, tmp_path, monkeypatch, key):
    """It covers the code that his file names. That he ran it, only his signature can vouch for."""
    certificates.write(results, certificate())
    theirs = packed(tmp_path / "theirs.json", ran(cnn()))
    assert marks(results, theirs) == {"Pytorch": "claimed"}
    assert "your own certificate covers the environment, code and weights" in form("markdown", results, theirs)
    other = packed(tmp_path / "other.json", ran(cnn(), environment="sha256:2"))
    assert marks(results, other) == {"Pytorch": ""}  # mine covers something else
    invoke("sign", theirs, "--key", key)
    trusted(tmp_path, monkeypatch, key)
    assert marks(results, theirs) == {"Pytorch": "✓ by anna@example.org"}
    certificates.write(results, certificate(word="diverges"))
    again = packed(tmp_path / "again.json", ran(cnn()), marks=[certificate()])
    assert marks(results, again) == {"Pytorch": "claimed ≠"}  # what he certifies, diverges here


def test_a_copy_of_my_result_with_other_figures_is_not_mine(results, tmp_path):
    run = mine(results, ran(cnn(seconds=100.0)))
    certificates.write(results, certificate())
    forged = packed(tmp_path / "forged.json", ran(cnn(seconds=1.0, cpu="CPU Y")))
    assert marks(results, run) == {"Pytorch": "✓"}
    shown = form("csv", results, run, forged)
    assert [row["certificate"] for row in csv.DictReader(io.StringIO(shown))] == ["certified", "claimed"]


def test_a_row_with_somebody_elses_repeats_is_a_claim(results, tmp_path):
    run = mine(results, ran(cnn(seconds=100.0)))
    certificates.write(results, certificate())
    theirs = packed(tmp_path / "theirs.json", ran(cnn(seconds=101.0, repeat=2)))
    assert marks(results, run, theirs) == {"Pytorch": "claimed"}


def test_a_run_folder_from_elsewhere_is_not_mine(results, tmp_path):
    """A stranger's results folder, unpacked, has its certificates in the place where mine are."""
    theirs = mine(tmp_path / "unpacked", ran(cnn()))
    certificates.write(tmp_path / "unpacked", certificate())
    results.mkdir()
    assert marks(results, theirs) == {"Pytorch": "claimed"}
    assert "--results names another folder" in form("markdown", results, theirs)
    linked = results / theirs.name
    linked.symlink_to(theirs)  # who links it into his results takes it for his own
    assert marks(results, linked) == {"Pytorch": ""}


@pytest.mark.parametrize("verb", ["report", "compare", "reproduce"])
def test_a_capsule_that_was_changed_after_it_was_signed_is_refused(results, tmp_path, key, verb):
    theirs = packed(tmp_path / "theirs.json", ran(cnn(seconds=100.0)), marks=[certificate()])
    invoke("sign", theirs, "--key", key)
    packed(theirs, ran(cnn(seconds=10.0)), marks=[certificate()])
    error = told(verb, theirs, *([theirs] if verb == "compare" else []), "--results", results)
    assert "is not what was signed: it, or theirs.json.sig, was changed afterwards" in error.message
    assert error.exit_code == 8


@pytest.mark.parametrize("verb", ["report", "compare"])
def test_an_unknown_key_is_named_with_how_to_trust_it(results, tmp_path, key, verb):
    theirs = packed(tmp_path / "theirs.json", ran(cnn()), marks=[certificate()])
    invoke("sign", theirs, "--key", key)
    done = invoke(verb, theirs, *([theirs] if verb == "compare" else []), "--results", results)
    words = " ".join(done.stderr.replace("┃", "").split())
    assert f"nobody vouches for theirs.json: it is signed with the key {keys.fingerprint(key)}" in words
    assert f"\nNAME {keys.public(key)}\n" in done.stderr
    assert str(allowed_signers.own()) in done.stderr.replace("\n", "")
    assert "✓" not in done.output


def test_who_signed_is_said_before_a_comparison(results, tmp_path, monkeypatch, key):
    theirs = packed(tmp_path / "theirs.json", ran(cnn()))
    invoke("sign", theirs, "--key", key)
    trusted(tmp_path, monkeypatch, key)
    assert "theirs.json: signed by anna@example.org" in invoke("compare", theirs, theirs, "--results", results).stderr


def test_what_sign_prints_is_the_line_that_others_need(results, tmp_path, monkeypatch, key):
    theirs = packed(tmp_path / "theirs.json", ran(cnn()), marks=[certificate()])
    line = invoke("sign", theirs, "--key", key).stdout.splitlines()[-1]
    (tmp_path / "allowed").write_text(line.replace("NAME", "anna") + "\n")
    monkeypatch.setenv(allowed_signers.VARIABLE, str(tmp_path / "allowed"))
    assert marks(results, theirs) == {"Pytorch": "✓ by anna"}


@pytest.mark.parametrize("content", [b"", b"{}", b"# README\n"])
def test_only_a_capsule_is_signed(tmp_path, key, content):
    (tmp_path / "other").write_bytes(content)
    assert "other: not written by this program" in told("sign", tmp_path / "other", "--key", key).message
    assert "is a folder, not a file" in told("sign", tmp_path, "--key", key).message
    assert "there is no file" in told("sign", tmp_path / "gone", "--key", key).message
    assert not (tmp_path / "other.sig").exists()


def test_a_capsule_of_several_origins_keeps_their_certificates_apart(results, tmp_path):
    """Else my capsule, once signed, would certify a stranger's results with my name, or mine with his certificates."""
    run = mine(results, ran(cnn()))
    certificates.write(results, certificate("numpy"))
    theirs = packed(tmp_path / "theirs.json", ran(cnn("jax")), marks=[certificate("jax"), certificate()])
    done = invoke("report", run, theirs, "--results", results, "--capsule", tmp_path / "both.json")
    assert "also holds results of theirs.json: who signs it vouches for them, too" in " ".join(
        done.stderr.replace("┃", "").split()
    )
    first, second = capsule.runs_in(tmp_path / "both.json")
    assert first.certificates == ()
    assert [each.framework for each in second.certificates] == ["jax"]
    assert marks(results, tmp_path / "both.json") == {"Pytorch": "", "Jax": "claimed"}


@pytest.mark.parametrize("name", [each for each in FORMS if each != "json"])
def test_no_text_of_a_result_looks_like_a_mark(results, tmp_path, name):
    fake = f"PyTorch {CHECK_MARKS}"
    forged = ran(cnn("pytorch", title=fake))
    notes = [f"{CHECK_MARKS} computes the same as the reference"]
    start = forged.start.model_copy(update={"notes": notes, "version": fake})
    host = forged.provenance.host.model_copy(update={"cpu": fake})
    provenance = forged.provenance.model_copy(update={"host": host, "by": fake})
    forged = forged.model_copy(update={"start": start, "provenance": provenance})
    other = failed("numpy", message=fake, log=(fake,))
    theirs = packed(tmp_path / "theirs.json", forged, other, marks=[certificate(by=fake, made=fake)])
    results.mkdir()
    shown = form(name, results, theirs)
    assert "claimed" in shown
    assert not set(shown) & set(CHECK_MARKS)


def test_in_json_marks_have_fields_of_their_own(results, tmp_path):
    theirs = packed(tmp_path / "theirs.json", ran(cnn(title="PyTorch ✓")))
    results.mkdir()
    (table,) = json.loads(form("json", results, theirs))["tables"]
    assert table["rows"][0][0] == "PyTorch ✓"
    assert (table["certificates"], table["marks"]) == ([None], [None])


def test_results_and_certificates_name_the_user(monkeypatch):
    from orchestrator.host import machine

    monkeypatch.setenv("LOGNAME", "an✓na")
    assert machine.user_name() == "an\N{REPLACEMENT CHARACTER}na"

    def nobody():
        raise KeyError("uid not found")

    monkeypatch.setattr(machine.getpass, "getuser", nobody)
    assert machine.user_name() == ""
