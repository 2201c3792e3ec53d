"""How the FastAPI services answer wrong input: 422 with the place and the reason, never with the input itself."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel


class Wrong(BaseModel):
    """One thing that is wrong."""

    loc: list[str]
    """Where, from the outside in."""
    msg: str


class WrongInput(BaseModel):
    """What is wrong: with the input's form, a list; with its sense, one line."""

    detail: list[Wrong] | str


WRONG_INPUT: dict[int | str, dict[str, Any]] = {
    400: {"description": "The body is no text"},
    422: {"description": "Wrong input", "model": WrongInput},
}
"""The answers of a route that takes input, for the documentation."""


def answer_wrong_input(app: FastAPI) -> None:
    """Replace FastAPI's handler, which fails on what JSON has no text for (NaN, lone surrogates) in the input."""

    @app.exception_handler(RequestValidationError)
    async def handle(_: Request, error: RequestValidationError) -> JSONResponse:
        wrong = [Wrong(loc=[ascii(part) for part in e["loc"]], msg=ascii(e["msg"])[1:-1]) for e in error.errors()]
        return JSONResponse(WrongInput(detail=wrong).model_dump(), 422)
