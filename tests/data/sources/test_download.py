import gzip
import hashlib
import multiprocessing

import numpy as np
import pytest

from mlp_jax.data.sources.download import DownloadError, download
from mlp_jax.data.sources.published import PublishedFile
from mlp_jax.errors import DataFileError

BODY = np.random.default_rng(0).bytes(600_000)
PIECE = 1 << 16  # what is asked of the connection at a time
MD5 = "md5:" + hashlib.md5(BODY).hexdigest()


def wanted(*urls, checksum=MD5, content=""):
    return PublishedFile("file.bin", urls, len(BODY), checksum, content)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_comes_whole_and_alone(server, tmp_path):
    url = server.serve("/a", BODY)
    path = download(wanted(url), tmp_path / "new" / "folder")
    assert path.read_bytes() == BODY
    assert names(path.parent) == ["file.bin"]
    assert server.requests == [("/a", None)]


def test_a_mirror_without_the_file_is_passed_over(server, tmp_path, nobody, answer):
    urls = (f"{nobody}/a", f"{server.url}/none", server.serve("/broken", answer(status=500)))
    path = download(wanted(*urls, server.serve("/a", BODY)), tmp_path)
    assert path.read_bytes() == BODY


def test_a_mirror_that_serves_something_else_is_passed_over(server, tmp_path):
    urls = server.serve("/wrong", b"not this"), server.serve("/a", BODY)
    assert download(wanted(*urls), tmp_path).read_bytes() == BODY
    assert [path for path, _ in server.requests] == ["/wrong", "/a"]


def test_what_no_mirror_has_right_is_thrown_away_and_each_reason_told(
    server, tmp_path, nobody, answer
):
    urls = (
        server.serve("/wrong", b"not this"),
        f"{server.url}/none",
        f"{nobody}/a",
        server.serve("/hangs", answer(BODY, pause=2.0)),
    )
    with pytest.raises(DownloadError) as caught:
        download(wanted(*urls), tmp_path)
    for reason in ("another checksum", "404 Not Found", "no connection", "timed out"):
        assert reason in str(caught.value)
    assert names(tmp_path) == []


def test_a_transfer_that_breaks_off_is_resumed(server, tmp_path, answer):
    url = server.serve("/a", answer(BODY, sent=6 * PIECE), BODY)
    assert download(wanted(url), tmp_path).read_bytes() == BODY
    first, second = server.requests
    assert first == ("/a", None)
    assert second == ("/a", f"bytes={6 * PIECE}-")


def test_a_transfer_is_resumed_at_another_mirror_and_at_another_time(server, tmp_path, answer):
    cut = server.serve("/cut", answer(BODY, sent=6 * PIECE), answer(status=503))
    with pytest.raises(DownloadError):
        download(wanted(cut), tmp_path)
    assert names(tmp_path) == [".file.bin.part"]
    path = download(wanted(server.serve("/a", BODY)), tmp_path)
    assert path.read_bytes() == BODY
    assert server.requests[-1] == ("/a", f"bytes={6 * PIECE}-")
    assert names(tmp_path) == ["file.bin"]


def test_a_server_that_cannot_resume_is_read_from_the_start(server, tmp_path, answer):
    url = server.serve("/a", answer(BODY, sent=6 * PIECE), answer(BODY, ranges=False))
    assert download(wanted(url), tmp_path).read_bytes() == BODY


@pytest.mark.parametrize("left", [b"of another file", BODY + b"and more"])
def test_what_is_left_of_another_file_is_thrown_away(server, tmp_path, left):
    (tmp_path / ".file.bin.part").write_bytes(left)
    assert download(wanted(server.serve("/a", BODY)), tmp_path).read_bytes() == BODY


def test_a_server_that_resumes_in_the_wrong_place_is_not_believed(server, tmp_path, answer):
    url = server.serve("/a", answer(BODY, sent=6 * PIECE), answer(BODY, range_offset=5), BODY)
    with pytest.raises(DownloadError, match="wrong place"):
        download(wanted(url), tmp_path)
    assert download(wanted(url), tmp_path).read_bytes() == BODY


def test_a_file_without_a_checksum_is_never_resumed(server, tmp_path, answer):
    url = server.serve("/a", answer(BODY, sent=6 * PIECE), BODY)
    assert download(wanted(url, checksum=""), tmp_path).read_bytes() == BODY
    assert [asked for _, asked in server.requests] == [None, None]
    cut = server.serve("/cut", answer(BODY, sent=6 * PIECE))
    with pytest.raises(DownloadError, match="broke off"):
        download(PublishedFile("other", (cut,), 0), tmp_path)
    assert names(tmp_path) == ["file.bin"]


def test_a_slow_server_has_all_the_time_it_needs_as_long_as_it_goes_on(server, tmp_path, answer):
    url = server.serve("/a", answer(BODY, pause=0.2))
    assert download(wanted(url), tmp_path).read_bytes() == BODY


def test_the_decompressed_bytes_count_where_their_checksum_is_known(server, tmp_path):
    content = "sha256:" + hashlib.sha256(BODY).hexdigest()
    for number, served in enumerate((gzip.compress(BODY, 1), gzip.compress(BODY, 9), BODY)):
        file = wanted(server.serve("/a", served), content=content)
        assert download(file, tmp_path / str(number)).read_bytes() == served
    torn = wanted(server.serve("/a", gzip.compress(BODY)[:-20]), content=content)
    with pytest.raises(DownloadError, match="another checksum"):
        download(torn, tmp_path)


def test_a_wrong_file_of_that_name_is_replaced_and_a_right_one_kept(server, tmp_path):
    (tmp_path / "file.bin").write_bytes(b"wrong")
    file = wanted(server.serve("/a", BODY))
    for _ in range(2):
        assert download(file, tmp_path).read_bytes() == BODY
    assert len(server.requests) == 1


def test_a_redirect_is_followed_without_losing_what_is_there(server, tmp_path, answer):
    (tmp_path / ".file.bin.part").write_bytes(BODY[:500])
    target = server.serve("/a", BODY)
    url = server.serve("/moved", answer(status=302, headers={"Location": target}))
    assert download(wanted(url), tmp_path).read_bytes() == BODY
    assert server.requests[-1] == ("/a", "bytes=500-")


def test_a_folder_that_cannot_be_written_is_named(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataFileError, match=r"'file\.bin' cannot be written into '.*/file/data'"):
        download(wanted(server.serve("/a", BODY)), tmp_path / "file" / "data")


def test_two_processes_want_the_same_file(server, tmp_path, answer):
    file = wanted(server.serve("/a", answer(BODY, pause=0.05)))
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=download, args=(file, tmp_path)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert (tmp_path / "file.bin").read_bytes() == BODY
    assert len(server.requests) == 1
