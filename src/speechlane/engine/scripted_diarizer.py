"""The honest fake of a diarizer: it answers the turns of its script and obeys every rule of the seam."""

from __future__ import annotations

from typing import TYPE_CHECKING

from speechlane.diarization import Turn
from speechlane.engine.checks import check_recording
from speechlane.engine.seam import DiarizerIdentity

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from speechlane.audio import Samples
    from speechlane.diarization import SpeakerBounds
    from speechlane.errors import SpeechlaneError


class ScriptedDiarizer:
    """A `Diarizer` that hears what it is told to hear.

    Args:
        turns: what it answers for a recording that is not silent; speakers are renamed ``S1``, ``S2`` ... in order
            of first speech, and who is over the bounds asked for speaks as the last one allowed.
        failure: raised instead, as a model's failure would be.
    """

    def __init__(self, turns: Iterable[Turn] = (), *, failure: SpeechlaneError | None = None) -> None:
        self._turns = sorted(turns, key=_order)
        self._failure = failure

    @property
    def identity(self) -> DiarizerIdentity:
        return DiarizerIdentity(diarizer="scripted", diarizer_version="1", models=())

    async def diarize(self, samples: Samples, bounds: SpeakerBounds) -> Sequence[Turn]:
        """The script's turns, cut to the recording's length; see `Diarizer`."""
        check_recording(samples)
        if self._failure is not None:
            raise self._failure
        if not samples.any():
            return ()
        most = bounds.speakers or bounds.maximum or len(self._turns)
        names: dict[str, str] = {}
        spans: dict[str, list[Turn]] = {}
        for turn in self._turns:
            if turn.start < len(samples):
                name = names.setdefault(turn.speaker, f"S{min(len(names) + 1, most)}")
                spans.setdefault(name, []).append(Turn(turn.start, min(turn.end, len(samples)), name))
        return tuple(sorted((turn for own in spans.values() for turn in _joined(own)), key=_order))


def _joined(turns: Sequence[Turn]) -> list[Turn]:
    """One speaker's turns, ordered by start, with those that touch or overlap made one."""
    joined = [turns[0]]
    for turn in turns[1:]:
        last = joined[-1]
        if turn.start <= last.end:
            joined[-1] = Turn(last.start, max(last.end, turn.end), last.speaker)
        else:
            joined.append(turn)
    return joined


def _order(turn: Turn) -> tuple[int, int, str]:
    return turn.start, turn.end, turn.speaker
