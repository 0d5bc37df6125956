"""Names from the data are text, whatever is in them; a page needs nothing but itself."""

import json
import pickle
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
from unit.report.test_contents import BETTER, CASES, WORSE, rows_of

from adawac.report.compare import Report
from adawac.report.make import make_report
from adawac.report.markdown import escape
from adawac.report.runs import MethodRun
from adawac.report.write import write_report
from adawac.runs.slice_weights import SliceWeights

EVIL = "<script>alert(1)</script>"
ORGANS = (EVIL, "a|b `c` $x$ & \"d\" 'e' [f](http://g)")
CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A report on two methods and two subsets in which every name is a trap."""
    weights = SliceWeights(
        (EVIL,) * 4,
        (EVIL,) * 4,
        np.linspace(0, 1, 4),
        np.array([1, 1, 0, 0], bool),
        np.array([0.9, 0.8, 0.2, 0.1]),
        np.arange(4.0),
    )
    evaluated = []
    for subset in (EVIL, "sparse"):
        for method, dice, table in (("pair", WORSE, None), (f"adawac {EVIL}", BETTER, weights), ("$x_$", BETTER, None)):
            rows = rows_of(dice, [f"{case}{EVIL}" for case in CASES], ORGANS)
            for seed in "01":
                name = f"{method} {subset} {EVIL} {seed}"
                run = MethodRun(method, subset, name, rows, 100, 200, table, (f"{EVIL}:3",), {"from": f"/{EVIL}"})
                evaluated.append(run)
    report = make_report(evaluated, title=f"T {EVIL}", command=f"adawac {EVIL}", unfinished={f"cell {EVIL}": "failed"})
    out = tmp_path_factory.mktemp("report")
    write_report(report, out)
    return out


class Elements(HTMLParser):
    """Every element and attribute of a page."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def test_names_are_text_in_html(folder):
    page = (folder / "report.html").read_text()
    elements = Elements(page)
    assert "script" not in {tag for tag, _ in elements.found}
    assert EVIL in elements.text
    assert f"{EVIL}:3" in elements.text  # a label-sparse slice that stays hard
    assert ORGANS[1] in elements.text
    assert EVIL not in page


def test_the_page_loads_nothing_and_runs_nothing(folder):
    for tag, attributes in Elements((folder / "report.html").read_text()).found:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        for name in ("src", "href"):
            assert attributes.get(name, "#").startswith(("#", "data:")), (tag, attributes)
        if tag == "img":
            assert attributes["alt"]


def test_figures_in_the_page_are_those_in_the_folder(folder):
    elements = Elements((folder / "report.html").read_text())
    images = [tag for tag, _ in elements.found if tag == "img"]
    files = list((folder / "figures").iterdir())
    assert len(images) == len(files) > 6
    kinds = {"organs", "groups", "position", "ranks", "weights", "patients", "pairs"}
    assert {path.name.split("_")[0] for path in files} == kinds
    assert all(b"<script" not in path.read_bytes() for path in files)


def test_names_are_text_in_markdown(folder):
    text = (folder / "report.md").read_text()
    code = f"    adawac {EVIL}"  # an indented block shows what it holds
    assert code in text
    assert "<script" not in text.replace(code, "").replace("\\<script", "")
    rows = [line for line in text.splitlines() if line.startswith("| a\\|b")]
    assert rows
    assert "\\[f\\](http://g)" in rows[0]
    assert escape("a\nb") == "a b"


def test_distances_in_millimetres_and_in_voxels_stand_in_columns_of_their_own(tmp_path, undrawn):
    in_mm = rows_of(WORSE)
    in_voxels = [row._replace(metric=row.metric.replace("hd95_mm", "hd95_voxel")) for row in in_mm]
    runs = [MethodRun("pair", "", "a", in_mm), MethodRun("other", "", "b", in_voxels)]
    write_report(make_report(runs), tmp_path)
    table = [line.split(" | ") for line in (tmp_path / "report.md").read_text().splitlines() if "|" in line]
    header = next(line for line in table if "HD95 (pooled), mm" in line)
    mm, voxel = header.index("HD95 (pooled), mm"), header.index("HD95 (pooled), voxel")
    pair, other = (next(line for line in table if line[0] == f"| {name}") for name in ("pair", "other"))
    assert pair[mm] == other[voxel] != "-"
    assert pair[voxel] == other[mm] == "-"


def test_a_report_written_anew_leaves_no_figure_of_the_earlier_one(tmp_path, undrawn):
    runs = [MethodRun(name, "", name, rows_of(dice)) for name, dice in (("pair", WORSE), ("b", BETTER), ("c", WORSE))]
    write_report(make_report(runs), tmp_path)
    assert (tmp_path / "figures/ranks_0.svg").is_file()
    (tmp_path / "figures/mine_0.svg").write_text("of somebody else")
    write_report(make_report(runs[:2]), tmp_path)
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {
        *("groups_0.svg", "mine_0.svg", "organs_0.svg", "pairs_0.svg", "patients_0.svg", "position_0.svg")
    }


def test_results_are_strict_json_and_say_what_is_unfinished(folder):
    results = json.loads((folder / "results.json").read_text(), parse_constant=pytest.fail)
    assert [subset["name"] for subset in results["subsets"]] == [EVIL, "sparse"]
    assert results["unfinished"] == {f"cell {EVIL}": "failed"}
    assert results["subsets"][0]["comparisons"][f"adawac {EVIL}"][0]["verdict"] == "better"
    assert f"cell {EVIL} (failed)" in Elements((folder / "report.html").read_text()).text


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here to open the page in")
def test_a_browser_shows_it_without_a_complaint(folder, tmp_path):
    """The page names its title and rows, asks the network for nothing, and the console stays empty."""
    log = tmp_path / "net.json"
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
        "--host-resolver-rules=MAP * ~NOTFOUND", f"--log-net-log={log}", "--enable-logging=stderr", "--v=0",
        "--dump-dom", (folder / "report.html").as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    elements = Elements(done.stdout)
    assert f"T {EVIL}" in elements.text
    assert len([tag for tag, _ in elements.found if tag == "tr"]) > 20
    assert "script" not in {tag for tag, _ in elements.found}
    assert "CONSOLE" not in done.stderr, done.stderr
    assert '"http://g' not in log.read_text()


def test_a_report_can_be_pickled(undrawn):
    """As notebooks and other processes do, whatever there is to predict with."""
    pair = MethodRun("pair", "full", "a", rows_of(WORSE))
    adawac = MethodRun("adawac", "full", "b", rows_of(BETTER), predict=lambda case, target: target.array[0])
    report = Report(make_report([pair, adawac]))
    again = pickle.loads(pickle.dumps(report))
    assert again.summary == report.summary
    assert again._repr_html_() == report._repr_html_()
