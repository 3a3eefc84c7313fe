import hashlib
import json

import pytest
from sklearn.datasets import _openml

from mlp_jax.data import load
from mlp_jax.errors import DataFileError

ARFF = b"""@RELATION people
@ATTRIBUTE age NUMERIC
@ATTRIBUTE height NUMERIC
@ATTRIBUTE city {Rome, 'New York', Oslo}
@ATTRIBUTE nick STRING
@ATTRIBUTE happy {no, yes}
@DATA
30,1.5,Rome,Al,yes
?,1.75,'New York',?,no
41,?,?,Bo,yes
"""
KINDS = {
    "age": "numeric", "height": "numeric", "city": "nominal", "nick": "string", "happy": "nominal",
}  # fmt: skip


@pytest.fixture
def people(monkeypatch, server):
    """A data set at a server that answers as openml.org does."""
    api = "/api/v1/json/data"
    for name, path in (
        ("_SEARCH_NAME", "/list/data_name/{}/limit/2"),
        ("_DATA_INFO", "/{}"),
        ("_DATA_FEATURES", "/features/{}"),
        ("_DATA_QUALITIES", "/qualities/{}"),
    ):
        monkeypatch.setattr(_openml, name, server.url + api + path)
    found = {"did": 7, "name": "people", "version": 1, "status": "active"}
    description = {
        "id": "7", "name": "people", "version": "1", "status": "active", "format": "ARFF",
        "url": server.serve("/data/people.arff", ARFF), "description": "People.",
        "md5_checksum": hashlib.md5(ARFF).hexdigest(),
    }  # fmt: skip
    features = [
        {
            "index": str(i), "name": name, "data_type": kind,
            "is_target": str(name == "happy").lower(), "is_ignore": "false",
            "is_row_identifier": "false", "number_of_missing_values": "0",
        }
        for i, (name, kind) in enumerate(KINDS.items())
    ]  # fmt: skip
    size = [{"name": "NumberOfInstances", "value": "3.0"}]
    for path, content in (
        ("/list/data_name/people/limit/2/status/active/", {"data": {"dataset": [found]}}),
        ("/7", {"data_set_description": description}),
        ("/features/7", {"data_features": {"feature": features}}),
        ("/qualities/7", {"data_qualities": {"quality": size}}),
    ):
        server.serve(api + path, json.dumps(content).encode())


@pytest.mark.parametrize("spec", ["openml:people", "openml:7"])
def test_a_table_keeps_its_categories_and_missing_values(people, server, tmp_path, spec):
    for _ in range(2):
        table = load(spec, data_dir=tmp_path)
        assert table.name == "people"
        assert (table.targets, table.task) == (("happy",), "classification")
        assert table.kinds == {"city": "categorical", "happy": "categorical"}
        assert table.frame.to_dict(as_series=False) == {
            "age": [30, None, 41],
            "height": [1.5, 1.75, None],
            "city": ["Rome", "New York", None],
            "nick": ["Al", None, "Bo"],
            "happy": ["yes", "no", "yes"],
        }
    assert [path for path, _ in server.requests].count("/data/people.arff") == 1
    assert (tmp_path / "openml").is_dir()


def test_another_target_can_be_asked_for(people, tmp_path):
    table = load("openml:people", data_dir=tmp_path, targets=["height"], drop=["nick"])
    assert (table.targets, table.task) == (("height",), "auto")
    assert "nick" not in table.frame.columns


def test_a_file_of_another_checksum_is_refused(people, server, tmp_path):
    server.serve("/data/people.arff", ARFF.replace(b"30", b"31"))
    with pytest.raises(DataFileError, match="md5 checksum"):
        load("openml:people", data_dir=tmp_path)


def test_a_name_that_openml_does_not_have_is_told(people, server, answer, tmp_path):
    server.serve("/api/v1/json/data/list/data_name/none/limit/2/status/active/", answer(status=412))
    with pytest.raises(DataFileError, match="No active dataset none found"):
        load("openml:none", data_dir=tmp_path)


def test_without_a_network_the_message_says_what_to_do(monkeypatch, nobody, tmp_path):
    monkeypatch.setattr(_openml, "_SEARCH_NAME", nobody + "/{}")
    with pytest.raises(DataFileError) as caught:
        load("openml:people", data_dir=tmp_path)
    said = "'openml:people' could not be downloaded from openml.org (no connection)"
    assert said in str(caught.value)
    assert f"is not in '{tmp_path}/openml'" in str(caught.value)
