"""Whole training runs: folds by patient, out-of-fold predictions, the refit, ensembles of runs."""
