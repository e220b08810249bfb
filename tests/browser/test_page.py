"""The HTML report in a real browser, from file://."""

import pytest

from orchestrator.host import samples
from orchestrator.record.run_folder import RunFolder
from orchestrator.report import collected, formats, html, page
from orchestrator.report import published as reference
from tests.benchmarks import reports
from tests.browser import colours
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
    plots = "[...document.querySelectorAll('.workload .plot')]"
    lists = "[...document.querySelectorAll('.workload .bar-list')]"
    assert chromium(f"{plots}.length + {lists}.length") >= 5
    assert chromium(f"{plots}.filter(plot => !plot.querySelector('.series use')).map(plot => plot.id)") == []
    assert chromium(f"{lists}.filter(list => !list.querySelector('rect')).map(list => list.id)") == []
    assert chromium(f"{plots}.filter(plot => !plot.ariaLabel.endsWith('.')).length") == 0
    size = chromium(
        "(box => [box.width, box.height])(document.querySelector('#cnn-time rect').getBoundingClientRect())"
    )
    assert min(size) > 5


def test_forty_results_are_a_small_page(chromium, root, tmp_path):
    folder = reports.fill(tmp_path, 40)
    path = tmp_path / "report.html"
    path.write_text("".join(formats.load("html").write(collected.of_runs([RunFolder(folder)], root))), encoding="utf-8")
    assert path.stat().st_size < 3_000_000
    chromium.open(path)
    assert chromium("document.querySelectorAll('*').length") < 10_000


@pytest.mark.parametrize(("size", "whole_table"), [((1400, 900), True), ((390, 844), False)])
def test_the_first_screen_answers(chromium, published, size, whole_table):
    """Title, verdict, the chart of the ranking and its table; on a phone, of the table at least the head."""
    chromium.open(published, size)
    place = "document.querySelector(arguments[0]).getBoundingClientRect()[arguments[1]]"
    assert chromium("document.querySelector('h1').textContent").startswith("Deep-learning frameworks compared: quick, ")
    for selector in (".verdict", "#cnn-time", *(["#cnn .results tbody tr:nth-child(10)"] if whole_table else [])):
        assert 0 < chromium(place, selector, "bottom") <= size[1], selector
    assert chromium(place, "#cnn .results", "top") < size[1]
    assert not chromium("document.querySelector('#about details').open")


@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_needs_no_sideways_scrolling(chromium, any_report, dark):
    chromium.open(any_report, PHONE, dark=dark)
    assert chromium("document.documentElement.scrollWidth") == PHONE[0]
    chromium("document.querySelector('.results tbody a').click()")
    assert chromium("document.querySelector('dialog[open]').scrollWidth") <= PHONE[0]
    assert chromium("document.querySelector('dialog[open]').getBoundingClientRect().right") <= PHONE[0]


def head(chromium, title):
    """The button and the cells of a column of the CNN's table."""
    buttons = chromium.all("#cnn .results thead button")
    place = next(n for n, button in enumerate(buttons) if button.text.startswith(title))
    cells = "[...document.querySelectorAll('#cnn .results tbody tr')].map(row => row.cells[arguments[0]].textContent)"
    return buttons[place], lambda: chromium(cells, place), chromium.all("#cnn .results thead th")[place]


def test_headings_sort_by_mouse(chromium, published):
    chromium.open(published)
    before = chromium(NAMES)
    accuracy, shown, heading = head(chromium, "Test accuracy")
    accuracy.click()
    values = [float(text) for text in shown()]
    assert values == sorted(values)
    assert heading.get_attribute("aria-sort") == "ascending"
    accuracy.click()
    values = [float(text) for text in shown()]
    assert values == sorted(values, reverse=True)
    head(chromium, "Training time")[0].click()
    assert chromium(NAMES) == before
    assert heading.get_attribute("aria-sort") == "none"


def test_repeats_sort_by_their_medians_and_have_whiskers(chromium, root, tmp_path):
    times = {"a": (10.0, 10.2, 9.7), "b": (9.96, 10.4, 9.9), "c": (100.0, 101.0, 99.0)}
    results = [cnn(name, each, repeat=n) for name, some in times.items() for n, each in enumerate(some, start=1)]
    known = reference.load(root / "results" / "reference" / "2017.json")
    path = tmp_path / "report.html"
    path.write_text(html.render(page.build([measured(*results)], known, {})), encoding="utf-8")
    chromium.open(path)
    heading, *_ = head(chromium, "Training time")
    names = [chromium(NAMES)]
    assert chromium("document.querySelector('#cnn .results [aria-sort=ascending]').textContent") == heading.text.strip(
        " ↑"
    )
    heading.click()
    names.append(chromium(NAMES))
    # a and b look alike, "10.0 ± …"; the median of b is 9.96.
    assert names == [["B", "A", "C"], ["C", "A", "B"]]
    assert chromium("document.querySelectorAll('#cnn-time .interval').length") == 3


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
    keras = sum("Keras" in result.job.title for result in RESULTS)
    assert chromium("document.querySelector('#shown').textContent") == f"{keras} of {len(RESULTS)} rows"
    assert chromium("document.querySelector('#cnn .none').hidden")
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


