"""Settings: sources and their order, refusals by name, secrets kept out of every text."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from speechlane.errors import ConfigurationInvalid
from speechlane.settings import Settings, is_loopback, load_settings

pytestmark = pytest.mark.unit

KEY = "a-key-of-25-characters-..."
OTHER_KEY = "another-key-of-some-length"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """An empty working folder, so that no file of the machine is read."""
    monkeypatch.chdir(tmp_path)


def refused(code, **sources):
    with pytest.raises(ConfigurationInvalid) as caught:
        load_settings(environ=sources.pop("environ", {}), **sources)
    assert caught.value.code == code
    return caught.value


def test_defaults_are_the_embedded_ones():
    """With nothing set, the server listens on loopback with tiny.en int8 on the CPU."""
    settings = load_settings(environ={})
    assert (settings.host, settings.port) == ("127.0.0.1", 8700)
    assert (settings.model, settings.device, settings.compute_type) == ("tiny.en", "cpu", "int8")
    assert settings.data.is_absolute()
    assert settings.models.name == "models"
    assert dict(settings.api_keys) == {}


def test_later_sources_win(tmp_path):
    """The file is overruled by a variable, the variable by a flag; a flag not given (None) overrules nothing."""
    file = tmp_path / "speechlane.toml"
    file.write_text('port = 1001\nmax_sessions = 3\ndrain_s = 4\nallowed_origins = ["http://localhost:3000"]\n')
    variables = {"SPEECHLANE_PORT": "1002", "SPEECHLANE_MAX_SESSIONS": "5"}
    settings = load_settings({"port": 1003, "max_sessions": None}, environ=variables)
    assert (settings.port, settings.max_sessions, settings.drain_s) == (1003, 5, 4)
    assert settings.allowed_origins == ("http://localhost:3000",)


def test_the_file_is_named_by_flag_or_variable(tmp_path):
    """--config wins over SPEECHLANE_CONFIG, and either over ./speechlane.toml."""
    for name, port in (("flag.toml", 1), ("variable.toml", 2), ("speechlane.toml", 3)):
        (tmp_path / name).write_text(f"port = {port}\n")
    variables = {"SPEECHLANE_CONFIG": "variable.toml"}
    assert load_settings(config="flag.toml", environ=variables).port == 1
    assert load_settings(environ=variables).port == 2
    assert load_settings(environ={}).port == 3


def test_a_relative_folder_in_the_file_lies_beside_the_file(tmp_path):
    """What ``data = "here"`` means does not depend on where the program is started."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "my.toml").write_text('data = "here"\n')
    assert load_settings(config="etc/my.toml", environ={}).data == tmp_path / "etc" / "here"
    assert load_settings({"data": "here"}, environ={}).data == tmp_path / "here"


def test_an_empty_variable_counts_as_not_set():
    """Compose files pass empty variables for what the operator left out."""
    assert load_settings(environ={"SPEECHLANE_PORT": "", "SPEECHLANE_CONFIG": ""}).port == 8700


def test_unknown_names_are_refused_with_the_nearest_known_one(tmp_path):
    """A misspelt key is an error wherever it stands, and the error proposes the right one."""
    assert "Did you mean SPEECHLANE_PORT?" in refused("unknown_setting", environ={"SPEECHLANE_PROT": "1"}).message
    assert "Did you mean max_sessions?" in refused("unknown_setting", flags={"max_session": 1}).message
    (tmp_path / "my.toml").write_text("max_upload = 1\n")
    error = refused("unknown_setting", config="my.toml")
    assert (error.field, "my.toml" in error.message) == ("max_upload", True)
    assert "Known are: SPEECHLANE_DATA, " in refused("unknown_setting", environ={"SPEECHLANE_XYZQW": "1"}).message


def test_names_of_clients_and_tests_are_no_settings():
    """Variables that other parts of the program read are let pass."""
    assert load_settings(environ={"SPEECHLANE_KEY": "k", "SPEECHLANE_URL": "u", "SPEECHLANE_CORPUS": "c"}).port == 8700


@pytest.mark.parametrize(
    ("key", "value", "limit"),
    [
        ("port", "70000", 65535),
        ("port", "-1", 65535),
        ("port", "80.5", 65535),
        ("port", True, 65535),
        ("max_sessions", 0, 100_000),
        ("device", "tpu", ["cpu", "cuda", "auto"]),
        ("compute_type", "int4", None),
        ("event_log", "maybe", None),
        ("allowed_origins", "captions.example.org", None),
        ("allowed_origins", 3, None),
        ("model", " ", None),
        ("data", 7, None),
        ("log_level", "loud", ["debug", "info", "warning", "error"]),
    ],
)
def test_a_bad_value_names_its_key_and_what_to_give(key, value, limit):
    """The error says which setting, what it was, and what is allowed."""
    error = refused("invalid_setting", flags={key: value})
    assert error.field == key
    assert f"--{key.replace('_', '-')} is {value!r}; give " in error.message
    if limit is not None:
        assert error.limit == limit


