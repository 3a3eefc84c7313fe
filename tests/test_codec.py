"""Records as JSON and back, and everything that a file could say that they are not."""

import json
from dataclasses import dataclass
from typing import Literal

import pytest

from mlp_jax.backprop import Activation, Dense, Dropout, Loss, Residual, Sequential, mlp
from mlp_jax.codec import decode, encode, read_json, registry
from mlp_jax.data.encoding import NumericColumn, TargetEncoding, TextForm
from mlp_jax.errors import InputError


@dataclass(frozen=True)
class Pair:
    first: int
    second: str | None = None
    scale: float = 1.0
    sure: bool = True
    kind: Literal["a", "b"] = "a"
    places: tuple[int, ...] = ()


TARGETS = registry([TargetEncoding, TextForm])
CLASSES = registry(
    [Pair, Dense, Activation, Dropout, Sequential, Residual, Loss, NumericColumn, TextForm]
)
NESTED = Sequential((Dense(3, "tanh"), Residual(Sequential((Dense(3),)), Dense(3)), Dropout(0.5)))
PAIR = {
    "type": "Pair", "first": 1, "second": None, "scale": 0.5, "sure": True, "kind": "a",
    "places": [1, 2],
}  # fmt: skip


def through_json(value, hint):
    return decode(read_json(json.dumps(encode(value, CLASSES)).encode(), "it"), hint, CLASSES, "it")


@pytest.mark.parametrize(
    "value",
    [
        Pair(1),
        Pair(-3, "ü", 0.1, False, "b", (1, 2)),
        NESTED,
        Loss("huber", (("delta", 2.0),)),
        NumericColumn("age", knots=(0.1, 1e300, -0.0), scores=(5e-324, 0.2, 3.0)),
    ],
)
def test_what_is_written_is_read_back_equal(value):
    assert through_json(value, type(value)) == value


def test_a_layer_comes_out_wherever_a_layer_is_asked_for():
    network = mlp([4, 4], 2, "gelu", dropout=0.25, residual=True)
    from mlp_jax.backprop import Layer

    assert through_json(network, Layer) == network


def test_the_json_says_the_class_and_every_field():
    assert encode(Dense(3, "tanh"), CLASSES) == {
        "type": "Dense", "n_out": 3, "activation": "tanh", "initializer": None, "bias": True,
    }  # fmt: skip


def test_a_whole_number_stands_for_a_float():
    found = decode(PAIR | {"scale": 2}, Pair, CLASSES, "it")
    assert (found.scale, type(found.scale)) == (2.0, float)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"first": 1.5}, "it.first must be a whole number, not 1.5."),
        ({"first": True}, "it.first must be a whole number, not true."),
        ({"second": 3}, "it.second must be text, not 3."),
        ({"scale": "2"}, 'it.scale must be a number, not "2".'),
        ({"scale": float("inf")}, "it.scale must be a finite number"),
        ({"sure": 1}, "it.sure must be true or false, not 1."),
        ({"kind": "c"}, "it.kind must be one of 'a', 'b', not \"c\"."),
        ({"places": 3}, "it.places must be a list, not 3."),
        ({"places": [1, None]}, "it.places[1] must be a whole number, not null."),
        ({"type": "Dense"}, "it has the type 'Dense', but must be one of Pair."),
        ({"type": "os.system"}, "it has the type 'os.system', but must be one of Pair."),
        ({"type": ["Pair"]}, "it has the type ['Pair'], but must be one of Pair."),
        ({"other": 1}, "it has the field 'other', which a Pair does not have."),
        ({"__class__": "x"}, "it has the field '__class__', which a Pair does not have."),
    ],
)
def test_what_is_no_such_record_is_refused_in_one_sentence(change, words):
    with pytest.raises(InputError) as caught:
        decode(PAIR | change, Pair, CLASSES, "it")
    assert words in str(caught.value)


def test_a_missing_field_that_has_no_default_is_named():
    without = {key: value for key, value in PAIR.items() if key != "first"}
    with pytest.raises(InputError, match="it lacks the field 'first' of a Pair"):
        decode(without, Pair, CLASSES, "it")


def test_a_record_of_an_earlier_version_takes_the_default_of_a_field_that_came_later():
    written = encode(TargetEncoding("classification", classes=("a", "b")), TARGETS)
    del written["label_type"]
    read = decode(written, TargetEncoding, TARGETS, "it")
    assert read == TargetEncoding("classification", classes=("a", "b"), label_type="text")


@pytest.mark.parametrize("value", [None, 3, "Pair", [], {}])
def test_a_record_is_an_object_with_a_type(value):
    with pytest.raises(InputError, match="Pair"):
        decode(value, Pair, CLASSES, "it")


def test_what_a_class_itself_refuses_is_told_with_its_place():
    bad = encode(NESTED, CLASSES)
    bad["layers"][0]["activation"] = "exec"
    with pytest.raises(InputError, match=r"it\.layers\[0\]: Unknown activation 'exec'"):
        decode(bad, Sequential, CLASSES, "it")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), [1], {"a": 1}])
def test_what_could_not_be_read_back_is_not_written(value):
    with pytest.raises(InputError):
        encode(value, CLASSES)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"{", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b'{"a": 1, "a": 2}', "one name twice"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_text_that_is_no_json_is_refused(text, words):
    with pytest.raises(InputError, match=words):
        read_json(text, "it")
