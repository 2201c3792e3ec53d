"""What the admin port says of itself at `/openapi.json` (OpenAPI 3.1). Held against what it does by Schemathesis."""

from typing import Any

from services import __version__
from services.door.access import ID, TOKEN_VARIABLE
from services.door.gate import BODY_DEADLINE_S, MAX_BODY_BYTES
from services.router.accounts import COUNTED
from services.router.events import KINDS
from services.router.replica import STATES

Schema = dict[str, Any]
NUMBER: Schema = {"type": "number"}
COUNT: Schema = {"type": "integer", "minimum": 0}
TEXT: Schema = {"type": "string"}
TAGS = [
    {"name": "fleet", "description": "Who may be sent requests"},
    {"name": "seen", "description": "What was counted, and what happened"},
    {"name": "health", "description": "What others look at"},
]


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _object(properties: dict[str, Schema], *, optional: tuple[str, ...] = (), open_: bool = False) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": open_,
    }


def _list_of(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


URL: Schema = {
    "type": "string",
    "description": "http://host:port",
    "maxLength": 300,
    "examples": ["http://127.0.0.1:9001"],
}
SCHEMAS: dict[str, Schema] = {
    "Error": _object({"error": {"type": "string", "description": "One line"}}),
    "Status": _object({"status": TEXT}),
    "Replica": _object(
        {
            "id": TEXT,
            "url": TEXT,
            "admin_url": _or_null(TEXT),
            "weight": NUMBER,
            "state": {"enum": list(STATES)},
            "concurrency": _or_null(COUNT),
            "in_flight": COUNT,
            "in_flight_seconds_total": NUMBER,
            "work_seconds_total": NUMBER,
            "busy_seconds_total": {**NUMBER, "description": "Slot-seconds in use"},
            "cpu_seconds_total": {**_or_null(NUMBER), "description": "Of its process, as it last said"},
            "cpu_at_s": {**_or_null(NUMBER), "description": "When that was, on the router's clock"},
            "requests_total": COUNT,
            "failures_total": COUNT,
            "latency_ewma_ms": _or_null(NUMBER),
            "lease_remaining_s": _or_null(NUMBER),
        }
    ),
    "Replicas": _object({"replicas": _list_of(_ref("Replica"))}),
    "Change": _object(
        {
            "url": _or_null(URL),
            "admin_url": _or_null(URL),
            "weight": _or_null({"type": "number", "minimum": 0.001, "maximum": 1000}),
            "state": {"enum": ["ready", "draining", None]},
            "lease_s": _or_null({"type": "number", "minimum": 0.1, "maximum": 86_400}),
            "concurrency": _or_null({"type": "number", "minimum": 1, "maximum": 1e6}),
            "cpu_s": {
                **_or_null({"type": "number", "minimum": 0, "maximum": 1e12}),
                "description": "CPU seconds that its process has used",
            },
        },
        optional=("url", "admin_url", "weight", "state", "lease_s", "concurrency", "cpu_s"),
    ),
    "Stats": _object(
        {
            "monotonic_s": NUMBER,
            "unix_s": NUMBER,
            "policy": TEXT,
            "compiled": {"type": "boolean", "description": "Whether this is the form that `make fast` makes"},
            "began_s": NUMBER,
            "in_flight": COUNT,
            "waiting": {**COUNT, "description": "Requests in line for a free slot"},
            "attempts_limit": {**_or_null(COUNT), "description": "The most attempts under way for now"},
            "loop_lag_s": NUMBER,
            "loop_lag_worst_s": NUMBER,
            "loop_lag_seconds_total": NUMBER,
            "work_seconds_total": NUMBER,
            **{
                f"{name}_total": COUNT
                for name in (*COUNTED, "probes", "probes_unanswered")
            },
            "responses": {"type": "object", "additionalProperties": COUNT},
            "latencies_ms": {
                "type": "object",
                "additionalProperties": COUNT,
                "description": "Answers below 500 by the upper edge of their latency's bin, which is 2 % wide",
            },
            "picks": {
                "type": "object",
                "additionalProperties": COUNT,
                "description": "Attempts by why the policy picked their replica",
            },
            "replicas": _list_of(_ref("Replica")),
        }
    ),
    "Event": _object(
        {"seq": COUNT, "monotonic_s": NUMBER, "unix_s": NUMBER, "event": {"enum": list(KINDS)}, "replica": TEXT},
        open_=True,
    ),
    "Events": _object(
        {"events": _list_of(_ref("Event")), "next": {**COUNT, "description": "The number to ask with next"}}
    ),
    "TargetGroup": _object(
        {"targets": _list_of(TEXT), "labels": {"type": "object", "additionalProperties": TEXT}},
    ),
}


def _says(description: str, schema: Schema | None = None, kind: str = "application/json") -> dict[str, Any]:
    return {"description": description, **({"content": {kind: {"schema": schema}}} if schema is not None else {})}


ERROR = _ref("Error")
REFUSALS = {
    "401": _says("The bearer token is missing or wrong", ERROR),
    "403": _says("Without a token: a web page from elsewhere asks", ERROR),
    "429": _says("Too many changes that were refused; `Retry-After` says how long", ERROR),
}
UNKNOWN = {"404": _says("There is none", ERROR)}
TAKEN = {"409": _says("Another process, at another address, has this id now", ERROR)}
WRONG = {"422": _says("Wrong input", ERROR)}


def _reads(tag: str, summary: str, answer: Schema, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    responses = {"200": _says("It", answer), **more.pop("responses", {})}
    return {"get": {"tags": [tag], "summary": summary, "responses": responses, **more}}


def document(*, asks_for_token: bool) -> dict[str, Any]:
    """The document; `asks_for_token` says whether changes need one."""
    guarded: dict[str, Any] = {"security": [{"token": []}]} if asks_for_token else {}
    id_ = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "pattern": f"^{ID.pattern}$"}}
    since = {"name": "since", "in": "query", "schema": {**COUNT, "maximum": 10**18 - 1, "default": 0}}
    where = {"name": "url", "in": "query", "schema": URL, "description": "Only the replica at this address"}
    registered = _ref("Replica")
    one = _reads("fleet", "A replica", registered, responses=UNKNOWN)
    one["parameters"] = [id_]
    one["put"] = {
        "tags": ["fleet"],
        "summary": "Register a replica, renew its lease, or change it; what is not given stays",
        "requestBody": {"required": True, "content": {"application/json": {"schema": _ref("Change")}}},
        "responses": {
            "200": _says("It was known", registered),
            "201": _says("It is new", registered),
            **REFUSALS,
            **TAKEN,
            "413": _says(f"The body has more than {MAX_BODY_BYTES} bytes", TEXT, "text/plain"),
            "422": _says(f"Wrong input, or a body that did not come within {BODY_DEADLINE_S:g} s", ERROR),
        },
        **guarded,
    }
    one["delete"] = {
        "tags": ["fleet"],
        "summary": "Forget a replica",
        "parameters": [where],
        "responses": {"204": _says("It is gone"), **REFUSALS, **UNKNOWN, **TAKEN, **WRONG},
        **guarded,
    }
    metrics = _reads("health", "Prometheus' text format", TEXT)
    metrics["get"]["responses"]["200"] = _says("The metrics", TEXT, "text/plain")
    nobody = {"503": _says("No replica is in rotation, or the router drains", _ref("Status"))}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Aegis router, admin port", "version": __version__, "description": "The router's fleet."},
        "tags": TAGS,
        "paths": {
            "/replicas": _reads("fleet", "All replicas", _ref("Replicas")),
            "/replicas/{id}": one,
            "/stats": _reads("seen", "What was counted", _ref("Stats")),
            "/events": _reads(
                "seen", "What happened after number `since`", _ref("Events"), parameters=[since], responses=WRONG
            ),
            "/sd": _reads("seen", "The replicas, for Prometheus", _list_of(_ref("TargetGroup"))),
            "/healthz": _reads("health", "The process lives", _ref("Status")),
            "/readyz": _reads("health", "Whether requests can be served", _ref("Status"), responses=nobody),
            "/metrics": metrics,
        },
        "components": {
            "schemas": SCHEMAS,
            **(
                {"securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": TOKEN_VARIABLE}}}
                if asks_for_token
                else {}
            ),
        },
    }
