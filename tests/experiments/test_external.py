"""A system under test that is not of Aegis: which configurations are refused, what is asked, who is compared."""

import pytest

from experiments.compare_urls import WordError, sweep_of
from experiments.load.asking import Asking
from experiments.plan.check import check
from experiments.plan.config import Config, ConfigError
from experiments.plan.external import address_of
from experiments.plan.fault_plan import Fault
from experiments.plan.headers import read_headers
from experiments.plan.inputs import inputs_of
from tests.experiments.test_config import planned

URL = "http://127.0.0.1:8000"
OUTSIDE = ["+scenario=routed", "router=external", f"router.url={URL}"]


def configured(**keys):
    """A checked configuration; `router__url` is `router.url`. Composing takes a hundred times as long."""
    config = Config(policy={"name": "random"}, scaler={"name": "none"})
    for key, value in ({"router__url": URL, "replicas": 0} | keys).items():
        node = config
        *parents, name = key.split("__")
        for parent in parents:
            node = getattr(node, parent)
        setattr(node, name, value)
    return config


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"router__url": ""}, "router.url=: must be the address of what runs, as router.url=http://127.0.0.1:8000"),
        ({"router__url": "127.0.0.1:8000"}, "router.url=127.0.0.1:8000: must be the address"),
        ({"router__url": "http://127.0.0.1:99999"}, "router.url=http://127.0.0.1:99999: must be the address"),
        ({"router__url": "http://127.0.0.1:0"}, "router.url=http://127.0.0.1:0: must be the address"),
        ({"router__url": "http://127.0.0.1:8000\r\nX: y"}, "must be the address"),
        ({"router__url": "https://127.0.0.1"}, "TLS is not spoken"),
        ({"router__url": "http://localhost/a?b=1"}, "load.path=/a?b=1"),
        ({"router__url": "http://10.0.0.1:80"}, "add load.allow_external=true if it is yours"),
        ({"router__url": "http://shop.example"}, "add load.allow_external=true if it is yours"),
        ({"engine__name": "sim"}, "engine=sim cannot measure it; take engine=local"),
        ({"engine__name": "compose"}, "engine=compose cannot measure it; take engine=local"),
        ({"replicas": 4}, "replicas=4: needs router.replica_port"),
        ({"router__replica_port": 9001}, "router.replica_port=9001: must be left out with replicas=0"),
        ({"replicas": 4, "router__replica_port": 65_534}, "replicas=4: must be at most 2"),
        ({"router__ports": [0]}, "router.ports=[0]: must be numbers between 1 and 65535"),
        ({"router__retry__max_attempts": 1}, "router.retry.max_attempts=1: is of Aegis' own router"),
        ({"scaler": {"name": "target_tracking"}}, "scaler=target_tracking: must be none"),
        ({"load__ui": True}, "load.ui=True: must be false"),
        ({"ledger": "always"}, "ledger=always: must be auto or never"),
        ({"counterfactual": "always"}, "counterfactual=always: must be auto or never"),
        ({"tier__replicas": 2}, "tier.replicas=2: must be 0 with replicas=0"),
        ({"load__path": "search"}, "load.path=search: must be a path that begins with /"),
        ({"load__path": "/a b"}, "load.path=/a b: must be a path"),
        ({"load__headers_file": "/no/such"}, "load.headers_file=/no/such: cannot be read (No such file"),
        ({"load__body_file": "/no/such"}, "load.body_file=/no/such: cannot be read (No such file"),
        ({"faults": [Fault(5, "kill", "r1")]}, "faults[0].action=kill: with replicas=0 there is nobody to hit"),
        ({"faults": [Fault(5, "slow", "all")]}, "faults[0].action=slow: with replicas=0 there is nobody to hit"),
        ({"random_faults__count": 1}, "random_faults.count=1: with replicas=0 there is nobody to hit"),
        (
            {"replicas": 2, "router__replica_port": 9001, "faults": [Fault(5, "partition", "r1")]},
            "partition happens between Aegis' router and replicas; take router=default",
        ),
        ({"router__url": None, "replicas": 4, "load__path": "/x"}, "load.path=/x: goes with router=external"),
        ({"router__url": None, "replicas": 4, "router__ports": [5]}, "router.ports=[5]: goes with router=external"),
        ({"router__url": None}, "replicas=0: must be between 1 and 64"),
    ],
    ids=str,
)
def test_what_cannot_be_measured_is_one_line_with_the_way_out(keys, said):
    with pytest.raises(ConfigError) as caught:
        check(configured(**keys))
    assert said in str(caught.value) and "\n" not in str(caught.value), str(caught.value)


