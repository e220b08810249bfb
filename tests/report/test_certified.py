"""Every table marks what is certified, what is not the same, and whose certificate speaks of something else."""

import csv
import json
import re
import shutil

import jsonschema
import pytest
from typer.testing import CliRunner

from orchestrator.cli import app, selection
from orchestrator.errors import StoreError
from orchestrator.record import capsule, certificates, run_folder
from orchestrator.record.certificates import Parity
from orchestrator.report import certified, collected, formats, html, page, tables, text
from tests.support import published
from tests.support.certificates import PARTS, certificate, mine, ran
from tests.support.results import HOSTILE, cnn, measured, result, trained


def word(one, *found):
    mark = certified.of(one, mine([one], *found))
    return mark and mark.word


def test_the_mark_of_a_result():
    one = ran(trained())
    assert word(one) is None
    assert word(one, certificate("numpy")) is None
    assert word(one, certificate()) == "certified"
    assert word(one, certificate(word="declared")) == "declared"
    assert word(one, certificate(word="diverges")) == "diverges"
    assert word(ran(trained(), environment="sha256:2"), certificate()) == "stale"
    assert word(ran(trained(), parts={**PARTS, "common": "9"}), certificate()) == "stale"
    assert word(ran(trained(), weights="5"), certificate()) == "stale"
    amp = one.model_copy(update={"job": one.job.model_copy(update={"precision": "amp"})})
    assert word(amp, certificate()) is None
    assert word(one.model_copy(update={"status": "failed"}), certificate()) is None


def test_other_weights_are_reported_as_what_was_not_verified():
    one = ran(trained(), weights="5")
    mark = certified.of(one, mine([one], certificate()))
    assert (mark.word, mark.why) == ("stale", "weights")
    assert mark.sentence.startswith("not verified as it ran: in another environment, with other code or weights, or")


def test_weights_that_depend_on_the_settings_are_not_compared():
    """What is verified is a small model; the code is the same."""
    timed = ran(trained(), weights="5").provenance
    assert certificates.stale(certificate(workload="cnn"), timed) == ["weights"]
    assert certificates.stale(certificate(workload="gpt"), timed) == []


def test_a_variant_is_certified_by_its_own_certificate_only(tmp_path):
    """v1.5 moves a stride: another network, of which a certificate of v1 says nothing."""

    def measured_as(variant):
        one = ran(result(workload="resnet50", images_per_s=10.0, inference_s=1.0, cold_s=1.0))
        settings = {**one.job.settings, "variant": variant}
        return one.model_copy(update={"job": one.job.model_copy(update={"settings": settings})})

    v1, v15 = (certificate(workload="resnet50", variant=name) for name in ("v1", "v1.5"))
    assert word(measured_as("v1"), v1) == "certified"
    assert word(measured_as("v1.5"), v1) is None
    assert word(measured_as("v1"), certificate(workload="resnet50")) is None  # of which, is unknown
    paths = [certificates.write(tmp_path, each) for each in (v1, v15)]
    assert [path.name for path in paths] == ["pytorch-resnet50-v1-cpu.json", "pytorch-resnet50-v1.5-cpu.json"]
    assert [certificates.read(path) for path in paths] == [v1, v15]


def test_of_several_certificates_those_that_fit_count_and_the_worst_of_them():
    one = ran(trained())
    other = certificate(environment={"id": "sha256:2"}, made="2026-12-01T00:00:00+00:00", word="diverges")
    assert word(one, other, certificate()) == "certified"
    assert word(one, certificate(), certificate(word="diverges", made="2025-01-01T00:00:00+00:00")) == "diverges"
    assert word(one, certificate(word="declared"), certificate()) == "declared"
    assert word(one, certificate(word="declared"), certificate(word="diverges")) == "diverges"


def test_a_row_is_certified_when_all_its_figures_are():
    one, other = ran(trained()), ran(trained(repeat=2), environment="sha256:2")
    on_gpu, of_numpy = ran(result(device="gpu")), ran(trained("numpy"))
    every = mine([one, other, on_gpu], certificate())
    assert certified.of_row([one, one], every).word == "certified"
    assert certified.of_row([one, other], every).word == "stale"
    assert certified.of_row([one, on_gpu], every) is None
    declared = mine([one, other, of_numpy], certificate(), certificate("numpy", "declared"))
    assert certified.of_row([one, of_numpy], declared).word == "declared"
    assert certified.of_row([other, of_numpy], declared).word == "stale"  # of which nothing is known
    assert certified.of_row([], every) is None
    assert certified.of_row([one], certified.NONE) is None


