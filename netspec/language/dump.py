"""Spec → YAML text that reads back as the same spec."""

from __future__ import annotations

import io
import math
from typing import Any

import yaml

from netspec.language.load import Spec
from netspec.language.overrides import Text
from netspec.source import Plain

_WIDTH = 100
_BLOCK_STYLE = ("args", "inputs", "layers", "blocks", "outputs", "init", "include")


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def dump_spec(spec: Spec) -> str:
    """The spec as YAML: a layer a line where it fits, blocks of included files as they were named.

    `loads(dump_spec(spec)) == spec` for a spec of one file; one with includes needs its folder.
    """
    return _text(_value(spec.source))


def flow_text(value: Plain) -> str:
    """A plain value on one line, as a layer is mostly written: `{module: Linear, bias: false}`."""
    node = _Dumper(io.StringIO(), sort_keys=False).represent_data(value)
    _set_flow(node)
    text = yaml.serialize(node, Dumper=_Dumper, width=math.inf, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def _set_flow(node: yaml.Node) -> None:
    if isinstance(node, yaml.ScalarNode):
        _quote(node)
        return
    assert isinstance(node, (yaml.MappingNode, yaml.SequenceNode)), "the three kinds of node"
    node.flow_style = True
    mapping = isinstance(node, yaml.MappingNode)
    for part in (each for pair in node.value for each in (pair if mapping else (pair,))):
        _set_flow(part)


def _value(source: Text) -> dict[str, Plain]:
    assert isinstance(source.value, dict), "a spec is a mapping"
    return source.value


def _text(value: dict[str, Plain]) -> str:
    node = _Dumper(io.StringIO(), sort_keys=False).represent_data(value)
    _set_style(node, 0, None)
    text = yaml.serialize(node, Dumper=_Dumper, width=_WIDTH, allow_unicode=True)
    assert isinstance(text, str), "without a stream, yaml gives the text"
    return text


def _set_style(node: yaml.Node, depth: int, key: str | None) -> None:
    """Block style for what has structure, flow style for layers that are plain."""
    if isinstance(node, yaml.ScalarNode):
        _quote(node)
        return
    assert isinstance(node, (yaml.MappingNode, yaml.SequenceNode)), "the three kinds of node"
    node.flow_style = not _is_block(node, depth, key)
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            _quote(name)
            _set_style(value, depth + 1, name.value)
    else:
        for item in node.value:
            _set_style(item, depth + 1, None)


def _is_block(node: yaml.MappingNode | yaml.SequenceNode, depth: int, key: str | None) -> bool:
    if not node.value:
        return False
    if depth == 0 or key in ("layers", "blocks"):
        return True
    if isinstance(node, yaml.MappingNode):
        return any(name.value in ("layers", "blocks") for name, _ in node.value) or (
            depth == 1 and key in _BLOCK_STYLE
        )
    return False


def _quote(node: yaml.Node) -> None:
    """Strings that YAML 1.2 would read otherwise than YAML 1.1 are quoted."""
    if not isinstance(node, yaml.ScalarNode):
        return
    if node.tag == "tag:yaml.org,2002:str" and node.style is None and not _is_plain(node.value):
        node.style = '"'
    if node.tag == "tag:yaml.org,2002:float" and "e" in node.value and "." not in node.value:
        node.value = node.value.replace("e", ".0e")


def _is_plain(text: str) -> bool:
    return (
        text.replace("_", "a").replace("-", "a").isalnum()
        and not text[:1].isdigit()
        and (
            text.lower()
            not in ("true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf")
        )
    )
