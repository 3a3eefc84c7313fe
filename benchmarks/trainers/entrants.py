"""Who takes part in `bench trainers`, and how near to ours a loss has to be."""

from dataclasses import dataclass

OURS = "mlp-jax"
YARDSTICK = "yardstick"
_HERE = "trainers.contenders"

# After one step two trainers that do the same differ by rounding alone. optax.adam computes the
# correction 1 - β₂ᵗ in float32, which is off by 2e-5 at the first step; hence 1e-5 of the loss.
FIRST_STEP, ALL_STEPS = 1e-5, 5e-3
# That offset moves a few examples over a ReLU's kink, and after 20 steps 784-512-512-10 stands at
# 0.6021 in JAX, at 0.6035 in PyTorch and NumPy, in float32 and in float64 alike; with the float32
# correction NumPy's float64 gives 0.6029. Hence 5e-3. scikit-learn adds Adam's ε to √v before the
# correction, the others after it: in float64 that alone makes 0.5943 of 0.5918.
SCIKIT_LEARN_FIRST_STEP, SCIKIT_LEARN_ALL_STEPS = 1e-3, 1e-2
BF16_FIRST_STEP, BF16_ALL_STEPS = 1e-2, 3e-2


@dataclass(frozen=True)
class Entrant:
    """A contender by name.

    title: for people. module: has the class `Trainer`. library: whose version is told. scan:
    whether it is a JAX scan, as mlp-jax is. first_step, all_steps: how far from ours its loss may
    be, relative, after one step and after TRIAL_STEPS.
    """

    name: str
    title: str
    module: str
    library: str
    scan: bool = False
    first_step: float = FIRST_STEP
    all_steps: float = ALL_STEPS

    def tolerances(self, precision: str) -> tuple[float, float]:
        """After one step and after TRIAL_STEPS, at that precision."""
        return (
            (BF16_FIRST_STEP, BF16_ALL_STEPS)
            if precision == "bf16"
            else (
                self.first_step,
                self.all_steps,
            )
        )


ENTRANTS = (
    Entrant(OURS, "mlp-jax", f"{_HERE}.mlp_jax_fit", "mlp-jax", scan=True),
    Entrant(
        "scikit-learn",
        "scikit-learn MLPClassifier",
        f"{_HERE}.scikit_learn",
        "scikit-learn",
        first_step=SCIKIT_LEARN_FIRST_STEP,
        all_steps=SCIKIT_LEARN_ALL_STEPS,
    ),
    Entrant("torch-eager", "PyTorch eager, fused Adam", f"{_HERE}.torch_eager", "torch"),
    Entrant("torch-compile", "PyTorch torch.compile", f"{_HERE}.torch_compile", "torch"),
    Entrant("torch-graph", "PyTorch CUDA graph", f"{_HERE}.torch_graph", "torch"),
    Entrant("flax-loop", "Flax NNX, loop", f"{_HERE}.flax_loop", "flax"),
    Entrant("flax-scan", "Flax NNX, scan", f"{_HERE}.flax_scan", "flax", scan=True),
    Entrant("equinox-loop", "Equinox, loop", f"{_HERE}.equinox_loop", "equinox"),
    Entrant("equinox-scan", "Equinox, scan", f"{_HERE}.equinox_scan", "equinox", scan=True),
)
YARDSTICK_ENTRANT = Entrant(YARDSTICK, YARDSTICK, f"{_HERE}.yardstick", "jax")
