"""The tools that are killed: their commands, what they read, and what they leave.

Left out are those that write nothing to keep (models, doctor), the page, which
test_page_faults.py kills, record, which writes what it happens to hear, and demo, which
runs tools that are all here, one after the other.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import clips
import numpy as np
import pairing
import tiny
import torch
from killing import LIGHT, MOST

from fmrgb.card import View
from fmrgb.checkpoint import Network
from fmrgb.manifest import Row, write_manifest
from fmrgb.recipe import Recipe, SoundLook
from fmrgb.resize import resize
from fmrgb.sample import save_sample

Step = str | Callable[[Path], None]  # words behind `fmrgb`, or what makes files
N_CLIPS = 4
CLIPS = tuple(f"clips/l{k % 2}/c{k}.mp4" for k in range(N_CLIPS))
PCM = ("-c:a", "pcm_s16le")


@dataclass(frozen=True)
class Case:
    """A tool's command, and what is known of what it leaves.

    Attributes:
        words: behind `fmrgb`.
        before: what makes that which it reads, beside the folder of all.
        again: more words for the run after a kill.
        then: commands that finish what it began.
        gone: originals that it deletes.
        remade: names of files that were there before and are written anew.
        growing: names of files that are whole at any time, but of another epoch.
        passing: folder that is gone when the tool has done its work.
        needed: what to import before.
        forked: whether it runs as a fork of what has imported all; else as users start
            it.
        one_in: of so many moments one is taken: of another way of a tool that is killed
            at all of them, or where a run takes long.
        first_s: before which it is not killed, as it does not listen yet.
    """

    words: str
    before: tuple[Step, ...] = ()
    again: str = ""
    then: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    remade: tuple[str, ...] = ()
    growing: tuple[str, ...] = ()
    passing: str = ""
    needed: tuple[str, ...] = MOST
    forked: bool = True
    one_in: int = 1
    first_s: float = 0.0


def ground(folder: Path) -> None:
    """Make what any of the tools may read."""
    for k, name in enumerate(CLIPS):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(k).integers(0, 256, (24, 32, 48, 3), np.uint8)
        clips.make(folder / name, noise, clips.tone(300 + 100 * k, 2.4))
    clips.copies(folder / CLIPS[0], folder, "twins/c0.mp4", "built/c0.mp4")
    resize(folder / "twins")
    tiny.untrained(folder / "m.ckpt", seconds=2.4)
    tiny.manifest(folder / "samples", 8)


def long_clip(folder: Path) -> None:
    """Write a recording of several windows."""
    noise = np.random.default_rng(9).integers(0, 256, (90, 32, 48, 3), np.uint8)
    clips.make(folder / "long.mp4", noise, clips.tone(500, 9.0))


def sounds(folder: Path) -> None:
    """Write sound files of two labels, and a network that has only listened."""
    for k in range(6):
        path = folder / f"spoken/l{k % 2}/s{k}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        clips.make(path, None, clips.tone(300 + 100 * k, 1.0 + 0.1 * k), audio=PCM)
    look = SoundLook(pictures=("logmel", "mfcc"), bands=30, columns=21)
    width, height = look.sides
    card = replace(
        tiny.CARD,
        view=View(look.pictures, 1, height, width, look.pictures),
        mean=[90.0, 90.0],
        std=[60.0, 60.0],
        recipe=Recipe.of_sound(look, "absolute").options(),
        seconds=1.0,
        longest=1.0,
    )
    torch.manual_seed(0)
    tiny.saved(Network(card), folder / "ear.ckpt")


def large(folder: Path, first_seed: int = 0) -> None:
    """Write samples of which a few fill a shard, larger than `tiny` makes them."""
    rows = []
    for k, (label, level) in enumerate(list(tiny.LEVELS.items()) * 6):
        small = tiny.sample(level, label, seed=first_seed + k)
        path = folder / f"large/{label}/clip{k}.pt"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_sample(path, replace(small, visual=small.visual.repeat(9, 1).repeat(9, 2)))
        rows.append(Row(path=path, label=label, has_sound=True, silent=False))
    write_manifest(folder / "large/manifest.csv", rows)


def large_anew(folder: Path) -> None:
    """Write other samples of the same names and sizes in their place."""
    large(folder, first_seed=100)


def items(folder: Path) -> None:
    """Write pictures, sounds and words that can be joined."""
    pairing.collections(folder, 8)


EPOCHS = ("best.ckpt", "last.ckpt", "metrics.csv", "audit.json", "lr_search.csv")
SHARDS = ("shard-000000.tar", "shard-000001.tar", "shard-000002.tar")
TRIALS = ("lr_search.journal", "found.journal")
TRAIN_ON = "--output run --epochs 3 --batch_size 4 --model_size tiny --precision 32"
TRAIN = f"train --data samples/manifest.csv {TRAIN_ON}"
SEARCH = f"{TRAIN} --islearnrate_search true --trials 3 --search_epochs 6"
BUILD = "create_fmrgbdata --target clips --output out --size 64"
SHARE = f"{BUILD} --frames 5 --workers 1 --shard"
HEAR = "create_fmrgbdata --target spoken --output out --soundpicture logmel,mfcc"
PACK = "pack --target large/manifest.csv --output packed --shard_mb 1 --workers"
PAIR = (
    "pair --pictures pictures --sounds sounds --texts texts.csv --size 12x10 "
    "--workers 1 --output pairs"
)
FIT = "gmm --fit --data pairs/manifest.csv --output concepts"
PREDICT = "predict --model m.ckpt --output told --target"
SEARCHED = Case(
    SEARCH, again="--resume", growing=EPOCHS + TRIALS, passing="run/search", one_in=2
)

CASES = {
    "resize_video": Case(
        "resize_video --target clips --mag 2 --workers 2", needed=LIGHT
    ),
    "delete_not_resized": Case(
        "delete_not_resized --target twins", gone=("twins/c0.mp4",), needed=LIGHT
    ),
    "create_fmrgbdata": Case(f"{BUILD} --workers 1", needed=LIGHT),
    "create_fmrgbdata by processes": Case(f"{BUILD} --workers 2", needed=LIGHT),
    "create_fmrgbdata of a share": Case(
        f"{SHARE} 1/2", then=(f"{SHARE} 2/2", "merge --target out"), needed=LIGHT
    ),
    "create_fmrgbdata of sounds": Case(
        f"{HEAR} --workers 1", before=(sounds,), needed=LIGHT, one_in=2
    ),
    "create_fmrgbdata of sounds in windows": Case(
        f"{HEAR} --window 0.4 --hop 0.2 --workers 2",
        before=(sounds,),
        needed=LIGHT,
        one_in=2,
    ),
    "create_fmrgbdata by Ray": Case(
        f"{BUILD} --workers 2 --engine ray", needed=LIGHT, one_in=4
    ),
    "merge": Case(
        "merge --target out", before=(f"{SHARE} 1/2", f"{SHARE} 2/2"), needed=LIGHT
    ),
    "check": Case(
        "check --target clips --samples out",
        before=(f"{BUILD} --workers 1",),
        needed=LIGHT,
    ),
    "delete_allmp4": Case(
        "delete_allmp4 --target built",
        before=("create_fmrgbdata --target built --workers 1",),
        gone=("built/c0.mp4",),
    ),
    "pack": Case(f"{PACK} 1", before=(large,)),
    "pack by processes": Case(f"{PACK} 2", before=(large,), one_in=2),
    "pack over an older set": Case(
        f"{PACK} 1", before=(large, f"{PACK} 1", large_anew), remade=SHARDS
    ),
    "pair": Case(PAIR, before=(items,)),
    "pair into one file": Case(f"{PAIR} --format npz", before=(items,), one_in=2),
    "gmm that learns": Case(FIT, before=(items, PAIR)),
    "gmm that answers": Case(
        "gmm --model concepts/concepts.npz --text まるい円盤 --output answered",
        before=(items, PAIR, FIT),
    ),
    "train": Case(TRAIN, again="--resume", growing=EPOCHS),
    "train by folds": Case(
        f"{TRAIN} --folds 2", again="--resume", growing=EPOCHS, one_in=2
    ),
    "train from a packed set": Case(
        f"train --data packed/manifest.csv {TRAIN_ON}",
        before=("pack --target samples/manifest.csv --output packed --workers 1",),
        again="--resume",
        growing=EPOCHS,
        one_in=2,
    ),
    "train after a search": SEARCHED,
    "train after a shared search": replace(
        SEARCHED, words=f"{SEARCH} --storage found.journal"
    ),
    "train in two processes": Case(
        f"{TRAIN} --devices 2 --strategy ddp",
        again="--resume",
        growing=EPOCHS,
        forked=False,
        one_in=4,
        first_s=0.5,
    ),
    "predict": Case(f"{PREDICT} clips"),
    # Without --render: the bytes of labelled.mp4 differ between undisturbed runs, too.
    "predict a recording": Case(f"{PREDICT} long.mp4 --hop 1.2", before=(long_clip,)),
    "predict by sound alone": Case(
        "predict --model ear.ckpt --target spoken --output told",
        before=(sounds,),
        one_in=2,
    ),
    "evaluate": Case(
        "evaluate --model m.ckpt --data samples/manifest.csv --output judged"
    ),
    "export": Case("export --model m.ckpt --format onnx --output m.onnx", one_in=2),
    "export for torch": Case(
        "export --model m.ckpt --format torch --output m.pt2", one_in=2
    ),
    "visualize": Case("visualize --target samples/dark/clip000.pt --output drawn"),
    "explain": Case("explain --model m.ckpt --target clips/l0/c0.mp4 --output why"),
}
