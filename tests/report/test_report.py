"""Tables are a pure function of results, and say what they are."""

import csv
import html
import io
import json
import re

import jsonschema
import markdown_it
import pytest
from rich.console import Console

from orchestrator.host.neighbours import Neighbour
from orchestrator.plan import spec_file
from orchestrator.record.results import Failure, Result, firsts
from orchestrator.record.telemetry import GpuTelemetry, Quantity, Telemetry
from orchestrator.report import document, notes, origin, published, tables, terminal, text
from orchestrator.report.table import Doubtful, Measurement
from tests.support import engine_cases
from tests.support.facts import with_facts
from tests.support.results import result, trained, with_epochs


def test_an_accuracy_out_of_its_band_is_marked_not_hidden(known):
    doubtful, sound = trained(), trained("numpy", seconds=50.0)
    band = {"accuracy": (0.75, 0.80)}
    doubtful = doubtful.model_copy(
        update={
            "job": doubtful.job.model_copy(update=band),
            "figures": doubtful.figures.model_copy(update={"accuracy": 0.101}),
        }
    )
    sound = sound.model_copy(update={"job": sound.job.model_copy(update=band)})
    _, rows, only = table([doubtful, sound], known)
    assert [row[3] for row in rows] == [76.5, Doubtful(doubtful=pytest.approx(10.1))]
    assert [line[3] for line in only.texts()] == ["76.5", "10.1 !"]
    assert [note for note in only.notes if "expected" in note] == [
        "Pytorch: accuracy of 10.1 % is not within the expected 75 to 80 %"
    ]
    synthetic = doubtful.model_copy(
        update={
            "provenance": doubtful.provenance.model_copy(
                update={"data": doubtful.provenance.data.model_copy(update={"source": "synthetic"})}
            )
        }
    )
    _, rows, _ = table([synthetic], known)
    assert rows[0][3] == pytest.approx(10.1)


def test_a_job_without_data_does_not_widen_the_table(known):
    lost = result("numpy", failure=Failure(kind="pull", message="m"))
    lost = lost.model_copy(update={"provenance": lost.provenance.model_copy(update={"data": None})})
    titles, rows, only = table([trained(), lost], known)
    assert "data" not in titles
    assert "cifar10" in only.conditions
    assert [row[0] for row in rows] == ["Pytorch", "Numpy (failed: pull)"]


def test_a_disturbed_result_says_so(known):
    disturbed = trained().model_copy(
        update={"neighbours": (Neighbour(name="stress", cpus=0.97), Neighbour(name="python", cpus=None))}
    )
    _, _, only = table([disturbed], known)
    assert "Pytorch: disturbed: stress used 1.0 CPUs during the job" in only.notes
    again = trained(repeat=2).model_copy(update={"neighbours": (Neighbour(name="stress", cpus=0.5),)})
    _, _, repeated_ = table([disturbed, again, trained(repeat=3)], known)
    assert "Pytorch: disturbed: stress used up to 1.0 CPUs during 2 of 3 jobs" in repeated_.notes
    assert "Pytorch: disturbed: python used the GPU during 1 of 3 jobs" in repeated_.notes
    assert "Pytorch: disturbed: python used the GPU during the job" in only.notes


def disturbed_by(made, name="stress"):
    return made.model_copy(update={"neighbours": (Neighbour(name=name, cpus=1.0),)})


def test_a_disturbed_row_is_never_first_and_marked_in_every_form(known):
    """Half as long as the other row, but nobody knows how long without the other program."""
    results = [disturbed_by(trained("numpy", 50.0)), trained("pytorch", 100.0)]
    _, rows, only = table(results, known)
    assert [(row[0], row[1]) for row in rows] == [("Pytorch", 100.0), ("Numpy", Doubtful(doubtful=50.0))]
    assert next(iter(list(only.texts())[1:]))[1:3] == ("50.0 !", "512 !")
    note = "Numpy: disturbed: stress used 1.0 CPUs during the job"
    console = Console(width=200, record=True, file=io.StringIO())
    terminal.show(console, [only], results)
    shown = console.export_text()
    for form in (shown, text.markdown([only])):
        assert "50.0 !" in form
        assert note in form
    lines = list(csv.DictReader(text.csv_lines(results)))
    assert [line["disturbed"] for line in lines] == ["stress used 1.0 CPUs", ""]
    document = json.loads(text.json_text([only], results))
    assert document["disturbances"] == [["stress used 1.0 CPUs"], []]
    assert [each["of_peak"] for each in document["plausibility"]] == [None, None]
    assert document["tables"][0]["rows"][1][1] == {"doubtful": 50.0}


