"""The HTTP side of the stand-in: which request goes to which API."""

from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sagemaker_standin.aws import AwsError, json_error, rest_json_error
from sagemaker_standin.control_api import control
from sagemaker_standin.endpoints import ModelFolder
from sagemaker_standin.runtime_api import MAX_BODY_BYTES, invoke_endpoint


def create_app(models: Path) -> Starlette:
    """Return the application that serves the models of a folder."""
    folder = ModelFolder(models)

    async def ping(_request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def invocations(request: Request) -> Response:
        body = await _body_of(request)
        try:
            return await run_in_threadpool(
                invoke_endpoint,
                folder,
                request.path_params["name"],
                headers=request.headers,
                body=body,
            )
        except AwsError as error:
            return rest_json_error(error)

    async def operation(request: Request) -> Response:
        body = await _body_of(request)
        try:
            return await run_in_threadpool(control, folder, headers=request.headers, body=body)
        except AwsError as error:
            return json_error(error)

    return Starlette(
        routes=[
            Route("/ping", ping),
            Route("/endpoints/{name}/invocations", invocations, methods=["POST"]),
            Route("/", operation, methods=["POST"]),
        ]
    )


async def _body_of(request: Request) -> bytes:
    """Read the body; what lies more than a byte behind the limit is read and thrown away."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk[: MAX_BODY_BYTES + 1 - len(body)]
    return bytes(body)
