"""Runs OHDSI Achilles (through duckcdm) over typed tables and compares with strata's results.

    python achilles.py TYPED_FOLDER RESULTS_FOLDER

Prints each differing row by analysis and, last, a summary; exit code 1 when anything differs, 77 when
duckcdm or duckdb is missing. Numbers that Achilles holds as 32-bit floats compare with that precision.
"""
import csv
import math
import os
import sys
import time

try:
    import duckdb
    from duckcdm import achilles
except ImportError:
    print("duckdb or duckcdm is not installed")
    sys.exit(77)

KEYS = 6


def number(text):
    try:
        return float(text)
    except (TypeError, ValueError):
        return text or None


def same(a, b):
    a, b = number(a), number(b)
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-5, abs_tol=1e-6)
    return a == b


def key(row):
    cells = [number(c) if c not in (None, "") else None for c in row[:KEYS]]
    # Shares (2004) compare as floats of limited precision.
    return tuple(round(c, 9) if isinstance(c, float) else c for c in cells)


def table(rows):
    return {key(r): r[KEYS:] for r in rows if int(r[0]) != 0}


def main(typed, results):
    con = duckdb.connect()
    for name in sorted(os.listdir(typed)):
        path = os.path.join(typed, name)
        source = os.path.join(path, "*.parquet") if os.path.isdir(path) else path
        stem = name.removesuffix(".parquet")
        con.execute(f"create table \"{stem}\" as select * from read_parquet('{source}')")
    with open(os.path.join(results, "achilles_results.csv"), encoding="utf-8") as f:
        ours = list(csv.reader(f))[1:]
    with open(os.path.join(results, "achilles_results_dist.csv"), encoding="utf-8") as f:
        ours_dist = list(csv.reader(f))[1:]
    known = con.execute(
        f"select analysis_id from read_parquet('{results}/achilles_analysis.parquet')").fetchall()
    ids = sorted(r[0] for r in known)
    started = time.time()
    done, failed = achilles.run_achilles(
        con, analysis_ids=ids, small_cell_count=None, log=None)
    took = time.time() - started
    for name, why in failed:
        print(f"achilles itself failed on {name}: {why}")
    differ, compared = {}, 0
    for name, mine in (("achilles_results", ours), ("achilles_results_dist", ours_dist)):
        theirs = table(con.execute(f"select * from results.{name}").fetchall())
        mine = table([r for r in mine if int(r[0]) in done])
        for k in sorted(set(theirs) | set(mine), key=str):
            compared += 1
            a, b = theirs.get(k), mine.get(k)
            if a is None or b is None or not all(map(same, a, b)):
                differ.setdefault(int(k[0]), []).append((k, a, b))
    for analysis, rows in sorted(differ.items()):
        print(f"analysis {analysis}: {len(rows)} differ, e.g. achilles, strata: {rows[:2]}")
    counts = dict(con.execute(
        "select concept_id::bigint, (record_count::bigint, descendant_record_count::bigint, "
        "person_count::bigint, descendant_person_count::bigint) "
        "from results.achilles_result_concept_count where record_count > 0 "
        "or descendant_record_count > 0 or descendant_person_count > 0").fetchall())
    mine = dict(con.execute(
        "select concept_id, (record_count, descendant_record_count, person_count, "
        f"descendant_person_count) from '{results}/achilles_result_concept_count.parquet'").fetchall())
    off = [(c, counts[c], mine.get(c)) for c in sorted(counts) if counts[c] != mine.get(c)]
    print(f"concept counts: {len(counts)} compared, {len(off)} differ {off[:3]}")
    total = sum(map(len, differ.values()))
    print(f"{len(done)} analyses, {compared} rows compared, {total} differ; achilles took {took:.2f} s")
    return 1 if differ or off else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
