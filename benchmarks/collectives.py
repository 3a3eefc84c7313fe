"""What the devices of a mesh exchange in one step, read from the compiled program.

Counts the bytes of every collective in a step of training on 8 simulated devices, beside what
docs/scale.md says they should be, and the bytes of state that a device holds.

    python benchmarks/collectives.py --width 512 --batch 256 --json FILE
"""

import argparse
import os
import re
from collections import Counter
from functools import partial
from math import prod
from pathlib import Path

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"
os.environ["JAX_PLATFORMS"] = "cpu"

COLLECTIVES = ("all-reduce", "reduce-scatter", "all-gather", "all-to-all", "collective-permute")
BYTES = {"f64": 8, "f32": 4, "bf16": 2, "s32": 4, "u32": 4, "u8": 1, "pred": 1}
LAYERS = 4
INPUTS, CLASSES = 64, 16
CASES = {
    "data=8": {"mesh": "data=8"},
    "model=8": {"mesh": "model=8"},
    "data=4,model=2": {"mesh": "data=4,model=2"},
    "data=8, optimizer split": {"mesh": "data=8", "shard_optimizer": True},
}
_RESULT = re.compile(r"= (.+?) ([a-z-]+?)(?:-start)?\(")
_ARRAY = re.compile(r"([a-z]+[0-9]*)\[([0-9,]*)\]")


def exchanged(text: str) -> Counter:
    """Bytes of the results of each kind of collective in a compiled program."""
    found: Counter = Counter()
    for line in text.splitlines():
        match = _RESULT.search(line)
        if match is None or match[2] not in COLLECTIVES:
            continue
        for kind, shape in _ARRAY.findall(match[1]):
            size = prod(int(side) for side in shape.split(",") if side)
            found[match[2]] += BYTES[kind] * size
    return found


def measured(width: int, batch: int, options: dict) -> dict:
    """The bytes of a step's collectives, by kind, and of the state on one device."""
    import jax
    import numpy as np

    from mlp_jax import mlp
    from mlp_jax.training.engine.program import Keys, initial_state
    from mlp_jax.training.engine.step import step
    from mlp_jax.training.fit_options import FitOptions
    from mlp_jax.training.plan import make_plan

    rows = np.zeros((8 * batch, INPUTS), np.float32), np.zeros(8 * batch, np.int32)

    network = mlp((width,) * LAYERS, CLASSES, "relu")
    training = FitOptions(epochs=1, batch_size=batch, select="last", **options)
    plan = make_plan(network, "softmax_cross_entropy", "adam", rows, training)
    program = plan.program
    state = initial_state(program, np.uint32(0), INPUTS)
    data, _ = plan.place()
    order = np.arange(batch, dtype=np.int32)
    arguments = state, data, order, np.int32(0), Keys.of(np.uint32(0))
    compiled = jax.jit(partial(step, program)).lower(*arguments).compile()

    def held(tree):
        return sum(leaf.addressable_shards[0].data.nbytes for leaf in jax.tree.leaves(tree))

    layout = program.layout
    return {
        "exchanged": dict(exchanged(compiled.as_text())),
        "state_held": held(state),
        "parameters_held": held(state.params),
        "data": layout.data,
        "model": layout.model,
    }


def expected(found: dict, width: int, batch: int, split: bool) -> dict:
    """By docs/scale.md: bytes of gradients over data, of activations over model, of the rows."""
    data, model, own = found["data"], found["model"], found["parameters_held"]
    return {
        "gradients": own if data > 1 else 0,
        "parameters": own if split else 0,
        "activations": 4 * (batch // data) * width * (LAYERS - 1) if model > 1 else 0,
        "rows": 4 * (batch // data) * (INPUTS + 1),  # with one part they go nowhere
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    cases = {}
    for name, how in CASES.items():
        found = measured(options.width, options.batch, how)
        found["expected"] = expected(found, options.width, options.batch, "shard_optimizer" in how)
        cases[name] = found
        total, foreseen = sum(found["exchanged"].values()), sum(found["expected"].values())
        print(f"{name}: {total:,} bytes exchanged, {foreseen:,} foreseen; {found['exchanged']}")
    if options.json:
        import jax

        from mlp_jax.bench.results import result, write_result

        record = result(
            f"python benchmarks/collectives.py --width {options.width} --batch {options.batch}",
            jax.devices()[0],
            1,
            what="bytes that one step exchanges on 8 simulated devices, from the compiled program",
            cases=cases,
        )
        write_result(options.json, record)


if __name__ == "__main__":
    main()
