"""What the report says of the gradient's noise and of the layers, from records written by hand."""

import json
import re

import pytest
from report_cases import CONFIG, write_run

from mlp_jax.reports.compare import lines, read_runs
from mlp_jax.reports.folder import read_run
from mlp_jax.reports.health import layers_section, noise_scale, noise_section

LAYERS = [
    {
        "layer": "0 Dense(8, relu)", "dead": 0.5, "saturated": 0.0, "norm_a": 3.0,
        "norm_grad_z": 0.012, "signal_to_noise": 0.004, "update_to_weight": 0.3,
    },
    {"layer": "1 LayerNorm()", "signal_to_noise": 0.01, "update_to_weight": 1e-3},
    {"layer": "2 <Odd>", "norm_a": 1.0, "norm_grad_z": None, "update_to_weight": 2e-3},
]  # fmt: skip


def run(tmp_path, scales=(None, 50.0, 900.0), size=100, layers=None, name="a"):
    history = [
        {"epoch": e, "step": e, "train_loss": 1 / e, "gradient_signal": 1.0, "noise_scale": scale}
        for e, scale in enumerate(scales, start=1)
    ]
    config = CONFIG + (f"batch_size = {size}\n" if size else "")
    folder = write_run(tmp_path, name, config=config, history=history)
    if layers is not None:
        record = {"epoch": len(scales), "step": 3, "examples": 640, "layers": layers}
        (folder / "layers.jsonl").write_text(json.dumps(record) + "\n")
    return read_run(folder)


def words(section):
    return " ".join(re.sub(r"<svg.*?</svg>|<[^>]+>", " ", section, flags=re.S).split())


@pytest.mark.parametrize(
    ("scale", "said", "costs"),
    [
        (900.0, "about 900 examples, and a batch has 100: most of a step is noise", (10, 1.1)),
        (100.0, "about 100 examples, and a batch has 100: the batch is near it", (2, 2)),
        (
            5.04,
            "about 5.0 examples, and a batch has 100: a batch repeats the same gradient",
            (1.1, 21),
        ),
    ],
)
def test_the_noise_scale_says_what_the_batch_size_costs(tmp_path, scale, said, costs):
    """1 + scale/B times the fewest steps, 1 + B/scale times the fewest examples."""
    text = words(noise_section(run(tmp_path, (20.0, scale))))
    assert said in text
    steps, examples = costs
    assert f"{steps} times the fewest steps possible and {examples} times the fewest" in text


def test_drowned_absent_and_without_a_batch_size(tmp_path):
    drowned = run(tmp_path, (50.0, None), name="drowned")
    assert "noise dominates the gradient" in words(noise_section(drowned))
    assert noise_scale(drowned) is None
    alone = words(noise_section(run(tmp_path, (50.0, 60.0), size=None, name="alone")))
    assert "about 60 examples: larger batches gain little" in alone
    assert noise_section(read_run(write_run(tmp_path, "old"))) is None
    never = words(noise_section(run(tmp_path, (None, None), name="never")))
    assert "noise dominates" in never


def test_each_layer_has_its_figures_and_what_is_wrong_is_coloured(tmp_path):
    section = layers_section(run(tmp_path, layers=LAYERS))
    text = words(section)
    assert "Measured after epoch 3 on 640 of the next examples" in text
    assert "0 Dense(8, relu) 50.0% 0.0% 3 0.012 0.004 0.3" in text
    assert "1 LayerNorm() – – – – 0.01 0.001" in text
    assert "2 &lt;Odd&gt; – – 1 not finite – 0.002" in text
    assert section.count('class="heat"') == 2
    assert "50% of the units of layer 0 Dense(8, relu) are 0 on all 640 measured examples" in text


def test_healthy_layers_have_no_note_and_old_runs_no_section(tmp_path):
    healthy = [LAYERS[0] | {"dead": 0.01, "update_to_weight": 1e-3}]
    section = layers_section(run(tmp_path, layers=healthy))
    assert "heat" not in section
    assert "are 0 on all 640" not in section
    assert layers_section(read_run(write_run(tmp_path, "old"))) is None


def test_a_comparison_shows_the_noise_scales(tmp_path):
    made = [run(tmp_path, name="a").folder, write_run(tmp_path, "old")]
    found = {line.name: line.cells for line in lines(read_runs(made))}
    assert found["noise scale"] == ("900", "–")
    assert "noise scale" not in {line.name for line in lines(read_runs(made[1:]))}
