"""The HTML report in a real browser, from file://."""

import pytest

from orchestrator.host import samples
from orchestrator.record.run_folder import RunFolder
from orchestrator.report import collected, formats, html, page
from orchestrator.report import published as reference
from tests.browser.browser import PHONE
from tests.support import published as real
from tests.support.certificates import certificate, mine, ran
from tests.support.results import HOSTILE, cnn, failed, measured
from tests.support.usage_samples import gpu_samples, host_samples

RESULTS = [result for run in real.shown() for result in run.results]
NAMES = "[...document.querySelectorAll('#cnn .results tbody tr:not([hidden]) th')].map(cell => cell.textContent.trim())"


@pytest.fixture(scope="module")
def published(root, tmp_path_factory):
    """The report of the results that README shows."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text("".join(formats.load("html").write(collected.of_runs(real.shown(), root))), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def hostile(root, tmp_path_factory):
    """A report in which every title and every message wants to be something else."""
    known = reference.load(root / "results" / "reference" / "2017.json")
    good = [cnn(f"good-{number}", title=text) for number, text in enumerate(HOSTILE)]
    bad = [failed(f"bad-{number}", message=text, log=(text,)) for number, text in enumerate(HOSTILE)]
    good = list(map(ran, good))
    marks = mine(
        good,
        certificate("good-0"),
        certificate("good-1", "declared"),
        certificate("good-2", "diverges"),
        certificate("good-3", environment={"id": "sha256:2"}),
    )
    path = tmp_path_factory.mktemp("hostile") / "report.html"
    path.write_text(html.render(page.build([measured(*good, *bad)], known, {}, marks)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def sampled(root, tmp_path_factory):
    """The same results with samples beside two jobs: one of a CPU, and one as two GPUs would leave them."""
    folder = RunFolder(real.unpack(tmp_path_factory.mktemp("runs")))
    timed = [samples.Timed(12.0, 34.0, 1), samples.Timed(34.0, 58.0, 1)]
    of_gpus = samples.lines_of(gpu_samples(cards=2), timed, ["GPU-a", "GPU-b"], None)
    folder.write_telemetry("pytorch-cnn-cpu-1", samples.lines_of(host_samples(), timed, [], "cgroup v2"))
    folder.write_telemetry("chainer-cnn-cpu-1", of_gpus)
    path = folder.path / "report.html"
    path.write_text("".join(formats.load("html").write(collected.of_runs([folder], root))), encoding="utf-8")
    return path


@pytest.fixture(params=["published", "hostile"])
def any_report(request):
    return request.getfixturevalue(request.param)


def test_it_loads_without_a_complaint_and_asks_for_nothing(chromium, any_report):
    chromium.open(any_report)
    assert chromium.console() == []
    assert chromium.requests() == [any_report.as_uri()]


def test_every_kind_of_mark_is_there(chromium, hostile):
    chromium.open(hostile)
    shown = "[...document.querySelectorAll('.results .verified')].map(mark => mark.textContent + mark.ariaLabel[0])"
    assert sorted(chromium(shown)) == ["≈d", "≠d", "○n", "✓c"]


def test_every_chart_is_drawn(chromium, any_report):
    chromium.open(any_report)
    plots = "[...document.querySelectorAll('.plot')].filter(plot => !plot.closest('.usage'))"  # those wait to be opened
    assert chromium(f"{plots}.length") >= 5
    assert chromium(f"{plots}.filter(plot => !plot.querySelector('.main-svg .trace')).map(plot => plot.id)") == []
    assert chromium(f"{plots}.filter(plot => !plot.ariaLabel.endsWith('.')).length") == 0
    assert chromium(f"{plots}.map(plot => plot.querySelectorAll('.main-svg a').length).some(Boolean)") is False


@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_needs_no_sideways_scrolling(chromium, any_report, dark):
    chromium.open(any_report, PHONE, dark=dark)
    assert chromium("document.documentElement.scrollWidth") == PHONE[0]
    chromium("document.querySelector('.results tbody a').click()")
    assert chromium("document.querySelector('dialog[open]').scrollWidth") <= PHONE[0]
    assert chromium("document.querySelector('dialog[open]').getBoundingClientRect().right") <= PHONE[0]


def test_headings_sort_by_mouse(chromium, published):
    chromium.open(published)
    before = chromium(NAMES)
    accuracy = chromium.all("#cnn .results thead button")[1]
    accuracy.click()
    values = [float(cell.text) for cell in chromium.all("#cnn .results tbody td:nth-child(2)")]
    assert values == sorted(values)
    assert chromium.all("#cnn .results thead th")[1].get_attribute("aria-sort") == "ascending"
    accuracy.click()
    values = [float(cell.text) for cell in chromium.all("#cnn .results tbody td:nth-child(2)")]
    assert values == sorted(values, reverse=True)
    chromium.all("#cnn .results thead button")[2].click()
    assert chromium(NAMES) == before
    assert chromium.all("#cnn .results thead th")[1].get_attribute("aria-sort") == "none"


def test_repeats_sort_by_their_medians_and_have_whiskers(chromium, root, tmp_path):
    times = {"a": (10.0, 10.2, 9.7), "b": (9.96, 10.4, 9.9), "c": (100.0, 101.0, 99.0)}
    results = [cnn(name, each, repeat=n) for name, some in times.items() for n, each in enumerate(some, start=1)]
    known = reference.load(root / "results" / "reference" / "2017.json")
    path = tmp_path / "report.html"
    path.write_text(html.render(page.build([measured(*results)], known, {})), encoding="utf-8")
    chromium.open(path)
    heading = chromium.all("#cnn .results thead button")[2]
    assert heading.text.startswith("Training time")
    names = []
    for _ in range(2):
        heading.click()
        names.append(chromium(NAMES))
    # a and b look alike, "10.0 ± …"; the median of b is 9.96.
    assert names == [["B", "A", "C"], ["C", "A", "B"]]
    chromium("document.querySelector('#cnn-time').scrollIntoView()")  # charts are drawn when they come into sight
    chromium.wait("document.querySelectorAll('#cnn-time .xerror').length === 3")


def test_what_was_not_measured_stays_last(chromium, published):
    chromium.open(published)
    then = chromium.all("#cnn .results thead button")[-1]
    for _ in range(2):
        then.click()
        assert chromium(NAMES)[-1] == "NumPy"  # it is no row of 2017's


def test_sorting_filtering_and_provenance_need_no_mouse(chromium, published):
    from selenium.webdriver.common.keys import Keys

    chromium.open(published)
    chromium("document.querySelector('#filter').focus()")
    chromium.press("keras")
    assert chromium(NAMES) == ["Keras (TensorFlow)", "Keras (Theano)", "Keras (CNTK)"]
    assert chromium("document.querySelector('#shown').textContent") == f"8 of {len(RESULTS)} rows"
    while chromium("document.activeElement.closest('#cnn .results thead th')") is None:
        chromium.press(Keys.TAB)
    chromium.press(Keys.ENTER)
    assert chromium(NAMES) == ["Keras (CNTK)", "Keras (TensorFlow)", "Keras (Theano)"]
    assert chromium("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    while chromium("document.activeElement.closest('#cnn .results tbody')") is None:
        chromium.press(Keys.TAB)
    chromium.press(Keys.ENTER)
    assert chromium("document.querySelector('dialog[open] h2').textContent") == "Keras (CNTK)"
    chromium.press(Keys.ESCAPE)
    assert chromium("document.querySelector('dialog[open]')") is None
    assert chromium("document.activeElement.textContent") == "Keras (CNTK)"


def test_rows_are_chosen_by_status(chromium, hostile):
    chromium.open(hostile)
    chromium(
        "(status => { status.value = 'failed'; status.dispatchEvent(new Event('input')) })(window.status_ = document.querySelector('#status'))"
    )
    assert len(chromium(NAMES)) == len(HOSTILE)


def test_provenance_opens_with_its_code(chromium, published):
    chromium.open(published)
    link = next(link for link in chromium.all("#cnn .results tbody a") if link.text == "PyTorch")
    link.click()
    dialog = chromium("document.querySelector('dialog[open]').textContent")
    facts = next(result.provenance for result in RESULTS if result.job.id == "pytorch-cnn-cpu-1")
    known = facts.environment.id, facts.environment.lock_sha256, facts.data.fingerprint
    for fact in (*known, "--framework pytorch", "git checkout"):
        assert fact in dialog
    (summary, *_) = (each for each in chromium.all("dialog[open] summary") if each.text.startswith("workloads/"))
    assert summary.text.startswith("workloads/pytorch/cnn.py")
    summary.click()
    assert "import torch" in chromium("document.querySelector('dialog[open] details[open] pre').textContent")
    chromium.all("dialog[open] .close")[0].click()
    assert chromium.all("dialog[open]") == []


def test_without_scripts_it_is_all_there(chromium, published):
    chromium.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        chromium.open(published)
        assert not chromium.all("#theme")[0].is_displayed()
        assert chromium.all("#cnn .results")[0].is_displayed()
        assert "--framework" in chromium.all("dialog")[0].text
    finally:
        chromium.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_a_link_to_provenance_can_be_sent(chromium, published):
    chromium.open(published)
    chromium.driver.get(f"{published.as_uri()}#rnn-1")
    assert chromium("document.querySelector('dialog[open]').id") == "rnn-1"


def test_a_framework_can_be_taken_out_of_the_charts(chromium, published):
    chromium.open(published)
    drawn = "document.querySelectorAll('#cnn-loss .main-svg .scatterlayer .trace').length"
    before = chromium(drawn)
    button = chromium.all("#cnn .key button")[0]
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert chromium(drawn) == before - 1
    button.click()
    assert chromium(drawn) == before


def test_the_filter_of_the_table_filters_the_charts(chromium, published):
    chromium.open(published)
    bars = "document.querySelectorAll('#cnn-time .main-svg .ytick text').length"
    lines = "document.querySelectorAll('#cnn-loss .main-svg .scatterlayer .trace').length"
    named = "[...document.querySelectorAll('#cnn .key li:not([hidden])')].map(each => each.textContent.trim())"
    numbers = "document.querySelectorAll('#cnn-time ~ details tbody tr:not([hidden])').length"
    before = [chromium(each) for each in (bars, lines, numbers)]
    chromium("document.querySelector('#filter').focus()")
    chromium.press("keras")
    assert [chromium(each) for each in (bars, lines, numbers)] == [3, 3, 3]
    assert sorted(chromium(named)) == ["Keras (CNTK)", "Keras (TensorFlow)", "Keras (Theano)"]
    longest = "document.querySelector('#cnn-time')._fullLayout.xaxis.range[1]"
    left = [r.figures.train_s for r in RESULTS if r.job.framework.startswith("keras") and r.job.workload == "cnn"]
    assert chromium(longest) < 1.3 * max(left)  # the axis is that of what is left
    assert len(chromium("document.querySelector('#cnn-time').data[0].meta.styles")) == 3
    button = next(each for each in chromium.all("#cnn .key button") if each.text.strip() == "Keras (CNTK)")
    button.click()
    assert chromium(lines) == 2  # what the key takes out stays out
    chromium("document.querySelector('#filter').focus()")
    chromium.press("zzz")
    assert chromium("[...document.querySelectorAll('#cnn figure')].every(each => each.hidden)")
    chromium(
        "(filter => { filter.value = ''; filter.dispatchEvent(new Event('input')) })(document.querySelector('#filter'))"
    )
    button.click()
    assert [chromium(each) for each in (bars, lines, numbers)] == before
    assert chromium.console() == []


@pytest.mark.parametrize(("framework", "plots", "drawn"), [("PyTorch", 2, 1), ("Chainer", 3, 2)])
def test_what_a_job_used_is_drawn_on_a_click(chromium, sampled, framework, plots, drawn):
    chromium.open(sampled)
    next(link for link in chromium.all("#cnn .results tbody a") if link.text == framework).click()
    (summary,) = [each for each in chromium.all("dialog[open] summary") if "used while it ran" in each.text]
    inside = "[...document.querySelectorAll('dialog[open] .usage .plot')]"
    assert chromium(f"{inside}.length") == plots
    assert chromium(f"{inside}.some(plot => plot.querySelector('.main-svg'))") is False
    summary.click()
    chromium.wait(f"{inside}.every(plot => plot.querySelector('.main-svg'))")
    assert chromium(f"{inside}.map(plot => plot.querySelectorAll('.scatterlayer .trace').length)") == [drawn] * plots
    assert chromium(f"{inside}.map(plot => plot.querySelectorAll('.shapelayer path').length)") == [2] * plots
    ink = "document.querySelector('dialog[open] .usage .ytick text').style.fill"
    before = chromium(ink)
    chromium("document.querySelector('#theme').click()")
    assert chromium(ink) != before
    chromium("document.querySelector('#theme').click()")
    assert chromium.console() == []


@pytest.mark.parametrize("dark", [False, True])
def test_what_a_job_used_fits_a_phone(chromium, sampled, dark):
    chromium.open(sampled, PHONE, dark=dark)
    chromium(
        "[...document.querySelectorAll('#cnn .results tbody a')].find(link => link.textContent === 'Chainer').click()"
    )
    chromium("document.querySelector('dialog[open] .usage').open = true")
    chromium.wait("document.querySelector('dialog[open] .usage .main-svg')")
    assert chromium("document.querySelector('dialog[open]').scrollWidth") <= PHONE[0]
    assert chromium("document.querySelector('dialog[open] .main-svg').getBoundingClientRect().right") <= PHONE[0]
    assert chromium(CONTRAST) == []


def test_the_theme_is_the_systems_until_its_button_is_used(chromium, published):
    paper = "getComputedStyle(document.body).backgroundColor"
    ink = "document.querySelector('#cnn-time .ytick text').style.fill"
    chromium.open(published, dark=True)
    dark = chromium(paper), chromium(ink)
    chromium.open(published, dark=False)
    light = chromium(paper), chromium(ink)
    assert dark[0] != light[0]
    assert dark[1] != light[1]
    chromium.all("#theme")[0].click()
    assert (chromium(paper), chromium(ink)) == dark
    chromium.all("#theme")[0].click()
    assert (chromium(paper), chromium(ink)) == light


@pytest.mark.parametrize("dark", [False, True])
def test_text_has_contrast(chromium, hostile, dark):
    """At least 4.5:1 between every text and the surface it stands on (WCAG 2, AA)."""
    chromium.open(hostile, dark=dark)
    chromium("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert chromium(CONTRAST) == []


CONTRAST = """(() => {
  const canvas = Object.assign(document.createElement('canvas'), {width: 1, height: 1}).getContext('2d', {willReadFrequently: true});
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = ([r, g, b]) => {
    const part = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const surface = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = rgba(getComputedStyle(at).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255, 255];
  };
  const poor = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim());
    if (!own || !element.checkVisibility() || ['SCRIPT', 'STYLE', 'NOSCRIPT'].includes(element.tagName)) continue;
    const style = getComputedStyle(element);
    const [text, behind] = [luminance(rgba(element instanceof SVGElement ? style.fill : style.color)), luminance(surface(element))];
    const ratio = (Math.max(text, behind) + 0.05) / (Math.min(text, behind) + 0.05);
    if (ratio < 4.5) poor.push(`${element.tagName} ${element.className} ${element.textContent.trim().slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return [...new Set(poor)];
})()"""