def test_a_filter_that_matches_nothing_says_so(chromium, published):
    chromium.open(published)
    chromium("document.querySelector('#filter').focus()")
    chromium.press("mxnet (w")
    assert chromium("document.querySelector('#cnn .none').checkVisibility()")  # a row of another table matches
    assert not chromium("document.querySelector('#resnet50 .none').checkVisibility()")
    chromium.press("zzz")
    assert chromium("document.querySelector('#shown').textContent") == "No row matches."
    assert chromium("[...document.querySelectorAll('.none')].every(each => each.checkVisibility())")


def test_a_click_anywhere_in_a_row_opens_it(chromium, published):
    chromium.open(published)
    chromium.all("#cnn .results tbody tr:first-child td:last-child")[0].click()
    assert chromium("document.querySelector('dialog[open]').id") == "cnn-0"
    chromium.all("dialog[open] .close")[0].click()
    chromium(
        "getSelection().selectAllChildren(document.querySelector('#cnn .results tbody td:last-child'))"
    )  # someone who marks a figure to copy it
    chromium("document.querySelector('#cnn .results tbody td:last-child').click()")
    assert chromium.all("dialog[open]") == []


@pytest.mark.parametrize("clipboard", [True, False])
def test_commands_are_copied(chromium, published, clipboard):
    from selenium.webdriver.common.keys import Keys

    chromium.open(published)
    if not clipboard:
        chromium("Object.defineProperty(navigator, 'clipboard', {value: undefined}) && 0")
    chromium.all("#cnn .results tbody a")[0].click()
    chromium.all("dialog[open] .copy")[0].click()
    chromium.wait("document.querySelector('dialog[open] .copy').textContent === 'Copied'")
    command = chromium("document.querySelector('dialog[open] .command pre').textContent")
    chromium.press(Keys.ESCAPE)
    chromium("document.querySelector('#filter').focus()")
    chromium.press(Keys.CONTROL + "v")
    assert chromium("document.querySelector('#filter').value").split() == command.split()


def test_print_shows_all_and_cuts_nothing(chromium, sampled):
    """As on paper of A4: what is folded is opened, no table is cut off, and afterwards all is as before."""
    chromium.open(sampled, (718, 1000))
    chromium.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        chromium("dispatchEvent(new Event('beforeprint'))")
        assert chromium("document.querySelectorAll('details:not([open], .code)').length") == 0
        assert chromium("document.querySelectorAll('dialog noscript, figure noscript').length") == 0
        assert chromium("[...document.querySelectorAll('dialog, .usage .plot')].every(each => each.checkVisibility())")
        assert not chromium("document.querySelector('.filter').checkVisibility()")
        wide = "[...document.querySelectorAll('body *')].filter(each => each.getBoundingClientRect().right > 719)"
        assert chromium(f"{wide}.map(each => each.outerHTML.slice(0, 80))") == []
        chromium("dispatchEvent(new Event('afterprint'))")
        assert chromium("document.querySelectorAll('main details[open]').length") == 0
    finally:
        chromium.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


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
    assert not chromium(
        "document.querySelector('dialog[open] pre.code') || document.querySelector('#sources pre.code')"
    )
    summary.click()
    chromium.wait("document.querySelector('dialog[open] pre.code')")
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
        assert chromium.all("#cnn-time rect")[0].is_displayed()
        assert "import torch" in "".join(pre.get_attribute("textContent") for pre in chromium.all("pre.code"))
    finally:
        chromium.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_a_link_to_provenance_can_be_sent(chromium, published):
    chromium.open(published)
    chromium.driver.get(f"{published.as_uri()}#rnn-1")
    assert chromium("document.querySelector('dialog[open]').id") == "rnn-1"


def test_a_framework_can_be_taken_out_of_the_charts(chromium, published):
    chromium.open(published)
    drawn = "document.querySelectorAll('#cnn-loss .series:not([hidden])').length"
    before = chromium(drawn)
    button = chromium.all("#cnn .key button")[0]
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert chromium(drawn) == before - 1
    button.click()
    assert chromium(drawn) == before


