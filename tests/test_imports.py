"""Modules import downwards only, in the order the data takes, and keep the house rules.

A cycle of imports cannot be described in one direction; a long module or function has
more than one purpose.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "fmrgb"
LAYERS: list[set[str]] = [  # a module may import from the lines above its own
    {"errors", "leftovers", "names", "waiting", "pools"},
    {"store"},
    {"cache"},
    {"address"},
    {"ondisk"},
    {"fields"},
    {"word_options", "sound_options", "store_options", "engine_options"},
    {"card", "options", "files", "memory", "align", "pt_file", "mixdown"},
    {"embed", "gmm", "pair_options", "gmm_options"},
    {"arena"},
    {"plain", "archive", "packed"},
    {"ranks"},
    {"model_options", "alone", "fence", "cells", "log", "limits", "utterances"},
    {"tracks", "stack", "train_options", "intervals", "study", "explain_options"},
    {"ray_order"},
    {"app_options", "share", "pack_options", "record_options", "scratch", "whole"},
    {"gate", "votes", "excerpts"},
    {"media", "mp4", "sound", "sample", "manifest", "engine", "models"},
    {"deal", "soundfeatures", "stills", "blocks", "order", "ray_tasks"},
    {"origin", "header", "aligned", "soundpicture", "soundaxes", "ray_engine"},
    {"recipe", "keywords", "grouping"},
    {"ffmpeg_program", "preflight", "view", "page", "facts", "join", "calibration"},
    {"likeness", "soundclip", "surveyed", "soundsheet"},
    {"seen", "unlike", "windows", "streams", "events", "targets", "predict_options"},
    {"gallery", "hearing", "made", "collect", "stillclip"},
    {"soundbuild"},
    {"resize", "cleanup", "build", "loader", "drown", "trust", "metrics", "splits"},
    {"check", "onepicture", "shards", "pack_shard", "pair", "collect_texts"},
    {"checkpoint", "callbacks", "augment", "material", "run_folder", "onnx_model"},
    {"pack", "pair_build", "gmm_features"},
    {"inflate", "kinetics", "census", "precision", "opened", "export"},
    {"pretrained", "predict", "gmm_data"},
    {"recording", "gmm_model", "begin"},
    {"live", "timeline", "gmm_file", "gmm_ask"},
    {"render"},
    {"judging"},
    {"learner", "worth", "rawclips", "comparison"},
    {"trial", "attribution", "resume"},
    {"trainer", "evaluate", "visualise", "plots", "mistakes", "verdict", "heat"},
    {"report", "audit", "lr_trials", "heat_plots", "record", "gmm_plots"},
    {"lr_watch", "crew"},
    {"lr_search", "explain"},
    {"run"},
    {"demo"},
    {"demo_keywords"},
    {"doctor"},
    {"tryout", "app_text"},
    {"app_try"},
    {"app_run"},
    {"app"},
]
RANK = {module: rank for rank, layer in enumerate(LAYERS) for module in layer}
FILES = sorted(PACKAGE.rglob("*.py"))
MAX_MODULE_LINES = 300
MAX_FUNCTION_LINES = 40  # without the docstring

every_module = pytest.mark.parametrize(
    "path", FILES, ids=lambda p: str(p.relative_to(PACKAGE))
)
Function = ast.FunctionDef | ast.AsyncFunctionDef


def module_of(path: Path) -> str:
    """Return the name that stands in LAYERS: `media`, or `models` for its files."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def fmrgb_imports(tree: ast.AST) -> set[str]:
    """Return the names of the fmrgb modules that a module imports, however it does."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports hide the layer"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    parts = (name.split(".") for name in names if name.startswith("fmrgb."))
    return {part[1] for part in parts} - {"__version__"}


def definitions(tree: ast.Module) -> Iterator[tuple[str, Function | ast.ClassDef]]:
    """Yield public functions, classes and methods by their names."""
    for node in tree.body:
        if not isinstance(node, Function | ast.ClassDef) or node.name.startswith("_"):
            continue
        yield node.name, node
        for inner in node.body if isinstance(node, ast.ClassDef) else []:
            if isinstance(inner, Function) and not inner.name.startswith("_"):
                yield f"{node.name}.{inner.name}", inner


def n_lines(function: Function) -> int:
    """Count a function's lines from `def` to its end, without the docstring."""
    first = function.body[0]
    says = ast.get_docstring(function) is not None
    said = (first.end_lineno or 0) - first.lineno + 1 if says else 0
    return (function.end_lineno or 0) - function.lineno + 1 - said


@every_module
def test_imports_point_down(path):
    module = module_of(path)
    others = fmrgb_imports(ast.parse(path.read_text())) - {module}
    if module == "__init__":
        assert not others, "the package imports its modules late"
        return
    assert module in RANK, f"{module} has no place in LAYERS"
    for other in others:
        assert other in RANK, f"{other} has no place in LAYERS"
        assert RANK[other] < RANK[module], f"{module} must not import {other}"


@every_module
def test_the_library_never_prints(path):
    calls = [
        n.func for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)
    ]
    prints = [f.lineno for f in calls if isinstance(f, ast.Name) and f.id == "print"]
    assert not prints, f"print in line {prints}"


@every_module
def test_the_library_parses_no_command_line(path):
    names = [
        n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Attribute)
    ]
    assert not [n.lineno for n in names if n.attr in ("argv", "parse_args")]


@every_module
def test_no_module_is_long(path):
    n_lines = path.read_text().count("\n")
    assert n_lines <= MAX_MODULE_LINES


@every_module
def test_no_function_is_long(path):
    tree = ast.parse(path.read_text())
    functions = [n for n in ast.walk(tree) if isinstance(n, Function)]
    long = {f.name: n_lines(f) for f in functions if n_lines(f) > MAX_FUNCTION_LINES}
    assert not long


@every_module
def test_every_public_name_says_what_it_is(path):
    tree = ast.parse(path.read_text())
    # forward(): the docstring of a model's class gives its shapes.
    silent = [
        name
        for name, node in definitions(tree)
        if not ast.get_docstring(node) and not name.endswith(".forward")
    ]
    assert not silent
    assert ast.get_docstring(tree) or not tree.body, "the module says nothing"


def test_the_rules_see_what_they_are_for():
    source = "import fmrgb.a\nfrom fmrgb import b\nfrom fmrgb.c import d, e\nimport os"
    assert fmrgb_imports(ast.parse(source)) == {"a", "b", "c"}
    tree = ast.parse("class A:\n  def b(self): ...\n  def _c(self): ...\ndef d(): ...")
    assert [name for name, _ in definitions(tree)] == ["A", "A.b", "d"]
    function = ast.parse('def f():\n  """Say.\n\n  More.\n  """\n  return 1').body[0]
    assert isinstance(function, Function)
    assert n_lines(function) == 2
