"""The caller's process decides no bit: its torch, its threads, script or notebook kernel; and it is left as it was."""

import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
import torch

from s2squant.estimator import PriceForecaster
from tests.worlds.runs import environment
from tests.worlds.synthetic import garch_panel

WORK = """
import hashlib, os, sys
import pandas as pd
from s2squant.estimator import PriceForecaster
from tests.worlds.synthetic import garch_panel

def main():
    parts = [pd.DataFrame({"unique_id": h.ticker, "ds": h.dates.astype("datetime64[s]"), "y": h.adj_close})
             for h in garch_panel("AB", 900).histories]
    nets = {"seq2seq": {"pooled": {"steps": 5}}, "garch_t": {"paths": 128}}
    model = PriceForecaster(["garch_t", "anchor", "seq2seq_pooled"], horizon=5, settings=nets)
    df, workers = pd.concat(parts, ignore_index=True), int(os.environ["WORKERS"])
    tables = [model.cross_validation(df, n_windows=3, level=80, workers=workers), model.fit(df).predict(level=80)]
    print("bits", hashlib.sha256("".join(t.to_json(double_precision=15) for t in tables).encode()).hexdigest())

if __name__ == "__main__":
    main()
"""


def bits(said):
    return next(line.split()[1] for line in said.splitlines() if line.startswith("bits "))


def in_a_script(folder, threads, workers):
    (folder / "work.py").write_text(WORK)
    settings = environment() | {"OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads, "WORKERS": workers}
    done = subprocess.run(
        [sys.executable, str(folder / "work.py")], env=settings, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return bits(done.stdout)


@pytest.fixture(scope="module")
def by_one_worker(tmp_path_factory):
    """What a script says under one thread, by one worker."""
    return in_a_script(tmp_path_factory.mktemp("script"), "1", "1")


@pytest.mark.slow
def test_threads_and_workers_of_a_script_change_no_bit(by_one_worker, tmp_path):
    assert {in_a_script(tmp_path, "2", workers) for workers in ("0", "2")} == {by_one_worker}


@pytest.mark.slow
@pytest.mark.skipif(
    find_spec("ipykernel") is None or find_spec("nbclient") is None, reason="ipykernel or nbclient is not installed"
)
def test_a_notebook_s_kernel_changes_no_bit(by_one_worker, tmp_path, monkeypatch):
    import nbformat
    from nbclient import NotebookClient

    (tmp_path / "kernels" / "here").mkdir(parents=True)
    spec = {"argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"], "display_name": "here"}
    (tmp_path / "kernels" / "here" / "kernel.json").write_text(str(spec).replace("'", '"'))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", environment()["PYTHONPATH"])
    for workers in ("0", "2"):
        monkeypatch.setenv("WORKERS", workers)
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(WORK)])
        NotebookClient(book, kernel_name="here", resources={"metadata": {"path": str(tmp_path)}}).execute()
        said = "".join(out.get("text", "") for out in book.cells[0].outputs)
        assert bits(said) == by_one_worker, workers


@pytest.mark.slow
def test_no_call_reads_or_moves_the_caller_s_torch_and_numpy(tmp_path):
    """Fit, forecasts from new bars, paths, score, a file and the shipped weights, under a hostile process."""
    parts = [
        pd.DataFrame({"unique_id": h.ticker, "ds": h.dates.astype("datetime64[s]"), "y": h.adj_close})
        for h in garch_panel("AB", 700).histories
    ]
    prices = pd.concat(parts, ignore_index=True)
    past = prices[prices["ds"] <= prices["ds"].unique()[-12]]
    nets = {"seq2seq": {"pooled": {"steps": 2}, "head": {"kind": "student_t"}}}

    def all_calls(name):
        model = PriceForecaster(["anchor", "seq2seq_pooled"], horizon=5, settings=nets).fit(past)
        model.save(tmp_path / name)
        again = PriceForecaster.load(tmp_path / name)
        shipped = PriceForecaster.pretrained(horizon=5)
        return [
            again.predict(level=80),
            model.predict(df=prices),
            model.simulate(5),
            model.predict_insample(step_size=100),
            pd.DataFrame({"score": [model.score(prices)]}),
            shipped.predict(df=prices),
        ]

    wanted = all_calls("plain")
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    try:
        with torch.no_grad(), np.errstate(all="raise"):
            found = all_calls("hostile")
            assert not torch.is_grad_enabled()
        left = torch.get_default_dtype(), torch.get_default_device().type
        assert left == (torch.float64, "meta")
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()
    for one, other in zip(found, wanted, strict=True):
        pd.testing.assert_frame_equal(one, other, check_exact=True)
