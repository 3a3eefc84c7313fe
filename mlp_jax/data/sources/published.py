"""Published image sets and HIGGS: mirrors, sizes, checksums, rows, classes.

Checksums of MNIST's, Fashion-MNIST's, KMNIST's and EMNIST's files as served are those of
torchvision and of the sets' own pages; those of CIFAR stand on its page; that of HIGGS is the one
of TensorFlow Datasets. Where `content` is empty, nobody publishes one for the decompressed file:
it is taken from the first download whose own checksum was right, or from the first file found
whose rows, shape and labels are, and every later use is checked against it (`checksums.json`
beside the file).
"""

from dataclasses import dataclass

from mlp_jax.data.idx import FILES


@dataclass(frozen=True)
class PublishedFile:
    """A file and where it is served; checksums as "md5:…" or "sha256:…", "" where unknown.

    checksum: of the file as served. content: of its bytes after decompression, which stays the
    same when a distribution compresses the file anew.
    """

    name: str
    urls: tuple[str, ...]
    n_bytes: int
    checksum: str = ""
    content: str = ""


@dataclass(frozen=True)
class IdxSet:
    """Four IDX files: images and labels to learn from, images and labels to test on.

    folder: below the data folder. elsewhere: folders in which they may lie as well (absolute, or
    below the data folder). archive: what holds the files, where they are not served one by one.
    first_label: the number of the first class. transposed: whether rows and columns of the
    stored images are swapped. hint: another way to get the files, as the end of a sentence.
    """

    folder: str
    files: tuple[PublishedFile, PublishedFile, PublishedFile, PublishedFile]
    rows: tuple[int, int]
    classes: tuple[str, ...]
    shape: tuple[int, int] = (28, 28)
    elsewhere: tuple[str, ...] = ()
    archive: PublishedFile | None = None
    first_label: int = 0
    transposed: bool = False
    hint: str = ""


@dataclass(frozen=True)
class CifarSet:
    """Files of records: label bytes, the last of which counts, then 3 × 32 × 32 pixels.

    folder: the archive's own, below the data folder. rows: of each training file, and of the test
    file. names: the file that names the classes, one a line. pickled: the folder of the version
    that Python would have to unpickle.
    """

    archive: PublishedFile
    folder: str
    train: tuple[str, ...]
    test: str
    rows: tuple[int, int]
    label_bytes: int
    names: str
    n_classes: int
    pickled: str


_DIGITS = tuple("0123456789")
_CAPITALS = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_SMALL = tuple("abcdefghijklmnopqrstuvwxyz")
_MERGED = (*_DIGITS, *_CAPITALS, *"abdefghnqrt")  # the other small letters count as capitals
_GARMENTS = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_HIRAGANA = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")


def _four(
    mirrors: tuple[str, ...],
    sizes: tuple[int, int, int, int],
    served: tuple[str, str, str, str],
    content: tuple[str, str, str, str] = ("", "", "", ""),
) -> tuple[PublishedFile, PublishedFile, PublishedFile, PublishedFile]:
    """MNIST's four files at each mirror, with the md5 of each as served and of its content."""
    a, b, c, d = (
        PublishedFile(
            name=f"{name}.gz",
            urls=tuple(f"{mirror}{name}.gz" for mirror in mirrors),
            n_bytes=n_bytes,
            checksum=f"md5:{md5}",
            content=f"md5:{inside}" if inside else "",
        )
        for name, n_bytes, md5, inside in zip(FILES, sizes, served, content, strict=True)
    )
    return a, b, c, d


