"""The scripted diarizer: what the seam's own tests cannot see."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from speechlane.diarization import SpeakerBounds, Turn
from speechlane.engine.scripted_diarizer import ScriptedDiarizer
from speechlane.errors import EngineFailed, InvalidInput

pytestmark = pytest.mark.unit

SPEECH = np.full(1_000, 0.1, dtype=np.float32)


def test_the_script_is_answered_under_the_seam_s_names() -> None:
    """Turns are cut to the recording, joined where one speaker's touch, and named in order of first speech."""
    script = [Turn(600, 5_000, "bob"), Turn(0, 300, "ann"), Turn(300, 400, "ann"), Turn(2_000, 3_000, "cid")]
    turns = asyncio.run(ScriptedDiarizer(script).diarize(SPEECH, SpeakerBounds()))
    assert list(turns) == [Turn(0, 400, "S1"), Turn(600, 1_000, "S2")]


def test_it_fails_as_a_model_does() -> None:
    """A scripted failure is raised for every recording that could be taken; bad input is refused before it."""
    failing = ScriptedDiarizer(failure=EngineFailed("diarizer_failed", "The model ran out of memory. Try it again."))
    with pytest.raises(EngineFailed, match="out of memory"):
        asyncio.run(failing.diarize(SPEECH, SpeakerBounds()))
    with pytest.raises(InvalidInput):
        asyncio.run(failing.diarize(SPEECH.reshape(2, 500), SpeakerBounds()))
