"""The contest: pooltk beside the peers a user would pick instead, and beside the limit.

    cd asv_bench
    python -m contest --quick --group table
    python -m contest --threads 1,2 --output results/contest

All are called in one run, in turn, with the same arrays and as many threads, after their results
were compared. `cases` says what is pooled, `arrays` makes the data, `peers` calls the libraries,
`limit` compiles the loop that no pooling can beat, `timing` holds the clock, `report` judges and
writes the tables.
"""
