"""What was written after a command → overrides that Hydra takes.

Hydra knows neither a spec's layers nor the arguments of torch's classes; netspec checks both. So
changes below the open groups are given to Hydra as `++path=value`, which it takes unseen, and a
deletion in a spec as the value `"~"`. `weights=FILE` is one key of several, `weights.file`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import OverrideParseException

from netspec.errors import Diagnostic, RunError, Span
from netspec.find import spec_names
from netspec.run.folder import METRICS

OPEN_GROUPS = ("model", "loss", "optimizer", "scheduler")
DELETED = "~"
_WEIGHTS, _FILE = "weights=", "weights.file="
_SCHEDULER = "scheduler="
_OPEN = re.compile(
    rf"(?P<sign>~|\+*)(?P<path>(?:{'|'.join(OPEN_GROUPS)})\.[^=]+)(?P<rest>=.*)?", re.S
)


def for_hydra(override: str) -> str:
    """One override as Hydra takes it; rewriting it twice changes nothing."""
    if override.startswith(_WEIGHTS) and not override.startswith(f"{_WEIGHTS}{{"):
        return f"{_FILE}{override.removeprefix(_WEIGHTS)}"
    if override.startswith(_SCHEDULER):  # Hydra has no option that is null
        names = override.removeprefix(_SCHEDULER).split(",")
        return _SCHEDULER + ",".join("none" if name == "null" else name for name in names)
    match = _OPEN.fullmatch(override)
    if match is None:
        return override
    sign, path, rest = match["sign"], match["path"], match["rest"]
    if sign == "~" and path.startswith("model."):
        return f'++{path}="{DELETED}"'
    if sign == "~" or rest is None:
        return override
    value = rest[1:]
    if value.startswith("="):  # an expression of the language, which Hydra would read as a list
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        value = f'"{escaped}"'
    return f"++{path}={value}"


def as_written(override: str) -> str:
    """An override without what `for_hydra` put to it, for messages and tables."""
    if override.startswith(_FILE):
        return f"{_WEIGHTS}{override.removeprefix(_FILE)}"
    match = _OPEN.fullmatch(override)
    if match is None or match["rest"] is None:
        return override
    if match["rest"] == f'="{DELETED}"':
        return f"~{match['path']}"
    if match["rest"].startswith('="=') and match["rest"].endswith('"'):
        value = match["rest"][2:-1].replace('\\"', '"').replace("\\\\", "\\")
        return f"{match['path']}={value}"
    return f"{match['path']}{match['rest']}"


def key_of(override: str) -> str:
    """The path that an override changes, without signs."""
    return override.partition("=")[0].lstrip("+~").partition("@")[0]


def text_of_value(value: object) -> str:
    """A plain value → what stands for it in an override. Raises RunError (NS702)."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (str, os.PathLike)):
        return quoted(os.fspath(value))
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(text_of_value, value))}]"
    if isinstance(value, Mapping):
        keys = [key for key in value if not re.fullmatch(r"[A-Za-z_]\w*", str(key))]
        if not keys:
            return f"{{{','.join(f'{k}:{text_of_value(item)}' for k, item in value.items())}}}"
        fact, help = f"`{keys[0]}` can't be a key of a run's settings", "write it in a file"
    else:
        fact = f"a run's settings are plain values, and here is a {type(value).__name__}"
        help = "numbers, texts, lists and mappings"
    raise RunError(Diagnostic("NS702", fact, Span.whole("run's configuration"), help=help))


def quoted(text: str) -> str:
    """A text as the value of an override."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def value_of(override: str) -> object:
    """The plain value that Hydra reads in `key=value`. Raises RunError (NS702)."""
    return parsed(override).value()


def parsed(override: str) -> Override:
    """Hydra's own reading of an override. Raises RunError (NS702) where it is none."""
    try:
        return OverridesParser.create().parse_overrides([override])[0]
    except OverrideParseException as error:
        raise RunError(not_an_override(override, str(error))) from None


def not_an_override(override: str, said: str) -> Diagnostic:
    shown = as_written(override)
    if not re.match(r"[+~]*[\w/@]", override):
        fact, help = f"`{shown}` is not an override: it begins with no key", "write `key=value`"
    elif "=" not in override:
        fact, help = f"`{shown}` is not an override: it has no `=`", _key_meant(override)
    else:
        stop = re.search(r"at input '([^']+)'$", said.partition("\n")[0])
        where = f": its value can't be read from `{stop[1]}` on" if stop else ""
        fact = f"`{shown}` is not an override{where}"
        help = "quote what has spaces, commas, brackets or `=` in it: 'key=\"a, b\"'"
    return Diagnostic("NS702", fact, Span.whole("command line"), help=help)


def _key_meant(value: str) -> str:
    """What to write for a value that was typed without its key."""
    if value.endswith((".yaml", ".yml")) or value in spec_names():
        return f"did you mean `model={value}`?"
    if value.endswith(".safetensors") or os.path.isfile(os.path.join(value, METRICS)):
        return f"did you mean `checkpoint={value}`?"
    return "write `key=value`"


def last_of_each(overrides: Sequence[str]) -> list[str]:
    """The overrides without those that a later one of the same key replaces."""
    last: Mapping[str, int] = {key_of(text): index for index, text in enumerate(overrides)}
    return [text for index, text in enumerate(overrides) if last[key_of(text)] == index]
