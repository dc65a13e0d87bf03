"""Pulling from a model hub: the protocol of the real one over loopback, with all the ways in which it fails."""

from __future__ import annotations

import itertools
import socket
import threading

import pytest
from model_files import make_toy
from model_hub import ModelHub, Served

from speechlane.errors import DigestMismatch, ModelUnavailable
from speechlane.local.hub import HubSource
from speechlane.local.pins import find_pin
from speechlane.local.pull import pull
from speechlane.local.weights import open_pinned

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    """Loopback is reached directly, whatever the machine uses for the rest."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def toy(tmp_path):
    return make_toy(tmp_path)


def hub_of(toy, **behaviour):
    return ModelHub(toy.pin.repository, toy.pin.revision, dict(toy.files), **behaviour)


def pull_from(hub, toy, root, **options):
    return pull(toy.pin, root, sources=[HubSource(hub.url, **options)])


def left_in(root):
    """All files below the store but its lock."""
    return sorted(path.name for path in root.rglob("*") if path.is_file() and path.suffix != ".lock")


def test_the_real_pin_is_pulled_by_the_hub_protocol(tmp_path, tiny_en, monkeypatch):
    """tiny.en comes from the hub that HF_ENDPOINT names, at the pinned revision, and is bit for bit the pinned one."""
    pin = find_pin("tiny.en")
    files = {file.name: (tiny_en / file.name).read_bytes() for file in pin.files}
    seen = []
    with ModelHub(pin.repository, pin.revision, files) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        report = pull(pin, tmp_path, progress=lambda *told: seen.append(told))
    assert report.source == "model hub"
    assert [attempt.source for attempt in report.failed] == ["local store"]
    assert hub.requests[0] == f"/Systran/faster-whisper-tiny.en/resolve/{pin.revision}/config.json"
    assert {file: (tmp_path / "tiny.en" / pin.revision / file).read_bytes() for file in files} == files
    # Progress tells each file, its bytes so far, never back, and its size.
    for file, told in itertools.groupby(seen, key=lambda item: item[0]):
        counts = [done for _, done, total in told if total == len(files[file])]
        assert counts == sorted(counts)
        assert counts[-1] == len(files[file])
    assert {file for file, _, _ in seen} == set(files)


def test_a_whole_model_is_not_asked_for_again(tmp_path, toy):
    """A second pull is answered by the local store alone."""
    with hub_of(toy) as hub:
        pull_from(hub, toy, tmp_path / "store")
        asked = len(hub.requests)
        assert pull_from(hub, toy, tmp_path / "store").source == "local store"
    assert len(hub.requests) == asked
    assert pull(toy.pin, tmp_path / "store", sources=[]).failed == ()


@pytest.mark.parametrize("cuts", [[1], [100_000], [299_999], [50_000, 1, 200_000]])
def test_a_broken_transfer_goes_on_where_it_broke(tmp_path, toy, cuts):
    """However often it is cut, no byte is sent twice."""
    with hub_of(toy, cuts={"model.bin": list(cuts)}) as hub:
        pull_from(hub, toy, tmp_path / "store")
    assert hub.bytes_of("model.bin") == len(toy.files["model.bin"])
    assert len([item for item in hub.served if item.file == "model.bin"]) == len(cuts) + 1


def test_the_next_pull_goes_on_where_the_last_one_ended(tmp_path, toy):
    """A hub that went away leaves a beginning beside the store's folder; another pull asks for the rest only."""
    store = tmp_path / "store"
    with hub_of(toy, cuts={"model.bin": [100_000, 0]}) as hub, pytest.raises(ModelUnavailable, match="broke off"):
        pull_from(hub, toy, store)
    assert not (store / "toy" / toy.pin.revision).exists()
    assert left_in(store) == ["config.json", "model.bin.part"]
    with hub_of(toy) as hub:
        pull_from(hub, toy, store)
    assert hub.served == [Served("model.bin", 100_000, 200_000)]
    assert left_in(store) == ["config.json", "model.bin"]
    open_pinned(toy.pin, store)


def test_a_hub_without_ranges_sends_all_again(tmp_path, toy):
    """An answer 200 to a range request starts the file anew instead of appending to it."""
    with hub_of(toy, cuts={"model.bin": [100_000]}, ranges=False) as hub:
        pull_from(hub, toy, tmp_path / "store")
    assert hub.bytes_of("model.bin") == 400_000
    open_pinned(toy.pin, tmp_path / "store")


def test_wrong_bytes_are_refused_named_and_not_kept(tmp_path, toy):
    """A file of the right size with one wrong bit never reaches the store, and nothing of it remains beside it."""
    wrong = bytearray(toy.files["model.bin"])
    wrong[150_000] ^= 1
    store = tmp_path / "store"
    with hub_of(toy) as hub:
        hub.files["model.bin"] = bytes(wrong)
        with pytest.raises(DigestMismatch, match=r"model hub: model\.bin has sha256 \w{64}, pinned is") as told:
            pull_from(hub, toy, store)
    assert toy.pin.files[1].sha256 in told.value.message
    assert left_in(store) == ["config.json"]
    assert not (store / "toy" / toy.pin.revision).exists()


