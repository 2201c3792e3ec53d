"""Summarises runs from their files: `python -m analysis.summary results/...`.

Each run gets its timeline.parquet, metrics.json and summary.png; several runs together get a page of their own.
"""

import argparse
import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from analysis.metrics.measured import in_numbers
from analysis.metrics.verdict import in_lines, verdict
from analysis.tables.export import FORMATS, Format, text_of
from record.files import FolderError, dump, find, read_manifest, told_of, whole, write_text
from record.metrics import Metrics
from record.parquet import Tables, write_frame
from record.reading import Run
from record.schema import METRICS, PICTURE, TIMELINE


def summarise(folder: Path, *, draws: bool = True, tables: Tables | None = None) -> Metrics:
    """Write `timeline.parquet`, `metrics.json` and, where it `draws`, `summary.png` into a run's folder.

    Args:
        folder: the run's.
        draws: whether it gets its picture.
        tables: what this very process has just written there; it is not read again.

    Returns:
        The metrics.

    Raises:
        FolderError: it is not a run's folder, or a file is damaged; one line.
        OSError: the files cannot be written.
    """
    return _summarise(folder, draws=draws, tables=tables)[1]


def _summarise(folder: Path, *, draws: bool = True, tables: Tables | None = None) -> tuple[Run, Metrics]:
    run, seconds, metrics = in_numbers(folder, tables)
    with whole(folder / TIMELINE) as partial:
        write_frame(seconds, partial)
    write_text(folder / METRICS, dump(metrics))
    if draws:
        from analysis.pages.run_page import draw  # matplotlib

        with told_of(folder):
            draw(run, seconds, metrics, folder / PICTURE)
    return run, metrics


@dataclass(frozen=True)
class Joint:
    """Where what several runs say together goes; None = nowhere."""

    picture: Path | None = None
    metrics: Path | None = None
    means: Path | None = None
    """A folder: a file a scenario."""
    plots: Path | None = None
    """Likewise."""

    def write(self, runs: list[tuple[Run, Metrics]]) -> None:
        """Draw and write it.

        Raises:
            OSError: a file cannot be written.
        """
        from analysis.pages import joint_data
        from analysis.pages.rows import arrange

        for path in (self.picture, self.metrics):
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
        rows = arrange(runs)
        if self.picture is not None:
            from analysis.pages.joint_page import draw_many

            draw_many(rows, self.picture)
        if self.metrics is not None:
            write_text(self.metrics, dump(joint_data.metrics_table(rows)))
        for title, entries in rows:
            name = joint_data.file_name(title)
            if self.means is not None:
                self.means.mkdir(parents=True, exist_ok=True)
                write_text(self.means / f"{name}.json", dump(joint_data.means(entries)))
            if self.plots is not None:
                self.plots.mkdir(parents=True, exist_ok=True)
                write_text(self.plots / f"{name}.csv", joint_data.quantile_table(entries))


def _each(folders: list[Path]) -> tuple[list[tuple[Run, Metrics]], int]:
    """Summarise every run; return those that could be, and how many could not."""
    done: list[tuple[Run, Metrics]] = []
    broken = 0
    for folder in folders:
        try:
            if read_manifest(folder).get("mode") == "ui":
                print(f"{folder}: a session of the web UI, nothing measured")
                continue
            run, metrics = _summarise(folder)
            with told_of(folder):
                print(f"{folder}: {verdict(run.manifest, metrics)}")
        except (FolderError, OSError) as error:
            print(error, file=sys.stderr)
            broken += 1
            continue
        done.append((run, metrics))
    return done, broken


def _find_all(places: list[Path]) -> tuple[list[Path], int]:
    """The runs in all places, and how many places hold none, which is said.

    Raises:
        FolderError: no place holds a run.
    """
    folders: list[Path] = []
    errors: list[FolderError] = []
    for place in places:
        try:
            folders += [folder for folder in find([place]) if folder not in folders]
        except FolderError as error:
            errors.append(error)
    if not folders:
        raise errors[0]
    for missing in errors:
        print(missing, file=sys.stderr)
    return folders, len(errors)