def test_every_form_of_the_table_marks_rows(known, root):
    rows = [
        ran(trained()),
        ran(trained("numpy", 50.0)),
        ran(trained("jax", 70.0), environment="sha256:2"),
        ran(trained("chainer", 80.0)),
        ran(trained("cntk", 90.0)),
    ]
    found = [
        certificate(),
        certificate("numpy", "diverges"),
        certificate("jax", made="2026-11-20T00:00:00+00:00"),
        certificate("cntk", "declared"),
    ]
    marks = mine(rows, *found)
    (table,) = tables.tables(rows, known, marks)
    assert [[row[0], row[4]] for row in table.texts()] == [
        ["Numpy", "≠"],
        ["Jax", "○"],
        ["Chainer", ""],
        ["Cntk", "≈"],
        ["Pytorch", "✓"],
    ]
    shown = text.markdown([table])
    assert re.search(r"\| Pytorch \|.*\| ✓ \|", shown)
    assert "- ✓: computes the same as the reference (certificate of 2026-11-23)\n" in shown
    assert "- ≠: differs from the reference (certificate of 2026-11-23): Numpy (the loss of step 3" in shown
    assert (
        "○: not verified as it ran: in another environment, with other code or weights, or without showing it (certificate of 2026-11-20): Jax (id)"
        in shown
    )
    assert (
        "- ≈: differs from the reference in a known, documented way (certificate of 2026-11-23): Cntk (the loss of step 3 is off)\n"
        in shown
    )
    (run, *_) = published.runs()
    kept = run.model_copy(update={"results": tuple(rows)})
    printed = "".join(
        formats.load("table").write(collected.of_runs([kept], root, [certified.Origin(mine=True)], found))
    )
    assert re.search(r"Pytorch .* ✓ ", printed)
    assert re.search(r"Cntk .* ≈ ", printed)
    assert "≠: differs from the reference" in printed
    assert "≈: differs from the reference" in printed
    assert [row["certificate"] for row in csv.DictReader(text.csv_lines(rows, marks))] == [
        "certified",
        "diverges",
        "stale",
        "",
        "declared",
    ]
    document = json.loads(text.json_text([table], rows, marks))
    assert document["tables"][0]["certificates"] == ["diverges", "stale", None, "declared", "certified"]
    assert document["certificates"] == ["certified", "diverges", "stale", None, "declared"]
    checker = jsonschema.Draft202012Validator(json.loads((root / "docs" / "report.schema.json").read_text()))
    checker.validate(document)
    written = html.render(page.build([measured(*rows)], known, {}, marks))
    assert 'class="verified declared" role="img" aria-label="differs from the reference in a known' in written
    assert 'aria-label="computes the same as the reference (certificate of 2026-11-23)"' in written
    assert "✓<bdi></bdi>: computes the same as the reference" in written


def test_nothing_verified_means_no_marks(known):
    (table,) = tables.tables([trained()], known)
    assert [row[0] for row in table.texts()] == ["Pytorch"]
    assert not any(symbol in text.markdown([table]) for symbol in certified.SYMBOLS.values())


def test_certificates_lie_beside_runs_and_a_damaged_one_is_reported(tmp_path):
    folder = published.unpack(tmp_path)
    certificates.write(tmp_path, certificate())
    certificates.write(tmp_path, certificate("numpy")).write_text("{}")
    found = selection.sources(tmp_path, [str(folder), folder.name])
    assert found.own == (certificate(),)
    assert found.origins == (certified.Origin(mine=True),) * 2
    assert len(found.unread) == 1
    assert "numpy-cnn-cpu.json" in found.unread[0].message


def test_one_result_of_a_run_is_shown_alone_and_no_other_file_is(tmp_path, root):
    folder = published.unpack(tmp_path)
    job = run_folder.RunFolder(folder).read_run().jobs[1].id
    content = collected.of_runs(selection.sources(tmp_path, [str(folder / f"{job}.json")]).runs, root)
    assert [result.job.id for result in content.results] == [job]
    (folder / "README.md").write_text("no result")
    (folder / f"{job}.spec.json").write_text("{}")
    for name in ("README.md", f"{job}.spec.json"):
        with pytest.raises(StoreError, match="is not the result of a job of its run"):
            collected.of_runs(selection.sources(tmp_path, [str(folder / name)]).runs, root)


def test_a_page_is_not_written_through_a_link_in_the_folder_of_a_run(tmp_path):
    folder = published.unpack(tmp_path)
    (victim := tmp_path / "victim").write_text("precious")
    (folder / "report.html").symlink_to(victim)
    done = CliRunner().invoke(app.app, ["report", str(folder), "--format", "html"])
    assert isinstance(done.exception, StoreError)
    assert "report.html is a link, or no file" in done.exception.message
    assert victim.read_text() == "precious"


def test_copies_of_a_result_are_no_repeats(tmp_path, root):
    folder = published.unpack(tmp_path)
    shutil.copytree(folder, tmp_path / "copy")
    kept, _ = capsule.kept(run_folder.RunFolder(folder), [])
    twice = kept.model_copy(update={"results": kept.results * 2})
    capsule.write(tmp_path / "capsule.json", [twice, kept])
    words = [str(folder), str(tmp_path / "copy"), str(tmp_path / "capsule.json")]
    content = collected.of_runs(selection.sources(tmp_path, words).runs, root)
    assert content.results == list(kept.results)
    assert [each.words.endswith("no results of its own") for each in content.origins] == [False, True, True, True]
    assert selection.select(tmp_path, words[2]).results == list(kept.results)


def test_a_capsule_keeps_the_certificates_of_its_cells(tmp_path):
    (run, *_) = published.runs()
    kept, damaged = capsule.kept(run, [certificate(), certificate("nobody")])
    assert damaged == []
    assert [each.framework for each in kept.certificates] == ["pytorch"]
    capsule.write(tmp_path / "capsule.json", [kept, kept])
    found = selection.sources(tmp_path, [str(tmp_path / "capsule.json")])
    assert (found.own, found.unread) == ((), ())
    assert found.origins == (certified.Origin(place="capsule.json", certificates=(certificate(),)),) * 2


@pytest.mark.parametrize("hostile", HOSTILE)
def test_what_a_certificate_says_is_only_shown(known, hostile):
    one = ran(cnn())
    parity = Parity(word="diverges", why=hostile)
    found = mine([one], certificate(parity=parity, made=hostile))
    written = html.render(page.build([measured(one)], known, {}, found))
    assert html.render(page.build([measured(one)], known, {})).count("<script") == written.count("<script")
    assert "<" not in hostile or hostile not in written
    (table,) = tables.tables([one], known, found)
    assert "\x1b" not in text.markdown([table])
