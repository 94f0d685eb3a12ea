"""The contest: pooltk beside the peers a user would pick instead, and beside the limit.

    cd asv_bench
    python -m contest --quick --group table
    python -m contest --threads 1,2 --output results/contest
    python -m contest --device cuda --batch 8 --group table,backward --output results/cuda

All are called in one run, in turn, with the same arrays and as many threads, after their results
were compared. `cases` says what is pooled, `arrays` makes the data, `peers` calls the libraries,
`limit` makes the call that no pooling can beat, `devices` says where all of that is, `timing` holds
the clock, `report` judges and writes the tables.
"""
