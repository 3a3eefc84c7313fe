"""Compiling is most of the time here: the programs are small and run once."""

import os

import jax

QUICK = "--xla_cpu_use_fusion_emitters=false"
# A flag that XLA does not know ends the process, and this one is known of these versions.
if jax.__version_info__ < (0, 11) and QUICK not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {QUICK}".strip()
