"""The same statistics by BackPACK and Opacus on PyTorch: a process of its own, started by
statistics_cost.py.

It takes the weights, the batch and our results from an .npz file, compares its own with them, and
only then measures each contender in turn with PyTorch's own plain gradient. It prints JSON: seconds
and ratios, what each contender is compared by, and why one is missing.

    python benchmarks/statistics_torch.py CASE.npz REPEATS
"""

import json
import sys
import warnings
from collections.abc import Callable
from importlib import metadata
from typing import Any

import numpy as np

from mlp_jax.bench.measuring import compare_times, interleaved

PLAIN = "gradient"
TOLERANCE = 1e-3  # of float32 sums over half a million products
Contender = Callable[[], Any]


def main(path: str, repeats: int) -> dict[str, Any]:
    warnings.filterwarnings("ignore")
    try:
        import torch
    except ImportError:
        return {"missing": {"PyTorch": "not installed"}}
    case = np.load(path)
    contenders: dict[str, Contender] = {PLAIN: plain(case)}
    missing = {}
    for package, build in (("backpack-for-pytorch", with_backpack), ("opacus", with_opacus)):
        try:
            contenders |= build(case)
        except ImportError as error:
            missing[package] = f"not installed ({error})"
    figures = compare_times(interleaved(contenders, repeats), PLAIN)
    packages = ("torch", "backpack-for-pytorch", "opacus")
    versions = {name: metadata.version(name) for name in packages if name not in missing}
    return {**figures, "missing": missing, "versions": versions, "threads": torch.get_num_threads()}


def network(case: Any) -> Any:
    import torch

    layers: list[Any] = []
    for number in range(3):
        W, b = case[f"W{number}"], case[f"b{number}"]
        layer = torch.nn.Linear(*W.shape)
        with torch.no_grad():
            layer.weight.copy_(torch.tensor(W.T.copy()))
            layer.bias.copy_(torch.tensor(b))
        layers += [layer, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def batch(case: Any) -> tuple[Any, Any]:
    import torch

    return torch.tensor(case["x"]), torch.tensor(case["y"].astype(np.int64))


def weights(model: Any) -> list[Any]:
    return [layer for layer in model if hasattr(layer, "weight")]


def agree(name: str, found: Any, expected: np.ndarray) -> None:
    """Refuses to go on where a contender computes something else."""
    found = np.asarray(found.detach().numpy() if hasattr(found, "detach") else found)
    away = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    if not away <= TOLERANCE:
        sys.exit(f"{name} is {away:.1e} from ours.")


def plain(case: Any) -> Contender:
    import torch

    model, (x, y) = network(case), batch(case)
    criterion = torch.nn.CrossEntropyLoss()

    def run() -> None:
        model.zero_grad()
        criterion(model(x), y).backward()

    run()
    for number, layer in enumerate(weights(model)):
        agree("PyTorch's gradient", layer.weight.grad.T, case[f"gradient{number}"])
    return run


def with_backpack(case: Any) -> dict[str, Contender]:
    """Gradient and one extension, in one pass of BackPACK; of the mean loss."""
    import torch
    from backpack import backpack, extend, extensions
    from backpack.hessianfree.hvp import hessian_vector_product

    x, y = batch(case)
    n = len(x)
    model, criterion = extend(network(case)), extend(torch.nn.CrossEntropyLoss())

    def with_extension(extension: Any) -> Contender:
        def run() -> None:
            model.zero_grad()
            loss = criterion(model(x), y)
            with backpack(extension):
                loss.backward()

        return run

    runs = {
        "gradient and norms": with_extension(extensions.BatchL2Grad()),
        "gradient and second moment": with_extension(extensions.SumGradSquared()),
        "gradient and Gauss-Newton diagonal": with_extension(extensions.DiagGGNExact()),
        "gradient and sampled diagonal": with_extension(extensions.DiagGGNMC()),
        "gradient and Kronecker factors": with_extension(extensions.KFAC()),
    }
    for run in runs.values():
        run()
    layers = weights(model)
    norms = sum(p.batch_l2 for p in model.parameters()) * n**2
    agree("BackPACK's norms", norms, case["norms"])
    for number, layer in enumerate(layers):
        moment = layer.weight.sum_grad_squared.T * n**2
        agree("BackPACK's second moment", moment, case[f"moment{number}"])
        agree("BackPACK's diagonal", layer.weight.diag_ggn_exact.T, case[f"diagonal{number}"])
    agree("BackPACK's Kronecker factor", layers[1].weight.kfac[1], case["factor"])

    twice = network(case)
    parameters = list(twice.parameters())
    vector = [torch.tensor(case[f"{kind}{i}"].T.copy()) for i in range(3) for kind in ("vW", "vb")]

    def product() -> list[Any]:
        loss = torch.nn.functional.cross_entropy(twice(x), y)
        return list(hessian_vector_product(loss, parameters, vector))

    for number, found in enumerate(product()[::2]):
        agree("BackPACK's Hessian product", found.T, case[f"product{number}"])
    return {f"BackPACK: {name}": run for name, run in runs.items()} | {
        "BackPACK: gradient and Hessian product": product
    }


def with_opacus(case: Any) -> dict[str, Contender]:
    """Each example's gradient clipped to 1, by norms without gradients ("ghost clipping")."""
    import torch
    from opacus.grad_sample.grad_sample_module_fast_gradient_clipping import (
        GradSampleModuleFastGradientClipping as Ghost,
    )

    x, y = batch(case)
    model = Ghost(network(case), max_grad_norm=1.0, use_ghost_clipping=True, loss_reduction="sum")
    criterion = torch.nn.CrossEntropyLoss(reduction="none")

    def run() -> Any:
        model.zero_grad()
        each = criterion(model(x), y)
        each.sum().backward(retain_graph=True)
        model.disable_hooks()
        factors = model.get_clipping_coef()
        model.zero_grad()
        (factors * each).sum().backward()
        model.enable_hooks()
        return model.get_norm_sample()

    agree("Opacus's norms", run() ** 2, case["norms"])
    for number, layer in enumerate(weights(model._module)):
        agree("Opacus's clipped gradient", layer.weight.grad.T, case[f"clipped{number}"])
    return {"Opacus: clipped gradient": run}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]))))
