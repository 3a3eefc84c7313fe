import importlib.util
import io
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest

from mlp_jax.data import load
from mlp_jax.errors import DataFileError, InputError


def parquet(first, n=2):
    body = io.BytesIO()
    pl.DataFrame({"a": range(first, first + n), "y": ["u", "v"] * (n // 2)}).write_parquet(body)
    return body.getvalue()


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """The hub's client, as far as it is used: it has the files that are put into this mapping."""
    files = {}

    class HfApi:
        def list_repo_files(self, name, *, repo_type):
            assert (name, repo_type) == ("somebody/flowers", "dataset")
            return list(files)

    def hf_hub_download(name, file, *, repo_type, cache_dir):
        assert (name, repo_type) == ("somebody/flowers", "dataset")
        path = Path(cache_dir) / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files[file])
        return str(path)

    client = SimpleNamespace(HfApi=HfApi, hf_hub_download=hf_hub_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", client)
    return files


def loaded(tmp_path, spec="hf:somebody/flowers", **options):
    return load(spec, targets=["y"], data_dir=tmp_path, **options)


def test_the_parts_of_a_split_are_put_together(hub, tmp_path):
    hub |= {
        "README.md": b"",
        "data/train-00001-of-00002.parquet": parquet(2),
        "data/train-00000-of-00002.parquet": parquet(0),
        "data/validation-00000-of-00001.parquet": parquet(8),
        "data/test-00000-of-00001.parquet": parquet(4),
    }
    table = loaded(tmp_path)
    assert (table.name, table.targets) == ("flowers", ("y",))
    assert table.frame["a"].to_list() == [0, 1, 2, 3]
    assert table.test["a"].to_list() == [4, 5]
    assert (tmp_path / "huggingface/data/test-00000-of-00001.parquet").is_file()


def test_a_csv_file_will_do(hub, tmp_path):
    hub |= {"flowers.csv": b"a;y\n1;u\n2;v\n", "notes.txt": b""}
    table = loaded(tmp_path, drop=["a"])
    assert table.test is None
    assert table.frame.columns == ["y"]


def test_of_several_tables_one_is_named(hub, tmp_path):
    hub |= {"red/train.parquet": parquet(0), "blue/train.parquet": parquet(6)}
    with pytest.raises(InputError, match="choose one of hf:somebody/flowers:blue, hf:somebody/fl"):
        loaded(tmp_path)
    assert loaded(tmp_path, "hf:somebody/flowers:blue").frame["a"].to_list() == [6, 7]
    with pytest.raises(InputError, match="no folder 'green' with tables; there are: blue, red"):
        loaded(tmp_path, "hf:somebody/flowers:green")


@pytest.mark.parametrize(
    ("files", "words"),
    [({"model.bin": b""}, "holds no table"), ({"test.csv": b"a,y\n1,u\n"}, "no training rows")],
)
def test_a_repository_without_training_rows_is_refused(hub, tmp_path, files, words):
    hub |= files
    with pytest.raises(DataFileError, match=words):
        loaded(tmp_path)


def test_parts_with_other_columns_are_refused(hub, tmp_path):
    hub |= {"train-0.csv": b"a,y\n1,u\n", "train-1.csv": b"b,y\n1,u\n"}
    with pytest.raises(DataFileError, match="do not fit"):
        loaded(tmp_path)


def test_what_the_client_raises_is_one_sentence(hub, monkeypatch, tmp_path):
    def fail(*_, **__):
        raise ConnectionError("No route.\nTry this.\nOr that.")

    monkeypatch.setattr(sys.modules["huggingface_hub"].HfApi, "list_repo_files", fail)
    with pytest.raises(DataFileError, match=r"the Hugging Face hub \(No route\): without a netw"):
        loaded(tmp_path)


def test_without_the_client_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r"pip install 'mlp-jax\[hub\]'"):
        loaded(tmp_path)


@pytest.mark.skipif(
    importlib.util.find_spec("huggingface_hub") is None, reason="huggingface-hub is not installed"
)
def test_the_real_client_gets_its_files_from_a_server_like_the_hub(server, answer, tmp_path):
    files = {"data/train.parquet": parquet(0), "data/test.parquet": parquet(4)}
    tree = [f'{{"type": "file", "path": "{name}", "size": 1, "oid": "0"}}' for name in files]
    body = f"[{', '.join(tree)}]".encode()
    server.serve("/api/datasets/somebody/flowers/tree/main", body)
    for number, (name, content) in enumerate(files.items()):
        headers = {"ETag": f'"{number}"', "X-Repo-Commit": "0" * 40}
        for commit in ("main", "0" * 40):
            path = f"/datasets/somebody/flowers/resolve/{commit}/{name}"
            server.serve(path, answer(content, headers=headers))
    code = (
        "from mlp_jax.data import load; import sys;"
        "t = load('hf:somebody/flowers', targets=['y'], data_dir=sys.argv[1]);"
        "print(t.frame['a'].to_list(), t.test['a'].to_list())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env=os.environ | {"HF_ENDPOINT": server.url, "HF_HUB_DISABLE_XET": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "[0, 1] [4, 5]\n", done.stderr
