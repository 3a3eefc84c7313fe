"""One contender on one set, in a process of its own: python -m tables.one FOLDER CONTENDER SEED."""

import json
import sys
import warnings
from pathlib import Path

import numpy as np

from tables.contenders import CONTENDERS


def main() -> None:
    warnings.simplefilter("ignore")
    folder, name, seed, out = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])
    about = json.loads((folder / "set.json").read_text())
    np.save(out, np.asarray(CONTENDERS[name](folder, about["task"], seed), np.float64))


if __name__ == "__main__":
    main()
