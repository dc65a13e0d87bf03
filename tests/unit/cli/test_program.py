"""The program as a whole: commands, exit codes, one line an error, a quick start."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.unit

HEAVY = {"numpy", "httpx", "fastapi", "rich", "websockets", "av", "ctranslate2", "pydantic", "sqlalchemy", "asyncio"}


def run(*arguments, **options):
    command = [sys.executable, "-c", "from speechlane.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def test_help_names_every_command_and_loads_nothing_heavy():
    """The program starts by importing click and itself; each command brings its own libraries when it runs."""
    code = (
        "import sys\nfrom speechlane.cli import main\ntry:\n    main()\n"
        f"finally:\n    print(*{HEAVY!r} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == ""
    for command in ("demo", "doctor", "live", "models", "replay", "serve", "transcribe"):
        assert f"\n  {command} " in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["unheard-of"], 2, "No such command"),
        (["live"], 2, "Give either a FILE or --mic."),
        (["live", "no-such-file.wav"], 2, "does not exist"),
        (["live", "--speed", "0", __file__], 2, "0.0 is not in the range"),
        (["live", "--speed", "nan", __file__], 2, "'nan' is no number"),
        (["live", "--speed", "inf", __file__], 2, "inf is not in the range"),
        (["transcribe"], 2, "Missing argument"),
        (["transcribe", "--format", "doc", __file__], 2, "is not one of"),
        (["serve", "--port", "70000"], 2, "error: --port is '70000'; give a whole number from 0 to 65535."),
        (["serve", "--host", "0.0.0.0"], 2, "SPEECHLANE_API_KEYS"),
        (["serve", "--config", "no-such.toml"], 2, "config_not_found"),
        (["live", __file__, "--url", "nonsense"], 2, "[invalid_url]"),
        (["transcribe", __file__, "--url", "http://127.0.0.1:9"], 1, "speechlane serve"),
        (["replay", __file__], 1, "error: "),
    ],
)
def test_wrong_usage_is_2_and_failure_is_1(arguments, code, said):
    """Nothing goes to standard output; standard error tells the fact and the next step without a traceback."""
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_reader_that_goes_away_is_no_crash():
    """``speechlane models list | head -1`` ends without a traceback."""
    command = f"{sys.executable} -c 'from speechlane.cli import main; main()' models list | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
