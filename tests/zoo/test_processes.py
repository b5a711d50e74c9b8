"""What this process leaves behind elsewhere: nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
from zoo.figures import new_figure, write_figure
figure = new_figure(2, 2)
figure.gca().set_title("loss")
write_figure(figure, "loss.png")
import torch._dynamo
"""


@pytest.mark.slow
def test_torch_is_loaded_where_there_is_no_place_for_temporary_files():
    script = """
import tempfile
tempfile._candidate_tempdir_list = lambda: ["/proc/self/fdinfo"]
from zoo.processes import private_caches
private_caches()
import torch._dynamo.package
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for name in ("MPLCONFIGDIR", "TORCHINDUCTOR_CACHE_DIR"):
        environment.pop(name, None)
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)
    assert not (ROOT / "zoo/dynamo").exists()


@pytest.mark.slow
def test_libraries_write_nothing_in_home_or_beside_others(tmp_path):
    for name in ("home", "tmp", "work"):
        (tmp_path / name).mkdir()
    environment = {**os.environ, "HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "tmp")}
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR", "TORCHINDUCTOR_CACHE_DIR"):
        environment.pop(name, None)
    subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=tmp_path / "work",
        env={**environment, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    assert left == ["home", "tmp", "work", "work/loss.png"]
