"""Private runs from the outside: what they write, what they refuse, how they go on."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from training_cases import labelled, leaves_equal

from mlp_jax import Dense, Privacy, fit, mlp
from mlp_jax.backprop import get_loss
from mlp_jax.errors import InputError, RunFolderError
from mlp_jax.files import read_jsonl
from mlp_jax.model.model_folder import load_model
from mlp_jax.reports.write import write_report
from mlp_jax.training.compatibility import PRIVATE_OPTIMIZERS
from mlp_jax.training.engine import private_step as spec
from mlp_jax.training.optim.optimizers import OPTIMIZERS
from mlp_jax.training.private.ledger import LEDGER_FILE, Ledger
from mlp_jax.training.run import run
from mlp_jax.training.run.build import build
from mlp_jax.training.run.config import TrainConfig

pytestmark = pytest.mark.usefixtures("optax_promotes")
PRIVACY = Privacy(4.0, 1e-3)
FLOWERS = labelled(200)


def trained(privacy=PRIVACY, **more):
    options = {"epochs": 3, "batch_size": 50} | more
    return fit(mlp([6], 3), "softmax_cross_entropy", options.pop("optimizer", "adam"),
               FLOWERS, privacy=privacy, **options)  # fmt: skip


def save(path, seed=0, **more):
    x, y = labelled(120, seed=seed)
    bytes_ = np.clip(40 * x + 128, 0, 255).astype(np.uint8)
    np.savez(path, x=bytes_, y=y, classes=np.array(["ant", "bee", "cow"]), **more)
    return str(path)


def usual(folder):
    return TrainConfig(
        data=save(folder / "flowers.npz"), hidden=(5,), epochs=4, batch_size=24, private=True,
        epsilon=5.0, delta=1e-3, out=str(folder / "run"), checkpoint_every="1 epochs",
    )  # fmt: skip


@pytest.fixture
def config(tmp_path):
    return usual(tmp_path)


def quiet(config):
    return run.train(config, lambda _: None, bar=False)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """(configuration, run) of a run that nobody may change."""
    config = usual(tmp_path_factory.mktemp("finished"))
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        return config, quiet(config)


@pytest.fixture
def private_run(finished):
    return finished[1]


def test_a_run_tells_its_epsilon_everywhere_and_nothing_of_its_batches(private_run):
    folder = private_run.folder
    history = read_jsonl(folder / "metrics.jsonl")
    assert [set(record) for record in history] == [{"epoch", "step", "epsilon"}] * 4
    spent = [record["epsilon"] for record in history]
    assert spent == sorted(spent)
    facts = json.loads((folder / "run.json").read_text())
    told = facts["private"]
    assert 0.98 * 5 < told["epsilon"] == pytest.approx(spent[-1])
    assert told["epsilon"] <= 5
    assert (told["delta"], told["steps"], told["expected_batch_size"]) == (1e-3, 16, 24)
    assert facts["digest"] is None
    assert facts["rows"] == {"train": 96, "validation": 0, "test": 24}
    assert load_model(folder).about["private"] == told
    assert load_model(folder).inputs.scale == (2 / 255,)
    assert load_model(folder).inputs.offset == (-1.0,)
    ledger = json.loads((folder / LEDGER_FILE).read_text())
    assert ledger == told | {"steps_started": 16}
    events = b"".join(path.read_bytes() for path in (folder / "tensorboard").iterdir())
    assert b"epsilon" in events
    for name in (b"gradient_norm", b"dead_units", b"train/loss"):
        assert name not in events


def test_the_report_shows_the_promise_and_no_gradients(private_run):
    path, missing = write_report(private_run.folder, None, None)
    page = path.read_text(encoding="utf-8")
    assert missing == ()
    assert 'id="privacy"' in page
    assert 'id="confusion"' in page
    assert 'id="flow"' not in page
    assert "0.001" in page


def test_a_run_without_test_rows_reports_none_of_its_training_rows(tmp_path, config, unproved):
    found = quiet(replace(config, test=0.0))
    page = write_report(found.folder, None, None)[0].read_text(encoding="utf-8")
    assert 'id="confusion"' not in page
    assert 'id="mistakes"' not in page


def test_the_proof_of_a_private_run_does_not_depend_on_its_rows(private_run, config, tmp_path):
    data = save(tmp_path / "flowers.npz", seed=1)
    other = quiet(replace(config, data=data, epochs=1))
    proofs = [json.loads((one.folder / "check.json").read_text()) for one in (private_run, other)]
    assert proofs[0]["ok"]
    assert proofs[0]["rows"] == proofs[1]["rows"]


def test_no_key_is_written_anywhere_and_the_seed_does_not_repeat_a_run(
    config, monkeypatch, unproved
):
    drawn = []

    def urandom(size):
        drawn.append(os.urandom(size))
        return drawn[-1]

    monkeypatch.setattr(spec, "os", type("entropy", (), {"urandom": staticmethod(urandom)}))
    first = quiet(config)
    again = quiet(replace(config, out=config.out + "2"))
    assert [len(keys) for keys in drawn] == [48, 48]
    assert drawn[0] != drawn[1]
    assert not leaves_equal(first.fitted.params, again.fitted.params)
    keys = [keys[at : at + 8] for keys in drawn for at in range(0, 48, 8)]
    words = [str(number) for keys in drawn for number in np.frombuffer(keys, np.uint32)]
    for folder in (first.folder, again.folder):
        for path in folder.rglob("*"):
            content = path.read_bytes() if path.is_file() else b""
            assert not any(key in content or key.hex().encode() in content for key in keys), path
            assert not any(word.encode() in content for word in words), path


def test_a_seeded_model_is_marked_as_not_private(unproved):
    first, again = trained(replace(PRIVACY, seed=7)), trained(replace(PRIVACY, seed=7))
    assert leaves_equal(first.params, again.params)
    assert first.private == {"epsilon": None, "reason": "seeded noise"}
    assert all(np.isnan(record["epsilon"]) for record in first.history)


def test_fit_keeps_the_promise_that_it_was_asked_for(unproved):
    seen = []
    fitted = trained(callbacks=[lambda end: seen.append(end.diagnose)])
    assert 0.98 * 4 < fitted.private["epsilon"] <= 4
    assert seen == [None] * 3
    assert fitted.history[-1]["epsilon"] == pytest.approx(fitted.private["epsilon"])


class KilledError(Exception):
    """The process is gone."""


def killed_after(monkeypatch, steps):
    """Every private run dies as soon as it has paid for more than `steps`."""
    pay = Ledger.pay

    def dying(self, count):
        pay(self, count)
        if self.started > steps:
            raise KilledError

    monkeypatch.setattr(Ledger, "pay", dying)


def test_steps_that_a_kill_lost_stay_paid(config, monkeypatch, unproved):
    folder = Path(config.out)
    with monkeypatch.context() as patch:
        killed_after(patch, 8)
        with pytest.raises(KilledError):
            quiet(config)
    assert json.loads((folder / LEDGER_FILE).read_text())["steps_started"] == 12
    found = run.resume(folder, replace(config, out=None), lambda _: None, bar=False)
    records = read_jsonl(found.folder / "metrics.jsonl")
    assert [record["step"] for record in records] == [4, 8, 12]
    assert records[1]["epsilon"] < records[2]["epsilon"] <= 5
    assert json.loads((found.folder / LEDGER_FILE).read_text())["steps_started"] == 16
    with pytest.raises(InputError, match="has finished"):
        run.resume(found.folder, replace(config, out=None))


def test_a_resumed_run_cannot_be_longer_or_without_its_ledger(finished, tmp_path, unproved):
    folder = tmp_path / "copy"
    shutil.copytree(finished[1].folder, folder)
    saved = replace(finished[0], out=None)
    with pytest.raises(InputError, match="noise of this private run was chosen for 4 epochs"):
        run.resume(folder, replace(saved, epochs=8))
    facts = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(facts | {"finished": None}))
    with pytest.raises(InputError, match=r"epsilon was 5\.0 and is now 6\.0"):
        run.resume(folder, replace(saved, epsilon=6.0))
    told = json.loads((folder / LEDGER_FILE).read_text())
    (folder / LEDGER_FILE).write_text(json.dumps(told | {"noise_multiplier": 0.1}))
    with pytest.raises(RunFolderError, match="does not match this run"):
        run.resume(folder, saved, lambda _: None, bar=False)
    (folder / LEDGER_FILE).unlink()
    with pytest.raises(RunFolderError, match=r"has no privacy\.json"):
        run.resume(folder, saved)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"epsilon": None}, "--epsilon 3 --delta 1e-5"),
        ({"delta": None}, "needs a budget"),
        ({"delta": 0.5}, "less than 1/rows"),
        ({"epsilon": -1.0}, "Epsilon must be positive"),
        ({"clip_example": 0.0}, "The clip of examples must be positive, not 0.0"),
        ({"init_from": "runs/a"}, "init_from cannot be combined with private training"),
        ({"ensemble": 2}, "An ensemble cannot be combined with private training: every member"),
        ({"histograms": True}, "histograms cannot be combined with private training"),
        ({"select": "best"}, "Select best cannot be combined with private training"),
        ({"patience": 2, "validation": 0.2}, "patience cannot be combined with private training"),
        ({"class_weight": "balanced"}, "class_weight cannot be combined with private training"),
        ({"norm": "batch"}, "Batch norm cannot be combined with private training: it couples"),
        ({"optimizer": "lbfgs"}, "This optimizer cannot be combined with private training"),
        (
            {"precision": "bf16"},
            "This precision cannot be combined with private training",
        ),
        ({"input_range": (0.0, 1.0, 2.0)}, "the highest value, not 3"),
        ({"input_range": (1.0, 0.0)}, "not from 1.0 to 0.0"),
        ({"private": False}, "--epsilon, --delta needs --private"),
    ],
    ids=str,
)
def test_what_leaks_is_refused_before_there_is_a_folder(config, tmp_path, changed, sentence):
    with pytest.raises(InputError, match=sentence):
        quiet(replace(config, **changed))
    assert not (tmp_path / "run").exists()


def test_a_table_is_refused(config, tmp_path):
    (tmp_path / "t.csv").write_text("a,b,y\n" + "1,2,x\n2,1,z\n" * 30)
    with pytest.raises(InputError, match="is a table, and its encoding"):
        quiet(replace(config, data=str(tmp_path / "t.csv"), target=("y",)))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"sample_weight": np.ones(200)},
            "sample_weight cannot be combined with private training",
        ),
        ({"start": ((), ())}, "start cannot be combined with private training"),
    ],
    ids=str,
)
def test_fit_refuses_what_leaks(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        trained(**options)


def test_an_optimizer_that_nobody_vouched_for_is_refused():
    for name in set(OPTIMIZERS) - set(PRIVATE_OPTIMIZERS):
        with pytest.raises(InputError, match="optimizer cannot be combined with private training"):
            trained(optimizer=name)


def test_muon_trains_privately_too(unproved):
    assert trained(optimizer="muon", epochs=1).private["epsilon"] <= 4


def test_inputs_and_targets_are_brought_to_the_network_by_what_is_known(tmp_path):
    x, _ = labelled(60)
    np.savez(tmp_path / "numbers.npz", x=x, y=x[:, 0] * 100)
    config = TrainConfig(data=str(tmp_path / "numbers.npz"), private=True, epsilon=1.0, delta=1e-3)
    parts = build(config)
    assert parts.data.inputs.scale == parts.data.target.scale == ()
    assert parts.data.validation is None
    ranged = build(replace(config, input_range=(-4.0, 4.0), validation=0.25))
    assert ranged.data.inputs.scale == (0.25,)
    assert ranged.data.inputs.offset == (0.0,)
    assert len(ranged.data.validation) == 15


def test_a_network_of_categories_is_proved_on_drawn_codes():
    from mlp_jax.backprop import Categories, Sequential
    from mlp_jax.proof.trial import rows_for

    network = Sequential((Categories(2, (3, 20), (0, 4)), Dense(3, "identity")))
    x, y = rows_for(network, get_loss("softmax_cross_entropy"), 4)
    assert x.shape == (8, 4)
    assert set(x[:, 2]) <= {0.0, 1.0, 2.0, 3.0}
    assert y.dtype == np.int32
    rng = np.random.default_rng(0)
    rows = np.hstack([rng.normal(size=(60, 2)), rng.integers(0, 4, (60, 2))]).astype(np.float32)
    fitted = fit(network, "softmax_cross_entropy", "sgd", (rows, np.arange(60) % 3), epochs=1,
                 privacy=Privacy(3.0, 1e-3))  # fmt: skip
    assert fitted.report.ok
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(fitted.params))
