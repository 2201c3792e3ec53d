"""The HTML report in a real browser: a simulated sweep, from the command line to the page."""

import base64
import json
import os
import re
import subprocess

import pytest

from analysis.pages.html import document
from analysis.pages.html.document import Document, Link, Picture, Section
from analysis.tables.export import Sheet
from experiments.plan.installed import missing
from tests.running import AT_MOST_S, ROOT, SHORT, command, wait_for
from tests.system.browsing import open_browser, text

PHONE_PX = 375
MOST_PAGES = 9
"""On paper, of a sweep of two arms."""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The report that a sweep of two seeds and policies left at its end, and what the sweep printed."""
    if reason := missing("report"):
        (pytest.fail if os.environ.get("AEGIS_CI") == "1" else pytest.skip)(reason)
    folder = tmp_path_factory.mktemp("sweep") / "a sweep <here>"
    arguments = ["-m", "+scenario=failover", "seed=range(2)", "policy=round_robin,peak_ewma", "engine=sim", *SHORT]
    arguments += ["faults=[{at_s: 2, action: kill, target: r1, for_s: 2}]", f"hydra.sweep.dir='{folder}'"]
    done = subprocess.run(command(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=AT_MOST_S, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "report.html", done.stdout


@pytest.fixture(scope="module")
def browser(page, tmp_path_factory):
    """On that page, with every chart drawn."""
    found = open_browser(tmp_path_factory.mktemp("profile"), logs=("browser", "performance"))
    found.get(page[0].as_uri())
    wait_for(lambda: "drawing" not in states(found) and None not in states(found), "all charts are drawn")
    yield found
    found.quit()


def states(browser):
    return browser.execute_script(
        "return [...document.querySelectorAll('.chart')].filter(c => c.checkVisibility()).map(c => c.dataset.state ?? null)"
    )


def test_a_sweep_ends_with_a_report_and_says_where(page):
    path, printed = page
    assert f"report: {path}" in printed
    assert path.stat().st_size < 3_000_000


def test_every_chart_is_drawn_without_an_error_and_without_the_network(page, browser):
    assert set(states(browser)) == {"drawn"} and len(states(browser)) >= 5
    assert [entry["message"] for entry in browser.get_log("browser")] == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    urls = {one["request"]["url"] for one in asked if one["documentURL"] == page[0].as_uri()}
    assert {url for url in urls if not url.startswith("data:")} == {page[0].as_uri()}


def test_a_table_sorts_by_the_column_that_is_clicked_once_up_and_once_down(browser):
    def column():
        return browser.execute_script(
            "window.table = [...document.querySelectorAll('table')].find(t => t.caption.textContent === 'Runs');"
            "return [...table.tBodies[0].rows].map(row => row.cells[4].textContent)"
        )

    before = column()
    numbers = sorted(int(re.sub(r"\D", "", cell)) for cell in before)
    assert len(numbers) == 4 and len(set(numbers)) > 1
    for wanted in (numbers, numbers[::-1]):
        browser.execute_script("table.tHead.rows[0].cells[4].firstChild.click()")
        assert [int(re.sub(r"\D", "", cell)) for cell in column()] == wanted
    assert sorted(column()) == sorted(before)


def test_the_pointer_on_a_chart_tells_what_is_there(browser):
    from selenium.webdriver.common.action_chains import ActionChains

    chart = browser.find_element("xpath", "//h3[.='Latency p99 of each second']/../div[contains(@class, 'chart')]")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", chart)

    def told():
        for step in (-40, 0, 40):
            ActionChains(browser).move_to_element_with_offset(chart, step, -20).perform()
        return browser.execute_script("return document.querySelector('#vg-tooltip-element')?.innerText ?? ''")

    tip = wait_for(lambda: re.search(r"policy=\w+", told()) and told(), "a tooltip")
    assert "policy=round_robin" in tip and "policy=peak_ewma" in tip and "seconds from the run's start" in tip


def test_on_a_phone_nothing_but_tables_scrolls_sideways(browser):
    device = {"width": PHONE_PX, "height": 800, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", device)
    try:
        browser.refresh()
        wait_for(lambda: set(states(browser)) == {"drawn"}, "all charts are drawn")
        assert browser.execute_script("return document.documentElement.scrollWidth") <= PHONE_PX
        wide = "return [...document.querySelectorAll('.chart svg, p, pre, h1, h2')].filter(e => e.getBoundingClientRect().right > innerWidth).length"
        assert browser.execute_script(wide) == 0
        sizes = browser.execute_script("return ['p', 'td', 'pre'].map(n => parseFloat(getComputedStyle(document.querySelector(n)).fontSize))")
        assert min(sizes) >= 13
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_paper_has_what_is_open_without_the_table_of_runs(browser):
    browser.execute_script("for (const part of document.querySelectorAll('details')) part.open = false")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        printed = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": False})["data"])
        assert printed.startswith(b"%PDF")
        assert 3 < len(re.findall(rb"/Type\s*/Page\b", printed)) <= MOST_PAGES
        shown = browser.execute_script("return getComputedStyle(document.querySelector('nav')).display")
        assert shown == "none"
        assert "4 rows, on the page itself." in text(browser) and "workload.key_skew" not in text(browser)
        wide = "return [...document.querySelectorAll('.chart svg')].filter(e => e.getBoundingClientRect().right > innerWidth).length"
        assert browser.execute_script(wide) == 0
        browser.execute_script("for (const part of document.querySelectorAll('details')) part.open = true")
        assert "workload.key_skew" in text(browser), "who opens a part has it on paper"
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_a_link_to_a_folded_picture_opens_it_also_where_its_name_is_not_ascii(browser, tmp_path):
    """URL standard, 4.1: a fragment is percent-encoded, and what a script reads of it stays so."""
    picture = Picture("a run", b"", "cell-1-schön", is_folded=True)
    cells = Sheet("cells", ("arm",), [(Link("1.10", picture.anchor),)])
    document.write(Document("pack", "", [], True, [Section("Cells", sheets=[cells], pictures=[picture])]), tmp_path / "a.html")
    browser.get((tmp_path / "a.html").as_uri())
    is_open = "return document.querySelector('details').open"
    assert not browser.execute_script(is_open)
    browser.find_element("css selector", "td a").click()
    wait_for(lambda: browser.execute_script(is_open), "the picture is shown")
    assert browser.execute_script("return location.hash") == "#cell-1-sch%C3%B6n"
