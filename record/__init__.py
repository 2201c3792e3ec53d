"""What a run leaves, and the one place that knows its format. Known by experiments and analysis, it knows neither.

Begin with `reading`: `Run` is a run's folder as numbers and tables, `read(folder)` makes one or says in a line why not.

    schema       names: files, columns, outcomes, phases, events; the version
    shapes       the JSON files key by key: Manifest, Event, Sample; `metrics`: Metrics
    files        find runs, read a manifest, write whole or not at all; FolderError
    place        take a folder for a run (a lock), and look for room in it
    provenance   code and machine
    writing      Recorder, while the run goes on; `finish` closes a folder, also a dead run's
    integrity    whether the files belong together and can have happened
    landed       the faults as the events tell them
    latency      latency in which a request that was not served ranks last
    settings     the configuration as flat keys
    schedule_hash  the name of a schedule

What every key and column means: docs/results.md, which tests hold against these modules.
"""

__version__ = "0.2.0"
"""The version of all of Aegis; pyproject.toml reads it here."""
