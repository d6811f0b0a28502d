"""What ``fit`` is made of: a task's loss and batches, the phases, the run's folder."""
