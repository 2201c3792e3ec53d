import json

import matplotlib
import numpy as np
import pytest
from PIL import Image

from analysis.metrics import table as metrics
from analysis.metrics import timeline
from analysis.pages import joint_page, run_page
from analysis.pages.joint_page import draw_many
from analysis.pages.rows import arrange
from record.reading import read
from tests.analysis import synthetic

pytestmark = pytest.mark.slow


def all_failed():
    requests = synthetic.even_requests()
    requests["outcome"] = "refused"
    requests["replica"] = None
    requests[["status", "attempts", "queue_s", "service_s", "router_s"]] = np.nan
    return requests


def all_dropped():
    requests = all_failed()
    requests["outcome"] = "dropped"
    requests[["sent_s", "completed_s"]] = np.nan
    return requests


def nothing(folder):
    about = synthetic.manifest(exit_reason="killed", error="x " * 400)
    return synthetic.write(folder, None, about=about, samples=[], planned=np.arange(100) / 10)


def twelve_replicas(folder):
    faults = tuple((3.0 + i / 2, "kill" if i % 2 else "error", f"r{i + 1}", 2.0) for i in range(11))
    return synthetic.realistic(folder, "failure", duration_s=12, rate=120, replicas=12, faults=faults)


EDGES = {
    "all failed": lambda folder: synthetic.write(folder, all_failed()),
    "all dropped": lambda folder: synthetic.write(folder, all_dropped()),
    "ten requests": lambda folder: synthetic.write(folder, synthetic.even_requests(10, 1)),
    "nothing measured": nothing,
    "twelve replicas": twelve_replicas,
    "no router": lambda folder: synthetic.realistic(folder, "baseline", duration_s=6, policy="none"),
    "router killed": lambda folder: synthetic.realistic(
        folder, "failover", duration_s=8, faults=((4.0, "kill", "router", 2.0),)
    ),
    "lost for good": lambda folder: synthetic.realistic(
        folder, "failover", duration_s=8, faults=((4.0, "kill", "r2", None),)
    ),
    "a restart": lambda folder: synthetic.write(
        folder, synthetic.even_requests(), events=[synthetic.injected(0, 5.0, "r1", "restart")]
    ),
}


def settings():
    """All of Matplotlib's, but the backend, which resolves itself when it is looked at."""
    return {key: value for key, value in matplotlib.rcParams.items() if key != "backend"}


def summary_of(folder):
    run = read(folder)
    seconds = timeline.build(run)
    return run, seconds, metrics.compute(run, seconds)


@pytest.mark.parametrize("make", EDGES.values(), ids=EDGES.keys())
def test_a_picture_of_1600_px_is_drawn_whatever_the_run(tmp_path, make, recwarn, capsys):
    run, seconds, found = summary_of(make(tmp_path / "run"))
    before = settings()
    run_page.draw(run, seconds, found, tmp_path / "summary.png")
    draw_many(arrange([(run, found)]), tmp_path / "joint.png")
    page, joint = Image.open(tmp_path / "summary.png"), Image.open(tmp_path / "joint.png")
    assert (page.width, joint.width) == (1600, 1600)
    assert 1100 < page.height < 1900
    assert 300 < joint.height < 600
    assert len(page.convert("L").getcolors(256)) > 20  # not blank
    assert settings() == before
    assert capsys.readouterr().err == ""  # no panel was left out
    assert not [str(w.message) for w in recwarn if "layout" in str(w.message) or "log" in str(w.message)]


def texts_of(fig):
    """(text, box in pixels) of everything written on a figure."""
    fig.canvas.draw()
    found = list(fig.texts)
    legends = []
    for axes in fig.axes:
        if axes.axison:
            found += [axes.xaxis.label, axes.yaxis.label, axes._left_title, axes._right_title]
            found += [*visible_ticks(axes.xaxis), *visible_ticks(axes.yaxis), *axes.texts]
            legends += [axes.get_legend()] if axes.get_legend() else []
        else:
            found += axes.texts
    # A label that ends in empty lines keeps room for what stands there.
    found = [t for t in found if t.get_visible() and t.get_text().strip() and not t.get_text().endswith("\n")]
    boxes = [(t.get_text(), t.get_window_extent()) for t in found]
    return boxes + [("legend", legend.get_window_extent()) for legend in legends]


def clashes(boxes):
    return [
        (a, b)
        for i, (a, first) in enumerate(boxes)
        for b, second in boxes[i + 1 :]
        if first.shrunk(0.85, 0.8).overlaps(second.shrunk(0.85, 0.8))
    ]


def visible_ticks(axis):
    low, high = sorted(axis.get_view_interval())
    return [
        tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high and tick.label1.get_visible()
    ]


def draw_one(entries, path):
    run, found = entries[-1]
    run_page.draw(run, timeline.build(run), found, path)


def draw_all(entries, path):
    joint_page.draw_many(arrange(entries), path)


@pytest.mark.parametrize(("page", "draw"), [(run_page, draw_one), (joint_page, draw_all)], ids=["run", "joint"])
def test_no_text_of_a_page_covers_another_or_leaves_it(tmp_path, monkeypatch, page, draw):
    folders = [
        synthetic.realistic(tmp_path / "baseline" / "1", "baseline", duration_s=8, policy="none"),
        nothing(tmp_path / "routed" / "1"),
        synthetic.write(tmp_path / "routed" / "2", all_failed()),
        synthetic.write(tmp_path / "routed" / "3", synthetic.even_requests()),
        twelve_replicas(tmp_path / "failure" / "1"),
    ]
    entries = [(run, found) for run, _, found in map(summary_of, folders)]
    figures = []
    monkeypatch.setattr(page, "save", lambda fig, path: figures.append(fig))
    draw(entries, tmp_path / "page.png")
    boxes = texts_of(figures[0])
    height = figures[0].get_figheight() * 100
    outside = [text for text, box in boxes if box.x0 < 0 or box.x1 > 1600 or box.y0 < 0 or box.y1 > height]
    assert len(boxes) > 60
    assert not clashes(boxes)
    assert not outside


