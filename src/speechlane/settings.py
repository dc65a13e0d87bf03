"""What an operator may set: read once, frozen, the unknown refused by name.

Sources, later ones win: ``speechlane.toml``, ``SPEECHLANE_*`` variables, flags of the command line. Standard library
alone, because every command reads settings and importing a schema library costs more than all the rest of its start.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from speechlane.errors import ConfigurationInvalid, Limit

PREFIX = "SPEECHLANE_"
MINIMUM_KEY_CHARACTERS = 16
OTHER_VARIABLES = frozenset({"CONFIG", "CORPUS", "KEY", "URL"})
"""``SPEECHLANE_*`` names that are no settings: the file's path, the tests' recordings, a client's key and address."""

Rule = Callable[[object], object]


class _Refused(Exception):
    """A value breaks its rule; the setting's name and origin are added where they are known."""

    def __init__(self, must: str, limit: Limit = None, *, secret: bool = False) -> None:
        super().__init__(must)
        self.must = must
        self.limit = limit
        self.secret = secret


def _whole(low: int, high: int) -> Rule:
    def read(value: object) -> object:
        if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]+", value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise _Refused(f"a whole number from {low} to {high}", high)
        return value

    return read


def _one_of(*allowed: str) -> Rule:
    def read(value: object) -> object:
        if value not in allowed:
            raise _Refused(f"one of {', '.join(allowed)}", list(allowed))
        return value

    return read


def _text(value: object) -> object:
    if not isinstance(value, str) or not value.strip():
        raise _Refused("a text that is not empty")
    return value.strip()


def _folder(value: object) -> object:
    if not isinstance(value, str | Path) or not str(value):
        raise _Refused("the path of a folder")
    return Path(value).expanduser().absolute()


def _switch(value: object) -> object:
    words = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    if not isinstance(value, bool):
        raise _Refused("true or false")
    return value


