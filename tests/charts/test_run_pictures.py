import math

import numpy as np
import pytest
from PIL import Image

from mlp_jax.charts.curves import learning_curve
from mlp_jax.charts.predictions import confusion_matrix, regression_scatter
from mlp_jax.charts.weights import first_layer
from mlp_jax.data import load_digits
from mlp_jax.errors import InputError, RunFolderError

RNG = np.random.default_rng(0)
FASHION = "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "plot.png"


def look_at(path):
    """The pixels (H, W, 3) of a PNG that is alone in its folder, of a plausible size, not blank."""
    assert list(path.parent.iterdir()) == [path]
    with Image.open(path) as image:
        assert image.format == "PNG"
        pixels = np.asarray(image.convert("RGB"))
    assert min(pixels.shape[:2]) >= 300
    assert max(pixels.shape[:2]) <= 2400
    assert len(np.unique(pixels @ np.array([1, 256, 65536]))) > 10
    assert (pixels[[0, -1]] == 255).all()
    assert (pixels[:, [0, -1]] == 255).all()
    return pixels


def has_color(pixels, color):
    return (np.abs(pixels.astype(int) - color).max(axis=2) < 6).any()


TRAIN, VALIDATION = (0x3B, 0x6E, 0xA8), (0xD1, 0x65, 0x1F)


def history(n=20):
    return [
        {
            "epoch": i,
            "train_loss": math.exp(-i / 5),
            "validation_loss": math.exp(-i / 5) + 0.1 + 0.01 * i,
            "train_accuracy": 1 - 1 / (i + 1),
            "validation_accuracy": 0.95 - 1 / (i + 1),
        }
        for i in range(1, n + 1)
    ]


def test_a_learning_curve_shows_both_parts(path):
    learning_curve(history(), path)
    pixels = look_at(path)
    assert has_color(pixels, TRAIN)
    assert has_color(pixels, VALIDATION)
    assert pixels.shape[1] > 2 * pixels.shape[0]


