"""What an import of somebody's own traffic needs whatever the log's format is; the formats are `experiments/readers/`.

    source     files, plain or gzip, as blocks of whole lines, hashed while they are read
    text, json_lines, spans    the fields of lines, of objects of JSON, of spans of a trace
    stamps     text to seconds of the Unix clock
    batch      what a reader gives; `curve` where a file holds rates and no requests
    gathering  the batches of a log together, in the order of arrival
    describing, folder         its numbers, and the folder that is left

Nothing here knows a format, nothing there writes a file.
"""
