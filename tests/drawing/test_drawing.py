"""Pictures of specs: what is drawn, what joins it, and that nothing a spec says is markup."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import netspec
from netspec.cli import main
from netspec.drawing.graph import Card, drawing_of
from netspec.drawing.layout import lay_out
from netspec.drawing.mermaid import mermaid_text
from netspec.drawing.page import page_html
from netspec.drawing.svg import svg_text

TEXT = """\
netspec: 1
name: Net
inputs: {x: [N, 8]}
blocks:
  Twice:
    layers:
      fc:  {module: Linear, out_features: 8}
      out: =fc + x
layers:
  body: {block: Twice, repeat: 3}
  head: {module: Linear, out_features: 4}
  again: {use: head, from: body, keep: true}
  tied: {module: Linear, from: body, out_features: 4, tie: {weight: head.weight}, keep: true}
  maybe: {act: relu, when: false}
outputs: head
"""
HOSTILE = "</script><img src=x onerror=alert(1)>"
WRONG = f"""\
netspec: 1
name: "{HOSTILE}"
inputs: {{x: [N, 8]}}
layers:
  a: {{module: Linear, out_features: 4, doc: "{HOSTILE}"}}
  b: {{module: Linear, "{HOSTILE}": 3}}
  c: "=a * len('{HOSTILE}')"
outputs: [a, b, c]
"""


def analysed(text: str) -> netspec.Analysis:
    return netspec.analyse(text, path="nowhere/net.yaml")


def shape_of(cards: tuple[Card, ...] | list[Card]) -> list[Any]:
    return [(card.node.path, card.times, shape_of(card.inner)) for card in cards]


def test_equal_copies_are_drawn_once() -> None:
    graph = drawing_of(analysed(TEXT))
    assert shape_of(graph.cards) == [
        ("x", 1, []),
        ("body", 1, [("body.0", 3, [("body.0.fc", 1, []), ("body.0.out", 1, [])])]),
        ("head", 1, []),
        ("again", 1, []),
        ("tied", 1, []),
        ("maybe", 1, []),
    ]
    assert graph.cards[1].parameters == 3 * 72
    assert graph.costs is not None
    joins = {(line.source, line.target, line.is_same) for line in graph.lines}
    assert {("x", "body", False), ("body", "head", False)} <= joins
    assert {("head", "again", True), ("head", "tied", True)} <= joins
    assert not any("body.1" in line.source + line.target for line in graph.lines)


def test_copies_that_differ_are_drawn_each() -> None:
    text = TEXT.replace("    layers:\n      fc:", "    args: {bias: true}\n    layers:\n      fc:")
    text = text.replace("out_features: 8}", "out_features: 8, bias: =bias}")
    text = text.replace("repeat: 3}", 'repeat: 3, bias: "=i != 1"}')
    body = drawing_of(analysed(text)).cards[1]
    assert [(card.node.path, card.times) for card in body.inner] == [
        ("body.0", 1), ("body.1", 1), ("body.2", 1),
    ]  # fmt: skip


class Markup(HTMLParser):
    """The tags of a page, and the texts of its scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self.last = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.last = dict(attrs).get("id") or tag

    def handle_data(self, data: str) -> None:
        self.texts[self.last] = self.texts.get(self.last, "") + data


def read(page: str) -> Markup:
    markup = Markup()
    markup.feed(page)
    return markup


def test_a_wrong_spec_is_drawn_and_nothing_in_it_is_markup() -> None:
    found = analysed(WRONG)
    assert found.diagnostics
    markup, plain = read(page_html(found)), read(page_html(analysed(TEXT)))
    assert [tag for tag, _ in markup.tags] == [tag for tag, _ in plain.tags]
    assert not any(key.startswith("on") for _, attributes in markup.tags for key in attributes)
    data = json.loads(markup.texts["data"])
    assert data["name"] == HOSTILE
    by_path = {card["path"]: card for card in data["cards"]}
    assert by_path["a"]["output"] == "[N, 4]" and by_path["b"]["state"] == "refused"
    assert by_path["b"]["mistakes"][0].startswith("NS203: ")
    assert data["mistakes"][0]["line"] == 6
    assert any(HOSTILE in line for line in data["texts"]["nowhere/net.yaml"])


