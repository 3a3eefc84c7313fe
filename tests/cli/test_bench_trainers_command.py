"""`mlp-jax bench trainers` from the command line: bad input is told before anything is measured."""

import pytest

from mlp_jax.bench.trainers import run as launcher
from mlp_jax.cli.main import main


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--points", "1-2@3"], "Unknown point '1-2@3'"),
        (["--rounds", "-1"], "at least 1, not -1"),
        (["--precision", "float16"], "Unknown precision 'float16'"),
        (["--device", "tpu"], "Unknown device 'tpu'"),
        (["--json", "no/such/folder/a.json"], "there is no folder"),
        (["--plots", "no/such/folder"], "there is no such folder"),
    ],
)
def test_bad_options_exit_with_2_and_one_sentence(words, said, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["bench", "trainers", *words])
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


def test_without_a_checkout_one_sentence_says_where_to_run_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(launcher, "BENCHMARKS", tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(["bench", "trainers", "--quick"])
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert "needs the folder benchmarks/" in said
    assert "clone the repository" in said
