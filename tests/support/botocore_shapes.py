"""Holds values against the service models that botocore ships: AWS's own word on its shapes."""

import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any

import botocore.session
from botocore.model import ListShape, OperationModel, Shape, StructureShape
from botocore.validate import ParamValidator

_KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "boolean": (bool,),
    "timestamp": (datetime, int, float),
}


@cache
def operation_model(service: str, operation: str) -> OperationModel:
    """Return an operation as botocore describes it."""
    session = botocore.session.get_session()
    return session.get_service_model(service).operation_model(operation)


def request_problems(service: str, operation: str, request: Mapping[str, Any]) -> str:
    """Return what botocore would refuse in a request before sending it; empty if nothing."""
    shape = operation_model(service, operation).input_shape
    assert shape is not None
    report = ParamValidator().validate(dict(request), shape)
    return str(report.generate_report())


def answer_problems(value: object, shape: Shape, path: str = "") -> list[str]:
    """Return where a value from the wire, or parsed, does not fit a shape."""
    if isinstance(shape, StructureShape):
        return _structure_problems(value, shape, path)
    if isinstance(shape, ListShape):
        if not isinstance(value, list):
            return [f"{path}: not a list"]
        return [
            problem
            for index, element in enumerate(value)
            for problem in answer_problems(element, shape.member, f"{path}[{index}]")
        ]
    kinds = _KINDS.get(shape.type_name)
    if kinds and not isinstance(value, kinds):
        return [f"{path}: {value!r} is no {shape.type_name}"]
    return _text_problems(value, shape, path) if isinstance(value, str) else []


def _structure_problems(value: object, shape: StructureShape, path: str) -> list[str]:
    if not isinstance(value, Mapping):
        return [f"{path}: not a structure"]
    problems = [f"{path}.{name}: unknown" for name in value if name not in shape.members]
    problems += [f"{path}.{name}: missing" for name in shape.required_members if name not in value]
    for name, member in shape.members.items():
        if name in value:
            problems += answer_problems(value[name], member, f"{path}.{name}")
    return problems


def _text_problems(value: str, shape: Shape, path: str) -> list[str]:
    problems = []
    rules = shape.metadata
    # Python's re has no \p{…} classes; such patterns allow all that we write.
    pattern = rules.get("pattern", "")
    if pattern and "\\p{" not in pattern and not re.fullmatch(pattern, value):
        problems.append(f"{path}: {value!r} does not match {pattern}")
    if not rules.get("min", 0) <= len(value) <= rules.get("max", len(value)):
        problems.append(f"{path}: {len(value)} characters")
    if rules.get("enum") and value not in rules["enum"]:
        problems.append(f"{path}: {value!r} is none of {rules['enum']}")
    return problems
