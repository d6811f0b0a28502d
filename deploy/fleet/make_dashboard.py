"""Write grafana-dashboard.json: ``python deploy/fleet/make_dashboard.py``.

A dashboard's JSON says the same things a dozen times; in ``panels.py`` each panel says only what is
its own. The result is for Grafana 10 or newer (Dashboards → New → Import).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from panels import ROWS, Panel

OUT = Path(__file__).parent / "grafana-dashboard.json"

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24
"""Columns of Grafana's grid."""


def panel_json(panel: Panel, number: int, x: int, y: int) -> dict[str, Any]:
    """A panel as Grafana wants it."""
    is_table = panel.kind == "table"
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.red is not None:
        steps.append({"color": "red", "value": panel.red})
    defaults: dict[str, Any] = {
        "unit": panel.unit,
        "thresholds": {"mode": "absolute", "steps": steps},
        **panel.more,
    }
    if panel.kind == "timeseries" and panel.red is not None:
        defaults["custom"] = {"thresholdsStyle": {"mode": "line"}}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "gridPos": {"x": x, "y": y, "w": panel.size[0], "h": panel.size[1]},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {},
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": DATASOURCE,
                "expr": expression,
                "legendFormat": legend or "__auto",
                "instant": is_table,
                "range": not is_table,
                "format": "table" if is_table else "time_series",
            }
            for index, (legend, expression) in enumerate(panel.queries.items())
        ],
        "transformations": list(panel.transformations),
    }


def dashboard() -> dict[str, Any]:
    """The whole dashboard."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS.items():
        grid = {"x": 0, "y": y, "w": WIDTH, "h": 1}
        panels.append(
            {
                "id": len(panels) + 1,
                "type": "row",
                "title": title,
                "collapsed": False,
                "gridPos": grid,
                "panels": [],
            }
        )
        x, y, high = 0, y + 1, 0
        for panel in row:
            if x + panel.size[0] > WIDTH:
                x, y, high = 0, y + high, 0
            panels.append(panel_json(panel, len(panels) + 1, x, y))
            x, high = x + panel.size[0], max(high, panel.size[1])
        y += high
    return {
        "uid": "mask-kiosk-fleet",
        "title": "Mask kiosks",
        "description": "Made by deploy/fleet/make_dashboard.py",
        "tags": ["mask-kiosk"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "label": "Prometheus",
                    "type": "datasource",
                    "query": "prometheus",
                },
                {
                    "name": "kiosk",
                    "label": "Kiosk",
                    "type": "query",
                    "datasource": DATASOURCE,
                    "query": {
                        "query": 'label_values(up{job="mask-kiosk"}, kiosk)',
                        "refId": "kiosk",
                    },
                    "refresh": 2,
                    "sort": 1,
                    "multi": True,
                    "includeAll": True,
                    "allValue": ".*",
                    "current": {"text": ["All"], "value": ["$__all"]},
                },
            ]
        },
        "annotations": {"list": []},
        "panels": panels,
    }


def main() -> None:
    """Write the file, whole or not at all."""
    new = OUT.with_suffix(".new")
    new.write_text(json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(new, OUT)


if __name__ == "__main__":
    main()
