"""Bad input in bulk: python -m tests.fuzz TARGET --cases 100000 --seed 0 (see docs/fuzzing.md)."""
