"""A form read in pieces is the form: how a body is cut changes nothing."""

from __future__ import annotations

import contextlib
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechlane.errors import InvalidInput
from speechlane.server.uploads import _Form

pytestmark = pytest.mark.properties

# Content that looks like boundaries is the hard part.
contents = st.one_of(
    st.binary(max_size=200),
    st.lists(st.sampled_from([b"\r\n", b"--", b"b", b"\r\n--b", b"--b--", b"x", b"\x00"]), max_size=12).map(b"".join),
).filter(lambda content: b"\r\n--b" not in b"\r\n" + content)


@st.composite
def bodies(draw) -> tuple[bytes, bytes, object]:
    content, metadata = draw(contents), draw(st.dictionaries(st.text(max_size=5), st.integers(), max_size=3))
    parts = [
        b'Content-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n' + content,
        b"content-disposition: form-data; name=options\r\n\r\n" + json.dumps(metadata).encode(),
    ]
    if draw(st.booleans()):
        parts.reverse()
    return b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n", content, metadata


def pieces(body: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    return [body[start:end] for start, end in itertools.pairwise(edges)]


@given(body=bodies(), cuts=st.lists(st.integers(0, 10_000), max_size=20))
def test_cuts_change_nothing(body, cuts) -> None:
    """File, name and options come out whole and equal wherever the body is cut."""
    raw, content, metadata = body
    form = _Form(b"b")
    file = b"".join(piece for data in pieces(raw, cuts) for piece in form.feed(data))
    form.finish()
    assert (file, form.filename, form.options()) == (content, "a.wav", metadata)


@given(body=bodies(), cuts=st.lists(st.integers(0, 10_000), max_size=5), end=st.integers(0, 10_000))
def test_a_body_that_breaks_off_is_refused(body, cuts, end) -> None:
    """Whatever is missing at the end, the form is not taken for whole."""
    raw, _, _ = body
    whole = raw.index(b"--b--\r\n") + len(b"--b--")
    form = _Form(b"b")
    for data in pieces(raw[: end % whole], cuts):
        form.feed(data)
    with pytest.raises(InvalidInput, match="ends before"):
        form.finish()


@given(junk=st.binary(max_size=300), cuts=st.lists(st.integers(0, 300), max_size=5))
def test_junk_is_refused_by_name(junk, cuts) -> None:
    """Bytes that are no form raise our own error and nothing else."""
    form = _Form(b"b")
    with contextlib.suppress(InvalidInput):
        for data in pieces(junk, cuts):
            form.feed(data)
        form.finish()
        form.options()
