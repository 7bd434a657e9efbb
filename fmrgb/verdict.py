"""From scores to plain sentences that say what they mean, and what they do not."""

from typing import Any

import numpy as np

from fmrgb.facts import MAX_P
from fmrgb.intervals import CONFIDENCE

WIDE = 0.05  # half an interval; a wider one is put into words
KINDS = {
    "audible": "with an audible sound track",
    "silent": "with a silent sound track",
    "none": "without a sound track",
    "neither": "with neither picture nor sound",
    "picture": "with a picture alone",
    "sound": "with sound alone",
    "both": "with picture and sound",
}


def percent(share: float) -> str:
    """Write a share as 12.3 %, in one piece also at the end of a line."""
    return f"{100 * share:.1f}\N{NO-BREAK SPACE}%"


def printed(sentence: str) -> str:
    """Return a sentence as it is printed: a terminal breaks lines where it will."""
    return sentence.replace("\N{NO-BREAK SPACE}", " ")


def points(share: float) -> str:
    """Write a difference of shares as +1.2 points, without the unit."""
    text = f"{100 * share:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text


def on_accuracy(scores: dict[str, Any]) -> str:
    """Say how sure the accuracy is and whether it beats naming the commonest class."""
    low, high = scores["interval"]
    clips, sources = scores["clips"], scores["sources"]
    of = f" from {sources} sources" if sources < clips else ""
    majority = percent(scores["majority"])
    said = [f"95 % interval {percent(low)} to {percent(high)}"]
    said.append(f"({scores['right']} of {clips} clips{of}).")
    if low > scores["majority"]:
        said.append(f"Always naming the commonest class would reach {majority}.")
    else:
        said.append(
            f"Always naming the commonest class would reach {majority}, which the "
            "interval does not exclude: this model is not shown to know more."
        )
    half = (high - low) / 2
    if half > WIDE:
        said.append(
            "So few clips measure roughly: another set of them could well give "
            f"{100 * half:.0f} points more or less."
        )
    return " ".join(said)


def on_tracks(votes: dict[str, Any]) -> str:
    """Say how often whole recordings are judged right, by all of their windows.

    Args:
        votes: from `votes.vote`.
    """
    low, high = votes["interval"]
    tracks, sources = votes["tracks"], votes["sources"]
    of = f" from {sources} sources" if sources < tracks else ""
    said = (
        f"{percent(votes['accuracy'])} of the recordings are judged right by the mean "
        f"of their windows' probabilities, 95 % interval {percent(low)} to "
        f"{percent(high)} ({votes['right']} of {tracks} recordings{of}, "
        f"{votes['windows']} windows; commonest class {percent(votes['majority'])})."
    )
    if votes["mixed"]:
        said += (
            f" {votes['mixed']} recordings whose windows have several labels are left "
            "out."
        )
    return said


def on_comparison(told: dict[str, Any]) -> str:
    """Say whether one of two models is shown to be right more often than the other.

    It takes both intervals and McNemar's test to show it.

    Args:
        told: from `comparison.compare`.
    """
    low, high = told["bootstrap"]
    clips, sources = told["clips"], told["sources"]
    of = f"{sources} sources" if sources < clips else f"{clips} clips"
    said = (
        f"A is right on {percent(told['accuracy_a'])} of the clips, B on "
        f"{percent(told['accuracy_b'])}: {points(told['difference'])} points, 95 % "
        f"interval {points(low)} to {points(high)} (paired bootstrap over {of}). "
        f"{told['only_a']} clips only A got right, {told['only_b']} only B; McNemar's "
        f"exact test: p = {told['mcnemar']:.2g}."
    )
    ends = [np.sign(end) for name in ("bootstrap", "interval") for end in told[name]]
    shown = told["mcnemar"] < 1 - CONFIDENCE and abs(sum(ends)) == len(ends)
    if not shown:
        return f"{said} Neither is shown to be right more often than the other."
    better = "A" if told["difference"] > 0 else "B"
    return f"{said} {better} is shown to be right more often on clips like these."


def on_planes(planes: dict[str, dict[str, Any]]) -> str:
    """Say which planes the network is shown to use, and which not."""
    used = [name for name, told in planes.items() if told["interval"][0] > 0]
    harmful = [name for name, told in planes.items() if told["interval"][1] < 0]
    idle = [name for name in planes if name not in used + harmful]
    said = []
    if used:
        said.append(f"The network is shown to use: {', '.join(used)}.")
    if idle:
        said.append(f"Not shown to matter: {', '.join(idle)}.")
    if harmful:
        names = ", ".join(harmful)
        said.append(f"It does better with other clips' {names}: these mislead it.")
    return " ".join(said)


def on_sounds(sounds: dict[str, Any], majority: float) -> str:
    """Say whether the kind of sound track goes with the label or with being right."""
    return _on_kinds(sounds, majority, "The kind of sound track")


def on_senses(senses: dict[str, Any], majority: float) -> str:
    """Say whether the senses that a clip has go with the label or with being right."""
    return _on_kinds(senses, majority, "Which senses there are")


def _on_kinds(told_by: dict[str, Any], majority: float, what: str) -> str:
    """Say whether the kind of clip goes with the label or with being right."""
    kinds = told_by["kinds"]
    if len(kinds) < 2:
        return f"All clips are {KINDS[next(iter(kinds))]}."
    by_label = f"{what} is not shown to go with the label."
    if told_by["p_label"] < MAX_P:
        by_label = (
            f"{what} goes with the label: naming each kind's commonest "
            f"label is right for {percent(told_by['by_kind'])} of these clips, always "
            f"naming the same one for {percent(majority)}. A network can learn this "
            "instead of what is seen and heard, and then fails where it does not hold."
        )
    if told_by["p_right"] >= MAX_P:
        return f"{by_label} No difference in accuracy between the kinds is shown."
    each = ", ".join(
        f"{percent(told['accuracy'])} {KINDS[kind]}" for kind, told in kinds.items()
    )
    return (
        f"{by_label} The network is not equally good on all kinds: {each}. Its overall "
        "accuracy holds only for the same mixture of clips."
    )


def on_calibration(told: dict[str, Any], accuracy: float) -> str:
    """Say whether the probabilities can be taken at their word."""
    if told["ece"] <= told["ece_by_chance"]:
        meaning = "So nothing speaks against these probabilities."
    else:
        which = "too high" if told["confidence"] > accuracy else "too low"
        meaning = f"So these probabilities are off, on the whole {which}."
    return (
        f"Expected calibration error {told['ece']:.3f}; with true probabilities it "
        f"stays below {told['ece_by_chance']:.3f} in 95 % of test sets like this one. "
        f"{meaning} Mean confidence {percent(told['confidence'])}, accuracy "
        f"{percent(accuracy)}. Brier score {told['brier']:.3f} (0 is best; always "
        f"telling the labels' shares gives {told['brier_of_shares']:.3f})."
    )
