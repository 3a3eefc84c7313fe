"""Bad input, as a user types it: one sentence, exit code 2, nothing left behind."""

import re

import jax
import numpy as np
import pytest
from idx_files import write_idx

DATA = ("train", "--data", "bad.npz", "--batch-size", "8")


def table():
    rng = np.random.default_rng(0)
    return rng.standard_normal((40, 3)).astype(np.float32), np.arange(40) % 3


def save(**arrays):
    np.savez("bad.npz", **arrays)


def negative_label():
    x, y = table()
    save(x=x, y=np.where(np.arange(40) == 5, -1, y), classes=["a", "b", "c"])


def label_out_of_range():
    x, y = table()
    save(x=x, y=np.where(np.arange(40) == 5, 9, y), classes=np.array(["a", "b", "c"]))


def nan_in_x():
    x, y = table()
    x[7, 2] = np.nan
    save(x=x, y=y)


def infinity_in_x():
    x, y = table()
    x[0, 1] = np.inf
    save(x=x, y=y)


def lengths_that_differ():
    x, y = table()
    save(x=x, y=y[:-3])


def pickled_objects():
    x, _ = table()
    save(x=x, y=np.array([{}] * 40, dtype=object))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (negative_label, "label -1 in row 5 is outside the allowed 0 to 2"),
        (label_out_of_range, "label 9 in row 5 is outside the allowed 0 to 2"),
        (nan_in_x, "NaN or infinite, the first (nan) in row 7, column 2"),
        (infinity_in_x, "NaN or infinite, the first (inf) in row 0, column 1"),
        (lengths_that_differ, "x has 40 rows, but y has 37"),
        (pickled_objects, "object array"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_table_that_cannot_be_trained_on(mlp_jax, tmp_path, make, words):
    make()
    refused(mlp_jax(*DATA), words)
    assert [p.name for p in tmp_path.iterdir()] == ["bad.npz"]


def refused(said, words, code=2):
    """One sentence on standard error that begins with the command's name."""
    assert said.code == code
    assert words in said.err
    assert said.err.startswith("mlp-jax: ")
    assert said.err.endswith(".\n")
    assert said.err.count("\n") == 1
    assert "Traceback" not in said.err + said.out


@pytest.mark.parametrize("damage", ["truncated", "promises", "wrong kind", "no folder"])
def test_an_idx_folder_that_is_damaged(mlp_jax, tmp_path, damage):
    folder = tmp_path / "idx"
    folder.mkdir()
    images, labels = folder / "train-images-idx3-ubyte", folder / "train-labels-idx1-ubyte"
    write_idx(images, np.zeros((30, 4, 4), np.uint8))
    write_idx(labels, np.arange(30, dtype=np.uint8) % 10)
    content = images.read_bytes()
    if damage == "truncated":
        images.write_bytes(content[:-5])
        words = "holds 475 bytes of values, but its header declares 480 (shape 30 × 4 × 4)"
    elif damage == "promises":
        images.write_bytes(content[:4] + (10**6).to_bytes(4, "big") + content[8:])
        words = "but its header declares 16000000"
    elif damage == "wrong kind":
        images.write_bytes(b"GIF89a")
        words = "is not an IDX file"
    else:
        folder = tmp_path / "nowhere"
        words = "There is no folder"
    refused(mlp_jax("train", "--data", f"idx:{folder}"), words)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            "--batch-size 0",
            "The option batch_size must be at least 1, not 0",
        ),
        ("--batch-size 1259", "A batch of 1259 examples needs as many training rows"),
        ("--hidden 0", "a width of at least 1, not 0"),
        ("--hidden 16 -3", "a width of at least 1, not -3"),
        ("--activation rellu", "Unknown activation 'rellu'. Did you mean 'relu'? Known: celu, elu"),
        ("--optimizer adm", "Unknown optimizer 'adm'. Did you mean 'adam'? Known: adagrad"),
        ("--loss cross", "Unknown loss 'cross'. Known: absolute_error"),
        ("--schedule cosin", "Unknown schedule 'cosin'. Did you mean 'cosine'?"),
        ("--norm bach", "Unknown norm 'bach'. Did you mean 'batch'?"),
        ("--precision fp16", "Unknown precision 'fp16'. Did you mean 'bf16'?"),
        ("--device tpu", "Unknown device 'tpu'."),
        ("--metrics accurracy", "Unknown metric 'accurracy'. Did you mean 'accuracy'?"),
        ("--metrics rmse", "Unknown classification metric 'rmse'."),
        ("--class-weight blanced", "Unknown class weight 'blanced'. Did you mean 'balanced'?"),
        ("--data digit", "Unknown data set 'digit'. Did you mean 'digits'?"),
        ("--data nowhere.npz", "There is no file 'nowhere.npz'"),
        ("--epochs -1", "at least 1 epoch, not -1"),
        ("--private --epsilon 3", "A private run needs a budget, such as --epsilon 3 --delta 1e-5"),
        ("--epsilon 3", "--epsilon needs --private"),
        ("--epochs 0", "at least 1 epoch, not 0"),
        ("--dropout 1.0", "The dropout rate must lie in [0, 1), not 1.0"),
        ("--dropout nan", "The dropout rate must lie in [0, 1), not nan"),
        ("--validation 1.0", "The validation fraction must be at least 0 and less than 1"),
        ("--validation 0.5 --test 0.5", "leave no training row"),
        ("--validation 0 --patience 3", "Early stopping (patience) needs validation rows"),
        ("--patience 0", "The option patience must be at least 1, not 0"),
        ("--average 1.5", "between 0 and 1, not 1.5"),
        ("--importance 1", "pools of at least 2 batches, not 1"),
        ("--importance 3 --norm batch", "The option importance cannot be combined with batch norm"),
        (
            "--importance 3 --optimizer lbfgs",
            "The option importance cannot be combined with the optimizer lbfgs",
        ),
        ("--learning-rate 0", "The learning rate must be positive, not 0.0"),
        ("--learning-rate nan", "The learning rate must be positive, not nan"),
        ("--clip-norm -1", "The gradient clip must be positive, not -1.0"),
        ("--max-norm 0", "The bound on the norm of weights must be positive, not 0.0"),
        ("--weight-decay -1", "The weight decay must be at least 0, not -1.0"),
        ("--warm-up 1", "The warm-up must be a fraction of the run"),
        ("--label-smoothing 1", "Label smoothing must lie in [0, 1)"),
        ("--label-smoothing 0.1 --loss huber", "Label smoothing needs a cross-entropy loss"),
        ("--optimizer lbfgs --learning-rate 0.1", "lbfgs finds its step sizes"),
        (
            "--optimizer kfac --norm batch",
            "cannot train this network. Curvature needs each example",
        ),
        (
            "--optimizer kfac --loss hinge",
            "cannot train this network. The loss hinge is not a negative",
        ),
        ("--optimizer kfac --ensemble 2", "cannot be combined with the optimizer kfac"),
        ("--seed -1", "seed"),
        ("--seed 99999999999999999999", "A seed must lie between 0 and"),
        ("--config nowhere.toml", "Cannot read the configuration nowhere.toml"),
        ("--config", "--config needs a TOML file"),
        ("--out taken", "taken already holds a run; give another --out"),
        ("--out file/run", "Cannot create the run folder file/run"),
    ],
)
def test_an_option_of_train_that_cannot_be(mlp_jax, tmp_path, words, sentence):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/config.toml").write_text("")
    (tmp_path / "file").write_text("")
    refused(mlp_jax("train", *words.split()), sentence)
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")) == [
        "file", "taken", "taken/config.toml",
    ]  # fmt: skip


