"""Keyterms of a live session, from the socket to the record."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from live_server import START, converse, live_server, script

from speechlane.engine.scripted import ScriptedEngine
from speechlane.engine.scripted_audio import scripted_samples

pytestmark = pytest.mark.integration

SPOKEN = script(6)
WORDS = (*SPOKEN[:3], replace(SPOKEN[3], text=" Merneptah", misheard=" word3", drafts=()), *SPOKEN[4:])
AUDIO = scripted_samples(0, WORDS[-1].end + 16_000).tobytes()


def test_keyterms_reach_the_engine_and_the_record():
    """A session that names a word reads it; one beside it that does not, does not; records tell which was asked."""
    with live_server(ScriptedEngine(WORDS), WORDS) as running:
        for keyterms, heard in ((["Merneptah"], "Merneptah"), ([], "word3")):
            start = START | {"keyterms": keyterms}
            messages, _ = converse(running.url, [start, AUDIO, {"type": "session.finish"}])
            assert "warning" not in {message["type"] for message in messages}
            finals = [message["text"] for message in messages if message["type"] == "caption.final"]
            assert heard in " ".join(finals).split()
            chain = asyncio.run(running.registry.chain("default", session=messages[0]["session"]))
            assert [record.options["keyterms"] for record in chain] == [keyterms]
