"""Everything that a machine with a GPU should show once: the proof, the GPU tests, the benchmarks.

    make gpu        (or: python scripts/gpu.py --results benchmarks/results)

Writes benchmarks/results/GPU-NAME.json with what each step measured, anew after each step: a run
that is cut short leaves what it has. A step that fails, or takes longer than --limit seconds, does
not stop the others; the exit code is 1 then, and 2 where JAX sees no GPU.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[1]
CHECK = ("check", "--inputs", "784", "--hidden", "512", "512", "--outputs", "10")
TRAIN = (
    "train", "--hidden", "512", "512", "--batch-size", "256", "--epochs", "20", "--optimizer",
    "adamw", "--learning-rate", "2e-3", "--schedule", "one-cycle", "--dropout", "0.2",
    "--device", "gpu",
)  # fmt: skip


def gpu_name() -> str:
    """The name of the GPU that JAX sees; ends the script where it sees none."""
    import jax

    try:
        return jax.devices("gpu")[0].device_kind
    except RuntimeError:
        print("JAX sees no GPU here; install 'mlp-jax[cuda]' on a machine that has one.")
        sys.exit(2)


def steps(data: str, scratch: Path) -> dict[str, tuple[list[str], Path]]:
    """Name: (words, the file that the step leaves behind)."""
    product = [sys.executable, "-m", "mlp_jax"]

    def benchmark(name: str) -> tuple[list[str], Path]:
        found = scratch / f"{name}.json"
        return [*product, "bench", name, "--device", "gpu", "--json", str(found)], found

    checks = {
        f"proof {norm} {activation}": (
            [*product, *CHECK, "--activation", activation, "--norm", norm,
             "--json", str(scratch / f"{norm}-{activation}.json")],
            scratch / f"{norm}-{activation}.json",
        )
        for norm, activation in (("layer", "gelu"), ("batch", "relu"), ("rms", "softplus"))
    }  # fmt: skip
    tests = [sys.executable, "-m", "pytest", "-m", "gpu", str(ROOT / "tests" / "gpu")]
    junit = scratch / "tests.xml"
    run = scratch / "run"
    return checks | {
        "tests": ([*tests, f"--junit-xml={junit}"], junit),
        "train": ([*product, *TRAIN, "--data", data, "--out", str(run)], run / "test.json"),
        "gradients": benchmark("gradients"),
        "trainers": benchmark("trainers"),
    }


def summary(title: str, left: Path) -> dict:
    """What a step left behind, in short: a proof's table is long, a test's failure is one line."""
    if left.suffix == ".xml":
        cases = list(ElementTree.parse(left).getroot().iter("testcase"))
        failures = {case.get("name"): bad.get("message") for case in cases for bad in case}
        return {"tests": len(cases), "not passed": failures}
    content = json.loads(left.read_text())
    if title.startswith("proof"):
        return {key: content[key] for key in ("ok", "seconds") if key in content}
    return content


def take(words: list[str], limit: float) -> int:
    """The exit code of a step; 124 where it was ended after `limit` seconds."""
    environment = os.environ | {"MLP_JAX_TEST_GPU": "1"}
    try:
        return subprocess.run(
            words, cwd=ROOT, env=environment, check=False, timeout=limit
        ).returncode
    except subprocess.TimeoutExpired:
        print(f"ended after {limit:g} s", flush=True)
        return 124


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--data", default="fashion_mnist", help="else digits, if it is not here")
    parser.add_argument("--only", nargs="*", help="names of the steps to take")
    parser.add_argument("--limit", type=float, default=3600, help="seconds that a step may take")
    options = parser.parse_args()
    name = gpu_name()
    from mlp_jax.bench.results import write_result

    path = options.results / f"{re.sub(r'[^A-Za-z0-9]+', '-', name).strip('-').lower()}.json"
    found: dict[str, dict] = {}
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        for title, (words, leaves) in steps(options.data, Path(folder)).items():
            if options.only and not any(title.startswith(word) for word in options.only):
                continue
            print(f"\n== {title}: {' '.join(words[1:])}", flush=True)
            began = time.perf_counter()
            code = take(words, options.limit)
            found[title] = {"exit": code, "seconds": round(time.perf_counter() - began, 1)}
            if leaves.exists():
                found[title]["result"] = summary(title, leaves)
            failed += [title] if code else []
            write_result(path, {"gpu": name, "steps": found})
    print(f"\nresults: {path}" + (f"; failed: {', '.join(failed)}" if failed else ""))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
