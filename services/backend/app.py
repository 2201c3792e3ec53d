"""The replica's routes, documented at /docs."""

from typing import Annotated, Any

from fastapi import Body, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from fastapi_offline import FastAPIOffline
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from services.backend import faults
from services.backend.replica import Replica
from services.door.guard import REFUSALS, Guard, documented_token
from services.door.wrong_input import WRONG_INPUT, answer_wrong_input

FAULTS = "Faults by kind, each with its parameters: " + "; ".join(
    f"`{kind}` ({', '.join(f'{name}={default}' for name, default in defaults.items()) or 'no parameters'})"
    for kind, defaults in faults.described().items()
)
REFUSE = "`refuse` without a second port, or with its port taken meanwhile"
SCHEMA: dict[str, Any] = {
    "properties": {
        kind: {
            "type": "object",
            "properties": {
                name: {"type": "number", "minimum": faults.BOUNDS[name][0], "maximum": faults.BOUNDS[name][1]}
                for name in parameters
            },
            "additionalProperties": False,
        }
        for kind, parameters in faults.PARAMETERS.items()
    },
    "additionalProperties": False,
}
"""What a `PUT /faults` may hold, as JSON Schema."""


def build_app(replica: Replica) -> FastAPI:
    """The application around `replica`."""
    app = FastAPIOffline(
        title="Aegis replica", description=f"Replica {replica.settings.id}: simulated work with faults to order."
    )

    answer_wrong_input(app)
    app.add_middleware(Guard, open_paths=("/work",))
    answers: dict[int | str, dict[str, Any]] = {
        422: {"description": "A header out of bounds"},
        503: {"description": "The queue is full"},
    }

    @app.get("/work", response_class=JSONResponse, responses=answers)
    @app.post("/work", response_class=JSONResponse, responses=answers, operation_id="post_work")
    async def work(request: Request) -> Response:
        """Spend the demand of `X-Aegis-Demand-Ms` (drawn without it) in a slot, behind the FIFO queue."""
        return await replica.work(request)

    @app.get("/probe")
    async def probe(request: Request) -> Response:
        """Requests here, requests in line, and the planned wait of one that came now."""
        return await replica.probe(request)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """The process lives."""
        return {"status": "ok"}

    @app.get("/readyz")
    async def readyz(request: Request) -> Response:
        """Work may be sent; 503 while draining, and as the faults say."""
        return await replica.readyz(request)

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Prometheus' text format."""
        return Response(generate_latest(replica.measured()), media_type=CONTENT_TYPE_LATEST)

    @app.get("/faults")
    async def get_faults() -> dict[str, dict[str, float]]:
        """The faults that are active."""
        return replica.faults

    refusals = REFUSALS | WRONG_INPUT | {409: {"description": REFUSE}}
    changing: Any = {"dependencies": documented_token(), "responses": refusals}

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
