"""What is compiled is kept for the next process, unless whoever runs it has decided otherwise."""

import json
import os
import re
import subprocess
import sys
import time

import pytest

from experiments.cli import programs

OURS = ("JAX_COMPILATION_CACHE_DIR", "JAX_ENABLE_COMPILATION_CACHE")
LOOK = """
import json, os
from experiments.cli.programs import keep_programs
keep_programs()
print(json.dumps(dict(os.environ)))
"""


def told(home, **environment):
    """What JAX would be told in a process of its own, where JAX is not imported yet."""
    clean = {name: value for name, value in os.environ.items() if not re.match("JAX.*CACHE", name)}
    clean |= {"XDG_CACHE_HOME": str(home), **environment}
    look = subprocess.run([sys.executable, "-c", LOOK], env=clean, capture_output=True, check=True)
    return json.loads(look.stdout)


def test_the_users_cache_is_asked_for_and_bounded(tmp_path):
    environment = told(tmp_path)
    assert environment[OURS[0]] == str(tmp_path / "rnn_jax" / "programs")
    assert (tmp_path / "rnn_jax" / "programs").is_dir()
    assert int(environment["JAX_COMPILATION_CACHE_MAX_SIZE"]) == 64 << 20


@pytest.mark.parametrize("name", OURS)
def test_whoever_has_decided_is_left_alone(name, tmp_path):
    environment = told(tmp_path, **{name: "0"})
    assert environment[name] == "0" and "JAX_COMPILATION_CACHE_MAX_SIZE" not in environment
    assert not (tmp_path / "rnn_jax").exists()


def test_a_home_that_is_no_folder_stops_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    assert OURS[0] not in told(tmp_path / "file")


def test_what_a_killed_process_left_half_written_is_dropped(tmp_path):
    old = time.time() - 3600
    for name in ("whole-cache", "whole-atime", "cut-cache", "new-cache"):
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (old, old) if name != "new-cache" else None)
    programs._drop_unfinished(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"whole-cache", "whole-atime", "new-cache"}
