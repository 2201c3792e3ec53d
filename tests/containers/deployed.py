"""What is asked of every deployment: requests through it while it is scaled and hurt; none may be lost."""

import json
import threading
import urllib.error
import urllib.request

from tests.running import wait_for

EVERY_S = 0.04


class Light:
    """A few light requests a second, one after another, until it is left; keeps what did not succeed."""

    def __init__(self, url):
        self.url = url
        self.sent = 0
        self.lost = []
        self.answered_by = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _run(self):
        while not self._stop.wait(EVERY_S):
            self.sent += 1
            request = urllib.request.Request(f"{self.url}/work", headers={"X-Aegis-Demand-Ms": "5"})
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    self.answered_by.add(answer.headers["X-Aegis-Replica"])
            except OSError as error:
                self.lost.append(f"{error} {getattr(error, 'headers', '')}")


def fetch(url, body=None, token=None):
    """The status of the answer, and its JSON."""
    request = urllib.request.Request(url, method="GET" if body is None else "PUT")
    request.add_header("Content-Type", "application/json")
    if token is not None:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, None if body is None else json.dumps(body).encode(), timeout=10) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def seen(url):
    """The JSON that it answers; None as long as nobody does."""
    try:
        return fetch(url)[1]
    except OSError:
        return None


def answers(url):
    """Whether a request is served."""
    try:
        with urllib.request.urlopen(f"{url}/work", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def scaled_and_hurt(url, manager, token, replicas, kill_one, is_out):
    """Scale from 2 to 5, kill one and see it out and replaced, and back to 2, under light requests; none is lost.

    `replicas` returns the states that the router sees by id; `kill_one` kills a replica's container and returns its
    id; `is_out` says whether it was taken out of rotation since.
    """

    def ready(count):
        states = list(replicas().values())
        return states.count("ready") == count and len(states) == count

    wait_for(lambda: ready(2), "two replicas ready")
    wait_for(lambda: seen(f"{manager}/status"), "the manager up")
    assert fetch(f"{manager}/scale", {"replicas": 5})[0] == 401
    assert fetch(f"{manager}/autoscaler", {"enabled": False}, token)[0] == 200
    with Light(url) as light:
        assert fetch(f"{manager}/scale", {"replicas": 5}, token)[0] == 200
        wait_for(lambda: ready(5), "five replicas ready")
        wait_for(lambda: len(light.answered_by) == 5, "all five answer")
        killed = kill_one()
        wait_for(lambda: is_out(killed), f"{killed} out of rotation")
        wait_for(lambda: ready(5), f"{killed} replaced")
        assert fetch(f"{manager}/scale", {"replicas": 2}, token)[0] == 200
        wait_for(lambda: ready(2), "two replicas left")
        enough = light.sent + 25
        wait_for(lambda: light.sent >= enough, "requests after it")
    assert light.lost == [], f"{len(light.lost)} of {light.sent} lost"
    assert light.sent >= 100
    status, found = fetch(f"{manager}/status")
    assert status == 200 and found["desired"] == 2


def until_gone(docker, label):
    """Nothing of the deployment is left."""

    def gone():
        containers = docker("ps", "--all", "--quiet", "--filter", f"label={label}")
        networks = docker("network", "ls", "--quiet", "--filter", f"label={label}")
        return not containers and not networks

    wait_for(gone, f"containers and networks of {label} removed")
