"""The replica's routes, documented at /docs."""

from typing import Annotated, Any

from fastapi import Body, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from fastapi_offline import FastAPIOffline

from services import __version__
from services.backend import faults
from services.backend.answers import Load, Readiness, Refused, Worked
from services.backend.replica import Replica
from services.door.guard import REFUSALS, Guard, documented_token
from services.door.health import Health
from services.door.wrong_input import WRONG_INPUT, answer_wrong_input
from services.exposition import exposed

FAULTS = "Faults by kind, each with its parameters: " + "; ".join(
    f"`{kind}` ({', '.join(f'{name}={default}' for name, default in defaults.items()) or 'no parameters'})"
    for kind, defaults in faults.described().items()
)
REFUSE = "`refuse` without a second port, or with its port taken meanwhile"
ONE_SPREAD: dict[str, Any] = {
    "anyOf": [
        {"properties": {"tail_index": {"const": 0}}},
        {"properties": {"sigma": {"const": 0}, "tail_index": {"exclusiveMinimum": 1}}},
    ]
}
"""Of `latency`: lognormal or a Pareto, and one that has a mean."""
SCHEMA: dict[str, Any] = {
    "properties": {
        kind: {
            "type": "object",
            "properties": {
                name: {"type": "number", "minimum": faults.BOUNDS[name][0], "maximum": faults.BOUNDS[name][1]}
                for name in parameters
            },
            "additionalProperties": False,
            **(ONE_SPREAD if kind == "latency" else {}),
        }
        for kind, parameters in faults.PARAMETERS.items()
    },
    "additionalProperties": False,
}
"""What a `PUT /faults` may hold, as JSON Schema."""


TAGS = [
    {"name": "work", "description": "What a replica is for"},
    {"name": "faults", "description": "How it fails"},
    {"name": "health", "description": "What others look at"},
]


def build_app(replica: Replica) -> FastAPI:
    """The application around `replica`."""
    about = f"Replica {replica.settings.id}: simulated work with faults to order."
    app = FastAPIOffline(title="Aegis replica", version=__version__, description=about, openapi_tags=TAGS)

    answer_wrong_input(app)
    app.add_middleware(Guard, open_paths=("/work",))
    answers: dict[int | str, dict[str, Any]] = {
        422: {"description": "A header out of bounds", "model": Refused},
        503: {"description": "The queue is full", "model": Refused},
    }
    working: Any = {"response_class": JSONResponse, "response_model": Worked, "responses": answers, "tags": ["work"]}

    @app.get("/work", **working)
    @app.post("/work", **working, operation_id="post_work")
    async def work(request: Request) -> Response:
        """Spend the demand of `X-Aegis-Demand-Ms` (drawn without it) in a slot, behind the FIFO queue."""
        return await replica.work(request)

    @app.get("/probe", response_model=Load, tags=["work"])
    async def probe(request: Request) -> Response:
        """Requests here, requests in line, and the planned wait of one that came now."""
        return await replica.probe(request)

    @app.get("/healthz", tags=["health"])
    async def healthz() -> Health:
        """The process lives."""
        return Health(status="ok")

    draining: dict[int | str, dict[str, Any]] = {503: {"description": "No work, please", "model": Readiness}}

    @app.get("/readyz", response_model=Readiness, responses=draining, tags=["health"])
    async def readyz(request: Request) -> Response:
        """Work may be sent; 503 while draining, and as the faults say."""
        return await replica.readyz(request)

    @app.get("/metrics", response_class=PlainTextResponse, tags=["health"])
    async def metrics(request: Request) -> Response:
        """Prometheus' text format, or OpenMetrics' where it is asked for."""
        body, content_type = exposed(replica.measured(), request.headers.get("accept"))
        return Response(body, media_type=content_type)

    @app.get("/faults", tags=["faults"])
    async def get_faults() -> dict[str, dict[str, float]]:
        """The faults that are active."""
        return replica.faults

    refusals = REFUSALS | WRONG_INPUT | {409: {"description": REFUSE}}
    changing: Any = {"dependencies": documented_token(), "responses": refusals, "tags": ["faults"]}

    @app.put("/faults", description=f"Make this the whole set of active faults. {FAULTS}.", **changing)
    async def put_faults(
        body: Annotated[dict[str, Any], Body(json_schema_extra=SCHEMA, examples=[{"slow": {"factor": 5}}])],
    ) -> dict[str, dict[str, float]]:
        return await change(body)

    @app.delete("/faults", **changing)
    async def delete_faults() -> dict[str, dict[str, float]]:
        """Heal everything."""
        return await change({})

    async def change(body: dict[str, Any]) -> dict[str, dict[str, float]]:
        try:
            await replica.set_faults(faults.parse(body))
        except ValueError as error:
            raise HTTPException(409 if str(error).startswith("refuse:") else 422, ascii(str(error))[1:-1]) from error
        return replica.faults

    return app
