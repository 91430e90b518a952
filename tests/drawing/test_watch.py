"""`show --watch`: a page on this machine alone that follows its files; `--open`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from netspec.cli import main
from tests.drawing.test_drawing import TEXT

START = "import sys; from netspec.cli import main; sys.exit(main())"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path, str]]:
    file = tmp_path / "net.yaml"
    file.write_text(TEXT, encoding="utf-8")
    command = [sys.executable, "-c", START, "show", str(file), "--watch"]
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=root
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("http://127.0.0.1:"), line
        try:
            yield process, file, line.split()[0]
        finally:
            process.kill()


def got(address: str) -> str:
    with urlopen(address, timeout=60) as answer:
        text: str = answer.read().decode()
        return text


@pytest.mark.skipif(os.name == "nt", reason="POSIX's SIGINT")
def test_it_follows_the_file_and_ends_cleanly(
    served: tuple[subprocess.Popen[str], Path, str],
) -> None:
    process, file, address = served
    page, version = got(address), got(f"{address}version")
    assert f'"version":"{version}"' in page and "connect-src 'self'" in page
    assert got(f"{address}version") == version and got(address) == page
    file.write_text(TEXT.replace("out_features: 4}", "out_feature: 4}"), encoding="utf-8")
    assert got(f"{address}version") != version
    assert "NS203" in got(address)  # a wrong spec is drawn, with its mistake
    file.write_text("netspec: [", encoding="utf-8")
    assert "NS1" in got(address)
    file.unlink()
    assert "NS105" in got(address)
    file.write_text(TEXT, encoding="utf-8")
    assert '"mistakes":[]' in got(address)
    for wrong, status in ((f"{address}../etc/passwd", 404), (f"{address}x", 404)):
        with pytest.raises(HTTPError) as caught:
            got(wrong)
        assert caught.value.code == status
        caught.value.close()
    with pytest.raises(HTTPError) as caught:
        urlopen(Request(address, headers={"Host": "evil.example:80"}), timeout=60)
    assert caught.value.code == 403
    caught.value.close()
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    assert process.wait(timeout=30) == 0 and time.monotonic() - began < 20
    assert process.stderr is not None and "Traceback" not in process.stderr.read()


def test_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    page = tmp_path / "net.html"
    assert main(["show", "lenet", "--html", str(page), "--open"]) == 0
    assert opened == [page.as_uri()]
    assert "connect-src 'none'" in page.read_text(encoding="utf-8")
    assert main(["show", "lenet", "--html", str(page), "--open"]) == 2  # it is there already
    assert len(opened) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lenet", "--open"], "--open shows what --html, --svg or --watch make"),
        (["lenet", "--html", ""], "is there already"),
        (["lenet", "--svg", ""], "is there already"),
        (["-", "--watch"], "standard input does not change"),
        (["lenet", "--watch", "--size", "N=2"], "a picture has none"),
        (["lenett", "--watch"], "did you mean `lenet`"),
    ],
)
def test_wrong_use(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", *arguments]) != 0
    assert message in capsys.readouterr().err
