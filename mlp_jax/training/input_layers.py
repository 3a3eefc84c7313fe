"""The layers that bring encoded rows into a network."""

from mlp_jax.backprop import Categories, Layer
from mlp_jax.data.encoding import InputEncoding, TableEncoding


def input_layers(inputs: InputEncoding | None) -> tuple[Layer, ...]:
    """A layer for the codes of a table's categories; none where all features are numbers."""
    if not isinstance(inputs, TableEncoding) or not inputs.categorical:
        return ()
    columns = inputs.categorical
    codes, widths = (tuple(c.n_codes for c in columns), tuple(c.width for c in columns))
    return (Categories(inputs.n_numeric, codes, widths),)
