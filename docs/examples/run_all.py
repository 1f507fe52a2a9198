"""Runs every example on the quickstart's release and checks what they say against each other.

python3 docs/examples/run_all.py out/quickstart      (needs duckdb, polars, pyarrow, numpy and pandas)
"""

import pathlib
import sys

sys.dont_write_bytecode = True  # leave the checkout as it was

import duckdb

import polars_query
import pyarrow_query

HERE = pathlib.Path(__file__).parent
VID = "chr20-10198893-T-C"


def main(store):
    con = duckdb.connect()
    con.execute("SET VARIABLE store = '{}'".format(store.replace("'", "''")))
    con.execute((HERE / "open.sql").read_text())
    answers = {}
    for query in sorted(HERE.glob("*.sql")):
        if query.name != "open.sql":
            con.execute(query.read_text())
            answers[query.stem] = con.fetchall()
            names = [column[0] for column in con.description]
            print(f"\n{query.name}\n  " + " | ".join(names))
            for row in answers[query.stem]:
                print("  " + " | ".join(map(str, row)))

    het, hom = (sum(row[i] for row in answers["carriers"]) for i in (1, 2))
    stored = con.execute("SELECT n_het, n_hom_alt FROM variants WHERE vid = ?", [VID]).fetchone()
    assert (het, hom) == stored, "carriers and variants disagree"
    assert polars_query.carriers(store, VID).height == het + hom, "Polars and DuckDB disagree"
    assert polars_query.conditions_by_sex(store).rows() == answers["conditions_by_sex"]
    stored = con.execute("SELECT ac_eur, an_eur FROM variants ORDER BY chrom, variant_idx").fetchall()
    counts = pyarrow_query.allele_counts(store, "eur")
    assert counts.tolist() == [list(row) for row in stored], "bit planes and variants disagree"
    percent = [row[3] for row in answers["association"]]
    assert len(percent) == 3 and percent[0] < percent[2], "the planted association is not there"
    assert answers["public_counts"] and all(row[2] % 20 == 0 for row in answers["public_counts"])
    visits = pyarrow_query.visits_a_year(store)
    assert visits.sum() > 0
    print(f"\nall examples ran and agree ({len(answers)} SQL queries, {len(counts)} variants)")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
