"""Base class of the two estimators: parameters, fitting, and the forward pass."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from numbers import Integral, Real
from operator import index
from typing import Any, ClassVar

import jax
import numpy as np
from jax.typing import DTypeLike
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from mlp_jax.backprop.specification import Params
from mlp_jax.data import Scaling
from mlp_jax.errors import InputError
from mlp_jax.estimators.extras import (
    ACTIVATION_NAMES,
    CONSTRAINTS,
    check_extras,
    class_weights_of,
)
from mlp_jax.estimators.frames import first_layer
from mlp_jax.estimators.gradient_check import check_once
from mlp_jax.estimators.inputs import checked_arrays, checked_inputs, dense_parts
from mlp_jax.estimators.loader import TrainingRows
from mlp_jax.estimators.models import as_model, learn_laplace, uncertainty
from mlp_jax.estimators.presets import (
    check_alone,
    specification_of,
)
from mlp_jax.estimators.pretrained import adopt_pretrained
from mlp_jax.estimators.quasi_newton import minimize
from mlp_jax.estimators.solve import solve
from mlp_jax.estimators.specify import (
    Specification,
    as_type,
    initial_weights,
    put_together,
    specify,
    taken_apart,
)
from mlp_jax.model.compilation_cache import use_compilation_cache
from mlp_jax.model.forked import check_not_inherited, jax_is_inherited
from mlp_jax.model.inference import outputs
from mlp_jax.model.precision import Precision, choose_device, choose_precision, known_precision
from mlp_jax.model.saved import Model

STOCHASTIC = ("sgd", "adam")


class BaseMLP(BaseEstimator):
    """Parameters, fitting and prediction of `MLPClassifier` and `MLPRegressor`.

    The subclasses implement `_checked` (input and targets), `_loss_name`, `_encoded` (targets as
    the loss takes them) and `_scorer`.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions(ACTIVATION_NAMES)],
        "solver": [StrOptions({"lbfgs", "sgd", "adam"})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [
            Interval(Integral, 1, None, closed="left"),
            Options(Real, {np.inf}),
        ],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        **CONSTRAINTS,
    }

    # Set by the constructors of the two, whose signatures scikit-learn reads.
    hidden_layer_sizes: Any
    activation: str
    solver: str
    alpha: float
    random_state: Any
    tol: float
    max_iter: int
    max_fun: int
    early_stopping: bool
    warm_start: bool
    n_outputs_: int
    n_features_in_: int
    device: str | None
    precision: str | None
    dropout: float
    norm: str | None
    residual: bool
    validation_data: Any
    preset: str | None
    class_weight: Any = None
    _encoding: Any
    _target_scaling: Scaling | None = None

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "BaseMLP":
        """Fit the network.

        Args:
            X: rows (N, I): array, sparse matrix or frame.
            y: targets (N,) or (N, C).
            sample_weight: weights of the rows (N,).

        Returns:
            The estimator.

        Raises:
            ValueError: for parameters, rows or targets that cannot be used; most are `InputError`.
            ProofError: if the gradient check fails.
        """
        if adopt_pretrained(self, X, y, sample_weight):
            return self
        return self._fit(X, y, sample_weight, incremental=False)

    def _fit(self, X: Any, y: Any, sample_weight: Any, *, incremental: bool) -> "BaseMLP":
        check_not_inherited("fit")
        use_compilation_cache()
        specification, rows = self._begin(X, y, sample_weight, incremental=incremental)
        with self._computing(rows.x.dtype) as policy:
            if self.solver in STOCHASTIC:
                solve(self, specification, policy, rows, incremental)
            else:
                check_once(specification, policy.proof_dtype)
                self._minimize(specification, rows._replace(y=self._encoded(rows.y)))
        self._check_finite()
        return self

    def _begin(
        self, X: Any, y: Any, sample_weight: Any, *, incremental: bool = False
    ) -> tuple[Specification, TrainingRows]:
        """Return the specification and the checked rows; draw the weights in a first fit."""
        if self.preset is not None:
            check_alone(self)
        first_pass = not hasattr(self, "coefs_") or (not self.warm_start and not incremental)
        hidden = self._hidden()
        X, y = self._checked(X, y, incremental, reset=first_pass)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X)
            if sample_weight.sum() == 0:
                raise ZeroDivisionError("Weights sum to zero, can't be normalized")
        if y.ndim == 1:
            y = y.reshape((-1, 1))
        if self.class_weight is not None:
            sample_weight = class_weights_of(self, self._named(y), sample_weight)
        self.n_outputs_ = y.shape[1]
        self._random_state = check_random_state(self.random_state)
        specification = self._specify(hidden, *X.shape)
        check_extras(self, specification, incremental=incremental)
        if first_pass:
            self._target_scaling = self._learn_target_scaling(y, sample_weight)
            self._initialize(specification, X.dtype)
        return specification, TrainingRows(X, y, sample_weight)

    def _hidden(self) -> list[int]:
        """Return the widths of the hidden layers.

        ValueError for one that is not positive, TypeError for one that is not a whole number.
        """
        sizes = self.hidden_layer_sizes
        hidden = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
        if np.any(np.array(hidden) <= 0):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {hidden}.")
        if any(isinstance(width, bool | np.bool_) for width in hidden):
            raise TypeError("an integer is required")  # NumPy's words, as scikit-learn has them
        return [index(width) for width in hidden]

    def _specify(self, hidden: list[int], n_rows: int, n_in: int) -> Specification:
        if self.preset is not None:
            return specification_of(self, n_in, n_rows)
        return specify(
            hidden,
            n_in,
            self.n_outputs_,
            self.activation,
            self._loss_name(),
            dropout=self.dropout,
            norm=self.norm,
            residual=self.residual,
            first=first_layer(self._encoding),
        )

    def _initialize(self, specification: Specification, dtype: DTypeLike) -> None:
        """Set the attributes of a first fit: drawn weights, empty curves."""
        self.n_iter_ = 0
        self.t_ = 0
        self.n_layers_ = len(self._hidden()) + 2
        self.out_activation_ = self._out_activation(specification)
        self._specification = specification
        params, self._layer_state = initial_weights(
            specification, self._random_state, self.activation, dtype
        )
        self.coefs_, self.intercepts_, self._others = taken_apart(params)
        self._best = (params, self._layer_state)
        self._stale = 0
        if self.solver in STOCHASTIC:
            self.loss_curve_: list[float] = []
            self.validation_scores_: list[float] | None = [] if self._judges() else None
            self.best_validation_score_ = -np.inf if self.early_stopping else None
            self.best_loss_ = None if self.early_stopping else np.inf

    def _judges(self) -> bool:
        """Return True if validation rows judge each epoch."""
        return self.early_stopping or self.validation_data is not None

    def _minimize(self, specification: Specification, rows: TrainingRows) -> None:
        """Run L-BFGS over all rows, in float64 whatever type the rows have."""
        with jax.enable_x64(True):
            params, self.loss_, self.n_iter_ = minimize(
                specification,
                as_type(self._params(), np.float64),
                rows,
                self.alpha,
                max_fun=self.max_fun,
                max_iter=self.max_iter,
                tol=self.tol,
            )
        self._keep_params(params, rows.x.dtype)

    def _params(self) -> Any:
        """Return the weights as the network's tree."""
        return put_together(self._specification, self.coefs_, self.intercepts_, self._others)

    def _keep_params(self, params: Params, dtype: DTypeLike) -> None:
        self.coefs_, self.intercepts_, self._others = taken_apart(as_type(params, dtype))

    def _check_finite(self) -> None:
        if not all(np.isfinite(leaf).all() for leaf in (*self.coefs_, *self.intercepts_)):
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may contain large"
                " values and need to be preprocessed."
            )

    @contextmanager
    def _computing(self, dtype: DTypeLike) -> Iterator[Precision]:
        """Activate the device and the precision for data of that type inside the block."""
        device = choose_device(self.device)
        if self.precision is None and dtype == np.float64:
            policy = self._known_policy(dtype)
        else:
            policy = choose_precision(self.precision, device)
        with jax.default_device(device), policy.active():
            yield policy

    def _known_policy(self, dtype: DTypeLike) -> Precision:
        """Return the precision for data of that type without querying a device."""
        wide = self.precision is None and dtype == np.float64
        return known_precision(self.precision or ("float64" if wide else "float32"))

    def _arrays(self, X: Any, y: Any, *, reset: bool, **options: Any) -> tuple[Any, Any]:
        """Check X and y; encode a frame with text columns, learning the encoding if `reset`."""
        return checked_arrays(self, X, y, reset=reset, **options)

    def _inputs(self, X: Any) -> Any:
        """Check rows to predict; of a frame with text, look up the columns by name."""
        return checked_inputs(self, X)

    def _validation_rows(self) -> TrainingRows:
        """Check `validation_data`; ValueError if it is invalid."""
        if len(self.validation_data) != 2:
            raise InputError("validation_data must be a pair of rows and targets, (X, y).")
        X, y = self.validation_data
        x, targets = self._inputs(X), self._checked_targets(np.asarray(y))
        check_consistent_length(x, targets)
        return TrainingRows(x, targets.reshape(len(targets), -1), None)

    def fit_laplace(self, X: Any, y: Any, kind: str = "last-layer") -> "BaseMLP":
        """Fit a Laplace approximation at the fitted weights, which do not change.

        Args:
            X: the training rows (N, I).
            y: their targets.
            kind: "last-layer", or "diagonal" over all weights (docs/uncertainty.md).

        Returns:
            The estimator.

        Raises:
            InputError: for a loss that is not a negative log-likelihood, or an ensemble.
        """
        check_is_fitted(self)
        targets = self._checked_targets(np.asarray(y))
        self.laplace_ = learn_laplace(self, self._inputs(X), targets, kind)
        return self

    def predict_uncertainty(self, X: Any) -> np.ndarray:
        """Predict the uncertainty of each row's prediction.

        Args:
            X: rows (N, I).

        Returns:
            (N,) or (N, C). For an ensemble the disagreement of its members; after `fit_laplace` the
            entropy of the probabilities averaged over likely weights (nats), or the standard
            deviation of a new number.

        Raises:
            InputError: without an ensemble or `fit_laplace`.
        """
        check_is_fitted(self)
        return uncertainty(self, self._inputs(X))

    def to_model(self) -> Model:
        """Convert the fitted estimator to an `mlp_jax.Model`, to save and to export.

        Returns:
            The model.
        """
        check_is_fitted(self)
        return as_model(self)

    def _forward(self, X: Any, *, check_input: bool = True) -> np.ndarray:
        """Return the predictions (N, C) of the network: probabilities, rates or values."""
        if check_input:
            X = self._inputs(X)
        dtype = np.result_type(X.dtype, self.coefs_[0].dtype)
        if jax_is_inherited():
            computing: Any = nullcontext(self._known_policy(dtype))
        else:
            computing = self._computing(dtype)
        with computing as policy:
            params = as_type(self._params(), policy.params)
            state = as_type(self._layer_state, policy.params)
            specification = self._specification
            multilabel = self.out_activation_ == "logistic"
            how = (specification.network, specification.loss, multilabel, policy, params, state)
            parts = [
                outputs(*how, None, rows.astype(policy.params, copy=False)).predicted
                for rows in dense_parts(X)
            ]
        return np.concatenate(parts).astype(dtype, copy=False)

    def _check_solver(self) -> bool:
        if self.solver not in STOCHASTIC:
            raise AttributeError(
                "partial_fit is only available for stochastic optimizers."
                f" {self.solver} is not stochastic."
            )
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _checked(self, X: Any, y: Any, incremental: bool, *, reset: bool) -> tuple[Any, Any]:
        """Check X and y and return them as arrays."""
        raise NotImplementedError

    def _checked_targets(self, y: np.ndarray) -> np.ndarray:
        """Check targets of other rows and return them in the form of `_checked`."""
        raise NotImplementedError

    def _learn_target_scaling(self, y: np.ndarray, weights: Any) -> Scaling | None:
        """Learn the scaling of checked targets (N, C); None leaves them unscaled."""
        return None

    def _named(self, y: np.ndarray) -> np.ndarray:
        """Return the labels of checked targets."""
        raise NotImplementedError

    def _out_activation(self, specification: Specification) -> str:
        """Return the link from the output to the prediction, by scikit-learn's name."""
        return specification.out_activation

    def _loss_name(self) -> str:
        """Return the name of the loss in `LOSSES`."""
        raise NotImplementedError

    def _encoded(self, y: np.ndarray) -> np.ndarray:
        """Return checked targets (N, C) as the loss takes them."""
        raise NotImplementedError

    def _scorer(self, y: np.ndarray, weights: Any) -> Callable[[np.ndarray], float]:
        """Return a function from predictions (N, C) to their score against targets (N, C)."""
        raise NotImplementedError
