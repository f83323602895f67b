"""Models by name: found in the cache, downloaded from a hub when asked, or a sentence why not."""

import hashlib
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from huggingface_hub import constants

import main
from core.checkpoints.describe import describe
from core.checkpoints.hub import Hub, NotDownloaded
from core.errors import Cancelled, UserFacingError
from core.progress import never, silent
from tests.core.checkpoint_folders import write_adapter, write_model
from tests.core.plain_forward import scored
from tests.tiny import save_lora, save_model

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class FakeHub(ThreadingHTTPServer):
    """Serves folders as models of the hub, and counts the bytes of files that it has sent."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), FakeHandler)
        self.models: dict[str, Path] = {}
        self.gated: set[str] = set()
        self.sent: dict[str, int] = {}
        self.breaks_after = 10**9


class FakeHandler(BaseHTTPRequestHandler):
    server: FakeHub

    def log_message(self, *_: object) -> None:
        return

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].strip("/")
        api = path.startswith("api/models/")
        parts = path.removeprefix("api/models/").split("/")
        repo, rest = "/".join(parts[:2]), parts[2:]
        if repo in self.server.gated and not api:
            return self._refuse(403, "GatedRepo")
        if repo not in self.server.models:
            return self._refuse(401, "RepoNotFound")
        if rest[:1] == ["revision"] and rest[1] not in ("main", COMMIT):
            return self._refuse(404, "RevisionNotFound")
        folder = self.server.models[repo]
        files = {str(it.relative_to(folder)): it for it in folder.rglob("*") if it.is_file()}
        if api and rest[:1] == ["tree"]:
            return self._json([self._entry(name, it) for name, it in files.items()])
        if api:
            named = [{"rfilename": it, "size": files[it].stat().st_size} for it in files]
            return self._json({"id": repo, "sha": COMMIT, "siblings": named})
        return self._file("/".join(rest[2:]), files)

    def _entry(self, name: str, file: Path) -> dict[str, object]:
        return {"type": "file", "path": name, "size": file.stat().st_size, "oid": _hash(file)}

    def _file(self, name: str, files: dict[str, Path]) -> None:
        if name not in files:
            return self._refuse(404, "EntryNotFound")
        content = files[name].read_bytes()
        asked = self.headers.get("Range", "")
        begin = int(asked[len("bytes=") :].partition("-")[0]) if asked else 0
        self.send_response(206 if asked else 200)
        self.send_header("ETag", f'"{_hash(files[name])}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(content) - begin))
        self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if self.command == "GET":
            content = content[begin : begin + self.server.breaks_after]
            self.wfile.write(content)
            self.server.sent[name] = self.server.sent.get(name, 0) + len(content)
        return None

    def _json(self, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", code)
        self.send_header("Content-Length", "0")
        self.end_headers()


def _hash(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:40]


def aim(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    """Have the hub's library ask a port of this machine."""
    address = f"http://127.0.0.1:{port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    server = FakeHub()
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    aim(monkeypatch, server.server_port)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.chdir(tmp_path)
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def place(text: str, download: str = "yes", allow_pickle: bool = False, **more: object) -> Path:
    told = {"report": silent, "cancelled": never, **more}
    return Hub(download, allow_pickle, **told).place(text)  # type: ignore[arg-type]


def sentence(text: str, download: str = "yes") -> str:
    with pytest.raises(UserFacingError) as caught:
        place(text, download)
    return str(caught.value)


def test_what_loading_reads_is_downloaded_once_and_found_again(
    tmp_path: Path, hub: FakeHub
) -> None:
    hub.models["org/name"] = folder = write_model(tmp_path / "it")
    (folder / "pytorch_model.bin").write_bytes(b"x" * 1000)
    (folder / "it.gguf").write_bytes(b"x" * 1000)
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.onnx").write_bytes(b"x" * 1000)
    said: list[tuple[str, float | None]] = []
    found = place("org/name", report=lambda *it: said.append(it))
    assert {it.name for it in found.iterdir()} == {
        "config.json", "model.safetensors", "tokenizer.json",
    }  # fmt: skip
    assert describe(found).name == "org/name"
    assert said[0][0].startswith("Downloading org/name (0.00 GB in 3 files)")
    assert all(0 <= (fraction or 0) <= 1 for _, fraction in said)
    hub.models.clear()
    assert place("org/name", "") == place("org/name", "ask") == found


def test_a_revision_and_an_adapters_own_files(tmp_path: Path, hub: FakeHub) -> None:
    hub.models["org/dpo"] = write_adapter(tmp_path / "it", "org/base")
    found = place(f"org/dpo@{COMMIT}")
    assert describe(found).base == "org/base"
    assert "no such revision" in sentence("org/dpo@v9")


def test_one_gguf_is_taken_and_of_several_none(tmp_path: Path, hub: FakeHub) -> None:
    hub.models["org/small"] = folder = tmp_path / "it"
    folder.mkdir()
    (folder / "a.Q8_0.gguf").write_bytes(b"GGUF")
    found = place("org/small")
    assert [it.name for it in found.iterdir()] == ["a.Q8_0.gguf"]
    assert place("org/small", "") == found
    hub.models["org/many"] = folder
    (folder / "b.Q4_0.gguf").write_bytes(b"GGUF")
    assert "hf download org/many a.Q8_0.gguf" in sentence("org/many").replace("b.Q4_0", "a.Q8_0")


