import json

import pytest

from mlp_jax.proof.faults import FAULTS

SMALL = ("--inputs", "5", "--hidden", "6", "6", "--outputs", "3")


def test_a_right_gradient_is_shown_in_a_table_and_ends_with_0(mlp_jax):
    said = mlp_jax("check", *SMALL)
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert lines[0].split() == [
        "layer", "equation", "jax.vjp", "jax.grad", "differences", "index", "loops",
    ]  # fmt: skip
    for layer in ("2 Dense(3, identity)", "1 Dense(6, relu)", "0 Dense(6, relu)", "loss"):
        assert any(line.startswith(layer) for line in lines)
    for equation in ("z = Wᵀa + b", "∇z = ∇a' ⊙ f'(z)", "∇a = W ∇z", "∇W = a ∇zᵀ", "∇b = ∇z"):
        assert said.out.count(equation) == 3
    assert lines[-1].startswith("verified: all")


def test_the_report_is_written_as_json(mlp_jax, tmp_path):
    said = mlp_jax("check", *SMALL, "--json", "c.json", "--precision", "bf16", "--seed", "3")
    assert said.code == 0
    report = json.loads((tmp_path / "c.json").read_text())
    assert report["ok"] is True
    assert {row["dtype"] for row in report["rows"]} == {"float64", "bfloat16"}
    for row in report["rows"]:
        bound = {"float64": 1e-12, "bfloat16": 5e-2}[row["dtype"]]
        assert row["error"] < (1e-7 if row["witness"] == "differences" else bound)
    assert [p.name for p in tmp_path.iterdir()] == ["c.json"]


@pytest.mark.parametrize(
    "words",
    ["--norm batch --loss squared_error", "--norm rms --dropout 0.5 --residual --loss hinge"],
)
def test_other_networks_and_losses_are_proved_too(mlp_jax, words):
    said = mlp_jax("check", *SMALL, "--precision", "float64", *words.split())
    assert (said.code, said.err) == (0, "")


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_ends_with_1_and_its_place(mlp_jax, name):
    words = "--inputs 5 --hidden 5 --outputs 3 --precision float64 --inject"
    said = mlp_jax("check", *words.split(), name)
    fault = FAULTS[name]
    assert said.code == 1
    assert said.out.startswith(f"injected: {fault.summary}")
    assert said.err.startswith("mlp-jax: the gradient check failed at ")
    assert said.err.count("\n") == 1
    place = said.err.removeprefix("mlp-jax: the gradient check failed at ")
    layer, equation = place.partition(": ")[0].rsplit(", ", 1)
    assert fault.layer in layer
    assert fault.equation.endswith(equation)


def test_a_fault_is_in_the_report_as_well(mlp_jax, tmp_path):
    said = mlp_jax("check", *SMALL, "--inject", "factor_two", "--json", "c.json")
    assert said.code == 1
    assert json.loads((tmp_path / "c.json").read_text())["ok"] is False
    assert "FAULT in 2 Dense(3, identity), ∇W = a ∇zᵀ" in said.out


def test_the_faults_are_listed(mlp_jax):
    said = mlp_jax("check", "--list-faults")
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert [line.split()[0] for line in lines] == list(FAULTS)
    for line, fault in zip(lines, FAULTS.values(), strict=True):
        assert line.endswith(f"{fault.summary} → {fault.layer}, {fault.equation}")
