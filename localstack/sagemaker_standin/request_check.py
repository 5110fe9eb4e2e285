"""Holds requests against the service model that botocore ships: AWS's own word on its shapes.

Takes an operation and a request as it came over the wire, raises what SageMaker would answer.
Members that the model does not know are passed over, as AWS does.
"""

import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any

import botocore.session
from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape

from sagemaker_standin.aws import AwsError, Code, validation

_KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "boolean": (bool,),
    "timestamp": (int, float),
}


@functools.cache
def operation_model(operation: str) -> OperationModel:
    """Return one of SageMaker's operations as botocore describes it."""
    session = botocore.session.get_session()
    return session.get_service_model("sagemaker").operation_model(operation)


def check_request(operation: str, request: Mapping[str, Any]) -> None:
    """Refuse a request that does not fit the operation's input.

    Raises:
        AwsError: SerializationException for a value of another type, ValidationException for
            a member that is missing or breaks its own rule, each named.
    """
    shape = operation_model(operation).input_shape
    faults = list(_faults(request, shape, "")) if shape else []
    if faults:
        number = f"{len(faults)} validation error{'s' if len(faults) > 1 else ''} detected"
        msg = f"{number}: {'; '.join(faults)}"
        raise validation(msg)


def told_members(operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a creating request the describing operation tells again."""
    shape = operation_model(operation).output_shape
    members = shape.members if shape else {}
    return {name: value for name, value in request.items() if name in members}


def _faults(value: object, shape: Shape, path: str) -> Iterator[str]:
    if isinstance(shape, StructureShape):
        yield from _structure_faults(value, shape, path)
    elif isinstance(shape, ListShape):
        for number, element in enumerate(_typed(value, list, path), start=1):
            yield from _faults(element, shape.member, f"{path}.{number}.member")
        yield from _size_faults(value, shape, path)
    elif isinstance(shape, MapShape):
        for key, element in _typed(value, dict, path).items():
            yield from _faults(key, shape.key, path)
            yield from _faults(element, shape.value, f"{path}.{key}")
        yield from _size_faults(value, shape, path)
    else:
        yield from _plain_faults(value, shape, path)


def _structure_faults(value: object, shape: StructureShape, path: str) -> Iterator[str]:
    members = _typed(value, dict, path or "request")
    for name, member in shape.members.items():
        at = f"{path}.{name}" if path else name
        # A member that is null is one that is not there.
        if members.get(name) is not None:
            yield from _faults(members[name], member, at)
        elif name in shape.required_members:
            yield _fault("null", at, "not be null")


def _plain_faults(value: object, shape: Shape, path: str) -> Iterator[str]:
    kinds = _KINDS.get(shape.type_name)
    if kinds and (not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)):
        msg = f"{path}: {value!r} is no {shape.type_name}"
        raise AwsError(Code.SERIALIZATION, msg)
    enum = shape.metadata.get("enum")
    if enum and value not in enum:
        yield _fault(value, path, f"satisfy enum value set: [{', '.join(enum)}]")
    pattern = _pattern(shape.metadata.get("pattern", ""))
    if pattern and not pattern.fullmatch(str(value)):
        yield _fault(value, path, f"satisfy regular expression pattern: {pattern.pattern}")
    yield from _size_faults(value, shape, path)


def _size_faults(value: Any, shape: Shape, path: str) -> Iterator[str]:
    size = value if isinstance(value, int | float) else len(value)
    what = "value" if isinstance(value, int | float) else "length"
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and size < least:
        yield _fault(value, path, f"have {what} greater than or equal to {least}")
    if most is not None and size > most:
        yield _fault(value, path, f"have {what} less than or equal to {most}")


def _typed(value: object, kind: type, path: str) -> Any:
    if not isinstance(value, kind):
        msg = f"{path}: expected a {'structure' if kind is dict else 'list'}"
        raise AwsError(Code.SERIALIZATION, msg)
    return value


@functools.cache
def _pattern(text: str) -> re.Pattern[str] | None:
    # Python's re has no \p{…} classes; what has them is a free text, such as a tag.
    return re.compile(text) if text and "\\p{" not in text else None


def _fault(value: object, path: str, rule: str) -> str:
    shown = value if value == "null" else f"'{value}'"
    member = path[:1].lower() + path[1:]
    return f"Value {shown} at '{member}' failed to satisfy constraint: Member must {rule}"