def invalid(folder):
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"complete", "started', '"killed", "started'))
    return folder


@pytest.mark.parametrize(
    ("count", "bad", "means"),
    [
        (1, (), []),
        (2, (0, 1), ["p50 of n = 0", "p99 of n = 0"]),
        (3, (1,), ["p50 of n = 2", "p99 of n = 2"]),
        (10, (), ["p50 of n = 10", "p99 of n = 10"]),
    ],
)
def test_means_with_intervals_stand_below_several_runs_and_say_of_how_many(tmp_path, monkeypatch, count, bad, means):
    folders = []
    for seed in range(count):
        made = synthetic.write(
            tmp_path / str(seed),
            synthetic.even_requests(latency_s=0.1 * (1 + seed % 3)),
            about=synthetic.manifest(config={"seed": seed}, overrides=[f"seed={seed}"]),
        )
        folders.append(invalid(made) if seed in bad else made)
    figures = []
    monkeypatch.setattr(joint_page, "save", lambda fig, path: figures.append(fig))
    draw_all([(run, found) for run, _, found in map(summary_of, folders)], tmp_path / "page.png")
    assert any("95 % interval" in text.get_text() for text in figures[0].texts) == bool(means)
    boxes = texts_of(figures[0])
    assert [text for text, _ in boxes if text.startswith(("p50 of", "p99 of"))] == means
    assert clashes(boxes) == []


def some_refused(folder, share=4):
    """One in `share` is refused from second 5 on: p99 lies among the failed there, p50 does not."""
    requests = synthetic.even_requests(10, 40)
    refused = (requests["scheduled_s"] >= 5) & (requests["request_id"] % share == 1)
    requests.loc[refused, "outcome"] = "refused"
    requests.loc[refused, "completed_s"] = requests["sent_s"] + 0.001
    return synthetic.write(folder, requests, about=synthetic.manifest(config={"seed": share}, overrides=[f"x={share}"]))


def test_a_second_whose_p99_lies_among_the_failed_is_marked_and_no_gap(tmp_path, monkeypatch):
    run, seconds, found = summary_of(some_refused(tmp_path / "run"))
    figures = []
    monkeypatch.setattr(run_page, "save", lambda fig, path: figures.append(fig))
    run_page.draw(run, seconds, found, tmp_path / "page.png")
    marks = {line.get_label(): line.get_xdata() for line in figures[0].axes[0].lines}
    assert list(marks["p99 among the failed"]) == [5.5, 6.5, 7.5, 8.5, 9.5]
    assert "p50 among the failed" not in marks
    assert clashes(texts_of(figures[0])) == []


@pytest.mark.parametrize(("page", "draw"), [(run_page, draw_one), (joint_page, draw_all)], ids=["run", "joint"])
def test_the_curve_of_slow_requests_does_not_come_down_below_the_failed_share(tmp_path, monkeypatch, page, draw):
    run, _, found = summary_of(some_refused(tmp_path / "run"))
    figures = []
    monkeypatch.setattr(page, "save", lambda fig, path: figures.append(fig))
    draw([(run, found)], tmp_path / "page.png")
    axes = next(a for a in figures[0].axes if a._left_title.get_text().startswith("Requests that took longer"))
    x, share = axes.lines[0].get_data()
    assert axes.lines[0].get_drawstyle() == "steps-pre"
    beyond = x > axes.get_xlim()[1]
    assert share[beyond][0] == pytest.approx(found["error_rate"]) == 50 / 320  # holds up to and at the edge
    assert (share[~beyond] > 50 / 320).all()


def test_runs_whose_p99_lies_among_the_failed_have_no_mean_of_those_that_are_left(tmp_path, monkeypatch):
    folders = [some_refused(tmp_path / str(share), share) for share in (4, 4000)]
    for number, folder in enumerate(folders):
        path = folder / "manifest.json"
        about = json.loads(path.read_text())
        path.write_text(json.dumps({**about, "config": {**about["config"], "seed": number}}))
    figures = []
    monkeypatch.setattr(joint_page, "save", lambda fig, path: figures.append(fig))
    draw_all([(run, found) for run, _, found in map(summary_of, folders)], tmp_path / "page.png")
    texts = [text for text, _ in texts_of(figures[0])]
    assert "beyond 100" in texts and "no mean: undefined in 1 of 2 runs" in texts
    assert clashes(texts_of(figures[0])) == []


def test_pictures_do_not_touch_pyplot(tmp_path):
    import sys

    run, seconds, found = summary_of(synthetic.write(tmp_path, synthetic.even_requests()))
    run_page.draw(run, seconds, found, tmp_path / "summary.png")
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()


@pytest.mark.parametrize(
    ("label", "short"),
    [
        ("policy=peak_ewma, seed=1", "policy=peak_ewma, seed=1"),
        ("workload.rate_rps=50, seed=12345", "rate_rps=50, seed=12345"),
        (
            "seed=1, router.retry.max_attempts=1, router.ejection.consecutive_failures=3",
            "seed=1, max_at…=1, consec…=3",
        ),
        ("replica.speeds=[1, 1, 0.5], router.retry.max_attempts=3", "speeds=[1, 1, 0.5], max_a…=3"),
        ("x=" + "9" * 40, "x=999999999999…9999999999999"),
    ],
)
def test_a_run_s_label_keeps_its_values_however_long_its_keys_are(label, short):
    assert joint_page._short(label) == short
