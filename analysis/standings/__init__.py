"""Which arm is best under which pathology: from the folders of an evidence pack to a board with verdicts.

    protocol      what was set before the data (`evidence.json`), and where each run lies
    measures      what arms are compared by under a pathology
    gathering     the runs of each cell, and what was left out
    numbers       what a cell shows, with intervals that hold together
    judging       pairs of arms under every pathology, in families, and the best of each
    ranking       an arm over all pathologies
    board         the result: rows, cells, and what is said of them
    same          an arm against itself (A/A): how often the board's own protocol is wrong
    tuned         what tuning chose, and what it bought
    against       behind an earlier pack: what got worse
    series        a line a pack, for tools that look for change points
    text          a board in words
    markdown      the same as Markdown: all of it, and as much as a pull request has room for
"""
