"""Consistency checks across the parts of a saved model: network, loss, encodings.

Each class checks its fields; this module checks conditions that involve several parts.
"""

import itertools
import math
from typing import Any

import jax

from mlp_jax.backprop import Categories, Ensemble, Layer, Loss
from mlp_jax.data.encoding import (
    ArrayEncoding,
    CategoricalColumn,
    InputEncoding,
    NumericColumn,
    TableEncoding,
    TargetEncoding,
)
from mlp_jax.errors import InputError


def expected_shapes(network: Layer, n_inputs: int) -> tuple[Any, Any]:
    """Return (params, layer_state) of the architecture, as shapes without arrays.

    Raises InputError for an architecture that cannot be initialized.
    """
    if n_inputs < 1:
        raise InputError(f"A network takes at least 1 feature, not {n_inputs}.")
    key = jax.eval_shape(lambda: jax.random.key(0))
    try:
        return jax.eval_shape(lambda key: network.init(key, n_inputs), key)
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{network} cannot be initialized for {n_inputs} features.") from None


def check_consistent(
    network: Layer, loss: Loss, inputs: InputEncoding, target: TargetEncoding
) -> None:
    """Raise InputError if a network cannot have these encodings or this loss."""
    if isinstance(inputs, ArrayEncoding):
        _check_arrays(inputs)
    else:
        _check_table(inputs)
        _check_first_layer(network, inputs)
    _check_target(target, loss, network.width_out(inputs.n_features))


def _check_arrays(inputs: ArrayEncoding) -> None:
    n = inputs.n_features
    if len(inputs.scale) not in (0, 1, n) or len(inputs.offset) != len(inputs.scale):
        raise InputError(
            f"{n} features cannot have {len(inputs.scale)} scales and {len(inputs.offset)} offsets."
        )
    if inputs.image_shape and (min(inputs.image_shape) < 1 or math.prod(inputs.image_shape) != n):
        raise InputError(f"Images of shape {inputs.image_shape} do not have {n} features.")
    if inputs.feature_names and len(set(inputs.feature_names)) != n:
        raise InputError(f"{n} features need {n} different names, or none.")


def _check_table(inputs: TableEncoding) -> None:
    for column in inputs.numeric:
        _check_numeric(column)
    for category in inputs.categorical:
        _check_categorical(category)
    numbers = {column.name for column in inputs.numeric}
    categories = [column.name for column in inputs.categorical]
    if len(set(categories)) < len(categories) or numbers & set(categories):
        raise InputError("A column is listed twice.")


def _check_first_layer(network: Layer, inputs: TableEncoding) -> None:
    """Check that the layer of categories, if any, has a row for every code."""
    if isinstance(network, Ensemble):
        for member in network.members:
            _check_first_layer(member, inputs)
        return
    layers = [layer for layer in network.children if isinstance(layer, Categories)]
    codes = tuple(column.n_codes for column in inputs.categorical)
    if layers and (layers[0].n_numeric, layers[0].codes) != (inputs.n_numeric, codes):
        raise InputError(
            f"{layers[0]} does not take {inputs.n_numeric} numbers and categories of {codes} codes."
        )


def _check_numeric(column: NumericColumn) -> None:
    knots = column.knots
    if column.scaling == "quantile" and (len(knots) < 1 or len(knots) != len(column.scores)):
        raise InputError(
            f"The column '{column.name}' has {len(knots)} quantiles"
            f" for {len(column.scores)} scores."
        )
    if any(low >= high for low, high in itertools.pairwise(knots)):
        raise InputError(f"The quantiles of the column '{column.name}' are not in order.")


def _check_categorical(column: CategoricalColumn) -> None:
    codes = (column.rare, column.missing, len(column.categories))
    if min(codes) < 0 or max(codes) > column.n_codes or column.width < 0:
        raise InputError(
            f"The codes of the column '{column.name}' do not lie in 0 to {column.n_codes}."
        )
    if len(set(column.categories)) < len(column.categories):
        raise InputError(f"The column '{column.name}' has a category twice.")


def _check_target(target: TargetEncoding, loss: Loss, n_outputs: int) -> None:
    regression = target.task == "regression"
    if regression != (loss.function.targets == "real"):
        raise InputError(f"The loss {loss} does not fit the task {target.task}.")
    if regression:
        if len(target.scale) not in (0, n_outputs) or len(target.offset) != len(target.scale):
            raise InputError(
                f"{n_outputs} outputs cannot have {len(target.scale)} scales"
                f" and {len(target.offset)} offsets."
            )
        if target.names and len(target.names) != n_outputs:
            raise InputError(f"{n_outputs} outputs do not predict {', '.join(target.names)}.")
        return
    n_classes = len(target.classes)
    if len(set(target.classes)) < n_classes:
        raise InputError("A class is listed twice.")
    try:
        target.label_values()
    except (ValueError, OverflowError):
        raise InputError(f"The classes are not all of the type {target.label_type}.") from None
    if target.task == "multilabel":
        fits = {n_classes, len(target.names)} <= {0, n_outputs}
    else:
        fits = n_classes == n_outputs or (n_classes, n_outputs) == (2, 1)
    if not fits:
        raise InputError(f"{n_outputs} outputs do not fit {n_classes} classes.")