def test_disturbed_repeats_are_left_out_of_the_median(known):
    repeats = [trained(seconds=seconds, repeat=number) for number, seconds in enumerate((100.0, 102.0, 300.0), start=1)]
    repeats[2] = disturbed_by(repeats[2])
    _, rows, only = table(repeats, known)
    assert (rows[0][1].median, rows[0][1].n) == (101.0, 2)
    assert "Pytorch: 1 of 3 jobs was disturbed: times are those of the others" in only.notes
    assert not any("lies up to" in note for note in only.notes)


def test_what_counters_say_is_one_line_for_all_repeats_of_a_row(known):
    used = TestTelemetry.USED.model_copy(
        update={"cpus_given": 2, "others_cpus": 1.0, "gpus": (), "notes": (), "orchestrator_cpus": 0.0}
    )
    repeats = [
        trained(repeat=number).model_copy(update={"telemetry": used.model_copy(update={"others_cpus": others})})
        for number, others in enumerate((1.0, 1.78, 0.0), start=1)
    ]
    _, _, only = table(repeats, known)
    assert [note for note in only.notes if "other programs" in note] == [
        (
            "Pytorch: disturbed: other programs used 1.78 of its 2 CPUs during the timed part, the job 1.50 "
            "(the worst of 2 of 3 jobs)"
        )
    ]


def test_an_epoch_that_stands_out_is_named_whatever_was_measured(known):
    made = with_epochs(trained(seconds=500.0), losses=[1.0] * 6, accuracies=[None] * 6)
    seconds = (100.0, 60.0, 60.5, 160.0, 59.5, 60.0)
    epochs = [each.model_copy(update={"seconds": one}) for each, one in zip(made.figures.epochs, seconds, strict=True)]
    made = made.model_copy(update={"figures": made.figures.model_copy(update={"epochs": tuple(epochs)})})
    _, _, only = table([made], known)
    assert "Pytorch: epoch 4 took 160.0 s, others 60.0 s (median)" in only.notes


class TestTelemetry:
    USED = Telemetry(
        over="timed", seconds=100.0, samples=1000, hz=10.0, timed_s=80.0, timed_samples=25600, samples_per_joule=1.25,
        gpus=(
            GpuTelemetry(
                uuid="GPU-1", throttled={"power cap": 0.4, "power brake": 0.001}, joules=30000.0, memory_peak=1 << 30,
                utilisation=Quantity(mean=87.5, peak=100.0),
            ),
        ),
        memory_peak=2 << 30, cpus_given=2, others_cpus=0.04, pressure=0.5, steal=0.001, throttled=0.0, cpus=1.5, orchestrator_cpus=0.05, sampling_cpus=0.01, notes=("sampling stopped: <why>",),
    )  # fmt: skip

    def used(self, made, **changes):
        return made.model_copy(update={"telemetry": self.USED.model_copy(update=changes)})

    def test_says_what_a_reader_should_know(self, known):
        _, _, only = table([self.used(trained())], known)
        assert only.notes[1:] == (
            "Pytorch: throttled: power cap for 40 % of the time",
            "Pytorch: the orchestrator itself used 5 % of a core",
            "Pytorch: telemetry: sampling stopped: <why>",
        )

    def test_says_nothing_where_there_is_nothing_to_say(self, known):
        calm = self.used(trained(), gpus=(), notes=(), orchestrator_cpus=0.019)
        short = self.used(trained("chainer"), gpus=(), notes=(), seconds=0.5)
        _, _, only = table([calm, short], known)
        assert len(only.notes) == 1

    def test_images_per_joule_are_a_column_of_gpu_results_only(self, known):
        columns, rows, _ = table([self.used(trained(device="gpu")), trained("numpy", 300.0, device="gpu")], known)
        assert columns[4] == "Images per joule"
        assert [row[4] for row in rows] == [1.25, None]
        columns, rows, _ = table([self.used(result(workload="resnet50", device="gpu", images_per_s=500.0))], known)
        assert columns[1:3] == ["Images/s GPU", "Images per joule"]
        assert rows[0][1:3] == [500.0, 1.25]
        columns, _, _ = table([self.used(trained(), samples_per_joule=None)], known)
        assert not any("joule" in title for title in columns)

    def test_is_in_the_csv(self):
        used, lacking = csv.DictReader(text.csv_lines([self.used(trained()), trained()]))
        assert {name: used[name] for name in text.USAGE} == {
            "samples_per_joule": "1.25", "joules": "30000.0", "gpu_utilisation": "87.5", "cpus": "1.5",
            "gpu_memory_peak": str(1 << 30), "memory_peak": str(2 << 30), "orchestrator_cpus": "0.05",
            "others_cpus": "0.04", "pressure": "0.5", "job_pressure": "", "steal": "0.001", "throttled": "0.0",
        }  # fmt: skip
        assert {lacking[name] for name in text.USAGE} == {""}


