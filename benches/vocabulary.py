#!/usr/bin/env python3
"""Time and peak memory of opening a full-size vocabulary and resolving concept sets on it.

    python3 benches/vocabulary.py --strata target/release/strata

Makes a synthetic vocabulary (a full one may not be handed on) of 8 million concepts, 81 million ancestor
pairs in no order and 8 million mappings (and as many other relations), as typed Parquet, and runs
`strata vocabulary resolve` on it; DuckDB answers the same question beside it and the answers must be equal.
Needs Python with duckdb.
"""

import argparse
import datetime
import json
import os
import pathlib
import subprocess
import time

CONCEPT = """
select i * 5 + (i % 3) + case when i % 100 = 0 then 2100000000 else 0 end as concept_id,
  'Concept ' || i as concept_name,
  ['Condition','Drug','Measurement','Observation','Procedure'][1 + i % 5] as domain_id,
  ['SNOMED','RxNorm','LOINC','ICD10CM','NDC','CPT4'][1 + i % 6] as vocabulary_id,
  ['Clinical Finding','Ingredient','Lab Test','Clinical Drug'][1 + i % 4] as concept_class_id,
  case when i < {standard} then 'S' end as standard_concept,
  'C' || i as concept_code,
  date '1970-01-01' + cast(hash(i) % 18000 as integer) as valid_start_date,
  date '2099-12-31' as valid_end_date,
  case when hash(i + 7) % 20 = 0 then 'D' end as invalid_reason
from range({concepts}) t(i)
"""
ID = "{0} * 5 + ({0} % 3) + case when {0} % 100 = 0 then 2100000000 else 0 end"
# Ancestors are skewed: few concepts have most descendants.
ANCESTOR = """
select cast(%s as bigint) as ancestor_concept_id, cast(%s as bigint) as descendant_concept_id,
  1::bigint as min_levels_of_separation, 1::bigint as max_levels_of_separation
from (select cast(power((hash(i) %% 1000000007) / 1000000007.0, 6) * {standard} as bigint) as a,
             cast(hash(i + 12345) %% {standard} as bigint) as d from range({pairs}) t(i))
""" % (ID.format("a"), ID.format("d"))
RELATIONSHIP = """
select cast(%s as bigint) as concept_id_1, cast(%s as bigint) as concept_id_2, r as relationship_id,
  date '1970-01-01' as valid_start_date, date '2099-12-31' as valid_end_date, null::varchar as invalid_reason
from (select i as x, case when i < {standard} then i else hash(i) %% {standard} end as y, 'Maps to' as r
      from range({concepts}) t(i)
      union all select i, hash(i + 1) %% {concepts}, 'Subsumes' from range({concepts}) t(i))
""" % (ID.format("x"), ID.format("cast(y as bigint)"))
VOCABULARY = """select 'None' as vocabulary_id, 'OMOP Standardized Vocabularies' as vocabulary_name,
  'synthetic' as vocabulary_reference, 'v5.0 synthetic' as vocabulary_version, 44819096::bigint as vocabulary_concept_id"""


def make(folder, scale):
    import duckdb
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "vocabulary.parquet").exists():
        return
    numbers = dict(concepts=int(8_000_000 * scale), standard=int(3_500_000 * scale), pairs=int(81_000_000 * scale))
    db = duckdb.connect()
    for name, query in [("concept", CONCEPT), ("concept_ancestor", ANCESTOR),
                        ("concept_relationship", RELATIONSHIP), ("vocabulary", VOCABULARY)]:
        db.execute(f"copy ({query.format(**numbers)}) to '{folder}/{name}.parquet' (format parquet, compression zstd)")


def oracle(folder, ids):
    import duckdb
    listed = ",".join(map(str, ids))
    start = time.time()
    rows = duckdb.execute(f"""
        with base as (
          select concept_id from '{folder}/concept.parquet' where concept_id in ({listed})
          union
          select c.concept_id from '{folder}/concept.parquet' c
          join '{folder}/concept_ancestor.parquet' a on c.concept_id = a.descendant_concept_id
          where c.invalid_reason is null and a.ancestor_concept_id in ({listed}))
        select concept_id from base union
        select r.concept_id_1 from base join '{folder}/concept_relationship.parquet' r
          on base.concept_id = r.concept_id_2 and r.relationship_id = 'Maps to' and r.invalid_reason is null
    """).fetchall()
    return {row[0] for row in rows}, time.time() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strata", default="target/release/strata")
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("out/bench-vocabulary"))
    parser.add_argument("--scale", type=float, default=1.0, help="part of the full size")
    parser.add_argument("--threads", default="2")
    args = parser.parse_args()
    folder = args.work / f"scale-{args.scale}"
    make(folder, args.scale)
    ids = [0 * 5 + 2100000000, 1 * 5 + 1, 12345 * 5]
    sets = args.work / "sets.toml"
    sets.write_text("[concept_set.bench]\ninclude = [{ concepts = %s, descendants = true, mapped = true }]\n" % ids)
    command = [args.strata, "vocabulary", "resolve", str(folder), str(sets), "--memory", "1024", "-j", args.threads]
    start = time.time()
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    lines = process.stdout.read().decode().splitlines()[1:]
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.time() - start
    assert status == 0, status
    found = {int(line.split("\t")[1]) for line in lines}
    want, duckdb_seconds = oracle(folder, ids)
    assert found == want, f"{len(found)} concepts, DuckDB has {len(want)}"
    result = {
        "date": datetime.date.today().isoformat(),
        "scale": args.scale,
        "seconds": round(seconds, 2),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_mib": usage.ru_maxrss // 1024,
        "concepts_found": len(found),
        "duckdb_seconds_one_query": round(duckdb_seconds, 2),
    }
    print(json.dumps(result, indent=2))
    if args.scale == 1.0:
        results = pathlib.Path(__file__).parent / "results" / f"{result['date']}-vocabulary.json"
        results.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