def test_nothing_is_downloaded_unasked(tmp_path: Path, hub: FakeHub) -> None:
    hub.models["org/name"] = write_model(tmp_path / "it")
    assert "--download" in sentence("org/name", "")
    with pytest.raises(NotDownloaded, match=r"can be downloaded .* \(0.00 GB in 3 files\)"):
        place("org/name", "ask")
    assert not hub.sent


def test_paths_are_never_looked_up(tmp_path: Path, hub: FakeHub) -> None:
    (tmp_path / "runs" / "dpo").mkdir(parents=True)
    for text in ("runs/dpo", "runs/dqo", "./a/b", "/a/b", "a/b/c", "name"):
        assert place(text) == Path(text)


def test_a_connection_that_breaks_goes_on_and_whole_files_are_kept(
    tmp_path: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 100_000)
    hub.models["org/name"] = folder = write_model(tmp_path / "it", vocab_size=200_000)
    size = (folder / "model.safetensors").stat().st_size
    hub.breaks_after = size // 2
    found = place("org/name")
    weights = found / "model.safetensors"
    assert weights.read_bytes() == (folder / "model.safetensors").read_bytes()
    assert size <= hub.sent["model.safetensors"] < 1.1 * size
    weights.resolve().unlink()
    weights.unlink()
    hub.sent.clear()
    place("org/name")
    assert list(hub.sent) == ["model.safetensors"]


def test_a_download_can_be_cancelled(tmp_path: Path, hub: FakeHub) -> None:
    hub.models["org/name"] = write_model(tmp_path / "it", vocab_size=200_000)
    with pytest.raises(Cancelled):
        place("org/name", cancelled=lambda: True)
    assert describe(place("org/name")).vocab_size == 200_000


@pytest.mark.parametrize("download", ["ask", "yes"])
def test_gated_mistyped_pickled_and_unreachable(
    tmp_path: Path, hub: FakeHub, download: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "There is no model org/nome" in sentence("org/nome", download)
    hub.models["org/pickled"] = folder = write_model(tmp_path / "pickled")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "--allow-pickle" in sentence("org/pickled", download)
    if download == "yes":
        hub.models["org/gated"] = write_model(tmp_path / "gated")
        hub.gated.add("org/gated")
        assert "is gated: ask for access" in sentence("org/gated")
    aim(monkeypatch, 1)
    assert "check the network" in sentence("org/name", download)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE" in sentence("org/name", download)


def test_an_adapter_brings_its_base(tmp_path: Path, hub: FakeHub) -> None:
    hub.models["org/base"] = base = save_model(tmp_path / "it", seed=5)
    adapter = save_lora(tmp_path / "adapter", base)
    config = adapter / "adapter_config.json"
    said = json.loads(config.read_text()) | {"base_model_name_or_path": "org/base"}
    config.write_text(json.dumps(said))
    with pytest.raises(UserFacingError, match="not on this machine"):
        scored(adapter)
    _, info, found = scored(adapter, download="yes")
    assert info.policy.endswith("adapter (adapter on org/base)")
    assert abs(found.logp_policy - found.logp_reference).max() > 1e-3


def test_a_whole_model_brings_the_reference_that_its_files_name(
    tmp_path: Path, hub: FakeHub
) -> None:
    hub.models["org/sft"] = save_model(tmp_path / "it", seed=1)
    policy = save_model(tmp_path / "dpo", seed=2)
    said = {"reference": "org/sft", "beta": 0.1}
    (policy / "qscope-run.json").write_text(json.dumps(said))
    _, info, _ = scored(policy, download="yes")
    assert info.reference == "org/sft"
    assert any("The reference is org/sft" in it for it in info.notes)


def test_the_reference_in_an_adapters_folder_comes_with_it(tmp_path: Path, hub: FakeHub) -> None:
    hub.models["org/dpo"] = write_adapter(tmp_path / "it", "org/base")
    write_adapter(tmp_path / "it" / "ref", "org/base")
    write_adapter(tmp_path / "it" / "checkpoint-10", "org/base")
    found = place("org/dpo")
    assert describe(found / "ref").kind == "adapter"
    assert not (found / "checkpoint-10").exists()


def test_train_evaluate_downloads_the_reference_only_when_told_to(
    tmp_path: Path, hub: FakeHub, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.models["org/sft"] = save_model(tmp_path / "it", seed=1)
    save_model(tmp_path / "run" / "checkpoint-5", seed=2)
    pair = {"prompt": "Post.", "chosen": "They got $53K.", "rejected": "They got $250K."}
    (tmp_path / "pairs.jsonl").write_text((json.dumps(pair) + "\n") * 3)
    asked = ["train", "evaluate", "run", "--reference", "org/sft", "--data", "pairs.jsonl"]
    assert main.main(asked) == 1 and "--download" in capsys.readouterr().err
    assert main.main([*asked, "--download"]) == 0