def table(results, known):
    (only,) = tables.tables(results, known)
    return [column.title for column in only.columns], [list(row) for row in only.rows], only


def test_the_reference_is_the_published_study_cell_by_cell(root, known):
    document = (root / "tests" / "golden" / "seed_tables.md").read_text()
    seed = [
        [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line.startswith("| ")][
            1:
        ]
        for part in document.split("## ")[1:]
    ]
    seed = [[row for row in rows if not row[0].startswith("---")] for rows in seed]
    shown = [
        [[row.title, f"{row.accuracy:g}", f"{row.seconds:g}"] for row in known["2017"].tables["cnn"]],
        [[row.title, f"{row.accuracy:g}", f"{row.seconds:g}", row.cudnn] for row in known["2017"].tables["rnn"]],
        [[row.title, f"{row.gpu:g}", f"{row.cpu:g}"] for row in known["2017"].tables["resnet50"]],
    ]
    assert shown == seed
    assert [len(rows) for rows in shown] == [12, 7, 10]


def test_then_stands_beside_now(known):
    columns, rows, only = table([trained("pytorch", 200.0), trained("numpy", 300.0)], known)
    assert columns == ["DL Library", "Training time (s)", "Images/s", "Test accuracy (%)", "2017 (%)", "2017 (s)"]
    assert rows == [
        ["Pytorch", 200.0, 128.0, 76.5, 78.0, 169.0],
        ["Numpy", 300.0, pytest.approx(85.3, abs=0.1), 76.5, None, None],
    ]
    assert "2 epochs of 12,800 images, batch 64" in only.conditions
    assert "Numpy: no fused kernel" in only.notes


def test_a_study_without_a_figure_for_any_row_has_no_column(known):
    columns, _, only = table([trained("numpy", 300.0)], known)
    assert columns == ["DL Library", "Training time (s)", "Images/s", "Test accuracy (%)"]
    assert not any("2017" in note for note in only.notes)


@pytest.mark.parametrize(
    ("name", "others", "shown"),
    [("quick", {}, [1.88]), ("seed", {}, [1.4697, 180.0]), ("quick", {"epochs": 1}, []), ("quick", {"width": 64}, [])],
)
def test_a_study_stands_beside_jobs_with_its_settings_only(root, name, others, shown):
    settings = spec_file.load(root / "configs" / f"{name}.yaml").settings_of("gpt").for_device("cpu")
    job = result("pytorch", "gpt").job.model_copy(update={"settings": {**settings, **others}})
    it = result("pytorch", "gpt", test_loss=1.9, train_s=100.0).model_copy(update={"job": job})
    columns, (row,), _ = table([it], published.load(root / "results" / "reference" / "nanogpt.json"))
    assert [cell for column, cell in zip(columns, row, strict=True) if "nanoGPT" in column] == shown


