"""Records of an epoch of many networks: training losses and validation metrics.

K networks, N rows, C outputs. In distributed training each process evaluates its local members, and
the results are gathered.
"""

import math

import jax
import numpy as np

from mlp_jax.model.judge import scores, task_of
from mlp_jax.training.engine.evaluate import judged
from mlp_jax.training.engine.program import weights_of
from mlp_jax.training.input.loaders import ValidationRows
from mlp_jax.training.many.member_steps import ManyState, MemberInputs, judge_members
from mlp_jax.training.many.records import Record, mean
from mlp_jax.training.many.vary import Recipe
from mlp_jax.training.mesh.mesh_shape import local_members
from mlp_jax.training.mesh.processes import allgather, allgather_json, read
from mlp_jax.training.plan import TrainPlan


def epoch_records(
    recipe: Recipe,
    state: ManyState,
    epoch: int,
    members_of: MemberInputs,
    validation: ValidationRows | None,
    plan: TrainPlan,
    count: int,
) -> tuple[Record, dict[int, Record]]:
    """Return the record of the epoch for all members together, and those of each that trained.

    Args:
        count: number of members; what the program holds besides fills it up.
    """
    alive, steps, loss, weight = read(
        (state.members.alive, state.members.step, state.loss, state.weight)
    )
    members: dict[int, Record] = {
        int(k): {
            "epoch": epoch,
            "step": int(steps[k]),
            "train_loss": float(loss[k]) / float(weight[k]) if weight[k] else math.nan,
        }
        for k in np.flatnonzero(alive[:count])
    }
    together: Record = {
        "epoch": epoch,
        "step": int(max(steps)),
        "train_loss": mean([record["train_loss"] for record in members.values()]),
    }
    if validation is None or not members:
        return together, members
    found, predictions = _judged(recipe, state, validation, members_of, plan, members)
    for k, values in found.items():
        members[k] |= {f"validation_{name}": value for name, value in values.items()}
    together["validation_loss"] = mean([r["validation_loss"] for r in members.values()])
    of_mean = scores(recipe.program.loss, predictions, validation.y, plan.metrics, plan.n_classes)
    return together | {f"validation_{name}": value for name, value in of_mean.items()}, members


def _judged(
    recipe: Recipe,
    state: ManyState,
    validation: ValidationRows,
    own: MemberInputs,
    plan: TrainPlan,
    members: dict[int, Record],
) -> tuple[dict[int, Record], np.ndarray]:
    """Return the metrics of each member, and the mean of their predictions (N, C)."""
    multilabel = task_of(recipe.program.loss, validation.y, plan.n_classes) == "multilabel"
    weights = weights_of(state.members)
    every = judge_members(recipe, multilabel, *weights, validation.data, own.numbers)
    first, (outputs, losses) = local_members(every, own.where)
    found: dict[int, Record] = {}
    predicted = []
    for k in members:
        if first <= k < first + len(outputs):
            found[k], predictions = judged(
                recipe.program, outputs[k - first], losses[k - first], validation.y, plan.metrics,
                plan.n_classes, plan.options.target_scaling,
            )  # fmt: skip
            predicted.append(predictions)
    if jax.process_count() == 1:
        return found, np.mean(predicted, axis=0)
    here = np.zeros(outputs.shape[1:], np.float64)
    for predictions in predicted:
        here += predictions
    all_found = {k: values for said in allgather_json(list(found.items())) for k, values in said}
    return all_found, np.sum(allgather(here), axis=0) / len(members)
