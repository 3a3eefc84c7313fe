"""Frozen records as JSON and back: data only, checked field by field, no code from the file.

A record is {"type": its class's name, field: value, …}. The caller lists the classes that may
come out; the type hint of a field says what it may hold: numbers, text, booleans, None, literals,
tuples and other records.
"""

import dataclasses
import json
import types
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from mlp_jax.errors import InputError

Classes = Mapping[str, type]


def registry(classes: Iterable[type]) -> dict[str, type]:
    """The classes by their names, as `decode` takes them."""
    return {cls.__name__: cls for cls in classes}


def encode(value: Any, classes: Classes) -> Any:
    """A record, or a value of a field, as JSON takes it. InputError for what cannot be read back.

    An object that is no record of these classes is refused, and so is NaN.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise InputError(f"A record holds finite numbers, not {value}.")
        return float(value)
    if isinstance(value, tuple):
        return [encode(item, classes) for item in value]
    name = type(value).__name__
    if not dataclasses.is_dataclass(value) or classes.get(name) is not type(value):
        raise InputError(f"{name} is none of {', '.join(sorted(classes))}, so it cannot be saved.")
    fields = {
        field.name: encode(getattr(value, field.name), classes)
        for field in dataclasses.fields(value)
    }
    return {"type": name, **fields}


def decode(value: Any, hint: Any, classes: Classes, where: str) -> Any:
    """The value of type `hint` that JSON describes; InputError says where it is something else."""
    if get_origin(hint) in (Union, types.UnionType):
        return _one_of(value, get_args(hint), classes, where)
    if get_origin(hint) is Literal:
        if not any(value == option and type(value) is type(option) for option in get_args(hint)):
            raise _wrong(where, f"one of {', '.join(map(repr, get_args(hint)))}", value)
        return value
    if get_origin(hint) is tuple:
        return _tuple(value, get_args(hint), classes, where)
    if dataclasses.is_dataclass(hint):
        return _record(value, hint, classes, where)
    return _simple(value, hint, where)


def read_json(text: bytes, where: str) -> Any:
    """The JSON of a file: no NaN, no name twice in one object. InputError for anything else."""
    try:
        return json.loads(text.decode(), parse_constant=_no_constant, object_pairs_hook=_object)
    except RecursionError:
        raise InputError(f"{where} is nested too deeply.") from None
    except ValueError as error:
        raise InputError(f"{where} is not valid JSON: {str(error).rstrip('.')}.") from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("an object has one name twice")
    return dict(pairs)


def _one_of(value: Any, hints: tuple[Any, ...], classes: Classes, where: str) -> Any:
    """A union: None, one other type, a tuple or something else, or records of several classes,
    told apart by their type.
    """
    if value is None and type(None) in hints:
        return None
    rest = tuple(hint for hint in hints if hint is not type(None))
    lists = tuple(hint for hint in rest if get_origin(hint) is tuple)
    if len(lists) == 1 and len(rest) > 1:
        others = tuple(hint for hint in rest if hint not in lists)
        rest = lists if isinstance(value, list) else others
    if len(rest) == 1:
        return decode(value, rest[0], classes, where)
    return _record(value, rest, classes, where)


def _record(value: Any, hint: Any, classes: Classes, where: str) -> Any:
    """A record of an allowed class that fits the hint.

    A field that is absent takes its default, for a record that an earlier version wrote lacks the
    fields that came later; one without a default must be there.
    """
    allowed = hint if isinstance(hint, tuple) else (hint,)
    fitting = {name: cls for name, cls in classes.items() if issubclass(cls, allowed)}
    if not isinstance(value, dict):
        raise _wrong(where, f"an object of type {' or '.join(sorted(fitting))}", value)
    name = value.get("type")
    if not isinstance(name, str) or name not in fitting:
        raise InputError(
            f"{where} has the type {name!r}, but must be one of {', '.join(sorted(fitting))}."
        )
    cls = fitting[name]
    fields = dataclasses.fields(cls)
    names = [field.name for field in fields]
    missing = [field.name for field in fields if field.name not in value and _is_required(field)]
    extra = [field for field in value if field not in names and field != "type"]
    if missing:
        raise InputError(f"{where} lacks the field '{missing[0]}' of a {name}.")
    if extra:
        raise InputError(f"{where} has the field '{extra[0]}', which a {name} does not have.")
    hints = get_type_hints(cls)
    decoded = {
        name: decode(value[name], hints[name], classes, f"{where}.{name}")
        for name in names
        if name in value
    }
    try:
        return cls(**decoded)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _is_required(field: "dataclasses.Field[Any]") -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


def _tuple(value: Any, hints: tuple[Any, ...], classes: Classes, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise _wrong(where, "a list", value)
    if len(hints) == 2 and hints[1] is Ellipsis:
        hints = (hints[0],) * len(value)
    if len(hints) != len(value):
        raise _wrong(where, f"a list of {len(hints)}", value)
    return tuple(
        decode(item, hint, classes, f"{where}[{index}]")
        for index, (item, hint) in enumerate(zip(value, hints, strict=True))
    )


def _simple(value: Any, hint: Any, where: str) -> Any:
    """A number, text or boolean. A whole number is a float too; True is no number."""
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    if hint not in names:
        raise TypeError(f"{where}: no field of a saved record has the type {hint}")
    if hint is float and type(value) is int and abs(value) < 2**53:
        return float(value)
    if type(value) is not hint:
        raise _wrong(where, names[hint], value)
    if hint is float and value in (float("inf"), float("-inf")):
        raise _wrong(where, "a finite number", value)
    return value


def _wrong(where: str, expected: str, value: Any) -> InputError:
    shown = json.dumps(value)
    shown = shown if len(shown) <= 40 else f"{shown[:37]}…"
    return InputError(f"{where} must be {expected}, not {shown}.")