def test_a_synthetic_result_never_shares_a_row_with_a_real_one(known):
    columns, rows, only = table([trained(), trained(source="synthetic", repeat=2)], known)
    assert columns[1] == "data"
    assert sorted(row[1] for row in rows) == ["cifar10", "cifar10 (synthetic)"]
    assert any(note.startswith("SYNTHETIC DATA") for note in only.notes)


@pytest.mark.parametrize("change", [{"engine": "process"}, {"cpu": "CPU Y"}])
def test_results_of_different_engines_or_machines_never_share_a_row(known, change):
    _, rows, _ = table([trained(), trained(repeat=2, **change)], known)
    assert len(rows) == 2


def test_repeats_become_one_row_with_their_median(known):
    _, rows, only = table([trained(seconds=s, repeat=n) for n, s in enumerate((90.0, 100.0, 170.0), start=1)], known)
    assert rows[0][0] == "Pytorch"
    assert rows[0][1] == Measurement(median=100.0, low=90.0, high=170.0, n=3)
    assert only.columns[1].show(rows[0][1]) == "100.0 ± 40.0 (n=3)"
    assert any(note.startswith("±: half the 95 % interval") for note in only.notes)


def test_a_row_measured_once_is_written_as_before(known):
    _, rows, only = table([trained()], known)
    assert rows[0][1] == 100.0
    assert not [note for note in only.notes if note.startswith(("±", "not distinguishable"))]


def repeated(framework, *seconds):
    return [trained(framework, s, repeat=n) for n, s in enumerate(seconds, start=1)]


def test_ties_are_reported_and_rankings_are_not_called_ties(known):
    slow = repeated("numpy", 200.0, 201.0, 199.0, 202.0, 198.0)
    fast = repeated("pytorch", 100.0, 101.0, 99.0, 102.0, 98.0)
    alike = repeated("gluon", 100.5, 101.5, 99.5, 101.0, 99.0)
    _, rows, only = table([*slow, *fast, *alike], known)
    assert [row[0] for row in rows] == ["Pytorch", "Gluon", "Numpy"]
    assert [note for note in only.notes if note.startswith("not")] == ["not distinguishable: Pytorch · Gluon"]


def test_groups_of_ties_overlap_where_likeness_does(known):
    rows = [[base + step for step in (-4.0, -2.0, 0.0, 2.0, 4.0)] for base in (100.0, 103.5, 107.0)]
    assert notes.ties(list(zip("abc", rows, strict=True))) == [["a", "b"], ["b", "c"]]
    assert notes.ties([("a", [1.0]), ("b", [1.0]), ("c", [])]) == []
    assert notes.ties([("a", [1.0, 1.1]), ("b", [1.0, 1.1]), ("c", [1.0])]) == [["a", "b"]]


@pytest.mark.parametrize("alike", [True, False])
def test_ties_of_many_rows_are_found_without_comparing_all_with_all(alike):
    """500 rows take a tenth of a second; all pairs of them would take a quarter of a minute."""
    rows = [(str(number), [1.0 if alike else float(number + 1)] * 4) for number in range(500)]
    with engine_cases.at_most(3):
        assert notes.ties(rows) == ([[title for title, _ in rows]] if alike else [])


def test_gpus_of_one_host_that_are_not_alike_share_no_row(known):
    gpus = [{"uuid": "GPU-1", "name": "A100"}, {"uuid": "GPU-2", "name": "RTX 3060"}]

    def on(uuid, cards):
        it = trained(device="gpu")
        job = it.job.model_copy(update={"gpus": (uuid,)})
        host = {**it.provenance.host.model_dump(), "gpus": cards}
        return with_facts(it.model_copy(update={"job": job}), host=host)

    columns, rows, _ = table([on("GPU-1", gpus), on("GPU-2", gpus)], known)
    assert columns[1] == "gpu"
    assert [row[1] for row in rows] == ["A100", "RTX 3060"]
    alike = [{**gpu, "name": "A100"} for gpu in gpus]
    assert len(table([on("GPU-1", alike), on("GPU-2", alike)], known)[1]) == 1


