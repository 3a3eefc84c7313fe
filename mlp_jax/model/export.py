"""Export of a model to one file for other runtimes, tested before it is written."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from mlp_jax.data.encoding import SCALED_LIMIT, ArrayEncoding, TableEncoding
from mlp_jax.errors import InputError, RunFolderError, UnknownNameError
from mlp_jax.files import write_bytes_atomic
from mlp_jax.model.inference import infer, network_input, runnable_precision
from mlp_jax.model.precision import Precision
from mlp_jax.model.rows import UNSCALED_LIMIT, features
from mlp_jax.model.saved import Model, scaling_of
from mlp_jax.model.specimens import agree, specimens

FORMATS = ("onnx", "stablehlo")
PLATFORMS = ("cpu", "cuda")
_PROBE_ROWS = (1, 37)


def export_model(model: Model, format: str, output: Path, *, overwrite: bool = False) -> str:
    """Write the model as "onnx" (see `onnx_file`) or "stablehlo" (see `stablehlo_bytes`).

    Returns:
        A readable description of the function's inputs and outputs.

    Raises:
        UnknownNameError: for another format.
        InputError: for a model that the format cannot express.
        RunFolderError: if the file exists or cannot be written.
    """
    if format not in FORMATS:
        raise UnknownNameError("export format", format, FORMATS)
    if not output.parent.is_dir():
        raise RunFolderError(f"Cannot write '{output}': there is no folder '{output.parent}'.")
    if output.is_dir() or (output.exists() and not overwrite):
        raise RunFolderError(f"'{output}' exists already; --overwrite replaces it.")
    if format == "onnx":
        from mlp_jax.model.onnx_file import onnx_bytes, signature

        data = onnx_bytes(model)
        description = signature(data)
    else:
        data = stablehlo_bytes(model)
        description = (
            f"x (N, {model.inputs.n_features}) -> predictions (N, {model.n_outputs}): "
            f'jax.export.deserialize(open("{output.name}", "rb").read()).call(x)'
        )
        if isinstance(model.inputs, TableEncoding):
            description += "\nx: the table's rows, encoded by mlp_jax.load(RUN).features(rows)"
    write_bytes_atomic(output, data)
    return description


def stablehlo_bytes(model: Model) -> bytes:
    """Serialize a function x (N, I) ↦ predictions (N, C) for any N, on CPU and GPU.

        function = jax.export.deserialize(open(FILE, "rb").read())
        predictions = function.call(x)

    It needs only JAX. x: raw rows of arrays, uint8 for pixels, else the model's dtype; for tables
    the features that `Model.features` returns, since StableHLO has no text. Far and infinite
    numbers of arrays are clipped as in the model. Predictions are P(class 1) for a single logit,
    else probabilities, or values in the target's units. A float64 model is called under
    jax.enable_x64(True).
    """
    precision = runnable_precision(model.precision)
    target = model.target

    def predictions(x: Any) -> Any:
        x, scaling = _network_rows(model, precision, x)
        _, found = infer(
            model.network,
            model.loss,
            target.task == "multilabel",
            precision,
            params,
            layer_state,
            scaling,
            x,
        )
        if not target.scale:
            return found
        scale, offset = (jnp.asarray([v], precision.params) for v in (target.scale, target.offset))
        return found * scale + offset

    dtype = np.uint8 if _takes_bytes(model) else precision.params
    with precision.active():
        params, layer_state = jax.tree.map(jnp.asarray, (model.params, model.layer_state))
        shape = (*jax.export.symbolic_shape("N"), model.inputs.n_features)
        argument = jax.ShapeDtypeStruct(shape, dtype)
        exported = jax.export.export(jax.jit(predictions), platforms=PLATFORMS)(argument)
        data = bytes(exported.serialize())
        _verify(model, data, dtype)
    return data


def _takes_bytes(model: Model) -> bool:
    return isinstance(model.inputs, ArrayEncoding) and model.inputs.pixels


def _network_rows(
    model: Model, precision: Precision, x: Any
) -> tuple[Any, tuple[np.ndarray, np.ndarray] | None]:
    """Return (rows, the scaling that they still need), clipped as in the model.

    Pixels are unchanged, and so are the features of a table, which are clipped already.
    """
    inputs = model.inputs
    if not isinstance(inputs, ArrayEncoding) or inputs.pixels:
        return x, scaling_of(inputs)
    if inputs.scale:
        scaling = np.array([inputs.scale]), np.array([inputs.offset])
        scaled = network_input(precision, scaling, x)
        return jnp.clip(scaled, -SCALED_LIMIT, SCALED_LIMIT), None
    if precision.params == np.float64:
        return x, None
    return jnp.clip(x, -UNSCALED_LIMIT, UNSCALED_LIMIT), None


def _verify(model: Model, data: bytes, dtype: DTypeLike) -> None:
    """Raise InputError unless the deserialized function agrees with the model."""
    function = jax.export.deserialize(bytearray(data))
    for n in _PROBE_ROWS:
        rows = specimens(model.inputs, n)
        x = rows if isinstance(model.inputs, ArrayEncoding) else features(model.inputs, rows)
        found = np.asarray(function.call(jnp.asarray(x, dtype)), np.float64)
        expected = model.predictions(features(model.inputs, rows, dtype))
        if not agree(model, found, expected):
            raise InputError(
                "The exported function does not agree with the model; no file was written."
            )
