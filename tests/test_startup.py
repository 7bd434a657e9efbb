"""Every --help and `import fmrgb` stay quick: they import no heavy module."""

import subprocess
import sys

import pytest
from fmrgb_tools.main import TOOLS

HEAVY = {  # each takes longer to import than all that a --help needs
    *("av", "captum", "cv2", "gradio", "jinja2", "librosa", "lightning", "matplotlib"),
    *("numpy", "onnx", "onnxruntime", "optuna", "pandas", "scipy", "sklearn", "soxr"),
    *("torch", "torchmetrics"),
}


def heavy_after(code: str) -> set[str]:
    """Return which heavy modules a fresh Python holds after it has run some code."""
    told = f"{code}\nimport sys\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", told], check=True, capture_output=True, text=True
    )
    return HEAVY & set(done.stderr.split())


@pytest.mark.parametrize("tool", TOOLS)
def test_help_waits_for_no_heavy_module(tool):
    code = (
        "from fmrgb_tools.main import main\n"
        f"try: main([{tool!r}, '--help'])\n"
        "except SystemExit as left: assert not left.code"
    )
    assert heavy_after(code) == set()


def test_a_wrong_command_line_is_refused_before_any_heavy_import():
    code = (
        "from fmrgb_tools.main import main\n"
        "try: main(['train', '--epochs', 'many'])\n"
        "except SystemExit as left: assert left.code == 2"
    )
    assert heavy_after(code) == set()


def test_the_package_imports_nothing_heavy_before_it_is_asked_to():
    assert heavy_after("import fmrgb") == set()
    assert "numpy" in heavy_after("import fmrgb\nfmrgb.read_clip")


def test_asking_a_model_waits_for_nothing_that_only_training_needs():
    code = "import fmrgb.opened, fmrgb.predict, fmrgb.checkpoint"
    assert not heavy_after(code) & {"lightning", "torchmetrics", "optuna", "sklearn"}
