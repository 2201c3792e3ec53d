"""From numbers to pictures. Nothing is decided here.

    run_page         summary.png of one run, made of the `panels` that there are
    joint_page       many runs on one page, in the rows of `rows`; `intervals`: what those of a row say together
    comparison_page  comparison.png; `front_panel`: its scalers on cost and broken promises
    board_page       a Grafana board
    joint_data       the numbers behind the joint page, for DVC

Begin with `style`: colours, canvas, and `save`.
"""
