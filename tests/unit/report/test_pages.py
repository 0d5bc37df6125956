"""Reports as they are seen: figures of many methods with long names; pages in a browser, narrow and dark, too."""

import json
import re
import shutil
import subprocess
import sys
from html import escape, unescape
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from report_runs import WORSE, rows_of

from adawac.evaluation import ANY_CLASS
from adawac.figures import class_colours
from adawac.report import charts, patient_figures
from adawac.report.make import make_report
from adawac.report.patient_figures import Patients
from adawac.report.runs import MethodRun
from adawac.report.write import write_report
from adawac.runs.slice_weights import SliceWeights

METHODS = (
    "Pair", "AdaWAC", "ERM, twice as long", "ForegroundOversampling", "GroupDRO by position in the volume",
    "TrimTrainACR", "CVaRDRO with consistency of probabilities",
)  # fmt: skip
ORGANS = ("left_kidney", "right_kidney", "liver")
CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
AXE = Path(sys.prefix) / "axe-core/axe.min.js"
GREY = '<p style="color: #999; background: #777">grey</p>'

SEEN = """
const seen = {overflow: [], contrast: [], names: []};
const rgb = text => text.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => [r, g, b].map(c => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
  .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
const frame = document.querySelector('iframe'), page = frame.contentDocument, view = frame.contentWindow;
if (page.documentElement.scrollWidth > view.innerWidth) seen.overflow.push(page.documentElement.scrollWidth);
for (const each of page.body.querySelectorAll('*')) {
  const box = each.getBoundingClientRect(), style = view.getComputedStyle(each);
  if (box.right > view.innerWidth + 1 && !each.closest('.scroll')) seen.overflow.push(each.outerHTML.slice(0, 90));
  if (![...each.childNodes].some(child => child.nodeType === 3 && child.data.trim())) continue;
  let ground = each;
  while (ground && (rgb(view.getComputedStyle(ground).backgroundColor)[3] ?? 1) === 0) ground = ground.parentElement;
  const under = rgb(view.getComputedStyle(ground ?? page.body).backgroundColor);
  const pair = [light(rgb(style.color)), light(under)].sort((a, b) => b - a);
  const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
  if (!(ratio >= 4.5)) seen.contrast.push([ratio, each.outerHTML.slice(0, 90)]);
}
for (const each of page.querySelectorAll('a[href], [tabindex]'))
  if (!(each.getAttribute('aria-label') || each.textContent.trim())) seen.names.push(each.outerHTML.slice(0, 90));
for (const each of page.querySelectorAll('img')) if (!each.alt) seen.names.push('img');
seen.ground = view.getComputedStyle(page.body).backgroundColor;
seen.levels = [...page.querySelectorAll('h1, h2, h3')].map(each => +each.tagName[1]);
document.body.dataset.seen = JSON.stringify(seen);
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory, undrawn):
    """Seven methods of one run each, with unequal compute, volumes and weights."""
    random, evaluated = np.random.default_rng(0), []
    for k, method in enumerate(METHODS):
        rows = rows_of([value + 0.01 * k for value in WORSE], organs=ORGANS)
        volumes = [row for row in rows if (row.metric, row.group) == ("reference_voxels", "all")]
        rows += [row._replace(metric="predicted_voxels", value=row.value * random.uniform(0.8, 1.2)) for row in volumes]
        rows += [row._replace(class_name=ANY_CLASS, metric="voxel_mm3", value=9.0) for row in volumes[:: len(ORGANS)]]
        weights = SliceWeights(
            ("a",) * 8, ("p",) * 8, np.linspace(0, 1, 8), np.arange(8) % 2 > 0, random.random(8), random.random(8)
        )
        evaluated.append(MethodRun(method, "full", method, rows, 100, 100 if k % 2 else 200, weights))
    out = tmp_path_factory.mktemp("pages")
    return write_report(make_report(evaluated, title="Seven methods"), out)


def texts_of(figure):
    """Boxes of all words of a figure, in pixels."""
    FigureCanvasAgg(figure).draw()
    beyond = set()  # ticks that matplotlib keeps, and does not draw
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
            if not (axis.axes.get_visible() and low <= tick.get_loc() <= high):
                beyond |= {tick.label1, tick.label2}
    return {
        (number, text.get_text()): text.get_window_extent()
        for number, text in enumerate(figure.findobj(Text))
        if text not in beyond and text.get_visible() and text.get_text().strip() and text.get_window_extent().width
    }


@pytest.mark.parametrize("count", [pytest.param(2, marks=pytest.mark.slow), 7])
def test_no_words_of_a_figure_lie_over_others_or_beyond_it(count):
    names = METHODS[:count]
    styles = charts.method_styles(names, names[0])
    lines = [charts.Line(organ, 0.01, -0.02, 0.04) for organ in ORGANS]
    values = np.linspace(0.5, 0.9, 8)
    shown = Patients(values, 0.7)
    table = SliceWeights(
        ("a",) * 4, ("p",) * 4, np.linspace(0, 1, 4), np.array([1, 1, 0, 0], bool), values[:4], values[:4]
    )
    drawn = [
        charts.forest({f"{name} - {names[0]}": lines for name in names[1:]}),
        charts.position_curves({name: values[:5] for name in names}, styles, "ends", [3] * 5),
        charts.weights_along({f"{name}, run of a study": table for name in names}),
        patient_figures.strips({"Dice": {o: dict.fromkeys(names, shown) for o in ORGANS}}, styles),
        patient_figures.pairs({"Dice": {name: (shown, shown) for name in names[1:]}}, names[0], {"Dice": True}),
        patient_figures.agreement({name: [(values * 40, values * 44), (values, values**2)] for name in names}),
    ]
    for number, figure in enumerate(drawn):
        boxes = texts_of(figure)
        for one, other in combinations(boxes, 2):
            assert not boxes[one].shrunk(0.95, 0.9).overlaps(boxes[other].shrunk(0.95, 0.9)), (number, one, other)
        width, height = figure.canvas.get_width_height()
        for words, box in boxes.items():
            assert box.x0 > -2, (number, words)
            assert box.x1 < width + 2, (number, words)
            assert box.y0 > -2, (number, words)
            assert box.y1 < height + 2, (number, words)


def deuteranope(colour):
    """What a reader without green receptors sees of a colour, linear RGB (Vienot, Brettel and Mollon 1999)."""
    linear = np.array([c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)])
    return np.array([[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]]) @ linear


def test_no_two_classes_look_alike():
    for count in (2, 8, 12, 30):
        assert len(set(class_colours(count))) == count
    for seen in (to_rgb, deuteranope):
        apart = [np.abs(np.subtract(seen(a), seen(b))).max() for a, b in combinations(class_colours(8), 2)]
        assert min(apart) > 0.04


def test_unequal_compute_is_said_first(page):
    summary = json.loads((page.parent / "results.json").read_text())["summary"]
    assert "Compute is not equal: of the network passes of Pair, AdaWAC took 0.5 times" in summary
    assert summary[summary.index("Compute") :].count("took") == 3
    assert escape(summary) in page.read_text().replace("&#39;", "&#x27;")


def seen_by(script, page, folder, width, dark):
    """What a script finds in the page, in a frame; it puts its finding into `data-seen` of the document around it."""
    frame = f'<iframe style="width:{width}px;height:900px;border:0" srcdoc="{escape(page)}"></iframe>'
    host = folder / "host.html"
    host.write_text(f"<!doctype html><meta charset='utf-8'><body>{frame}<script>{script}</script>")
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}",
        f"--blink-settings=preferredColorScheme={0 if dark else 1}", "--virtual-time-budget=20000", "--dump-dom",
        host.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    return json.loads(unescape(re.search(r'<body data-seen="([^"]*)"', done.stdout)[1]))


def without_policy(page):
    """A page in which scripts may run."""
    return re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text())


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.parametrize("width", [390, pytest.param(1100, marks=pytest.mark.slow)])
@pytest.mark.parametrize("dark", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_in_a_browser(page, tmp_path, width, dark):
    """Nothing runs over the side, all words can be read, what can be reached by keyboard has a name."""
    script = f"document.querySelector('iframe').onload = () => {{ {SEEN} }};"
    seen = seen_by(script, without_policy(page), tmp_path, width, dark)
    assert seen["ground"] == ("rgb(20, 24, 28)" if dark else "rgb(255, 255, 255)")
    assert seen["overflow"] == []
    assert seen["contrast"] == []
    assert seen["names"] == []
    assert seen["levels"][0] == 1
    assert all(after <= before + 1 for before, after in zip(seen["levels"], seen["levels"][1:], strict=False))


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.skipif(not AXE.is_file(), reason=f"no axe-core here: make fetches it by npm, as {AXE}")
@pytest.mark.parametrize("dark", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_axe_finds_nothing_but_words_in_grey(page, tmp_path, dark):
    """By the rules of WCAG 2.1 A and AA, contrast of 4.5 among them."""
    rules = "{runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']}"
    run = f"""axe.run(document, {rules}).then(found => parent.document.body.dataset.seen = JSON.stringify(
        found.violations.map(each => [each.id, ...each.nodes.map(node => node.html.slice(0, 200))])))"""
    inner = without_policy(page).replace("</main>", f"{GREY}</main>")
    scripts = f"<script>{AXE.read_text()}</script><script>onload = () => {run}</script>"
    found = seen_by("", inner.replace("</body>", f"{scripts}</body>"), tmp_path, 1100, dark)
    assert found == [["color-contrast", GREY]]
