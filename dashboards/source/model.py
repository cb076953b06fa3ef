"""Checks that dashboards fit the foundation SDK's model of what Grafana reads.

    python dashboards/source/model.py [FILE ...]

Each file is read into the model and written again. Whatever the model doesn't know is lost on that way, so that every key and
value of the file must be found in what comes out. The values themselves are compared with the model's types, which Python doesn't
do by itself: a word that isn't one of an enumeration's passes the constructor. Another version of the SDK on PYTHONPATH makes it
the model of another version of Grafana.
"""

import enum
import json
import sys
import types
import typing
from pathlib import Path

from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard, units

DASHBOARDS = Path(__file__).resolve().parent.parent
UNITS = {value for name, value in vars(units).items() if name[0].isupper() and isinstance(value, str)}


def lost(before, after, path=""):
    """Paths at which `after` hasn't what `before` has. Defaults that were added don't count, nor does an explicit null."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            if key in after:
                yield from lost(value, after[key], f"{path}/{key}")
            elif value is not None:
                yield f"{path}/{key}: not in the model"
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (one, other) in enumerate(zip(before, after)):
            yield from lost(one, other, f"{path}/{number}")
    elif before != after:
        yield f"{path}: {before!r} became {after!r}"


def misfits(value, hint, path=""):
    """Paths at which a value of the model isn't of its type."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint in (typing.Any, object) or isinstance(hint, (str, typing.TypeVar, typing.ForwardRef)):
        # Options and custom fields may be anything in a panel; those of a known type are objects of a model of their own.
        if type(value).__module__.startswith("grafana_foundation_sdk"):
            yield from inside(value, path)
        return
    if origin in (typing.Union, types.UnionType):
        tried = [list(misfits(value, each, path)) for each in arguments]
        if all(tried):
            # The type that it was meant to be is the one that fits furthest down.
            yield from max(tried, key=lambda each: len(each[0].split(":")[0]))
    elif origin is typing.Literal:
        if value not in arguments:
            yield f"{path}: {value!r} isn't one of {arguments}"
    elif origin is list or hint is list:
        if not isinstance(value, list):
            yield f"{path}: {value!r} isn't a list"
        else:
            for number, each in enumerate(value):
                yield from misfits(each, arguments[0] if arguments else typing.Any, f"{path}/{number}")
    elif origin is dict or hint is dict:
        if not isinstance(value, dict):
            yield f"{path}: {value!r} isn't an object"
        else:
            for key, each in value.items():
                yield from misfits(each, arguments[1] if arguments else typing.Any, f"{path}/{key}")
    elif isinstance(hint, type) and issubclass(hint, enum.Enum):
        words = [each.value for each in hint]
        if getattr(value, "value", value) not in words:
            yield f"{path}: {value!r} isn't one of {words}"
    elif hint is type(None):
        if value is not None:
            yield f"{path}: {value!r} isn't null"
    elif hint in (int, float):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            yield f"{path}: {value!r} isn't a number"
    elif hint in (str, bool):
        if not isinstance(value, hint):
            yield f"{path}: {value!r} isn't {'a string' if hint is str else 'true or false'}"
    elif isinstance(hint, type):
        if isinstance(value, dict) and hasattr(hint, "from_json"):
            # Some lists are read without reading what is in them.
            yield from through(value, hint, path)
        elif not isinstance(value, hint):
            yield f"{path}: {value!r} isn't a {hint.__name__}"
        else:
            yield from inside(value, path)


def inside(value, path=""):
    """What doesn't fit in an object of the model: of its class, which may be narrower than the type that it stands for."""
    hints = typing.get_type_hints(type(value))
    for key, each in vars(value).items():
        if each is not None:
            yield from misfits(each, hints.get(key, typing.Any), f"{path}/{key}")


def unknown_units(value, path=""):
    """Units that aren't in Grafana's list. `suffix:` and `prefix:` begin a unit that it has none for."""
    if isinstance(value, dict):
        unit = value.get("unit", value.get("value") if value.get("id") == "unit" else None)
        if isinstance(unit, str) and unit not in UNITS and not unit.startswith(("suffix:", "prefix:")):
            yield f"{path}: {unit!r} isn't a unit of Grafana's"
        for key, each in value.items():
            yield from unknown_units(each, f"{path}/{key}")
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from unknown_units(each, f"{path}/{number}")


def through(before, kind, path=""):
    """What is lost or doesn't fit when an object is read as one of this kind and written again."""
    read = kind.from_json(before)
    after = json.loads(json.dumps(read, cls=JSONEncoder))
    return [*lost(before, after, path), *inside(read, path)]


def findings(before):
    return [*through(before, dashboard.Dashboard), *unknown_units(before)]


def main():
    plugins.register_default_plugins()
    files = [Path(name) for name in sys.argv[1:]] or sorted(DASHBOARDS.glob("*.json"))
    bad = False
    for path in files:
        for finding in findings(json.loads(path.read_text())):
            print(f"{path.name}: {finding}")
            bad = True
    sys.exit(bad)


main()