@pytest.mark.skipif(jax.default_backend() == "gpu", reason="there is a GPU here")
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--device gpu", "No gpu found: JAX sees only cpu. For an NVIDIA GPU install"),
        ("--precision tf32", "cpu has no TensorFloat-32 arithmetic; use --precision float32"),
    ],
)
def test_a_gpu_that_is_not_there(mlp_jax, tmp_path, words, sentence):
    refused(mlp_jax("train", *words.split()), sentence)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("learnig-rate = 1.0", "Did you mean 'learning_rate'?"),
        ('epochs = "many"', "In c.toml, 'epochs' must be int, not 'many'"),
        ("epochs =", "c.toml is not a TOML file"),
    ],
)
def test_a_configuration_that_cannot_be_read(mlp_jax, tmp_path, text, sentence):
    (tmp_path / "c.toml").write_text(text)
    for words in (["--config", "c.toml"], ["--config=c.toml"]):
        said = mlp_jax("train", *words)
        assert sentence in said.err
        assert (said.code, said.err[:9], said.err.count("\n")) == (2, "mlp-jax: ", 1)


def test_a_single_class_cannot_be_told_apart(mlp_jax):
    save(x=table()[0], y=np.zeros(40, int))
    refused(mlp_jax(*DATA), "'bad' has a single class, '0': classification needs at least two")


