"""What a search is given, and how two searches are compared."""

import numpy as np


def assert_equal(ours, theirs):
    """Every column of the results is the same, but for the times."""
    assert list(ours.cv_results_) == list(theirs.cv_results_)
    for name, values in theirs.cv_results_.items():
        found = ours.cv_results_[name]
        assert type(found) is type(values), name
        if name == "params":
            assert found == values
            continue
        assert (found.dtype, found.shape) == (values.dtype, values.shape), name
        if name.endswith("_time"):
            continue
        if isinstance(values, np.ma.MaskedArray):
            np.testing.assert_array_equal(found.mask, values.mask, err_msg=name)
            assert found.tolist() == values.tolist(), name
        else:
            np.testing.assert_allclose(found, values, rtol=0, atol=1e-12, err_msg=name)
    for name in ("best_index_", "best_params_", "n_splits_", "multimetric_"):
        assert getattr(ours, name, None) == getattr(theirs, name, None), name
    best = [getattr(search, "best_score_", np.nan) for search in (ours, theirs)]
    np.testing.assert_allclose(*best, rtol=0, atol=1e-12)
