"""Writes ``deploy/kiosk.example.toml`` and the settings table of the docs.

python -m edge_app.settings_example > deploy/kiosk.example.toml
"""

from __future__ import annotations

import sys

from edge_app.settings import Settings, sections
from edge_app.settings_rules import allowed, rules, toml_value

HEAD = """\
# Settings of the mask kiosk. Every line is optional: what stands here are the defaults.
# Keep only what you change. Made by: python -m edge_app.settings_example
"""


def example() -> str:
    """The example file: every setting with its meaning, its range and its default."""
    lines = [HEAD]
    defaults = Settings()
    for name, section in sections().items():
        lines.append(f"[{name}]  # {(section.__doc__ or '').strip().rstrip('.')}")
        for key, (kind, rule) in rules(section).items():
            value = getattr(getattr(defaults, name), key)
            lines.append(f"# {rule.doc}")
            lines.append(f"# {allowed(kind, rule)}")
            if value is None:
                lines.append(f"#{key} =")
            else:
                lines.append(f"{key} = {toml_value(value)}")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(example())
