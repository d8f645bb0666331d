"""From the ledger to a student: recorded task classes, data sets, training, evaluation, the registry."""
