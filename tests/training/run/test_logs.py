import json
import math
import struct

import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event

from mlp_jax import mlp
from mlp_jax.errors import RunFolderError
from mlp_jax.files import cut_back, read_jsonl, write_json_atomic, write_text_atomic
from mlp_jax.training.engine.snapshot import Position
from mlp_jax.training.run.log_callbacks import RunLogs
from mlp_jax.training.run.logs import MetricsLog, TensorBoardLog


def test_records_come_back_in_order(tmp_path):
    with MetricsLog(tmp_path) as log:
        log.metrics({"epoch": 1, "train_loss": 0.1 + 0.2})
        log.metrics({"epoch": 2, "train_loss": 5e-324})
        log.timing({"epoch": 1, "seconds": 1.5})
    assert read_jsonl(tmp_path / "metrics.jsonl") == [
        {"epoch": 1, "train_loss": 0.1 + 0.2},
        {"epoch": 2, "train_loss": 5e-324},
    ]
    assert read_jsonl(tmp_path / "timing.jsonl") == [{"epoch": 1, "seconds": 1.5}]


def test_equal_records_give_equal_bytes_in_any_order_of_keys(tmp_path):
    for folder, record in (("a", {"x": 1, "b": 0.1}), ("b", {"b": 0.1, "x": 1})):
        (tmp_path / folder).mkdir()
        with MetricsLog(tmp_path / folder) as log:
            log.metrics(record)
    written = [(tmp_path / folder / "metrics.jsonl").read_bytes() for folder in "ab"]
    assert written[0] == written[1] == b'{"b": 0.1, "x": 1}\n'


def test_a_line_is_in_the_file_as_soon_as_it_is_logged(tmp_path):
    with MetricsLog(tmp_path) as log:
        log.metrics({"epoch": 1})
        assert (tmp_path / "metrics.jsonl").read_text() == '{"epoch": 1}\n'


def test_what_is_not_finite_is_written_as_null(tmp_path):
    with MetricsLog(tmp_path) as log:
        log.metrics({"a": math.nan, "b": math.inf, "c": np.float32(-np.inf), "d": [1.0, math.nan]})
    text = (tmp_path / "metrics.jsonl").read_text()
    record = json.loads(text, parse_constant=pytest.fail)
    assert record == {"a": None, "b": None, "c": None, "d": [1.0, None]}


def test_numpy_and_jax_values_are_written_as_numbers(tmp_path):
    import jax.numpy as jnp

    with MetricsLog(tmp_path) as log:
        log.metrics({"a": np.float32(0.5), "b": np.int64(3), "c": jnp.float32(0.25)})
    assert read_jsonl(tmp_path / "metrics.jsonl") == [{"a": 0.5, "b": 3, "c": 0.25}]


@pytest.mark.parametrize("torn", ['{"epoch": 2, "lo', '{"epoch": 2, "loss": 0.1', "\0\0\0", "12"])
def test_a_torn_last_line_is_left_out_and_the_next_one_stands_alone(tmp_path, torn):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"epoch": 1}\n' + torn)
    assert read_jsonl(path) == [{"epoch": 1}]
    with MetricsLog(tmp_path) as log:
        log.metrics({"epoch": 2})
    assert path.read_text() == '{"epoch": 1}\n{"epoch": 2}\n'


def test_a_last_line_that_lacks_only_its_end_is_kept(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"epoch": 1}\n{"epoch": 2}')
    with MetricsLog(tmp_path) as log:
        log.metrics({"epoch": 3})
    assert path.read_text() == '{"epoch": 1}\n{"epoch": 2}\n{"epoch": 3}\n'


def test_a_broken_line_inside_a_file_is_named(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"epoch": 1}\n{"ep\n{"epoch": 3}\n')
    with pytest.raises(RunFolderError, match=r"Line 2 of .*metrics.jsonl is not a JSON object"):
        read_jsonl(path)


def test_a_file_that_is_not_there_or_empty_has_no_records(tmp_path):
    (tmp_path / "empty.jsonl").touch()
    assert read_jsonl(tmp_path / "metrics.jsonl") == []
    assert read_jsonl(tmp_path / "empty.jsonl") == []


def test_a_log_is_cut_back_to_the_epoch_of_a_checkpoint(tmp_path):
    path = tmp_path / "metrics.jsonl"
    kept = '{"epoch": 1, "loss": 1.50}\n{"note": "no epoch"}\n{"epoch": 2}\n'
    path.write_text(kept + '{"epoch": 3}\n{"epoch": 4}\n{"ep')
    cut_back(path, "epoch", 2)
    assert path.read_text() == kept
    cut_back(tmp_path / "absent.jsonl", "epoch", 2)
    assert not (tmp_path / "absent.jsonl").exists()


def test_a_folder_that_is_not_there_is_an_error_with_its_path(tmp_path):
    with pytest.raises(RunFolderError, match=r"absent/metrics.jsonl: No such file"):
        MetricsLog(tmp_path / "absent")
    with pytest.raises(RunFolderError, match=r"absent/config.toml: No such file"):
        write_text_atomic(tmp_path / "absent" / "config.toml", "")


def test_a_file_is_replaced_whole_and_nothing_else_stays(tmp_path):
    path = tmp_path / "check.json"
    write_text_atomic(path, "old")
    write_json_atomic(path, {"b": np.arange(2), "a": (math.nan, "ü"), "path": tmp_path})
    assert json.loads(path.read_text()) == {"b": [0, 1], "a": [None, "ü"], "path": str(tmp_path)}
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "check.json"
    write_text_atomic(path, "old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(RunFolderError, match=r"check.json: No space left on device\.$"):
        write_text_atomic(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def read_events(folder):
    """TensorBoard's record: length (8 bytes), checksum (4), event, checksum (4)."""
    events = []
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            events.append(Event.FromString(data[12 : 12 + length]))
            data = data[16 + length :]
    return events


def test_tensorboard_reads_scalars_and_histograms_and_no_nan(tmp_path):
    with TensorBoardLog(tmp_path) as log:
        log.scalars(3, {"loss": 0.5, "gap": None, "nan": math.nan})
        log.histograms(3, {"W": np.array([[1.0, 2.0], [3.0, np.nan]]), "nothing": np.array([])})
    values = [(e.step, v) for e in read_events(tmp_path) for v in e.summary.value]
    assert [(step, v.tag) for step, v in values] == [(3, "loss"), (3, "W")]
    assert values[0][1].simple_value == 0.5
    assert (values[1][1].histo.num, values[1][1].histo.sum) == (3, 6)


def test_a_resumed_tensorboard_log_hides_what_came_after_the_checkpoint(tmp_path):
    with TensorBoardLog(tmp_path, resumed_at=7) as log:
        log.scalars(7, {"loss": 0.5})
    assert [e.step for e in read_events(tmp_path) if e.HasField("session_log")] == [7]


def test_a_run_begun_again_before_its_first_checkpoint_hides_the_epochs_it_lost(tmp_path):
    board = tmp_path / "tensorboard"
    with RunLogs(tmp_path, Position(), mlp([2], 2)):
        pass
    assert not [e for e in read_events(board) if e.HasField("session_log")]
    with RunLogs(tmp_path, Position(), mlp([2], 2)):
        pass
    assert [e.step for e in read_events(board) if e.HasField("session_log")] == [1]
