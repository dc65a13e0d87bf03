"""The refusals that every engine shares, so that a fake and a real engine refuse the same request with the same words.

What only one engine can know (which tokens may stand in a prefix) it checks itself, under the codes named here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from speechlane.errors import EngineFailed, InvalidInput

if TYPE_CHECKING:
    from speechlane.audio import Samples
    from speechlane.engine.seam import Capabilities, DecodeRequest

QUEUE_FULL = "engine_queue_full"
"""The code under which an engine refuses a request for want of room; nothing is wrong with it."""


def check_request(request: DecodeRequest, capabilities: Capabilities) -> None:
    """Refuse a request that these capabilities exclude.

    Raises:
        InvalidInput: ``invalid_window`` (empty, or not one row of samples), ``window_too_long``, ``invalid_padding``,
            ``unsupported_language``, ``prefix_unsupported``, ``keyterms_unsupported``, ``invalid_keyterms``,
            ``invalid_options``.
    """
    longest = capabilities.max_window_samples
    if request.samples.ndim != 1 or len(request.samples) == 0:
        raise InvalidInput(
            "invalid_window",
            f"samples: one row of at least 1 sample is needed, not shape {request.samples.shape}. Send mono samples.",
            field="samples",
            limit=1,
        )
    if len(request.samples) > longest:
        raise InvalidInput(
            "window_too_long",
            f"samples: {len(request.samples)} samples are over the {longest} that one window may have. "
            "Cut the audio into shorter windows.",
            field="samples",
            limit=longest,
        )
    if not len(request.samples) <= request.padded_samples <= longest:
        raise InvalidInput(
            "invalid_padding",
            f"padded_samples: {request.padded_samples} is outside {len(request.samples)} (the window's own length) to "
            f"{longest}. Choose a length between them.",
            field="padded_samples",
            limit=longest,
        )
    _check_language(request.language, capabilities)
    if request.prefix and not capabilities.prefix:
        raise InvalidInput(
            "prefix_unsupported",
            "prefix: this engine takes no forced prefix. Send the window without one.",
            field="prefix",
        )
    _check_keyterms(request, capabilities)
    _check_options(request)


def check_recording(samples: Samples) -> None:
    """Refuse what no diarizer can take: anything but one row of samples. No sample at all is a silent recording.

    Raises:
        InvalidInput: ``invalid_recording``.
    """
    if samples.ndim != 1:
        raise InvalidInput(
            "invalid_recording",
            f"samples: one row of samples is needed, not shape {samples.shape}. Send mono samples.",
            field="samples",
            limit=1,
        )


def invalid_prefix(fact: str, *, limit: int | None = None) -> InvalidInput:
    """The refusal of a prefix whose tokens did not come from this engine, or are too many."""
    return InvalidInput(
        "invalid_prefix",
        f"prefix: {fact}. Send the tokens of words that this engine answered for this window, or none.",
        field="prefix",
        limit=limit,
    )


def engine_closed() -> EngineFailed:
    """The refusal of an engine that is being shut down; the request itself was good."""
    return EngineFailed("engine_closed", "The engine was closed before it took this window. Ask another engine.")


def _check_language(language: str | None, capabilities: Capabilities) -> None:
    """None is fine where the engine detects, or has one language that needs no detection."""
    known = capabilities.languages
    if language is None and (capabilities.detects_language or len(known) == 1):
        return
    if language is None or language not in known:
        asked = "none was named and this engine detects none" if language is None else f"{language!r} is not among them"
        raise InvalidInput(
            "unsupported_language",
            f"language: this engine knows {len(known)} languages and {asked}. "
            f"Ask for one of {', '.join(sorted(known))}, or choose another model.",
            field="language",
            limit=sorted(known),
        )


def _check_keyterms(request: DecodeRequest, capabilities: Capabilities) -> None:
    if request.keyterms and not capabilities.keyterms:
        raise InvalidInput(
            "keyterms_unsupported",
            "keyterms: this engine takes none. Send the window without them.",
            field="keyterms",
        )
    if any(not term.strip() for term in request.keyterms):
        raise InvalidInput("invalid_keyterms", "keyterms: one of them is empty. Leave it out.", field="keyterms")


def _check_options(request: DecodeRequest) -> None:
    if request.options.beam_size < 1:
        raise InvalidInput(
            "invalid_options",
            f"options.beam_size: {request.options.beam_size} is under 1. Use 1 for greedy decoding.",
            field="options.beam_size",
            limit=1,
        )
    if request.options.max_tokens is not None and request.options.max_tokens < 1:
        raise InvalidInput(
            "invalid_options",
            f"options.max_tokens: {request.options.max_tokens} is under 1. Leave it out for the model's own bound.",
            field="options.max_tokens",
            limit=1,
        )
