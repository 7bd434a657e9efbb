"""From text and pictures of unknown origin to HTML that is safe to show."""

import base64
import html
import logging
from pathlib import Path

from fmrgb import page
from fmrgb.errors import FmrgbError
from fmrgb.files import shown
from fmrgb.page import Picture

STYLE = """
.gradio-container { max-width: 1200px !important; margin: 0 auto !important;
  width: 100% !important; min-width: 0 !important; }
.said { font-size: 1.05rem; overflow-wrap: anywhere; }
.said.fault { border-left: 4px solid #b3261e; padding: .5rem .8rem; background: #fdecea;
  color: #1c1c1e; }
.said.note { border-left: 4px solid #b97f00; padding: .5rem .8rem; background: #fff4d6;
  color: #1c1c1e; margin-top: .4rem; }
.wide { overflow-x: auto; max-width: 100%; border: 1px solid #8884; background: white; }
.wide img { display: block; min-width: 860px; width: 100%; height: auto; }
.wide:focus-visible, iframe:focus-visible { outline: 3px solid #1f5fa8; }
.report { width: 100%; height: 80vh; border: 1px solid #8884; background: white; }
"""
logger = logging.getLogger(__name__)


def safe(text: str) -> str:
    """Escape text for HTML, and for the templates that Gradio reads HTML as."""
    escaped = html.escape(shown(text))
    for mark in "${}`\\@":
        escaped = escaped.replace(mark, f"&#{ord(mark)};")
    return escaped


def said(text: str, kind: str = "") -> str:
    """Write a sentence; `kind` is "", "note" or "fault"."""
    role = "alert" if kind == "fault" else "status"
    return f'<div class="said {kind}" role="{role}">{safe(text)}</div>'


def heading(text: str, words: str) -> str:
    """Write a heading and a line below it."""
    return f"<h2>{safe(text)}</h2><p>{safe(words)}</p>"


def pictured(picture: Picture, alt: str) -> str:
    """Show a picture [H, W, 3] in a box that scrolls sideways, also by keyboard."""
    return boxed(page.png(picture), alt)


def boxed(png: bytes, alt: str) -> str:
    """Show a PNG in a box that scrolls sideways, also by keyboard."""
    data = base64.b64encode(png).decode()
    return (
        f'<div class="wide" tabindex="0" role="group" aria-label="{safe(alt)}">'
        f'<img alt="{safe(alt)}" src="data:image/png;base64,{data}"></div>'
    )


def sentence(error: Exception, path: Path | None = None) -> str:
    """Return what a fault says in one line, with the file's bare name."""
    if not isinstance(error, FmrgbError | OSError):
        logger.error("the page met an unforeseen fault", exc_info=error)
        return (
            f"Something went wrong that nobody foresaw ({type(error).__name__}). The "
            "page goes on; the terminal that it was started from says more."
        )
    text = shown(" ".join(str(error).split()))
    return text.replace(shown(path), shown(path.name)) if path else text
