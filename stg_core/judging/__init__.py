"""Whether a grouping pays: plans, ensembles, reports, verdicts."""
