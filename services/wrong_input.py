"""How the FastAPI services answer wrong input: 422 with the place and the reason, never with the input itself."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse


def answer_wrong_input(app: FastAPI) -> None:
    """Replace FastAPI's handler, which fails on what JSON has no text for (NaN, lone surrogates) in the input."""

    @app.exception_handler(RequestValidationError)
    async def handle(_: Request, error: RequestValidationError) -> JSONResponse:
        detail = [{"loc": [ascii(part) for part in e["loc"]], "msg": ascii(e["msg"])[1:-1]} for e in error.errors()]
        return JSONResponse({"detail": detail}, 422)