def test_numbers_are_not_classes(mlp_jax):
    x, _ = table()
    save(x=x, y=x[:, 0])
    refused(mlp_jax(*DATA, "--loss", "softmax_cross_entropy"), "the targets of 'bad' are numbers")
    refused(mlp_jax(*DATA, "--loss", "sigmoid_cross_entropy"), "needs targets from 0 to 1, but row")
    refused(mlp_jax(*DATA, "--class-weight", "balanced"), "Class weights need labels")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("trian", "Unknown command 'trian'. Did you mean 'train'? Known: "),
        ("check --inputs 0", "at least 1 input, not 0"),
        ("check --outputs 0", "a width of at least 1, not 0"),
        ("check --hidden 8 0", "a width of at least 1, not 0"),
        ("check --activation tahn", "Did you mean 'tanh'?"),
        ("check --loss hing", "Did you mean 'hinge'?"),
        ("check --precision tf32", "Unknown precision 'tf32'"),
        ("check --inject sing", "Unknown fault 'sing'. Did you mean 'sign'?"),
        ("check --seed -1", "A seed must not be negative, but -1 is"),
        ("check --hidden 4 --json nowhere/c.json", "there is no folder nowhere"),
        ("explain --inputs -5", "at least 1 input, not -5"),
        ("explain --batch-size 0", "A batch needs at least 1 example, not 0"),
        ("explain --norm bach", "Did you mean 'batch'?"),
    ],
)
def test_other_commands_refuse_in_one_sentence_too(mlp_jax, tmp_path, words, sentence):
    refused(mlp_jax(*words.split()), sentence)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    ["train --epochs many", "train --epoch 3", "train digits", "train --hidden x", "check --json",
     "explain --inputs 3.5", "train --residual maybe"],
)  # fmt: skip
def test_what_is_no_option_at_all_is_explained_without_a_traceback(mlp_jax, tmp_path, words):
    said = mlp_jax(*words.split())
    assert said.code == 2
    assert said.err
    assert "Traceback" not in said.err + said.out
    assert re.search(r"--\w+|digits", said.err)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("unproved")
def test_a_rate_that_makes_the_loss_overflow_ends_with_1(mlp_jax, flowers, tmp_path):
    said = mlp_jax(
        "train", "--data", str(flowers), "--hidden", "4", "--optimizer", "sgd", "--batch-size", "8",
        "--learning-rate", "1e30", "--epochs", "2", "--out", "run",
    )  # fmt: skip
    refused(said, "Training diverged at step 2 (epoch 1): ", code=1)
    assert "layer" in said.err
    assert (tmp_path / "run/metrics.jsonl").read_bytes() == b""
