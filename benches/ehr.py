#!/usr/bin/env python3
"""The EHR engine and the tiers against DuckDB, on a cloned extract. See README.md.

    python3 benches/clone_omop.py ../shared/data/omop/gibleed out/x100 100
    python3 benches/ehr.py out/x100 --out benches/results/ehr.json

FOLDER holds `omop/` with plain CSV files of CDM 5.3 and `participants.csv`. A round converts the CSV files to
Parquet with DuckDB, which is all that it does, and then runs the program from an empty store to a release
with both tiers, checks and analyses. Ratios are taken within a round. Needs the Python package duckdb.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

CONVERT = """
import pathlib, sys, duckdb
source, out = map(pathlib.Path, sys.argv[1:])
db = duckdb.connect()
db.sql("SET threads = 2")
for file in sorted(source.glob("*.csv")):
    db.sql(f"COPY (FROM read_csv('{file}')) TO '{out / file.stem}.parquet' (FORMAT parquet, COMPRESSION zstd)")
"""

WORKFLOW = """
[workflow]
name = "bench"
release = "bench"
reference_date = 2026-01-01
store = "store"
[participants]
roster = "{folder}/participants.csv"
[identity]
key = {{ file = "key", create = true }}
[ehr.site]
path = "{folder}/omop"
cdm = "5.3"
[curation]
rules = ["{root}/configs/curation/all_of_us.toml"]
[quality]
[tier.controlled]
policy = "{root}/configs/tiers/controlled.toml"
[tier.registered]
policy = "{root}/configs/tiers/registered.toml"
[engine]
threads = 2
"""


def timed(command, **kwargs):
    """Seconds and peak memory in MiB of a command that must succeed."""
    started = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **kwargs)
    said = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    if status != 0:
        sys.exit(f"{command[0]} failed: {said.decode()}")
    return time.monotonic() - started, usage.ru_maxrss / 1024


def stages(store):
    (run,) = Path(store, "runs").glob("*/run.json")
    found = {}
    for stage in json.loads(run.read_text())["stages"]:
        found[stage["stage"]] = found.get(stage["stage"], 0) + (stage.get("seconds") or 0)
    return found


def one_round(folder, strata, work):
    for name in ("duckdb", "run"):
        shutil.rmtree(work / name, ignore_errors=True)
        (work / name).mkdir(parents=True)
    duckdb_s, duckdb_mib = timed([sys.executable, "-c", CONVERT, folder / "omop", work / "duckdb"])
    workflow = work / "run" / "workflow.toml"
    workflow.write_text(WORKFLOW.format(folder=folder, root=ROOT))
    run_s, run_mib = timed([strata, "run", workflow], cwd=work / "run")
    seconds = stages(work / "run" / "store")
    curated = sum(s for name, s in seconds.items() if name.startswith(("ingest", "link", "curate")))
    tiers = sum(s for name, s in seconds.items() if name.startswith("tier"))
    return {
        "duckdb_s": duckdb_s, "duckdb_peak_mib": duckdb_mib, "run_s": run_s, "run_peak_mib": run_mib,
        "stages_s": seconds, "ingest_to_curated_s": curated, "tiers_s": tiers,
        "curated_to_duckdb": curated / duckdb_s, "tiers_to_ingest": tiers / curated,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--strata", type=Path, default=ROOT / "target/release/strata")
    parser.add_argument("--work", type=Path, default=None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=None)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.work) as work:
        rounds = [
            one_round(args.folder.resolve(), args.strata.resolve(), Path(work)) for _ in range(args.rounds)
        ]
    median = lambda key: round(statistics.median(r[key] for r in rounds), 3)
    result = {
        "bars": {"curated_to_duckdb": 2, "tiers_to_ingest": 1, "run_peak_mib": 2048},
        "medians": {key: median(key) for key in rounds[0] if key != "stages_s"},
        "rounds": rounds,
    }
    text = json.dumps(result, indent=2)
    print(text)
    if args.out:
        args.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
