"""From a JSON body to a typed request, or to one InvalidOptions that lists every fault with its JSON path; pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from flowscale.errors import InvalidOptions

MAX_FAULTS = 20
"""Faults listed in one answer: enough to mend a request, bounded for a hostile one."""

MAX_FAULTS_READ = 1000
"""With more faults than this none is listed: a body of 1 MiB can hold 100,000, and to read them out takes longer
than to find them, all in one step that nothing else can run beside."""


NEAR = 0.75
"""Likeness of names (difflib's ratio) from which on one is a slip of the other: `hight` is `height` (0.91); `preset` is
not `resize` (0.67)."""


class Strict(BaseModel):
    """Base of everything a client may send: camelCase names, no unknown keys, no coercion, no NaN or infinity."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        frozen=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,  # what stands under a field is what clients read of it
        validate_by_name=True,  # our own code names fields in Python's way; `parse` holds clients to the aliases
        validate_by_alias=True,
    )


RequestModel = TypeVar("RequestModel", bound=BaseModel)


def parse(model: type[RequestModel], body: bytes) -> RequestModel:
    """The body as `model`. Raises InvalidOptions, whose details name each fault as {"path", "message"}."""
    try:
        return model.model_validate_json(body, by_alias=True, by_name=False)
    except ValidationError as error:
        count = error.error_count()
        shown = _faults(model, error) if count <= MAX_FAULTS_READ else _too_many(count)
    first = shown[0]
    more = f" (and {count - 1} more, see details)" if 1 < count <= MAX_FAULTS_READ else ""
    where = "" if first["path"] == "$" else f"{first['path']}: "
    raise InvalidOptions(
        f"The request has options that cannot be used: {where}{first['message']}{more}.",
        details={"faults": shown},
    )


def json_path(location: Iterable[int | str]) -> str:
    """`("sources", 2, "start")` as `$.sources[2].start`. Names longer than 60 characters are cut."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part[:60]}" for part in location]
    return "$" + "".join(parts)


def _faults(model: type[BaseModel], error: ValidationError) -> list[dict[str, str]]:
    # Cut first: to look for the nearest name costs far more than to find the fault.
    details = error.errors(include_url=False, include_input=False)[:MAX_FAULTS]
    return [_fault(model, detail) for detail in details]


def _too_many(count: int) -> list[dict[str, str]]:
    return [{"path": "$", "message": f"the body has {count} faults, too many to list"}]


def _fault(model: type[BaseModel], detail: ErrorDetails) -> dict[str, str]:
    location = detail["loc"]
    kind = detail["type"]
    message = detail["msg"]
    if kind == "extra_forbidden":
        message = "unknown option" + _hint(str(location[-1]), _names_at(model, location[:-1]))
    elif kind == "json_invalid":
        message = f"the body is not valid JSON ({detail.get('ctx', {}).get('error', 'unreadable')})"
    elif kind == "missing":
        message = "this option is required"
    elif kind == "finite_number":
        message = "must be a finite number, not NaN or infinity"
    elif message.startswith("Input should be "):
        message = "must be " + message.removeprefix("Input should be ")
    return {"path": json_path(location), "message": message}


def _hint(name: str, known: Sequence[str]) -> str:
    """What may have been meant, where that is plain; else what there is."""
    if nearest := difflib.get_close_matches(name, known, n=1, cutoff=NEAR):
        return f"; did you mean {nearest[0]!r}"
    return f"; there are {', '.join(known)}" if known else ""


def _names_at(model: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    """The option names allowed at a place, found by walking the models along the path; [] when it leads out."""
    current: Any = model
    for part in location:
        if isinstance(part, int):
            continue
        fields = {field.alias or name: field for name, field in current.model_fields.items()}
        if part not in fields or not (inner := _model_in(fields[part].annotation)):
            return []
        current = inner
    return [field.alias or name for name, field in current.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        if found := _model_in(argument):
            return found
    return None
