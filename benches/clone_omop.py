#!/usr/bin/env python3
"""Clones the people of an OMOP extract, for tests of size. See README.md.

    python3 benches/clone_omop.py FOLDER OUT K

Clone i has all person ids and row ids of the record tables raised by i * STEP and its dates moved back by
i days; concept ids, the vocabulary and tables without people stay. OUT gets one plain CSV a table, K times
as long, and a roster of all its people. Needs the Python package duckdb.
"""

import csv
import sys
from pathlib import Path

import duckdb

STEP = 10_000_000
VOCABULARY = {
    "concept", "concept_ancestor", "concept_class", "concept_relationship", "concept_synonym", "domain",
    "drug_strength", "relationship", "source_to_concept_map", "vocabulary",
}


def column(name, own_key):
    quoted = f'"{name}"'
    if name.endswith("_concept_id") or not name.endswith("_id"):
        if name.endswith("_date"):
            return f"{quoted} - i::INT AS {quoted}"
        if name.endswith("_datetime"):
            return f"{quoted} - to_days(i::INT) AS {quoted}"
        return quoted
    raised = f"{quoted} + i * {STEP}"
    # 0 in a reference means "none".
    return f"{raised} AS {quoted}" if name in ("person_id", own_key) else f"CASE WHEN {quoted} = 0 THEN 0 ELSE {raised} END AS {quoted}"


def clone(db, path, out, k):
    table = path.name.split(".")[0].lower()
    source = f"read_csv('{path}', header=true, sample_size=-1)"
    names = [row[0] for row in db.sql(f"DESCRIBE SELECT * FROM {source}").fetchall()]
    types = {row[0]: row[1] for row in db.sql(f"DESCRIBE SELECT * FROM {source}").fetchall()}
    target = out / f"{table}.csv"
    rows = db.sql(f"SELECT count(*) FROM {source}").fetchall()[0][0]
    if table in VOCABULARY or "person_id" not in [n.lower() for n in names] or not rows:
        db.sql(f"COPY (SELECT * FROM {source}) TO '{target}' (HEADER)")
        return
    columns = [
        column(n, f"{table}_id") if types[n] in ("BIGINT", "INTEGER", "DATE", "TIMESTAMP") else f'"{n}"' for n in names
    ]
    db.sql(f"COPY (SELECT {', '.join(columns)} FROM range({k}) clones(i) CROSS JOIN {source}) TO '{target}' (HEADER)")


def roster(db, out):
    with (out / "participants.csv").open("w", newline="") as file:
        write = csv.writer(file).writerow
        write("person_id,primary_consent,primary_consent_date,ehr_consent,ehr_consent_date,genomics_consent,withdrawal_status,withdrawal_date".split(","))
        for (person,) in db.sql(f"SELECT DISTINCT person_id FROM read_csv('{out}/person.csv') UNION SELECT DISTINCT person_id FROM read_csv('{out}/observation_period.csv') ORDER BY 1").fetchall():
            write([person, "yes", "2017-06-01", "yes", "2017-06-01", "yes", "not_withdrawn", ""])


def main():
    folder, out, k = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    tables = out / "omop"
    tables.mkdir(parents=True, exist_ok=True)
    db = duckdb.connect()
    db.sql("SET preserve_insertion_order = true; SET threads = 2; SET memory_limit = '12GB'")
    for path in sorted(folder.glob("*.csv*")):
        clone(db, path, tables, k)
    roster(db, tables)
    (tables / "participants.csv").rename(out / "participants.csv")


main()