def test_the_same_picture_has_the_same_bytes(tmp_path):
    for name in ("a.png", "b.png"):
        learning_curve(history(3), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_learning_curve_without_metric_or_validation_is_one_panel(path):
    learning_curve([{"train_loss": 1 / i} for i in range(1, 5)], path)
    pixels = look_at(path)
    assert not has_color(pixels, VALIDATION)
    assert pixels.shape[1] < 2 * pixels.shape[0]


@pytest.mark.parametrize(
    "records",
    [
        history(1),
        [{"train_loss": 0.5, "validation_loss": 0.5} for _ in range(4)],
        [{"train_loss": 0.0, "validation_loss": 0.0} for _ in range(4)],
        [*history(3), {"epoch": 4, "train_loss": math.nan, "validation_loss": None}],
        [{"train_loss": math.nan, "validation_loss": math.inf, "validation_accuracy": math.nan}],
        [{"train_loss": 10.0 ** (3 - i), "validation_own_score": i} for i in range(6)],
        [{"train_loss": -1.0}, {"train_loss": 1e30}],
    ],
    ids=["one epoch", "constant", "zero", "nan at the end", "only nan", "wide", "huge"],
)
def test_any_history_can_be_drawn(path, records):
    learning_curve(records, path)
    look_at(path)


def test_no_history_is_an_empty_frame(path):
    learning_curve([], path)
    assert path.stat().st_size > 1000


def test_the_given_epoch_is_marked_if_it_has_a_validation_value(tmp_path):
    none, early, late = (tmp_path / name for name in ("none.png", "early.png", "late.png"))
    learning_curve(history(), none)
    learning_curve(history(), early, best=5)
    learning_curve(history(), late, best=20)
    assert len({path.read_bytes() for path in (none, early, late)}) == 3
    trained = [{"train_loss": 1 / i} for i in range(1, 5)]
    learning_curve(trained, none)
    learning_curve(trained, late, best=4)
    assert none.read_bytes() == late.read_bytes()


def test_a_confusion_matrix_of_ten_classes_is_blue_where_it_is_right(path):
    y = RNG.integers(0, 10, 1000)
    confusion_matrix(y, y, FASHION.split(","), path)
    assert has_color(look_at(path), TRAIN)
    assert not has_color(look_at(path), VALIDATION)
    confusion_matrix(y, (y + 1) % 10, FASHION.split(","), path)
    assert has_color(look_at(path), VALIDATION)
    assert not has_color(look_at(path), TRAIN)


@pytest.mark.parametrize("n", [1, 2, 20, 21, 100])
def test_a_confusion_matrix_of_any_size_can_be_drawn(path, n):
    y, s = RNG.integers(0, n, 500), RNG.integers(0, n, 500)
    confusion_matrix(y, s, [f"a class whose name is long {i}" for i in range(n)], path)
    look_at(path)


def test_a_class_may_never_occur_nor_be_predicted(path):
    confusion_matrix(np.array([0, 0, 1]), np.array([1, 1, 1]), ("a", "b", "c"), path)
    look_at(path)


def test_class_names_are_not_mathematics_and_may_lack_in_the_font(path):
    confusion_matrix(np.array([0, 1]), np.array([0, 1]), ("$a_$ \\frac", "猫"), path)
    look_at(path)


def test_first_layer_weights_are_pictures_in_orange_and_blue(path):
    x = load_digits().train.x.astype(float)
    first_layer((x[:64] - x[:64].mean(axis=0)).T, (8, 8), path)
    pixels = look_at(path).astype(int)
    assert (pixels[..., 0] - pixels[..., 2]).max() > 100
    assert (pixels[..., 2] - pixels[..., 0]).max() > 100


def test_weights_of_images_in_colour_are_pictures_in_colour(path):
    W = np.zeros((4, 5, 3, 3))
    for channel in range(3):
        W[..., channel, channel] = 1.0
    first_layer(W.reshape(60, 3), (4, 5, 3), path)
    pixels = look_at(path)
    for color in ((255, 128, 128), (128, 255, 128), (128, 128, 255)):
        assert (np.abs(pixels[..., :3].astype(int) - color).max(axis=-1) <= 1).any()


def test_only_the_largest_units_are_shown_in_the_order_of_their_norms(tmp_path):
    W = RNG.normal(size=(12, 10)) * 10.0 ** -np.arange(10)
    first_layer(W, (3, 4), tmp_path / "a.png", max_units=4)
    first_layer(W[:, ::-1], (3, 4), tmp_path / "b.png", max_units=4)
    first_layer(W[:, [3, 2, 1, 0] + [9] * 6], (3, 4), tmp_path / "c.png", max_units=4)
    a, b, c = ((tmp_path / name).read_bytes() for name in ("a.png", "b.png", "c.png"))
    assert a == b == c


@pytest.mark.parametrize("shape", [None, (4, 6)])
@pytest.mark.parametrize("W", [RNG.normal(size=(24, 1)), np.full((24, 3), np.nan)])
def test_one_unit_and_broken_weights_can_be_drawn(path, shape, W):
    first_layer(W, shape, path)
    assert path.stat().st_size > 1000


def test_weights_that_are_all_zero_can_be_drawn(path):
    first_layer(np.zeros((4, 2)), (2, 2), path)
    look_at(path)


@pytest.mark.parametrize("names", [(), ("age", "sex", "bmi", "pressure")])
def test_the_first_layer_of_a_table_is_a_heat_map(path, names):
    first_layer(RNG.normal(size=(4, 100)), None, path, feature_names=names)
    pixels = look_at(path)
    assert pixels.shape[1] > pixels.shape[0]


def test_a_picture_shape_that_does_not_fit_is_refused(path):
    with pytest.raises(InputError, match=r"10 features do not form an image of shape \(3, 3\)"):
        first_layer(np.ones((10, 2)), (3, 3), path)
    assert not path.exists()


@pytest.mark.parametrize("shape", [(1,), (50,), (50, 1), (50, 3), (50, 9), (20000,), (0,)])
def test_predictions_are_drawn_over_true_values(path, shape):
    y = RNG.normal(size=shape)
    regression_scatter(y, y + 0.1, path)
    assert has_color(look_at(path), (0x2B, 0x2B, 0x2B))


def test_constant_and_broken_predictions_can_be_drawn(tmp_path):
    regression_scatter(np.full(5, 3.0), np.full(5, 3.0), tmp_path / "a.png")
    regression_scatter(np.arange(3.0), np.array([0.0, math.nan, math.inf]), tmp_path / "b.png")
    regression_scatter(np.arange(3.0), np.full(3, math.nan), tmp_path / "c.png")
    assert len(list(tmp_path.iterdir())) == 3


def test_a_folder_that_is_not_there_is_an_error_with_its_path(tmp_path):
    with pytest.raises(RunFolderError, match=r"absent/plot.png"):
        learning_curve(history(2), tmp_path / "absent" / "plot.png")