def test_only_the_pages_own_scripts_run() -> None:
    page = page_html(analysed(TEXT))
    (rule,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert "default-src 'none'" in rule
    assert "unsafe-inline" not in rule.partition("script-src")[2]
    assert len(re.findall("'sha256-[^']*'", rule)) == 2
    assert not re.search(r"""(?:src|href)=["']""", page.partition("<script")[0])
    assert "Permission is hereby granted" in page


def test_mermaid() -> None:
    assert (
        mermaid_text(drawing_of(analysed(TEXT)))
        == """\
flowchart TD
  n0["x<br/>input<br/>#91;N, 8#93;"]
  n1["body<br/>Twice<br/>#91;N, 8#93;"]
  n2["head<br/>Linear<br/>#91;N, 4#93;"]
  n3["again<br/>head<br/>#91;N, 4#93;"]
  n4["tied<br/>Linear<br/>#91;N, 4#93;"]
  n0 --> n1
  n1 --> n2
  n1 --> n3
  n1 --> n4
  n2 -.- n4
  n2 -.- n3
"""
    )
    deep = mermaid_text(drawing_of(analysed(TEXT)), 3)
    assert 'subgraph n2["body.0 × 3<br/>Twice' in deep and "    end" in deep
    hostile = mermaid_text(drawing_of(analysed(WRONG)))
    assert "<img" not in hostile and "class n2 refused" in hostile


def test_boxes_are_apart_and_lines_lead_down() -> None:
    sizes = [(50.0, 20.0), (80.0, 30.0), (60.0, 20.0), (40.0, 20.0), (90.0, 20.0)]
    lines = [(0, 1), (0, 2), (1, 3), (2, 3), (0, 3), (3, 4), (3, 0)]
    made = lay_out(sizes, lines)
    boxes = [
        (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
        for (x, y), (w, h) in zip(made.centres, sizes, strict=True)
    ]
    for a, b in combinations(boxes, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
    assert all(x0 >= 0 and x1 <= made.width and y1 <= made.height for x0, _, x1, y1 in boxes)
    for path in made.paths[:-1]:
        heights = [y for _, y in path]
        assert heights == sorted(heights) and heights[0] < heights[-1]
    assert made.paths[-1][0][1] > made.paths[-1][-1][1]  # up, as it was asked for
    assert lay_out([], []).paths == ()


def texts_in(svg: str) -> list[str]:
    return [each.text or "" for each in ElementTree.fromstring(svg).iter() if each.text]


def test_svg() -> None:
    graph = drawing_of(analysed(TEXT))
    flat, deep = svg_text(graph), svg_text(graph, 3)
    assert {"Net", "256 parameters", "body", "Twice", "[N, 8]", "not there"} <= {*texts_in(flat)}
    assert "fc" not in texts_in(flat)
    assert {"0 × 3", "fc", "out", "body.0.fc → body.0.out"} <= {*texts_in(deep)}
    assert flat.count('class="line same"') == 2 and "<script" not in flat
    wrong = svg_text(drawing_of(analysed(WRONG)))
    assert HOSTILE in texts_in(wrong) and "<img" not in wrong and "<script" not in wrong
    assert any(text.startswith("NS203: ") for text in texts_in(wrong))


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, page = tmp_path / "net.yaml", tmp_path / "net.html"
    file.write_text(TEXT, encoding="utf-8")
    assert main(["show", str(file), "--html", str(page)]) == 0
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert main(["show", str(file), "--html", str(page)]) == 2
    file.write_text(TEXT.replace("out_features: 4}", "out_feature: 4}"), encoding="utf-8")
    capsys.readouterr()
    assert main(["show", str(file), "--html", str(page), "--force"]) == 1
    assert "NS203" in capsys.readouterr().err
    assert "NS203" in page.read_text(encoding="utf-8")
    assert main(["show", str(file), "--mermaid"]) == 1
    assert "refused" in capsys.readouterr().out
    assert main(["show", str(file), "--mermaid", "--size", "N=2"]) == 2
    svg = tmp_path / "net.svg"
    assert main(["show", str(file), "--svg", str(svg)]) == 1
    assert "NS203" in svg.read_text(encoding="utf-8")
    assert main(["show", str(file), "--svg", str(svg)]) == 2


def test_in_a_notebook(tmp_path: Path) -> None:
    picture = netspec.show(netspec.loads(TEXT))
    assert picture.diagnostics == () and repr(picture).startswith("<a picture, ")
    frame = Markup()
    frame.feed(picture._repr_html_())
    ((tag, attributes),) = frame.tags
    assert (tag, attributes["sandbox"], attributes["srcdoc"]) == (
        "iframe", "allow-scripts", picture.html,
    )  # fmt: skip
    picture.save(tmp_path / "net.html")
    assert (tmp_path / "net.html").read_text(encoding="utf-8") == picture.html
    (tmp_path / "wrong.yaml").write_text(WRONG, encoding="utf-8")
    wrong = netspec.show(tmp_path / "wrong.yaml")
    assert [d.code for d in wrong.diagnostics] == ["NS203"] and "error[NS203]" in repr(wrong)


def test_a_notebook_shows_the_message_of_an_error_alone() -> None:
    with pytest.raises(netspec.SpecError) as caught:
        netspec.build(netspec.loads(TEXT.replace("Linear, from", "Linea, from")))
    lines = caught.value._render_traceback_()
    assert lines[0].startswith("error[NS206]: there is no module `Linea`")
    assert not any("Traceback" in line for line in lines)


CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def in_browser(page: Path, state: str = "") -> str:
    """The page after its script ran."""
    command = [
        CHROMIUM or "", "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=3000",
        f"--user-data-dir={page.parent / 'profile'}", "--dump-dom", f"{page.as_uri()}{state}",
    ]  # fmt: skip
    found = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return found.stdout


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_in_a_browser(tmp_path: Path) -> None:
    page = tmp_path / "net.html"
    page.write_text(page_html(analysed(TEXT)), encoding="utf-8")
    folded = in_browser(page)
    assert 'data-path="body"' in folded and 'data-path="body.0"' not in folded
    assert ">256 parameters<" in folded  # 3 × 72, 36 and 4: a tied weight counts once
    opened = in_browser(page, "#open=body,body.0&at=body.0.fc&bar=flops")
    assert 'data-path="body.0.fc"' in opened and "0 × 3" in opened
    assert "weight [8, 8], bias [8]" in opened and "nowhere/net.yaml:7" in opened
    page.write_text(page_html(analysed(WRONG)), encoding="utf-8")
    wrong = in_browser(page)
    assert "card refused" in wrong and "<img" not in wrong
    assert wrong.count("&lt;/script&gt;&lt;img") >= 3
