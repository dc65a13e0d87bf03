"""From what clients saw to the figures of one level of load: lag, error, stability, losses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from material import Stream
from players import Played

from speechlane.scoring import LagFigures, TextErrors, lag_figures, wer
from speechlane.scoring.latency import first_shown_lags, losses, revised_words, settled_lags, taken_back


@dataclass(frozen=True)
class Level:
    """So many sessions at once, pooled over all of them. Rates are fractions, lags seconds.

    ``wer_offline``: of the offline run on the same clips; both None where nobody wrote the text down. ``differs``:
    words otherwise than the offline run's. ``lost`` and ``replaced`` by session, against the same stream played alone.
    """

    sessions: int
    whole: int
    refused: int
    first_shown: LagFigures
    settled: LagFigures
    wer: float | None
    wer_offline: float | None
    differs: float | None
    words: int
    revised: float | None
    taken_back: int
    lost: tuple[int, ...]
    replaced: tuple[int, ...]
    problems: tuple[str, ...]
    sent_late_s: float
    cpu: float | None
    memory_mib: float | None
    load: float | None

    @property
    def wer_points(self) -> float | None:
        """How many points (of 100) the live text errs more than the offline one."""
        return None if self.wer is None or self.wer_offline is None else 100 * (self.wer - self.wer_offline)

    def as_fields(self) -> dict[str, Any]:
        return {**asdict(self), "wer_points": self.wer_points}


def level(
    streams: Sequence[Stream],
    played: Sequence[Played],
    *,
    alone: Sequence[Played | None] = (),
    cpu_s: float | None = None,
    memory_mib: float | None = None,
    load: float | None = None,
) -> Level:
    """Pool sessions; ``alone`` holds, for each, the same stream played alone. ``cpu_s``: of the server meanwhile."""
    shown: list[float] = []
    settled: list[float] = []
    live, offline, differs = TextErrors(), TextErrors(), TextErrors()
    for stream, one in zip(streams, played, strict=True):
        shown += first_shown_lags(stream.reference, one.views)
        settled += settled_lags(stream.reference, one.views)
        text = " ".join(one.words)
        differs += wer(stream.offline, text)
        if stream.said is not None:
            live += wer(stream.said, text)
            offline += wer(stream.said, stream.offline)
    compared = [
        losses([word.text for word in stream.reference], before.words, one.words)
        for stream, one, before in zip(streams, played, alone or [None] * len(played), strict=True)
        if before is not None
    ]
    words = sum(len(one.words) for one in played)
    seconds = sum(stream.seconds for stream in streams)
    return Level(
        sessions=len(played),
        whole=sum(one.whole for one in played),
        refused=sum(one.refused is not None for one in played),
        first_shown=lag_figures(shown),
        settled=lag_figures(settled),
        wer=live.rate if live.reference_length else None,
        wer_offline=offline.rate if offline.reference_length else None,
        differs=differs.rate,
        words=words,
        revised=sum(revised_words(one.views) for one in played) / words if words else None,
        taken_back=sum(taken_back(one.views) for one in played),
        lost=tuple(loss.lost for loss in compared),
        replaced=tuple(loss.replaced for loss in compared),
        problems=tuple(problem for one in played if (problem := one.refused or one.broken)),
        sent_late_s=max((one.late for one in played), default=0.0),
        cpu=cpu_s / seconds if cpu_s is not None and seconds else None,
        memory_mib=memory_mib,
        load=load,
    )


def seconds(value: float | None) -> str | None:
    return None if value is None else f"{value:.2f}"


def percent(rate: float | None) -> str | None:
    return None if rate is None else f"{100 * rate:.1f}"


COLUMNS = (
    "sessions",
    "first shown p50 / p95, s",
    "settled p50 / p95, s",
    "WER live, %",
    "WER offline, %",
    "more, points",
    "revised per word",
    "taken back",
    "lost / replaced, worst session",
    "refused",
    "broken",
    "server CPU s per s",
    "MiB",
    "load",
)


def row(name: str, found: Level) -> list[object]:
    """A level as a line of the table."""
    return [
        name,
        f"{seconds(found.first_shown.p50)} / {seconds(found.first_shown.p95)}",
        f"{seconds(found.settled.p50)} / {seconds(found.settled.p95)}",
        percent(found.wer),
        percent(found.wer_offline),
        None if found.wer_points is None else f"{found.wer_points:+.1f}",
        seconds(found.revised),
        found.taken_back,
        f"{max(found.lost)} / {max(found.replaced)}" if found.lost else None,
        found.refused,
        found.sessions - found.whole - found.refused,
        None if found.cpu is None else f"{found.cpu:.3f}",
        None if found.memory_mib is None else round(found.memory_mib),
        found.load,
    ]