def test_a_traced_job_is_no_repeat_of_one_that_is_timed(known):
    traced = trained(repeat=2)
    traced = traced.model_copy(update={"job": traced.job.model_copy(update={"trace": 5})})
    columns, rows, _ = table([trained(), traced], known)
    assert columns[1] == "trace"
    assert [row[1] for row in rows] == ["", "slowed by tracing 5 steps"]


def test_of_each_host_a_job_is_drawn():
    def on(host):
        it = trained()
        return it.model_copy(update={"job": it.job.model_copy(update={"host": host, "id": f"{it.job.id}-{host}"})})

    assert len(firsts([on("a"), on("b"), on("a")])) == 2


HOSTILE = "\x1b]0;title\x07\x1b[2J![x](https://evil.example/x.png)`\r\nsecond line"


def test_no_text_from_a_container_commands_the_terminal_or_the_reader_of_markdown(known):
    noted, failed = trained(), result("numpy", failure=Failure(kind="exception", message=HOSTILE, log=(HOSTILE,)))
    noted = noted.model_copy(update={"start": noted.start.model_copy(update={"notes": (HOSTILE,)})})
    found = tables.tables([noted, failed], known)
    screen = io.StringIO()
    terminal.show(Console(file=screen, width=100), found, [noted, failed])
    markdown, lines = text.markdown(found), "".join(text.csv_lines([noted, failed]))
    for written in (screen.getvalue(), markdown, lines):
        assert not {"\x1b", "\x07"} & set(written)
    assert "second line" in screen.getvalue()
    (note,) = [line for line in markdown.splitlines() if "evil" in line]
    assert "!\\[x\\](" in note
    assert note.endswith("second line")


def test_what_was_odd_about_repeats_stands_below_the_table(known):
    _, _, only = table(repeated("pytorch", 112.0, 100.0, 101.0, 99.0, 100.0), known)
    assert any(note.startswith("Pytorch: the first repeat was 12 % slower than the rest") for note in only.notes)


def test_repeats_are_numbers_in_csv_and_json(known):
    results = repeated("pytorch", 90.0, 100.0, 170.0)
    document = json.loads(text.json_text(tables.tables(results, known), results))
    assert document["tables"][0]["rows"][0][1] == {"median": 100.0, "low": 90.0, "high": 170.0, "n": 3}
    rows = list(csv.DictReader(text.csv_lines(results)))
    assert [float(row["train_s"]) for row in rows] == [90.0, 100.0, 170.0]


def test_a_failed_job_is_shown_not_hidden(known):
    failed = result("numpy", failure=Failure(kind="out_of_memory", message="m"))
    _, rows, _ = table([trained(), failed], known)
    assert rows[1][:4] == ["Numpy (failed: out of memory)", None, None, None]


@pytest.fixture
def skipped():
    why = Failure(kind="incompatible", message="no code for 9.0 GPUs", hint="use --device cpu")
    made = result("numpy", failure=why).model_copy(update={"status": "skipped"})
    return made.model_copy(update={"provenance": made.provenance.model_copy(update={"data": None})})


def test_a_skipped_job_is_shown_with_the_reason(known, skipped):
    titles, rows, only = table([trained(), skipped], known)
    assert "data" not in titles
    assert rows[1][:4] == ["Numpy (skipped: incompatible)", None, None, None]
    assert "Numpy: skipped: no code for 9.0 GPUs" in only.notes
    (row,) = csv.DictReader(text.csv_lines([skipped]))
    assert (row["status"], row["failure"]) == ("skipped", "incompatible: no code for 9.0 GPUs")


def test_a_skipped_job_is_not_called_failed(known, skipped):
    console = Console(width=100, record=True, file=io.StringIO())
    terminal.show(console, [], [trained(), skipped])
    shown = console.export_text()
    assert "1 job skipped" in shown
    assert "- numpy-cnn-cpu-1 skipped: no code for 9.0 GPUs" in shown
    assert "→ use --device cpu" in shown
    assert "failed" not in shown


