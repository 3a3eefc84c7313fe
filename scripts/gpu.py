"""Everything that a machine with a GPU should show once: the proof, the GPU tests, the benchmarks.

    make gpu        (or: python scripts/gpu.py --results benchmarks/results)

Writes benchmarks/results/GPU-NAME.json with what each step printed and measured. A step that fails
does not stop the others; the exit code is 1 then, and 2 where JAX sees no GPU.
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


def steps(data: str, scratch: Path) -> dict[str, tuple[list[str], Path | None]]:
    """Name: (words, the JSON that the step leaves behind)."""
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
    tests = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", str(ROOT / "tests" / "gpu")]
    run = scratch / "run"
    return checks | {
        "tests": (tests, None),
        "train": ([*product, *TRAIN, "--data", data, "--out", str(run)], run / "test.json"),
        "gradients": benchmark("gradients"),
        "trainers": benchmark("trainers"),
    }


def proof_summary(report: dict) -> dict:
    """A proof in a line: the table itself is long."""
    return {key: report[key] for key in ("ok", "seconds") if key in report}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--data", default="fashion_mnist", help="else digits, if it is not here")
    parser.add_argument("--only", nargs="*", help="names of the steps to take")
    options = parser.parse_args()
    name = gpu_name()
    found, failed = {}, []
    with tempfile.TemporaryDirectory() as folder:
        for title, (words, leaves) in steps(options.data, Path(folder)).items():
            if options.only and not any(title.startswith(word) for word in options.only):
                continue
            print(f"\n== {title}: {' '.join(words[1:])}", flush=True)
            began = time.perf_counter()
            ended = subprocess.run(
                words, cwd=ROOT, env=os.environ | {"MLP_JAX_TEST_GPU": "1"}, check=False
            )
            record = {"exit": ended.returncode, "seconds": round(time.perf_counter() - began, 1)}
            if leaves is not None and leaves.exists():
                content = json.loads(leaves.read_text())
                record["result"] = proof_summary(content) if title.startswith("proof") else content
            found[title] = record
            failed += [title] if ended.returncode else []
    path = options.results / f"{re.sub(r'[^A-Za-z0-9]+', '-', name).strip('-').lower()}.json"
    path.write_text(json.dumps({"gpu": name, "steps": found}, indent=1) + "\n")
    print(f"\nresults: {path}" + (f"; failed: {', '.join(failed)}" if failed else ""))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