def test_a_bad_value_names_where_it_stands(tmp_path):
    """A value from a file or a variable is told with that origin."""
    (tmp_path / "my.toml").write_text("port = 70000\n")
    assert refused("invalid_setting", config="my.toml").message.startswith("port in my.toml is 70000")
    assert refused("invalid_setting", environ={"SPEECHLANE_PORT": "x"}).message.startswith("SPEECHLANE_PORT is 'x'")


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    """A named file must exist and be TOML."""
    assert "nowhere.toml" in refused("config_not_found", config="nowhere.toml").message
    (tmp_path / "bad.toml").write_text("port = = 1\n")
    assert "bad.toml is not valid TOML" in refused("invalid_config", config="bad.toml").message


def test_keys_come_from_a_variable_or_a_table(tmp_path):
    """``tenant=key,tenant2=key2`` and a TOML table say the same."""
    (tmp_path / "keys.toml").write_text(f'[api_keys]\nacme = "{KEY}"\nglobex = "{OTHER_KEY}"\n')
    from_file = load_settings(config="keys.toml", environ={})
    from_variable = load_settings(environ={"SPEECHLANE_API_KEYS": f"acme={KEY}, globex={OTHER_KEY}"})
    assert from_file.api_keys == from_variable.api_keys == {"acme": KEY, "globex": OTHER_KEY}


@pytest.mark.parametrize(
    "keys",
    [
        "acme=short",
        f"acme={KEY},acme={OTHER_KEY}",
        f"acme={KEY},globex={KEY}",
        KEY,
        f"{KEY}=",
        f"acme={OTHER_KEY},{KEY}",
        f"a b={KEY}",
        f"acme={KEY}\N{SNOWMAN}",
        "acme=" + "k/" * 16,
        7,
    ],
)
def test_weak_or_malformed_keys_are_refused_without_being_shown(keys):
    """A key that is short, shared, doubled or cannot be sent in a header is refused; no message repeats it."""
    error = refused("invalid_setting", flags={"api_keys": keys})
    assert error.field == "api_keys"
    assert "short" not in error.message
    assert KEY not in error.message
    assert OTHER_KEY not in error.message


def test_keys_never_show():
    """Printing or logging the settings tells no key."""
    settings = Settings(api_keys={"acme": KEY})
    assert KEY not in repr(settings)
    assert KEY not in str(settings)


def test_an_open_address_needs_keys():
    """Without keys the server listens on loopback only."""
    error = refused("keys_required", flags={"host": "0.0.0.0"})
    assert "SPEECHLANE_API_KEYS" in error.message
    assert load_settings({"host": "0.0.0.0", "api_keys": f"acme={KEY}"}, environ={}).host == "0.0.0.0"
    assert load_settings({"host": "::1"}, environ={}).host == "::1"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *[(host, True) for host in ("127.0.0.1", "127.8.9.1", "::1", "[::1]", "LocalHost")],
        *[(host, False) for host in ("0.0.0.0", "::", "10.0.0.1", "example.org")],
    ],
)
def test_loopback(host, expected):
    """Only addresses of this machine itself are loopback."""
    assert is_loopback(host) is expected


def test_settings_made_in_code_obey_the_same_rules():
    """The constructor checks too, takes texts for paths, and the result is frozen."""
    settings = Settings(data=Path("there"), port=0)
    assert settings.data == Path.cwd() / "there"
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.port = 1
    with pytest.raises(ConfigurationInvalid, match="port is 99999"):
        Settings(port=99_999)


def test_every_setting_has_a_rule_and_stands_in_the_readme(repository):
    """No setting is read unchecked or left undocumented."""
    from speechlane.settings import _RULES

    names = [item.name for item in dataclasses.fields(Settings)]
    assert sorted(_RULES) == sorted(names)
    readme = (repository / "README.md").read_text()
    assert [name for name in names if f"`{name}`" not in readme] == []


def test_reading_settings_loads_no_heavy_library():
    """Settings are read by every command, so they cost next to nothing to load."""
    code = (
        "import sys, speechlane.settings as s; s.load_settings(environ={}); "
        "print(*{'numpy', 'pydantic', 'fastapi', 'httpx', 'rich', 'asyncio'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "\n", "")