def test_files_of_the_load_are_those_of_where_the_command_was_typed_and_no_secret_is_hashed(tmp_path, monkeypatch):
    (tmp_path / "headers").write_text("X-Own: 1\n")
    (tmp_path / "body").write_text("bought")
    monkeypatch.chdir(tmp_path)
    plan = planned(*OUTSIDE, "load.headers_file=headers", "load.body_file=body")
    monkeypatch.chdir("/")
    assert plan.config.load.headers_file == plan.resolved["load"]["headers_file"] == str(tmp_path / "headers")
    assert plan.resolved["load"]["body_file"] == str(tmp_path / "body")
    (told,) = inputs_of(plan.config)
    assert (told["key"], told["file"], told["bytes"]) == ("load.body_file", str(tmp_path / "body"), 6)


def test_what_is_yours_may_be_anywhere():
    assert check(configured(router__url="http://shop.example", load__allow_external=True)) == []


@pytest.mark.parametrize(
    "url",
    [
        "http://me:secret@localhost", "https://me:secret@localhost", "http://me:secret@localhost:99999",
        "ftp://me:secret@localhost", "http://me:sec ret@localhost", "http://me:secret/1@localhost",
    ],
)  # fmt: skip
def test_credentials_are_repeated_nowhere_whatever_else_is_wrong(url):
    with pytest.raises(ConfigError) as caught:
        check(configured(router__url=url))
    assert "sec" not in str(caught.value) and "load.headers_file" in str(caught.value)
    with pytest.raises(WordError) as told:  # before the sweep is printed
        sweep_of([url.replace("ftp", "http"), "http://127.0.0.1:8002"], 5)
    assert "sec" not in str(told.value) and "load.headers_file" in str(told.value)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:8000/", ("127.0.0.1", 8000)),
        ("http://localhost", ("localhost", 80)),
        ("http://[::1]:81", ("::1", 81)),
    ],
)
def test_an_address_has_a_host_and_a_port(url, address):
    assert address_of(url) == address
    assert check(configured(router__url=url)) == []


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault(5, "command"), "faults[0].inject: must be a line for the shell"),
        (Fault(5, "command", "r1", inject="true"), "faults[0].target=r1: command takes system, or none"),
        (Fault(5, "command", inject="true", heal=" "), "faults[0].heal: must be a line"),
        (Fault(5, "command", inject="true", for_s=3), "faults[0].for_s=3: needs heal"),
        (Fault(5, "command", inject="true", heal="true", for_s=99), "faults[0].for_s=99: must be above 0 and end by"),
        (Fault(50, "command", inject="true"), "faults[0].at_s=50: must be within the run"),
        (Fault(5, "command", inject="true", within_s=0), "faults[0].within_s=0: must be above 0"),
        (Fault(5, "command", inject="true", factor=2), "faults[0].factor: command takes inject, heal, within_s"),
    ],
    ids=str,
)
def test_a_command_that_is_not_whole_is_refused(fault, said):
    with pytest.raises(ConfigError) as caught:
        check(configured(faults=[fault]))
    assert said in str(caught.value)


def test_a_command_hits_the_system_at_any_time_and_only_a_real_one():
    both = [Fault(5, "command", inject="a", heal="b", for_s=5), Fault(7, "command", inject="c", within_s=2.0)]
    planned_faults = check(configured(faults=both))
    assert [(f.target, f.waits, f.is_on_replica) for f in planned_faults] == [("system", False, False)] * 2
    assert planned_faults[0].as_dict() == {
        "at_s": 5, "action": "command", "target": "system", "for_s": 5, "inject": "a", "heal": "b"
    }  # fmt: skip
    assert planned_faults[1].full_parameters == {"within_s": 2.0} and planned_faults[0].parameters == {}
    with pytest.raises(ConfigError, match="engine=sim runs no command; take engine=local"):
        check(configured(router__url=None, replicas=4, engine__name="sim", faults=both))
    with pytest.raises(ConfigError, match=r"faults\[0\]\.heal: goes with action: command"):
        check(configured(router__url=None, replicas=4, faults=[Fault(5, "kill", "r1", heal="x")]))


