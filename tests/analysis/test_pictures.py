import matplotlib
import numpy as np
import pytest
from PIL import Image

from analysis import metrics, run_page, timeline
from analysis.joint_page import draw_many
from analysis.rows import arrange
from analysis.run_folder import read
from tests.analysis import synthetic


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
        folder, synthetic.even_requests(), events=[synthetic.injected(0, 5.0, "r1", "restart", permanent=True)]
    ),
}


def summary_of(folder):
    run = read(folder)
    seconds = timeline.build(run)
    return run, seconds, metrics.compute(run, seconds)


@pytest.mark.parametrize("make", EDGES.values(), ids=EDGES.keys())
def test_a_picture_of_1600_px_is_drawn_whatever_the_run(tmp_path, make, recwarn):
    run, seconds, found = summary_of(make(tmp_path / "run"))
    before = matplotlib.rcParams.copy()
    run_page.draw(run, seconds, found, tmp_path / "summary.png")
    draw_many(arrange([(run, found)]), tmp_path / "joint.png")
    page, joint = Image.open(tmp_path / "summary.png"), Image.open(tmp_path / "joint.png")
    assert (page.width, joint.width) == (1600, 1600)
    assert 1100 < page.height < 1900
    assert 300 < joint.height < 600
    assert len(page.convert("L").getcolors(256)) > 20  # not blank
    assert matplotlib.rcParams == before
    assert not [str(w.message) for w in recwarn if "layout" in str(w.message) or "log" in str(w.message)]


def test_no_text_of_a_page_covers_another_or_leaves_it(tmp_path, monkeypatch):
    folder = twelve_replicas(tmp_path / "run")
    run, seconds, found = summary_of(folder)
    figures = []
    monkeypatch.setattr(run_page, "save", lambda fig, path: figures.append(fig))
    run_page.draw(run, seconds, found, tmp_path / "summary.png")
    fig = figures[0]
    fig.canvas.draw()
    renderer = fig.canvas.get_renderer()
    boxes = []
    for axes in fig.axes:
        texts = [axes.xaxis.label, axes.yaxis.label, axes._left_title, *axes.get_xticklabels(), *axes.get_yticklabels()]
        boxes += [(t.get_text(), t.get_window_extent(renderer)) for t in texts if t.get_text() and t.get_visible()]
        if axes.get_legend() is not None:
            boxes.append(("legend", axes.get_legend().get_window_extent(renderer)))
    boxes += [(text.get_text(), text.get_window_extent(renderer)) for text in fig.texts]
    # Tick labels of hidden ticks keep an extent outside their axes; the renderer leaves them out.
    shown = [(text, box) for text, box in boxes if box.width > 0 and box.height > 0]
    clashes = [
        (a, b)
        for i, (a, first) in enumerate(shown)
        for b, second in shown[i + 1 :]
        if a != b and first.shrunk(0.8).overlaps(second.shrunk(0.8)) and not {a, b} <= {"0", "0.00", "0.0"}
    ]
    assert not clashes
    for text, box in shown:
        assert box.x0 >= 0, text
        assert box.x1 <= 1600, text


def test_pictures_do_not_touch_pyplot(tmp_path):
    import sys

    run, seconds, found = summary_of(synthetic.write(tmp_path, synthetic.even_requests()))
    run_page.draw(run, seconds, found, tmp_path / "summary.png")
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()
