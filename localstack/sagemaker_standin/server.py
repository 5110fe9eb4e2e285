"""The HTTP side of the stand-in: which request goes to which API."""

from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sagemaker_standin.aws import AwsError, json_error, rest_json_error
from sagemaker_standin.control_api import control
from sagemaker_standin.runtime_api import MAX_BODY_BYTES, invoke_endpoint
from sagemaker_standin.service import Service
from tidegauge.domain.errors import InvalidInput


def create_app(service: Service) -> Starlette:
    """Return the application that answers for a service."""

    async def ping(_request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def invocations(request: Request) -> Response:
        body = await _body_of(request)
        try:
            return await run_in_threadpool(
                invoke_endpoint,
                service,
                request.path_params["name"],
                headers=request.headers,
                body=body,
            )
        except AwsError as error:
            return rest_json_error(error)

    async def operation(request: Request) -> Response:
        body = await _body_of(request)
        try:
            return await run_in_threadpool(control, service, headers=request.headers, body=body)
        except AwsError as error:
            return json_error(error)

    return Starlette(
        routes=[
            Route("/ping", ping),
            Route("/endpoints/{name}/invocations", invocations, methods=["POST"]),
            Route("/_standin/faults", _faults_of(service), methods=["GET", "PUT", "DELETE"]),
            Route("/", operation, methods=["POST"]),
        ]
    )


def _faults_of(service: Service) -> Callable[[Request], Awaitable[Response]]:
    """Return what adds, tells and forgets the faults that tests ask for."""

    async def faults(request: Request) -> Response:
        try:
            if request.method == "PUT":
                service.faults.add(await _body_of(request))
            elif request.method == "DELETE":
                service.faults.clear()
        except InvalidInput as error:
            return JSONResponse({"message": str(error)}, status_code=400)
        return JSONResponse({"faults": service.faults.told()})

    return faults


async def _body_of(request: Request) -> bytes:
    """Read the body; what lies more than a byte behind the limit is read and thrown away."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk[: MAX_BODY_BYTES + 1 - len(body)]
    return bytes(body)