def test_a_scenarios_replicas_are_there_only_where_the_proxy_can_know_them():
    alone = planned(*OUTSIDE)
    assert alone.config.replicas == alone.resolved["replicas"] == 0 and "replicas=0 instead of 4" in alone.notes[0]
    assert alone.primary == "latency_p99_ms"
    behind = planned(*OUTSIDE, "router.replica_port=9001")
    assert behind.config.replicas == 4 and behind.notes == ()
    with pytest.raises(ConfigError, match=r"replicas=4: needs router\.replica_port"):
        planned(*OUTSIDE, "replicas=4")
    with pytest.raises(ConfigError, match=r"workload\.utilisation=0\.5: must be left out with replicas=0"):
        planned(*OUTSIDE, "workload.utilisation=0.5")
    with pytest.raises(ConfigError, match="policy: is of Aegis' own router"):
        planned(*OUTSIDE, "policy=round_robin")


def test_headers_come_from_a_file_and_what_is_wrong_with_it_shows_no_value(tmp_path):
    path = tmp_path / "headers"
    path.write_text("# mine\r\nAuthorization: Bearer s3cret\r\n\r\nHost: shop.example\n", encoding="utf-8")
    assert read_headers(str(path)) == [("Authorization", "Bearer s3cret"), ("Host", "shop.example")]
    for text, said in (
        ("s3cret", "line 1 is no header"),
        ("A: b\nCookie s3cret", "line 2 is no header"),
        ("A : s3cret", "line 1 is no header"),
        ("A: s3cret\x00", "line 1 is no header"),
        ("content-length: 5", "line 1: content-length is set by the generator"),
        ("X-Aegis-Key: s3cret", "line 1: X-Aegis-Key is set by the generator"),
        ("A: " + "s" * 20_000, "at most 16,384"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=said) as caught:
            read_headers(str(path))
        assert "s3cret" not in str(caught.value)


def test_a_path_has_the_requests_own_number_and_key():
    asking = Asking(path="/items/{key}?n={id}")
    assert not asking.is_one_path and asking.path_of(7, "a/b c") == "/items/a%2Fb%20c?n=7"
    assert Asking().is_one_path
    assert Asking(headers=[("host", "shop.example"), ("X", "1")]).head_of("127.0.0.1:80") == (
        "User-Agent: aegis\r\nhost: shop.example\r\nX: 1\r\n"
    )


def test_a_file_is_the_body_of_every_post_and_else_its_size_is_the_requests_own(tmp_path):
    path = tmp_path / "body"
    path.write_bytes(b'{"q": 1}')
    told, zeros = Asking.of({"body_file": str(path)}, 3), Asking.of({}, 3)
    assert told.rest_of("POST", None) == told.rest_of("POST", 99) == b'Content-Length: 8\r\n\r\n{"q": 1}'
    assert zeros.rest_of("POST", None) == b"Content-Length: 3\r\n\r\n\0\0\0"
    assert zeros.rest_of("POST", 1) == b"Content-Length: 1\r\n\r\n\0" and zeros.rest_of("GET", 1) == b"\r\n"


def test_two_addresses_are_the_arms_of_a_sweep_whose_seeds_come_first():
    two = ["http://127.0.0.1:8001", "http://127.0.0.1:8002"]
    arms = ["router=external", f"router.url={two[0]},{two[1]}"]
    assert sweep_of(two, 5) == ["-m", "+scenario=routed", "seed=range(1,6)", *arms]
    assert sweep_of([*two, "seed=1,2", "+scenario=overload"], 5) == ["-m", *arms, "seed=1,2", "+scenario=overload"]
    six = ["http://[::1]:8001", two[1]]
    assert sweep_of(six, 5)[-1] == f'router.url="{six[0]}",{six[1]}'  # as Hydra's grammar wants brackets
    until = "repeat.until_ratio_ci=0.1"
    assert sweep_of([*two, until], 5) == ["-m", "+scenario=routed", *arms, until]
    for words, said in (
        (two[:1], "two addresses or more"),
        ([two[0], two[0]], "two addresses or more, all different"),
        ([*two, "localhost:9"], "localhost:9: is neither an address"),
        ([*two, "router.url=x"], "router.url: the arms are the addresses"),
    ):
        with pytest.raises(WordError, match=said):
            sweep_of(words, 5)
