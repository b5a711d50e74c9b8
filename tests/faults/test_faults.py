"""What `python -m tests.faults` does for half an hour, in seconds."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.commands import ROOT
from tests.faults.places import (
    Said,
    closed,
    drop_powers,
    ended,
    environment,
    fill_up,
    leftovers,
    limit_files,
    mounted,
    start,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mounts, forks, audit hooks")

KILLED = """
import json, sys
from pathlib import Path
from tests.faults import commands, forks, kills

root = Path(sys.argv[1])
forks.prepare(forks.LIGHT)
names = sys.argv[2:]
materials = commands.make_materials(root / "m", lambda words: forks.run(words, root), names)
print(json.dumps({name: kills.each_change(root, name, materials) for name in names}))
"""


@pytest.mark.slow
def test_killed_before_each_change_old_or_new_is_there_and_the_command_goes_again(tmp_path):
    """`fewer` are what the instant may leave in which several files take their names."""
    names = ["prototxt", "convert --split", "data build"]
    run = subprocess.run(
        [sys.executable, "-c", KILLED, tmp_path, *names],
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    counts = json.loads(run.stdout)
    for name in names:
        several = ["fewer"] if name == "convert --split" else []
        assert set(counts[name]) == {"old", "new", *several}, counts
        assert sum(counts[name].values()) >= 5


WORDS = ["prototxt", "--arch", "8_8_8", "-o", "net.prototxt"]


def refused(folder: Path, said: Said, why: str) -> None:
    assert said.one_line() and said.clean() and why in said.err, said
    assert not leftovers(folder) and not (folder / "net.prototxt").exists()


def test_a_limit_for_files(tmp_path):
    said = ended(start(WORDS, tmp_path, before=limit_files))
    refused(tmp_path, said, "net.prototxt: cannot be written: File too large")


def test_full_and_read_only_disks(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    try:
        stack = mounted(disk, "size=2m")
        stack.__enter__()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("disks cannot be mounted here")
    try:
        fill_up(disk / "filler", 0)
        refused(disk, ended(start(WORDS, disk)), "cannot be written: No space left on device")
        (disk / "filler").unlink()
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        refused(disk, ended(start(WORDS, disk)), "cannot be written: Read-only file system")
    finally:
        stack.__exit__(None, None, None)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs another user")
def test_a_folder_of_somebody_elses(tmp_path):
    os.chown(tmp_path, 65534, 65534)
    tmp_path.chmod(0o755)
    said = ended(start(WORDS, tmp_path, before=drop_powers))
    refused(tmp_path, said, "cannot be written: Permission denied")


def test_nobody_reads(tmp_path):
    process = start(["layers"], tmp_path)
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    assert ended(process).err == ""
    said = ended(start(WORDS, tmp_path, before=closed, stdout=None, stderr=None))
    assert said.status == 0 and (tmp_path / "net.prototxt").read_text().startswith("name: ")
