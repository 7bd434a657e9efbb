"""From a clip's name to the names of what is made from it."""

from pathlib import Path

TWIN = "resized_"  # how the names of smaller copies begin
SAMPLE = ".pt"  # how the names of samples end


def copy_path(clip: Path) -> Path:
    """Return the name of a clip's smaller copy."""
    return clip.with_name(f"{TWIN}{clip.stem}.mp4")


def is_copy(clip: Path) -> bool:
    """Tell whether a clip is, by its name, a smaller copy itself."""
    return clip.name.startswith(TWIN)


def sample_path(clip: Path, target: Path, output: Path | None) -> Path:
    """Return where the sample of `clip` lies.

    Args:
        clip: a clip under `target`.
        target: the folder, or the single clip, that a tool was given.
        output: folder of the samples, with the target's sub-folders; None means beside
            the clips.
    """
    name = clip.stem + SAMPLE
    if output is None:
        return clip.with_name(name)
    inside = clip.parent.relative_to(target) if target.is_dir() else Path()
    return output / inside / name
