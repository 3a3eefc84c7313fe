import json

import jax
import pytest

from mlp_jax.cli.bench import BENCHMARKS


def test_without_a_benchmark_the_usage_is_shown(mlp_jax):
    said = mlp_jax("bench")
    assert said.code == 2
    assert mlp_jax("bench", "--help") == (0, said.out, "")
    for name in BENCHMARKS:
        assert f"  {name} " in said.out


def test_help_of_a_benchmark_has_an_example(mlp_jax, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    said = mlp_jax("bench", "gradients", "--help")
    assert said.code == 0
    assert "Example: mlp-jax bench gradients" in said.out


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("gradient",), "Unknown benchmark 'gradient'. Did you mean 'gradients'?"),
        (("gradients", "--repeats", "3"), "at least 20 repeats, not 3"),
        (("gradients", "--full", "--width", "8"), "leave it out to measure single values"),
        (("gradients", "--width", "0"), "The width of a point is at least 1, not 0."),
        (("gradients", "--activation", "rellu"), "Unknown activation 'rellu'"),
        (("gradients", "--precision", "tf32"), "no TensorFloat-32"),
        (("gradients", "--device", "tpu"), "Unknown device 'tpu'"),
        (("gradients", "--json", "none/x.json"), "there is no folder none"),
        (("gradients", "--plots", "none"), "Cannot draw into none"),
    ],
)
def test_bad_input_is_one_sentence(mlp_jax, words, part):
    said = mlp_jax("bench", *words)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("mlp-jax: ")
    assert part in said.err
    assert len(said.err.strip().splitlines()) == 1


def test_one_point_is_measured_from_the_command_line(mlp_jax, tmp_path):
    words = ("--width", "4", "--depth", "1", "--batch-size", "8", "--json", "found.json")
    with jax.numpy_dtype_promotion("standard"):  # which Optax's Adam needs
        said = mlp_jax("bench", "gradients", *words)
    assert said.code == 0, said.err
    assert "784-4×1-10, batch 8, relu, float32" in said.out
    record = json.loads((tmp_path / "found.json").read_text())
    assert record["command"].startswith("mlp-jax bench gradients --width 4")
    assert record["repeats"] == 20
