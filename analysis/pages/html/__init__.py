"""A run, a sweep or a comparison as one HTML file that needs no network. Computes nothing: texts, tables and numbers
are those of `metrics/`, `comparison/` and `tables/`.

    document      the page from its parts: template, style, script and Vega in one file; whoever reads it may be hostile
    of_run        the parts of a run's page; `of_runs`: of several runs, compared where they can be; `of_map`: of a map
    charts        what is drawn, as Vega-Lite: `timelines`, `distributions`, `effects`
    provenance    protocol, versions, methods, and the commands to do it again

Charts are written as Vega-Lite's JSON and drawn by the reader's browser; vl-convert (the extra `report`) brings Vega,
Vega-Lite and Vega-Embed as one script, 0.9 MB. Altair would write the same JSON, and takes seconds to import.
"""
