"""What ``compare``, ``crossval`` and ``tune`` share: many runs, side by side or in a row."""
