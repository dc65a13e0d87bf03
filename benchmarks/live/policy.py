"""Commit policies compared: what the live core shows and settles, when, and how right, on real speech.

Scripted time (see scripted_lane.py), so that a run measures the policy and can be repeated; decodes are kept between
runs. Lag of a word: the moment it is first shown, or settled, minus its end in one offline greedy decode of the same
clip (speech gate on, padded to 30 s), to whose text the words are matched by edit distance.

    python benchmarks/live/policy.py CORPUS [--clips 14 | --learners | --joined NAME] [--set FIELD=VALUE ...]
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from clips import english, joined
from decode_cache import DEFAULT, CachedEngine
from word_lag import Measured, error_rate, measure

from speechlane.live.config import LivePolicy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--model", default="tiny.en")
    parser.add_argument("--clips", type=int, help="only so many")
    parser.add_argument("--learners", action="store_true", help="the clips of learners instead")
    parser.add_argument("--joined", metavar="NAME", help="a row of longform.json instead, without pauses between clips")
    parser.add_argument("--seconds", type=float, default=120, help="so much of the joined clips")
    parser.add_argument("--set", nargs="*", default=[], metavar="FIELD=VALUE", help="fields of LivePolicy")
    parser.add_argument("--cache", type=Path, default=DEFAULT, help="where decodes are kept between runs")
    parser.add_argument("--worst", type=int, default=0, help="show so many of the slowest words and worst clips")
    options = parser.parse_args()
    policy = replace(LivePolicy(), **{name: json.loads(value) for name, value in (i.split("=") for i in options.set)})
    engine = CachedEngine(options.model, options.cache)
    if options.joined:
        clips = [joined(options.corpus, options.joined, seconds=options.seconds)]
    else:
        clips = english(options.corpus, learners=options.learners, count=options.clips)
    measured = [measure(clip, engine, policy) for clip in clips]
    print(f"{' '.join(options.set) or 'defaults'} | {row(measured)} | {engine.decoded} decodes made anew")
    show_worst(measured, options.worst)


def row(measured: Sequence[Measured]) -> str:
    """The figures of one policy."""
    live = error_rate([(item.clip.text, item.lane.text) for item in measured])
    offline = error_rate([(item.clip.text, item.offline) for item in measured])
    lags = [lag for item in measured for lag in item.lags]
    words = sum(len(item.lane.words) for item in measured)
    seconds = sum(item.clip.seconds for item in measured)
    return (
        f"WER {live:.2%} offline {offline:.2%} | settled {quantiles([lag.settled for lag in lags])} | "
        f"shown {quantiles([lag.shown for lag in lags])} | "
        f"revised {sum(item.revised for item in measured) / words:.2f} "
        f"reworded {sum(item.reworded for item in measured) / words:.2f} | "
        f"decodes {sum(item.lane.decodes for item in measured) / seconds:.2f}/s "
        f"engine {sum(item.lane.engine_ms for item in measured) / seconds / 10:.0f} % | "
        f"{len(measured)} clips {seconds:.0f} s {words} words"
    )


def quantiles(values: Sequence[float]) -> str:
    ordered = sorted(values)
    return f"{statistics.median(ordered):.2f} / {ordered[int(len(ordered) * 0.95)]:.2f} s (max {ordered[-1]:.1f})"


def show_worst(measured: Sequence[Measured], count: int) -> None:
    """The words that settled last, and the clips that lost most against offline decoding."""
    lags = sorted((lag for item in measured for lag in item.lags), key=lambda lag: -lag.settled)
    for lag in lags[:count]:
        print(f"  {lag.settled:.2f} s settled, {lag.shown:.2f} s shown: {lag.word!r} at {lag.end:.2f} s of {lag.clip}")
    losses = [
        (error_rate([(item.clip.text, item.lane.text)]) - error_rate([(item.clip.text, item.offline)]), item)
        for item in measured
    ]
    for loss, item in sorted(losses, key=lambda pair: -pair[0])[:count]:
        print(f"  {loss:+.1%} {item.clip.name}\n    ref  {item.clip.text}\n    live {item.lane.text}")
        print(f"    off  {item.offline}")


if __name__ == "__main__":
    main()