def test_gpu_and_cpu_inference_stand_in_one_row(known):
    columns, rows, _ = table(
        [
            result(workload="resnet50", images_per_s=30.0),
            result(workload="resnet50", device="gpu", images_per_s=2000.0),
            result("numpy", "resnet50", images_per_s=10.0),
        ],
        known,
    )
    assert columns == ["DL Library", "Images/s GPU", "Images/s CPU", "2017 GPU", "2017 CPU"]
    assert rows == [["Pytorch", 2000.0, 30.0, 130.0, 6.0], ["Numpy", None, 10.0, None, None]]


def titled(title):
    """The job of a row of this title."""
    return trained().job.model_copy(update={"title": title})


@pytest.mark.parametrize("title", ["=cmd|'/C calc'!A0", "+1", "@SUM(A1)", "\t=1", "-2+3"])
def test_no_cell_of_the_csv_is_a_formula(title):
    failure = Failure(kind="exception", message="x")
    failed = result(failure=failure).model_copy(update={"failure": failure})
    job = failed.job.model_copy(update={"framework": title})
    (row,) = csv.DictReader(text.csv_lines([failed.model_copy(update={"job": job})]))
    assert row["framework"] == f"'{title}"


def test_losses_below_zero_stay_numbers_in_the_csv():
    (row,) = csv.DictReader(text.csv_lines([trained(test_loss=-0.5)]))
    assert row["test_loss"] == "-0.5"


@pytest.mark.parametrize("title", ["https://evil.example", "www.evil.example", "@octocat", "[x](javascript:alert(1))"])
def test_markdown_has_no_link_that_a_job_wrote(title, known):
    """GitHub turns bare addresses and names into links by itself. A reader sees the text as it was written."""
    shown = text.markdown(tables.tables([trained().model_copy(update={"job": titled(title)})], known))
    row = next(line for line in shown.splitlines() if line.startswith("| ") and "100" in line)
    assert not re.search(r"://|www\.|@\w|(?<!\\)[\[\]]", row)
    page = markdown_it.MarkdownIt("commonmark").enable("table").render(shown)
    assert html.unescape(page).count(f"<td>{title}</td>") == 1


def test_markdown_is_a_table_that_renders(known):
    shown = text.markdown(tables.tables([trained().model_copy(update={"job": titled("A|B<C")})], known))
    rows = [line for line in shown.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in rows}) == 1
    assert "A\\|B&lt;C" in shown


def test_csv_has_a_line_per_result_failed_ones_too(known):
    failed = result("numpy", failure=Failure(kind="timeout", message='said "no", twice'))
    rows = list(csv.DictReader(text.csv_lines([trained(), failed])))
    assert [row["status"] for row in rows] == ["ok", "failed"]
    assert float(rows[0]["train_s"]) == 100.0
    assert rows[1]["failure"] == 'timeout: said "no", twice'
    assert rows[1]["train_s"] == ""


def test_csv_has_the_epochs_of_a_training_in_one_cell():
    epochs = [{"samples": 128, "seconds": s, "loss": 1.0, "accuracy": a} for s, a in ((5.0, None), (4.5, 0.75))]
    scored = result("numpy", epochs=tuple(epochs), train_s=9.5, accuracy=0.75)
    rows = list(csv.DictReader(text.csv_lines([scored, trained()])))
    assert [row["epoch_seconds"] for row in rows] == ["5.0;4.5", ""]
    assert [row["epoch_accuracy"] for row in rows] == [";0.75", ""]


TWO_RUNS = [
    origin.RunOrigin(
        id=f"2026-{number}", began=f"2026-01-0{number}T10:20:30+00:00", versions=["0.1.0"], commits=["c" * 40],
        uncommitted_changes=number == 2, results=1,
    )
    for number in (1, 2)
]  # fmt: skip


