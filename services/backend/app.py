"""The replica's routes, documented at /docs."""

from typing import Annotated, Any

from fastapi import Body, FastAPI, Header, HTTPException, Request
from fastapi.responses import JSONResponse, Response
from fastapi_offline import FastAPIOffline
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from services.access import is_authorized
from services.backend import faults
from services.backend.replica import Replica
from services.wrong_input import answer_wrong_input

FAULTS = "Faults by kind, each with its parameters: " + "; ".join(
    f"`{kind}` ({', '.join(f'{name}={value:g}' for name, value in parameters.items()) or 'no parameters'})"
    for kind, parameters in faults.PARAMETERS.items()
)


def build_app(replica: Replica) -> FastAPI:
    """The application around `replica`."""
    app = FastAPIOffline(
        title="Aegis replica", description=f"Replica {replica.settings.id}: simulated work with faults to order."
    )

    answer_wrong_input(app)

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

    @app.get("/metrics")
    async def metrics() -> Response:
        """Prometheus' text format."""
        replica.telemetry.in_flight.set(replica.in_flight)
        return Response(generate_latest(replica.telemetry.registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/faults")
    async def get_faults() -> dict[str, dict[str, float]]:
        """The faults that are active."""
        return replica.faults

    @app.put("/faults", description=f"Make this the whole set of active faults. {FAULTS}.")
    async def put_faults(
        body: Annotated[dict[str, Any], Body(examples=[{"slow": {"factor": 5}}])],
        authorization: Annotated[str | None, Header()] = None,
    ) -> dict[str, dict[str, float]]:
        return await change(body, authorization)

    @app.delete("/faults")
    async def delete_faults(authorization: Annotated[str | None, Header()] = None) -> dict[str, dict[str, float]]:
        """Heal everything."""
        return await change({}, authorization)

    async def change(body: dict[str, Any], authorization: str | None) -> dict[str, dict[str, float]]:
        if not is_authorized(authorization):
            raise HTTPException(401, "a bearer token is needed (AEGIS_ADMIN_TOKEN)")
        try:
            await replica.set_faults(faults.parse(body))
        except ValueError as error:
            raise HTTPException(409 if str(error).startswith("refuse:") else 422, ascii(str(error))[1:-1]) from error
        return replica.faults

    return app