@pytest.mark.parametrize("size", [0, 10, 299_999, 300_001])
def test_a_file_of_another_size_is_refused_before_it_is_loaded(tmp_path, toy, size):
    """A page in the file's place, or a longer file, is known by its length."""
    with hub_of(toy) as hub:
        hub.files["model.bin"] = bytes(size)
        with pytest.raises(DigestMismatch, match=rf"model\.bin has {size} bytes, pinned are 300000"):
            pull_from(hub, toy, tmp_path / "store")
    assert left_in(tmp_path / "store") == ["config.json"]


def test_a_wrong_beginning_is_not_held_against_the_hub(tmp_path, toy):
    """When the rest was appended to wrong bytes of an earlier pull, the file is fetched once more from its start."""
    store = tmp_path / "store"
    partial = store / "toy" / f"{toy.pin.revision}.partial"
    partial.mkdir(parents=True)
    (partial / "model.bin.part").write_bytes(bytes(100_000))
    with hub_of(toy) as hub:
        pull_from(hub, toy, store)
    assert [item.start for item in hub.served if item.file == "model.bin"] == [100_000, 0]


def test_a_beginning_longer_than_the_file_is_dropped(tmp_path, toy):
    """It cannot be resumed from."""
    partial = tmp_path / "store" / "toy" / f"{toy.pin.revision}.partial"
    partial.mkdir(parents=True)
    (partial / "model.bin.part").write_bytes(bytes(300_001))
    with hub_of(toy) as hub:
        pull_from(hub, toy, tmp_path / "store")
    assert hub.bytes_of("model.bin") == 300_000


def test_a_stalled_transfer_is_bounded_and_kept_for_later(tmp_path, toy):
    """A hub that goes silent again and again without closing is given up after five tries; what came is not lost."""
    with hub_of(toy, stalls={"model.bin": 10_000}) as hub, pytest.raises(ModelUnavailable, match="broke off"):
        pull_from(hub, toy, tmp_path / "store", stall_s=0.2)
    part = tmp_path / "store" / "toy" / f"{toy.pin.revision}.partial" / "model.bin.part"
    assert part.read_bytes() == toy.files["model.bin"][:50_000]


def test_a_hub_that_never_answers_is_given_up(tmp_path, toy):
    """The connection stands and nothing comes: the source costs its bound, and nothing is left."""
    with hub_of(toy, silent=True) as hub, pytest.raises(ModelUnavailable, match=r"no answer within 0\.3 s"):
        pull_from(hub, toy, tmp_path / "store", reach_s=0.3, stall_s=1)
    assert left_in(tmp_path / "store") == []


def test_a_name_that_is_never_resolved_is_given_up(tmp_path, toy, monkeypatch):
    """The bound covers the lookup of the name, which no timeout of a socket does."""
    release = threading.Event()

    def lookup(*_, **__):
        release.wait()
        raise socket.gaierror(socket.EAI_AGAIN, "no name server")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    try:
        with pytest.raises(ModelUnavailable, match=r"cannot be reached \(no answer within 0\.3 s"):
            pull(toy.pin, tmp_path / "store", sources=[HubSource("http://hub.invalid", reach_s=0.3)])
    finally:
        release.set()


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9", "127.0.0.1", "http://hub..invalid", "http://[::1"])
def test_an_endpoint_that_is_not_there_is_told(tmp_path, toy, endpoint):
    """Nobody listens, no scheme, no name: a reason of that source, never a traceback."""
    with pytest.raises(ModelUnavailable, match=r"model hub: .* cannot be reached") as told:
        pull(toy.pin, tmp_path / "store", sources=[HubSource(endpoint)])
    assert told.value.code == "pull_failed"


@pytest.mark.parametrize("status", [401, 404, 429, 500])
def test_a_refusal_is_told_with_its_status_and_address(tmp_path, toy, status):
    """Such an answer is the source's reason."""
    with hub_of(toy, status={"config.json": status}) as hub, pytest.raises(ModelUnavailable) as told:
        pull_from(hub, toy, tmp_path / "store")
    assert f"answers {status} " in told.value.message
    assert f"/{toy.pin.repository}/resolve/{toy.pin.revision}/config.json" in told.value.message


def test_offline_means_not_asked(tmp_path, toy):
    """HF_HUB_OFFLINE keeps the hub from being asked at all."""
    with hub_of(toy) as hub:
        source = HubSource.from_environment({"HF_HUB_OFFLINE": "1", "HF_ENDPOINT": hub.url})
        with pytest.raises(ModelUnavailable, match="HF_HUB_OFFLINE is set"):
            pull(toy.pin, tmp_path / "store", sources=[source])
    assert hub.requests == []