IDX_SETS: dict[str, IdxSet] = {
    "mnist": IdxSet(
        folder="MNIST/raw",
        files=_four(
            (
                "https://ossci-datasets.s3.amazonaws.com/mnist/",
                "https://storage.googleapis.com/cvdf-datasets/mnist/",
                "http://yann.lecun.com/exdb/mnist/",
            ),
            (9912422, 28881, 1648877, 4542),
            (
                "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                "d53e105ee54ea40749a09fcbcd1e9432",
                "9fb629c4189551a2d022fa330f9573f3",
                "ec29112dd5afa0611ce80d1b7f02629c",
            ),
            (
                "6bbc9ace898e44ae57da46a324031adb",
                "a25bea736e30d166cdddb491f175f624",
                "2646ac647ad5339dbf082846283269ea",
                "27ae3e4e09519cfbb04c329615203637",
            ),
        ),
        rows=(60000, 10000),
        classes=_DIGITS,
    ),
    "fashion_mnist": IdxSet(
        folder="FashionMNIST/raw",
        files=_four(
            ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
            (26421880, 29515, 4422102, 5148),
            (
                "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                "25c81989df183df01b3e8a0aad5dffbe",
                "bef4ecab320f06d8554ea6380940ec79",
                "bb300cfdad3c16e7a12a480ee83cd310",
            ),
            (
                "f4a8712d7a061bf5bd6d2ca38dc4d50a",
                "9018921c3c673c538a1fc5bad174d6f9",
                "8181f5470baa50b63fa0f6fddb340f0a",
                "15d484375f8d13e6eb1aabb0c3f46965",
            ),
        ),
        rows=(60000, 10000),
        classes=_GARMENTS,
        elsewhere=("/usr/share/datasets/fashion-mnist",),
        hint=", or run apt-get install dataset-fashion-mnist (Debian)",
    ),
    "kmnist": IdxSet(
        folder="KMNIST/raw",
        files=_four(
            ("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
            (18165135, 29497, 3041136, 5120),
            (
                "bdb82020997e1d708af4cf47b453dcf7",
                "e144d726b3acfaa3e44228e80efcd344",
                "5c965bf0a639b31b8f53240b1b52f4d7",
                "7320c461ea6c1c855c0b718fb2a4b134",
            ),
        ),
        rows=(60000, 10000),
        classes=_HIRAGANA,
    ),
}

_EMNIST = PublishedFile(
    name="gzip.zip",
    urls=(
        "https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip",
        "https://www.itl.nist.gov/iaui/vip/cs_links/EMNIST/gzip.zip",
    ),
    n_bytes=561753746,
    checksum="md5:58c8d27c78d21e728a6bc7b3cc06412e",
)


def _emnist(
    split: str, rows: tuple[int, int], classes: tuple[str, ...], first_label: int = 0
) -> IdxSet:
    a, b, c, d = (
        PublishedFile(name=f"emnist-{split}-{part}-{kind}-ubyte.gz", urls=(), n_bytes=0)
        for part in ("train", "test")
        for kind in ("images-idx3", "labels-idx1")
    )
    return IdxSet(
        folder="EMNIST/raw",
        files=(a, b, c, d),
        rows=rows,
        classes=classes,
        elsewhere=("EMNIST/raw/gzip",),
        archive=_EMNIST,
        first_label=first_label,
        transposed=True,
    )


IDX_SETS |= {
    "emnist:balanced": _emnist("balanced", (112800, 18800), _MERGED),
    "emnist:byclass": _emnist("byclass", (697932, 116323), (*_DIGITS, *_CAPITALS, *_SMALL)),
    "emnist:bymerge": _emnist("bymerge", (697932, 116323), _MERGED),
    "emnist:letters": _emnist("letters", (124800, 20800), _SMALL, first_label=1),
    "emnist:digits": _emnist("digits", (240000, 40000), _DIGITS),
    "emnist:mnist": _emnist("mnist", (60000, 10000), _DIGITS),
}

CIFAR_SETS: dict[str, CifarSet] = {
    "cifar10": CifarSet(
        archive=PublishedFile(
            name="cifar-10-binary.tar.gz",
            urls=(
                "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
                "https://cave.cs.toronto.edu/kriz/cifar-10-binary.tar.gz",
            ),
            n_bytes=170052171,
            checksum="md5:c32a1d4ab5d03f1284b67883e8d87530",
        ),
        folder="cifar-10-batches-bin",
        train=tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
        test="test_batch.bin",
        rows=(10000, 10000),
        label_bytes=1,
        names="batches.meta.txt",
        n_classes=10,
        pickled="cifar-10-batches-py",
    ),
    "cifar100": CifarSet(
        archive=PublishedFile(
            name="cifar-100-binary.tar.gz",
            urls=(
                "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
                "https://cave.cs.toronto.edu/kriz/cifar-100-binary.tar.gz",
            ),
            n_bytes=168513733,
            checksum="md5:03b5dce01913d631647c71ecec9e9cb8",
        ),
        folder="cifar-100-binary",
        train=("train.bin",),
        test="test.bin",
        rows=(50000, 10000),
        label_bytes=2,
        names="fine_label_names.txt",
        n_classes=100,
        pickled="cifar-100-python",
    ),
}

HIGGS = PublishedFile(
    name="HIGGS.csv.gz",
    urls=(
        "https://archive.ics.uci.edu/ml/machine-learning-databases/00280/HIGGS.csv.gz",
        "http://mlphysics.ics.uci.edu/data/higgs/HIGGS.csv.gz",
    ),
    n_bytes=2816407858,
    checksum="sha256:ea302c18164d4e3d916a1e2e83a9a8d07069fa6ebc7771e4c0540d54e593b698",
)
