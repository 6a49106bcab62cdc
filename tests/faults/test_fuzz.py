"""Random settings through the command line: a mistake is one line and exit status 2, and nothing is a fault of ours."""

from __future__ import annotations

import json
import random
from collections import Counter

import pytest

from s2squant.cli.app import main
from s2squant.config.experiment import Experiment
from tests.worlds.settings import of_part

pytestmark = pytest.mark.slow
FILES = 1_000


def test_a_file_of_settings_is_taken_or_refused_in_one_line(tmp_path, capsys):
    """What `config` prints is read back as it is."""
    rng, said = random.Random(0), Counter[str]()
    for number in range(FILES):
        path = tmp_path / f"{number}.json"
        path.write_text(json.dumps(of_part(Experiment, rng, odd=rng.choice([0, 0.01, 0.2]), share=0.05)))
        status = main(["config", str(path)])
        told = capsys.readouterr()
        said[f"exit status {status}"] += 1
        assert "Traceback" not in told.err
        if status == 0:
            path.write_text(told.out)
            assert main(["config", str(path)]) == 0
            assert capsys.readouterr().out == told.out
        else:
            assert status == 2, (path.read_text(), told.err)
            assert told.err.startswith("error: ")
            assert told.err.count("\n") == 1
    with capsys.disabled():
        print(f"\nsettings: {dict(said)}")
    assert said["exit status 0"] > FILES / 20