def test_every_form_names_the_runs(known):
    results = [trained(), with_facts(trained(seconds=90.0), code={"version": "0.1.0", "git_commit": "c" * 40})]
    lines = list(csv.DictReader(text.csv_lines(results, origins=TWO_RUNS)))
    assert [(row["run"], row["job"]) for row in lines] == [("2026-1", results[0].job.id), ("2026-2", results[0].job.id)]
    assert (lines[1]["began"], lines[1]["version"], lines[1]["orchestrator"], lines[1]["commit"]) == (
        results[1].began, "2.0", "0.1.0", "c" * 40
    )  # fmt: skip
    found = tables.tables(results, known)
    document_ = json.loads(text.json_text(found, results, origins=TWO_RUNS))
    assert [run["id"] for run in document_["runs"]] == document_["run_of_result"] == ["2026-1", "2026-2"]
    console = Console(width=200, record=True, file=io.StringIO())
    terminal.show(console, found, results, TWO_RUNS)
    line = "run 2026-2 · 2026-01-02 10:20 UTC · version 0.1.0 · commit ccccccc with uncommitted changes"
    assert line in console.export_text().splitlines()
    assert f"; {line}" in text.markdown(found, TWO_RUNS)


def test_a_run_that_was_resumed_with_other_code_names_both(known):
    def by(commit, code, repeat):
        code = {"version": "0.1.0", "git_commit": commit, "parts_sha256": {"common": "1", "pytorch": code}}
        return with_facts(trained(repeat=repeat), code=code)

    results = [by("a" * 40, "1", 1), by("b" * 40, "2", 2)]
    columns, rows, only = table(results, known)
    assert columns[1] == "code"
    assert [row[1] for row in rows] == ["pytorch 1", "pytorch 2"]
    assert not [note for note in only.notes if note.startswith("±")]  # neither row was repeated
    assert "commit aaaaaaa, bbbbbbb" in origin.of("run", results[0].began, results).words


def test_json_holds_tables_and_results(known):
    document = json.loads(text.json_text(tables.tables([trained()], known), [trained()]))
    assert document["tables"][0]["rows"][0][0] == "Pytorch"
    assert Result.model_validate_json(json.dumps(document["results"][0])) == trained()


def test_the_published_schema_is_that_of_the_json_report(root, known):
    """Checked by a library that knows nothing of this project, on a report with every kind of cell."""
    published = (root / "docs" / "report.schema.json").read_text()
    assert published == document.schema(), "python -m orchestrator.report.document > docs/report.schema.json"
    results = [
        *(result("numpy", repeat=number, train_s=10.0 + number, accuracy=0.75) for number in (1, 2, 3)),
        result("cntk", failure=Failure(kind="build", message="no", hint="")),
        result("mxnet", "resnet50", images_per_s=7.0),
    ]
    written = json.loads(text.json_text(tables.tables(results, known), results))
    checker = jsonschema.Draft202012Validator(json.loads(published))
    checker.validate(written)
    written["tables"][0]["rows"][0][0] = ["no", "cell"]
    assert not checker.is_valid(written)


def test_the_same_framework_on_different_gpus_has_a_column_for_each(known):
    def on(gpu, framework, rate, repeat=1):
        found = result(framework, "resnet50", device="gpu", images_per_s=rate, repeat=repeat)
        return with_facts(found, host={**found.provenance.host.model_dump(), "gpus": [{"name": gpu}]})

    results = [on("A100", "pytorch", 900.0), on("H100", "pytorch", 2000.0), on("A100", "mxnet", 700.0)]
    (found,) = tables.host_by_host(results)
    assert [column.title for column in found.columns] == [
        "DL Library",
        "Images/s on CPU X, 2 CPUs, 1 x A100",
        "Images/s on CPU X, 2 CPUs, 1 x H100",
    ]
    assert found.rows == (("Pytorch", 900.0, 2000.0), ("Mxnet", 700.0, None))
    assert found.notes == ()  # the columns say what the hosts are
    assert tables.host_by_host(results[::2]) == []  # one host is no comparison
    assert "Images/s on CPU X, 2 CPUs, 1 x H100" in text.markdown([found])
