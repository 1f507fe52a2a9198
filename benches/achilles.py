"""Times Achilles through duckcdm on a folder of typed tables, optionally cloned: the peer of strata's.

    python benches/achilles.py TYPED_FOLDER [CLONES]

Clones get person ids of their own (offset by clone); the vocabulary stays single.
"""
import os
import sys
import time

import duckdb
from duckcdm import achilles


def main(folder, clones=1):
    con = duckdb.connect()
    for name in sorted(os.listdir(folder)):
        path, stem = os.path.join(folder, name), name.removesuffix(".parquet")
        columns = [r[0] for r in con.execute(f"describe from read_parquet('{path}')").fetchall()]
        if "person_id" in columns:
            # An empty table without types has text everywhere.
            con.execute(
                f"create table \"{stem}\" as select p.* replace (p.person_id::bigint + k * 1000000000 as "
                f"person_id) from read_parquet('{path}') p, range({clones}) r(k)")
        else:
            con.execute(f"create table \"{stem}\" as from read_parquet('{path}')")
        if clones > 1 and "person_id" in columns:
            out = os.path.join(folder + f"-x{clones}")
            os.makedirs(out, exist_ok=True)
            con.execute(f"copy \"{stem}\" to '{out}/{stem}.parquet'")
    started = time.time()
    done, failed = achilles.run_achilles(con, small_cell_count=None, log=None)
    print(f"{len(done)} analyses in {time.time() - started:.2f} s, {len(failed)} failed")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1)
