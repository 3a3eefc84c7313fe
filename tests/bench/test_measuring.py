import jax
import jax.numpy as jnp
import pytest

from mlp_jax.bench.machine import describe, machine_title, median_and_quartiles
from mlp_jax.bench.measuring import calls_a_sample, compare_times, compiled, interleaved
from mlp_jax.bench.results import check_places, result, write_result
from mlp_jax.errors import RunFolderError


def test_a_compiled_program_says_what_its_compiler_counted():
    program = compiled(lambda a, b: a @ b, *[jax.ShapeDtypeStruct((8, 8), jnp.float32)] * 2)
    assert program.flops == 2 * 8**3
    assert program.bytes_accessed >= 3 * 4 * 8**2
    assert program.seconds > 0
    assert program.temporary_bytes >= 0
    assert float(program.call(jnp.eye(8), jnp.eye(8)).sum()) == 8


def test_a_function_is_traced_anew_each_time_it_is_compiled():
    traced = []
    for _ in range(2):
        compiled(lambda a: traced.append(1) or a, jax.ShapeDtypeStruct((), jnp.float32))
    assert len(traced) == 2


def test_contenders_take_turns_and_every_other_round_goes_backwards():
    order = []
    runs = {name: (lambda name=name: order.append(name) or jnp.zeros(())) for name in "ab"}
    seconds = interleaved(runs, repeats=4, sample=0.0)
    assert order[-8:] == list("abbaabba")
    assert {name: len(values) for name, values in seconds.items()} == {"a": 4, "b": 4}


def test_a_sample_is_as_many_calls_as_fill_it():
    assert calls_a_sample(lambda: jnp.zeros(()), 1e-3) > 1


def test_ratios_are_taken_pair_by_pair():
    found = compare_times({"a": [1.0, 4.0, 9.0], "b": [1.0, 2.0, 3.0]}, against="b")
    assert found["ratio"] == {"a": {"median": 2.0, "quartile_1": 1.5, "quartile_3": 2.5}}
    assert found["seconds"]["b"] == {"median": 2.0, "quartile_1": 1.5, "quartile_3": 2.5}


def test_quartiles_of_known_numbers():
    assert median_and_quartiles([0, 1, 2, 3, 4]) == {
        "median": 2.0,
        "quartile_1": 1.0,
        "quartile_3": 3.0,
    }


def test_the_machine_is_described_by_cores_and_versions():
    found = describe(jax.devices("cpu")[0], ("jax", "a-package-that-nobody-has"))
    assert found["versions"] == {"jax": jax.__version__}
    assert found["cores"] >= 1
    assert "accelerator" not in found
    assert jax.__version__ in machine_title(found)


def test_a_result_holds_command_machine_and_repeats(tmp_path):
    record = result("mlp-jax bench it", None, 20, points=[{"x": 1}])
    assert {"command", "machine", "repeats", "spread", "points"} <= set(record)
    write_result(tmp_path / "it.json", record)
    assert '"mlp-jax bench it"' in (tmp_path / "it.json").read_text()


def test_results_without_a_place_are_refused_before_anything_runs(tmp_path):
    check_places(tmp_path / "new.json", tmp_path)
    with pytest.raises(RunFolderError, match="there is no folder"):
        check_places(tmp_path / "none" / "new.json", None)
    with pytest.raises(RunFolderError, match="there is no such folder"):
        check_places(None, tmp_path / "none")
