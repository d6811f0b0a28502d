"""What ``evaluate`` and ``bench-models`` share: pictures, engines, measuring, reports."""
