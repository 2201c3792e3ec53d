"""Draws a run, or many: `python -m analysis.summary results/...`."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from analysis import metrics as metric_table
from analysis import timeline
from analysis.run_folder import FolderError, find, read
from analysis.verdict import table_rows, verdict


def summarise(folder: Path) -> dict[str, Any]:
    """Write `timeline.parquet`, `metrics.json` and `summary.png` into a run's folder; return the metrics.

    Raises:
        FolderError: it is not a run's folder, or a file is damaged.
    """
    from analysis.run_page import draw

    run = read(folder)
    seconds = timeline.build(run)
    seconds.to_parquet(folder / "timeline.parquet", index=False)
    metrics = metric_table.compute(run, seconds)
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=2, allow_nan=False) + "\n")
    draw(run, seconds, metrics, folder / "summary.png")
    return metrics


def _joint(folders: list[Path], output: Path | None, metrics_file: Path | None, plots: Path | None) -> None:
    """The page, the numbers and the plot data of several runs together."""
    from analysis.joint_page import draw_many

    runs = [(read(folder), json.loads((folder / "metrics.json").read_text())) for folder in folders]
    for path in (output, metrics_file, plots):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
    if output is not None:
        draw_many(runs, output)
    if metrics_file is not None:
        content: dict[str, Any] = {}
        for run, metrics in runs:
            kept = {k: v for k, v in metrics.items() if not isinstance(v, list)}
            content.setdefault(run.manifest["scenario"], {})[run.folder.name] = kept
        metrics_file.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
    if plots is not None:
        lines = ["scenario,repeat,quantile,latency_ms"]
        lines += [
            f"{run.manifest['scenario']},{run.folder.name},{name},{value}"
            for run, metrics in runs
            for name in ("p50", "p90", "p99")
            if (value := metrics[f"latency_{name}_ms"]) is not None
        ]
        plots.write_text("\n".join(lines) + "\n")


def main() -> int:
    """Summarise the runs that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m analysis.summary", description=__doc__)
    parser.add_argument("places", nargs="+", type=Path, help="a run's folder, or folders above runs")
    parser.add_argument("--output", type=Path, help="picture of all runs on one page")
    parser.add_argument("--metrics", type=Path, help="JSON with the metrics of all runs")
    parser.add_argument("--plots", type=Path, help="CSV with the latency quantiles of all runs")
    arguments = parser.parse_args()
    try:
        folders = find(arguments.places)
        for folder in folders:
            metrics = summarise(folder)
            manifest = json.loads((folder / "manifest.json").read_text())
            print(f"{folder}: {verdict(manifest, metrics)}")
            if len(folders) == 1:
                for label, value in table_rows(metrics):
                    print(f"  {label:28} {value}")
        output = arguments.output
        if output is None and len(folders) > 1 and len(arguments.places) == 1:
            output = arguments.places[0] / "summary.png"
        _joint(folders, output, arguments.metrics, arguments.plots)
        if output is not None:
            print(f"picture: {output}")
    except (FolderError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
