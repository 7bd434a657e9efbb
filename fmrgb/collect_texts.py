"""From a table or folder of texts to what can be joined."""

import hashlib
from dataclasses import replace
from pathlib import Path

from fmrgb.cells import numbered_records
from fmrgb.collect import TEXT, Collection, Item, refuse_none
from fmrgb.files import find_files, shown

LONGEST_TEXT = 100_000  # characters of one item


def read_texts(source: Path) -> Collection:
    """Read texts: a CSV with text, label and perhaps group, or a folder <label>/*.txt.

    Raises:
        InputError: if there is none, or none can be read.
        ManifestError: if a CSV lacks a column.
    """
    failed: dict[Path, str] = {}
    items = []
    if source.is_dir():
        for path in find_files(source, (".txt",)):
            try:
                with open(path, encoding="utf-8-sig") as file:
                    text = file.read(LONGEST_TEXT + 1)
                items.append(_text_item(str(path), path.parent.name, text))
            except (OSError, ValueError) as error:
                failed[path] = f"{shown(path)} is not a text in UTF-8: {error}"
    else:
        for line, record in numbered_records(source, ("text", "label")):
            name = f"{source}:{line}"
            try:
                item = _text_item(name, record["label"], record["text"])
            except ValueError as error:
                failed[Path(name)] = f"{shown(source)}, line {line}: {error}"
                continue
            group, split = (record.get(key, "") for key in ("group", "split"))
            items.append(replace(item, group=group, split=split))
    refuse_none(len(items), failed, source)
    return Collection(kind=TEXT, items=items, failed=failed)


def _text_item(name: str, label: str, text: str) -> Item:
    words = " ".join(text.split())
    if not words or not label or len(text) > LONGEST_TEXT:
        raise ValueError(f"expected a label and 1 to {LONGEST_TEXT:,} letters")
    checksum = hashlib.sha256(words.encode("utf-8", "surrogateescape")).hexdigest()
    return Item(name=name, label=label, text=words, checksum=checksum)
