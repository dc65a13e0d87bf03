"""A real browser's MediaRecorder: plays a WAV in headless Chromium and gives what it records, cut as it came."""

from __future__ import annotations

import http.server
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]
_PAGE = b"""<!doctype html><script>
async function main() {
  const context = new AudioContext({sampleRate: 48000});
  const sound = await context.decodeAudioData(await (await fetch("sound.wav")).arrayBuffer());
  const stream = new MediaStreamAudioDestinationNode(context, {channelCount: 1, channelCountMode: "explicit"});
  const source = new AudioBufferSourceNode(context, {buffer: sound});
  source.connect(stream);
  const options = {mimeType: "audio/webm;codecs=opus", audioBitsPerSecond: 32000};
  const recorder = new MediaRecorder(stream.stream, options);
  let sent = Promise.resolve();
  recorder.ondataavailable = event => { sent = sent.then(() => fetch("slice", {method: "POST", body: event.data})); };
  recorder.onstop = () => sent.then(() => fetch("done", {method: "POST", body: ""}));
  recorder.start(250);
  source.onended = () => recorder.stop();
  source.start();
}
main();
</script>"""


def record(wav: bytes, timeout_s: float = 60) -> list[bytes]:
    """The slices of a recording of this WAV, in real time."""
    slices: list[bytes] = []
    done = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.answer({"/": _PAGE, "/sound.wav": wav}.get(self.path, b""))

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/slice":
                slices.append(body)
            else:
                done.set()
            self.answer(b"")

        def answer(self, body):
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args):
            """Quiet."""

    with (
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
    ):
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        page = f"http://127.0.0.1:{server.server_port}/"
        browser = subprocess.Popen(
            [CHROMIUM, *_FLAGS, f"--user-data-dir={profile}", page],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            assert done.wait(timeout_s), "the browser did not record"
        finally:
            browser.terminate()
            browser.wait(10)
            server.shutdown()
            thread.join()
    return slices


if __name__ == "__main__":
    target = Path(sys.argv[1])
    sample = Path(__file__).parents[2] / "src" / "speechlane" / "samples" / "jfk.wav"
    recorded = record(sample.read_bytes())
    target.write_bytes(b"".join(recorded))
    target.with_suffix(".sizes").write_text("".join(f"{len(part)}\n" for part in recorded), encoding="ascii")