def test_the_filter_of_the_table_filters_the_charts(chromium, published):
    chromium.open(published)
    bars = "[...document.querySelectorAll('#cnn-time li')].filter(each => each.checkVisibility()).length"
    lines = (
        "[...document.querySelectorAll('#cnn-loss polyline')].filter(each => each.getBoundingClientRect().width).length"
    )
    named = "[...document.querySelectorAll('#cnn .key li:not([hidden])')].map(each => each.textContent.trim())"
    before = [chromium(each) for each in (bars, lines)]
    chromium("document.querySelector('#filter').focus()")
    chromium.press("keras")
    assert [chromium(each) for each in (bars, lines)] == [3, 3]
    assert sorted(chromium(named)) == ["Keras (CNTK)", "Keras (TensorFlow)", "Keras (Theano)"]
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
    assert [chromium(each) for each in (bars, lines)] == before
    assert chromium.console() == []


@pytest.mark.parametrize(("framework", "plots", "drawn"), [("PyTorch", 2, 1), ("Chainer", 3, 2)])
def test_what_a_job_used_is_drawn(chromium, sampled, framework, plots, drawn):
    chromium.open(sampled)
    assert chromium("document.querySelectorAll('.usage').length") == 0  # not before its row is opened
    next(link for link in chromium.all("#cnn .results tbody a") if link.text == framework).click()
    (summary,) = [each for each in chromium.all("dialog[open] summary") if "used while it ran" in each.text]
    summary.click()
    inside = "[...document.querySelectorAll('dialog[open] .usage .plot')]"
    assert chromium(f"{inside}.map(plot => plot.querySelectorAll('polyline').length)") == [drawn] * plots
    assert chromium(f"{inside}.map(plot => plot.querySelectorAll('.band').length)") == [2] * plots
    named = chromium("document.querySelectorAll('dialog[open] .usage .phase-key li').length")
    assert named == (plots * drawn if drawn > 1 else 0)
    assert chromium.console() == []


@pytest.mark.parametrize("dark", [False, True])
def test_what_a_job_used_fits_a_phone(chromium, sampled, dark):
    chromium.open(sampled, PHONE, dark=dark)
    chromium(
        "[...document.querySelectorAll('#cnn .results tbody a')].find(link => link.textContent === 'Chainer').click()"
    )
    chromium("document.querySelector('dialog[open] .usage').open = true")
    assert chromium("document.querySelector('dialog[open]').scrollWidth") <= PHONE[0]
    assert chromium("document.querySelector('dialog[open] .plot').getBoundingClientRect().right") <= PHONE[0]
    assert chromium(CONTRAST) == []


def test_the_theme_is_the_systems_until_its_button_is_used(chromium, published):
    paper = "getComputedStyle(document.body).backgroundColor"
    ink = "getComputedStyle(document.querySelector('#cnn-time text')).fill"
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


@pytest.mark.parametrize("dark", [False, True])
def test_series_and_phases_differ_with_any_colour_vision(chromium, root, tmp_path, dark):
    """Whatever has the same mark and line, or the same pattern, differs clearly in colour."""
    known = reference.load(root / "results" / "reference" / "2017.json")
    times = {"load_s": 1.0, "build_s": 1.0, "compile_s": 1.0, "score_s": 1.0}
    results = [cnn(f"f{number:02}", 50.0 + number) for number in range(30)]
    results = [each.model_copy(update={"figures": each.figures.model_copy(update=times)}) for each in results]
    path = tmp_path / "report.html"
    path.write_text(html.render(page.build([measured(*results)], known, {})), encoding="utf-8")
    chromium.open(path, dark=dark)
    forms = chromium("[...document.querySelectorAll('#cnn .key .mark use')].map(each => each.getAttribute('href'))")
    fills = chromium("[...document.querySelectorAll('#cnn .phase-key rect')].map(each => each.getAttribute('fill'))")
    hatch = (
        "arguments[0].map(fill => document.querySelector(fill.slice(4, -1)).querySelector('path')?.getAttribute('d'))"
    )
    hatches = chromium(hatch, fills)
    chromium("document.querySelectorAll('pattern path').forEach(path => path.remove())")  # only colours from here on
    for vision in ("none", "deuteranopia", "protanopia"):
        with chromium.vision(vision):
            marks = colours.of(chromium, "#cnn .key .mark")
            phases = colours.of(chromium, "#cnn .phase-key .block rect")
        assert (len(marks), len(phases)) == (30, 7)
        assert colours.nearest(marks, forms) > colours.CLEAR, vision
        assert colours.nearest(phases, hatches) > colours.CLEAR, vision


def test_not_every_pair_of_colours_would_do(chromium, published):
    """An orange and a brown, which this page once had, are nearly the same with deuteranopia."""
    chromium.open(published)
    recolour = "['#c94f00', '#8f6b00'].forEach((colour, n) => document.querySelectorAll('#cnn .key .mark')[n].style.color = colour)"
    chromium(recolour)
    apart = []
    for vision in ("none", "deuteranopia"):
        with chromium.vision(vision):
            apart.append(colours.nearest(colours.of(chromium, "#cnn .key .mark")[:2], ["", ""]))
    assert apart[1] < colours.CLEAR < apart[0]


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
