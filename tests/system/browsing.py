"""A real browser, and the pages it looks at: what the browser tests stand on."""

import contextlib
import os
import re
import shutil
import subprocess
import urllib.request

import psutil
import pytest

from tests.running import ROOT, descendants, wait_for


def binary(name, package):
    path = shutil.which(name)
    if path is None:
        reason = f"{name} is not installed: apt-get install {package}"
        (pytest.fail if os.environ.get("AEGIS_CI") == "1" else pytest.skip)(reason)
    return path


def open_browser(profile, *arguments, logs=()):
    """Headless chromium with its profile in that folder, and further arguments of its command line.

    `logs`: what it is to keep, as `browser`, `performance`.
    """
    chromium, driver = binary("chromium", "chromium"), binary("chromedriver", "chromium-driver")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    options.page_load_strategy = "eager"  # a page's links to the outside may hang; what it shows is polled
    for word in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "window-size=1600,1200", *arguments):
        options.add_argument(f"--{word}")
    options.add_argument(f"--user-data-dir={profile}")
    if logs:
        options.set_capability("goog:loggingPrefs", dict.fromkeys(logs, "ALL"))
    return webdriver.Chrome(options=options, service=Service(driver))


def text(browser):
    """What the page shows now; "" while it is redrawn."""
    return browser.execute_script("return document.body ? document.body.innerText : ''")


def shows(browser, pattern):
    """The match of the pattern in the page's text, as soon as there is one."""
    try:
        return wait_for(lambda: re.search(pattern, text(browser)))
    except AssertionError:
        raise AssertionError(f"{browser.current_url} does not show {pattern!r} but:\n{text(browser)[:2000]}") from None


def press(browser, word):
    """Press the visible button of that name, as soon as it is there."""

    def pressed():
        return browser.execute_script(
            "const b = [...document.querySelectorAll('button')].find("
            "b => b.innerText.trim().toLowerCase() === arguments[0] && b.offsetParent && !b.disabled);"
            "if (b) b.click(); return Boolean(b)",
            word,
        )

    wait_for(pressed, f"a button {word!r} on {browser.current_url}")


def fill(browser, name, value):
    field = wait_for(lambda: browser.find_elements("name", name), f"a field {name}")[0]
    field.send_keys("\ue009a\ue000", str(value))  # Ctrl-A, then the value


def get(url):
    """The body of the answer; `url` may be a `Request`."""
    with urllib.request.urlopen(url, timeout=30) as response:
        return response.read().decode()


def answers(url):
    try:
        return get(url)
    except OSError:
        return None


def end(process, timeout_s=20):
    """SIGTERM to a process of ours and all below it, SIGKILL to what remains."""
    family = [*descendants(process), process] if process.poll() is None else []
    for member in reversed(family):
        with contextlib.suppress(psutil.NoSuchProcess):
            member.terminate()
    for member in family:
        try:
            member.wait(timeout_s)
        except (psutil.TimeoutExpired, subprocess.TimeoutExpired):
            member.kill()
    process.wait(timeout_s)


def spawn(arguments, log, cwd=ROOT, **env):
    with log.open("wb") as file:
        env = {**os.environ, "PYTHONUNBUFFERED": "1", **env}
        return subprocess.Popen(arguments, cwd=cwd, stdout=file, stderr=subprocess.STDOUT, env=env)


def line(process, log, pattern):
    """The pattern's group in what the process printed, as soon as it is there."""

    def found():
        assert process.poll() is None, f"it ended:\n{log.read_text()}"
        return re.search(pattern, log.read_text())

    return wait_for(found, f"{pattern!r} in {log}").group(1)