def _pipeline_folders(params: Path) -> list[Path]:
    """The folders that the pipeline measures into: results/<scenario>/<repeat>.

    Raises:
        FolderError: the file is not YAML with lists `scenarios` and `repeats`.
    """
    try:
        matrix = yaml.safe_load(params.read_text(encoding="utf-8"))
        return [Path("results") / str(s) / str(r) for s in matrix["scenarios"] for r in matrix["repeats"]]
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise FolderError(f"{params}: needs the lists `scenarios` and `repeats`") from error


def _summarise_all(chosen: argparse.Namespace, done: list[tuple[Run, Metrics]]) -> int:
    """Do what the command line names, and say so; `done` gets the runs. The exit status."""
    try:
        if chosen.params:
            chosen.places = _pipeline_folders(chosen.params)
        folders, without = _find_all(chosen.places)
        runs, broken = _each(folders)
        done += runs
        broken += without
        output = chosen.output
        if len(folders) == 1 and done:
            for line in in_lines(done[0][0].manifest, done[0][1]):
                print(f"  {line}")
            print(f"picture: {folders[0] / 'summary.png'}")
        elif output is None and len(chosen.places) == 1:
            output = chosen.places[0] / PICTURE
        if done:
            Joint(output, chosen.metrics, chosen.means, chosen.plots).write(done)
            if output is not None:
                print(f"picture of all: {output}")
    except (FolderError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 1 if broken else 0


def _formatted(done: list[tuple[Run, Metrics]], form: Format) -> str:
    """One run with all its metrics, several with a row each; in Markdown in words, in CSV in numbers."""
    from analysis.tables.lists import metrics_list, numbers_list, runs_list, short_list
    from analysis.tables.loading import arms_of

    if len(done) == 1:
        run, metrics = done[0]
        short = [] if form == "csv" else [short_list(run.manifest, metrics)]
        sheets = [*short, metrics_list(metrics)]
        return text_of(sheets, form, [verdict(run.manifest, metrics)])
    if form == "csv":
        return text_of([numbers_list(done, arms_of(done))], form)
    return text_of([runs_list(done, [str(run.folder) for run, _ in done])], form)


def main(arguments: list[str] | None = None) -> int:
    """Summarise the runs that the command line names; return the exit status: 0, or 1 where a folder is damaged."""
    parser = argparse.ArgumentParser(prog="python -m analysis.summary", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("places", nargs="*", type=Path, metavar="DIR", help="a run's folder, or a folder above runs")
    parser.add_argument("--params", type=Path, metavar="YAML", help="the pipeline's parameters, instead of DIR")
    parser.add_argument(
        "--output", type=Path, metavar="PNG", help="picture of all runs on one page (default: in DIR, if it is one)"
    )
    parser.add_argument("--metrics", type=Path, metavar="JSON", help="the metrics of all runs, by scenario and run")
    parser.add_argument("--means", type=Path, metavar="DIR", help="a few means over valid runs, a file a scenario")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="latency quantiles of all runs, a file a scenario")
    parser.add_argument(
        "--format", choices=FORMATS, help="print a table as Markdown or CSV on stdout, all else on stderr"
    )
    chosen = parser.parse_args(arguments)
    if bool(chosen.places) == bool(chosen.params):
        parser.error("name folders, or --params")
    done: list[tuple[Run, Metrics]] = []
    # With a format, stdout is the table's alone.
    with contextlib.redirect_stdout(sys.stderr) if chosen.format else contextlib.nullcontext():
        status = _summarise_all(chosen, done)
    if chosen.format and done:
        print(_formatted(done, chosen.format), end="")
    return status


if __name__ == "__main__":
    sys.exit(main())
