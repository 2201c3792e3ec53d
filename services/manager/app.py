"""The manager's routes, documented at /docs."""

import time
from dataclasses import asdict, replace
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Path, Query, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel, ConfigDict, Field

from services import __version__
from services.door.guard import REFUSALS, Guard, documented_token
from services.door.health import Health
from services.door.wrong_input import WRONG_INPUT, answer_wrong_input
from services.exposition import exposed
from services.manager.answers import Decisions, Events, Failed, Scaled, Status
from services.manager.control import Control
from services.manager.engines import Engine, EngineError
from services.manager.telemetry import Telemetry
from services.processes import StartError

HELD = 'the autoscaler is off, so that this number holds; PUT /autoscaler {"enabled": true} lets it decide again'

PathId = Annotated[str, Path(alias="id")]

TAGS = [
    {"name": "scaling", "description": "How many there are to be, and why"},
    {"name": "replicas", "description": "One of them"},
    {"name": "health", "description": "What others look at"},
]


class Scale(BaseModel):
    """A number of replicas."""

    model_config = ConfigDict(extra="forbid", strict=True)
    replicas: int = Field(ge=1, le=64)


class Autoscaler(BaseModel):
    """Whether the scaler decides, and between which bounds."""

    model_config = ConfigDict(extra="forbid", strict=True)
    enabled: bool | None = None
    min_replicas: int | None = Field(None, ge=1, le=64)
    max_replicas: int | None = Field(None, ge=1, le=64)


def build_app(control: Control, engine: Engine, scaler: str) -> FastAPI:
    """The application around the control loop; `scaler` is its name."""
    about = "Decides how many replicas there are, and says why."
    app = FastAPIOffline(title="Aegis manager", version=__version__, description=about, openapi_tags=TAGS)
    answer_wrong_input(app)
    app.add_middleware(Guard)
    failing: dict[int | str, dict[str, Any]] = {
        502: {"description": "What runs the replicas does not do it", "model": Failed}
    }
    fixed: dict[int | str, dict[str, Any]] = {
        409: {"description": "This manager only recommends", "model": Failed}
    }
    token, answers = documented_token(), REFUSALS | WRONG_INPUT | failing
    telemetry = Telemetry(control)

    @app.exception_handler(EngineError)
    async def engine_failed(_: Request, error: EngineError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 502)

    def refuse_where_fixed() -> None:
        """Refuse what nothing would follow."""
        if not engine.acts:
            raise HTTPException(409, "this manager only recommends (--engine fixed): start it with one that scales")

    async def status() -> dict[str, Any]:
        running = await control.replicas()
        return {
            "monotonic_s": time.monotonic(),
            "desired": control.desired,
            "ready": sum(r.state == "running" for r in running),
            "scaler": scaler,
            "acts": engine.acts,
            "autoscaler": control.enabled,
            "self_heal": control.limits.settings.self_heal,
            "min_replicas": control.limits.settings.min_replicas,
            "max_replicas": control.limits.settings.max_replicas,
            "first_start_s": control.first_start_s,
            "replicas": [asdict(r) for r in running],
        }

    @app.get("/healthz", tags=["health"])
    async def healthz() -> Health:
        """The process lives."""
        return Health(status="ok")

    @app.get("/readyz", tags=["health"])
    async def readyz() -> Health:
        """The first replicas run: the manager listens only then."""
        return Health(status="ready")

    @app.get("/metrics", response_class=PlainTextResponse, tags=["health"])
    async def metrics(request: Request) -> Response:
        """Prometheus' text format, or OpenMetrics' where it is asked for."""
        try:
            telemetry.look_at(await engine.running())
        except EngineError:
            telemetry.look_at(None)
        body, content_type = exposed(telemetry.registry, request.headers.get("accept"))
        return Response(body, media_type=content_type)

    @app.get("/status", response_model=Status, responses=failing, tags=["scaling"])
    async def get_status() -> dict[str, Any]:
        """What is wanted, what there is, and the replicas with id, url and pid."""
        return await status()

    @app.get("/decisions", response_model=Decisions, responses=WRONG_INPUT, tags=["scaling"])
    async def decisions(since: Annotated[int, Query(ge=0)] = 0) -> dict[str, Any]:
        """Every decision after number `since`, with its reason and the numbers behind it."""
        return control.decisions(since)

    @app.get("/events", response_model=Events, responses=WRONG_INPUT, tags=["replicas"])
    async def events(since: Annotated[int, Query(ge=0)] = 0) -> dict[str, Any]:
        """Which starts have failed and which replicas have ended by themselves, after number `since`."""
        return control.deciding.planning.events(since)

    @app.put("/scale", response_model=Scaled, dependencies=token, responses=answers | fixed, tags=["scaling"])
    async def scale(body: Scale) -> dict[str, Any]:
        """Set the number by hand; it holds until `PUT /autoscaler` with `enabled: true` releases it."""
        refuse_where_fixed()
        s = control.limits.settings
        if not s.min_replicas <= body.replicas <= s.max_replicas:
            raise HTTPException(422, f"replicas: must be between {s.min_replicas} and {s.max_replicas}")
        control.scale(body.replicas)
        return await status() | {"note": HELD}

    @app.put("/autoscaler", response_model=Status, dependencies=token, responses=answers, tags=["scaling"])
    async def autoscaler(body: Autoscaler) -> dict[str, Any]:
        """Switch the scaler on or off, or change its bounds; what is not given stays."""
        given = {k: v for k, v in body.model_dump().items() if v is not None and k != "enabled"}
        settings = replace(control.limits.settings, **given)
        try:
            settings.validate()
        except ValueError as error:
            raise HTTPException(422, str(error)) from error
        control.set_bounds(settings)
        if body.enabled is not None:
            control.enable(body.enabled)
        return await status()

    restarting: Any = {
        "response_model": Status,
        "dependencies": token,
        "responses": answers | fixed | {404: {"description": "There is none", "model": Failed}},
        "status_code": 202,
        "tags": ["replicas"],
    }

    @app.post("/replicas/{id}/restart", **restarting)
    async def restart(id_: PathId) -> dict[str, Any]:
        """End a replica in order if it lives, and start it again with the same id and address."""
        refuse_where_fixed()
        if id_ not in {r.id for r in await engine.running()}:
            raise HTTPException(404, f"no replica {id_}")
        try:
            await control.restart(id_)
        except StartError as error:
            raise HTTPException(502, str(error)) from error
        return await status()

    return app
