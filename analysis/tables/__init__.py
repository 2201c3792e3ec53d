"""Runs and comparisons as tables with units, for notebooks, and as Markdown and CSV. Draws nothing, prints nothing.

    loading    load, load_sweep, compare: what `from analysis import ...` gives
    units      the unit of a column or metric, by its name
    export     a table as Markdown or CSV
    lists      the tables of the commands: of a run, of several runs, of a comparison; `fronts`: of scalers on two axes
"""