def _origins(value: object) -> object:
    items = [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value
    must = 'a list of origins such as "https://captions.example.org", without a path'
    if not isinstance(items, list | tuple):
        raise _Refused(must)
    for item in items:
        if not isinstance(item, str) or not re.fullmatch(r"https?://[^/\s]+", item):
            raise _Refused(must)
    return tuple(items)


def _api_keys(value: object) -> object:
    if isinstance(value, str):
        items = [item.strip() for item in value.split(",") if item.strip()]
        if not all("=" in item for item in items):
            raise _Refused("each key behind its tenant's name, as tenant=key,tenant2=key2", secret=True)
        pairs = [item.partition("=")[::2] for item in items]
        if len(dict(pairs)) < len(pairs):
            raise _Refused("one key for each tenant; a tenant is named twice", secret=True)
        value = dict(pairs)
    if not isinstance(value, Mapping):
        raise _Refused("tenant names with their keys, as tenant=key,tenant2=key2", secret=True)
    for number, (tenant, key) in enumerate(value.items(), start=1):  # a tenant's name may be a key gone astray
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", str(tenant)):
            raise _Refused("tenant names of 1 to 64 letters, digits, - and _, each followed by =key", 64, secret=True)
        if not isinstance(key, str) or not re.fullmatch(r"[A-Za-z0-9._~+-]*", key):
            # What both a Bearer token (RFC 6750) and a WebSocket subprotocol (RFC 9110 token) may hold.
            raise _Refused(f"key number {number} letters, digits and -._~+ alone", secret=True)
        if len(key) < MINIMUM_KEY_CHARACTERS:
            raise _Refused(
                f"key number {number} at least {MINIMUM_KEY_CHARACTERS} characters, "
                'such as python -c "import secrets; print(secrets.token_urlsafe(32))" prints',
                MINIMUM_KEY_CHARACTERS,
                secret=True,
            )
    if len(set(value.values())) < len(value):
        raise _Refused("a different key for each tenant", secret=True)
    return MappingProxyType(dict(value))


def _user_data() -> Path:
    import platformdirs  # noqa: PLC0415 - 30 ms, needed only where no folder is named

    return Path(platformdirs.user_data_dir("speechlane", appauthor=False))


def _user_models() -> Path:
    import platformdirs  # noqa: PLC0415 - 30 ms, needed only where no folder is named

    return Path(platformdirs.user_cache_dir("speechlane", appauthor=False)) / "models"


_COMPUTE_TYPES = ("default", "auto", "int8", "int8_float16", "int8_bfloat16", "float16", "bfloat16", "float32")
_RULES: dict[str, Rule] = {
    "data": _folder,
    "models": _folder,
    "host": _text,
    "port": _whole(0, 65_535),
    "model": _text,
    "device": _one_of("cpu", "cuda", "auto"),
    "compute_type": _one_of(*_COMPUTE_TYPES),
    "threads": _whole(0, 1024),
    "workers": _whole(0, 64),
    "max_batch": _whole(0, 256),
    "api_keys": _api_keys,
    "allowed_origins": _origins,
    "max_sessions": _whole(1, 100_000),
    "max_wait_ms": _whole(100, 60_000),
    "max_session_s": _whole(1, 7 * 86_400),
    "max_session_bytes": _whole(1 << 20, 1 << 44),
    "idle_timeout_s": _whole(1, 86_400),
    "max_frame_bytes": _whole(1 << 10, 1 << 26),
    "max_upload_bytes": _whole(1 << 10, 1 << 44),
    "max_job_duration_s": _whole(1, 7 * 86_400),
    "drain_s": _whole(0, 3_600),
    "resume_window_s": _whole(0, 86_400),
    "live_retain_days": _whole(0, 36_500),
    "event_log": _switch,
    "event_audio": _switch,
    "log_level": _one_of("debug", "info", "warning", "error"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings, checked. Sizes in bytes, times in seconds; the README's table explains each one.

    ``api_keys`` (tenant -> key) never shows in ``repr``. ``threads``, ``workers`` and ``max_batch`` of 0 take what
    suits the device.

    Raises:
        ConfigurationInvalid: ``invalid_setting`` names the setting, its limit and what to give instead;
            ``keys_required`` when ``host`` can be reached from other machines and there are no ``api_keys``.
    """

    data: Path = field(default_factory=_user_data)
    models: Path = field(default_factory=_user_models)
    host: str = "127.0.0.1"
    port: int = 8700
    model: str = "tiny.en"
    device: str = "cpu"
    compute_type: str = "int8"
    threads: int = 0
    workers: int = 0
    max_batch: int = 0
    api_keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    allowed_origins: tuple[str, ...] = ()
    max_sessions: int = 256
    max_wait_ms: int = 2_000
    max_session_s: int = 14_400
    max_session_bytes: int = 4 << 30
    idle_timeout_s: int = 60
    max_frame_bytes: int = 1 << 20
    max_upload_bytes: int = 2 << 30
    max_job_duration_s: int = 14_400
    drain_s: int = 10
    resume_window_s: int = 60
    live_retain_days: int = 30
    event_log: bool = True
    event_audio: bool = False
    log_level: str = "info"

    def __post_init__(self) -> None:
        for key in _RULES:
            object.__setattr__(self, key, _checked(key, getattr(self, key), origin=key))
        if not self.api_keys and not is_loopback(self.host):
            raise ConfigurationInvalid(
                "keys_required",
                f"host {self.host} can be reached from other machines and no api_keys are set. Set "
                f"{PREFIX}API_KEYS=tenant=key (at least {MINIMUM_KEY_CHARACTERS} characters), or listen on 127.0.0.1.",
                field="api_keys",
                limit="127.0.0.1",
            )
        if self.event_audio and not self.event_log:
            raise ConfigurationInvalid(
                "invalid_setting",
                "event_audio keeps the audio beside the event log, and event_log is false; set both or neither.",
                field="event_audio",
            )


def load_settings(
    flags: Mapping[str, object] | None = None,
    *,
    config: str | Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """The settings of this run.

    Args:
        flags: settings given on the command line by name; None stands for a flag that was not given.
        config: path of the TOML file; None takes ``SPEECHLANE_CONFIG``, else ``./speechlane.toml`` if it is there.
        environ: variables, ``os.environ`` when None; an empty variable counts as not set.

    Raises:
        ConfigurationInvalid: ``unknown_setting``, ``invalid_setting``, ``keys_required``, ``config_not_found`` or
            ``invalid_config``.
    """
    variables = {
        name.removeprefix(PREFIX): text
        for name, text in (os.environ if environ is None else environ).items()
        if name.startswith(PREFIX) and text
    }
    values: dict[str, object] = {}

    def take(key: str, value: object, origin: str) -> None:
        if key not in _RULES:
            raise _unknown(key, origin)
        values[key] = _checked(key, value, origin=origin)

    path = config or variables.get("CONFIG")
    file = Path(path).expanduser() if path else Path("speechlane.toml")
    if path or file.is_file():
        for key, value in _read_toml(file).items():
            # A relative folder in the file means beside the file, wherever the program is started.
            beside = key in {"data", "models"} and isinstance(value, str) and value
            take(key, file.absolute().parent / Path(str(value)).expanduser() if beside else value, f"{key} in {file}")
    for name, text in variables.items():
        if name not in OTHER_VARIABLES:
            take(name.lower(), text, PREFIX + name)
    for key, value in (flags or {}).items():
        if value is not None:
            take(key, value, f"--{key.replace('_', '-')}")
    return Settings(**values)  # type: ignore[arg-type]  # each value has just passed its own rule


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address; a name other than ``localhost`` counts as reachable."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _checked(key: str, value: object, *, origin: str) -> object:
    try:
        return _RULES[key](value)
    except _Refused as refused:
        fact = f"{origin} is not valid" if refused.secret else f"{origin} is {value!r}"
        raise ConfigurationInvalid(
            "invalid_setting", f"{fact}; give {refused.must}.", field=key, limit=refused.limit
        ) from None


def _unknown(key: str, origin: str) -> ConfigurationInvalid:
    known = list(_RULES)
    near = difflib.get_close_matches(key, known, n=1)
    if origin.startswith(PREFIX):
        near = [PREFIX + name.upper() for name in near]
        known = [PREFIX + name.upper() for name in known]
    advice = f"Did you mean {near[0]}?" if near else f"Known are: {', '.join(known)}."
    return ConfigurationInvalid("unknown_setting", f"{origin} is no setting. {advice}", field=key)


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationInvalid(
            "config_not_found", f"{file} cannot be read ({error.strerror}). Name an existing file.", field="config"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationInvalid(
            "invalid_config", f"{file} is not valid TOML: {error}. Correct it there.", field="config"
        ) from None
