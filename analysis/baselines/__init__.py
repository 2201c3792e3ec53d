"""Named runs that later ones are held against, across commits and machines: `aegis baseline save main results/...`.

keeping    a baseline is a folder of runs, with what was measured of them and nothing that is made of it; so their
           metrics are computed by the code that computes those of the new runs, and statistics are the same
against    runs paired with those of a baseline, arm by arm, and what differs besides the code
"""
