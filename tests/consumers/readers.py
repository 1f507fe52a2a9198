#!/usr/bin/env python3
"""Opens a release with DuckDB, Polars, pyarrow and numpy and checks what the contract promises readers.

    python3 tests/consumers/readers.py STORE_OR_RELEASE [--feed FEED_FOLDER]

Exits 0 when every check holds, 1 otherwise. Never prints an id of a person.
"""

import argparse
import csv
import hashlib
import json
import sys
from collections import defaultdict
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

TIERS = {"controlled", "registered", "public", "quality"}
# What tables are sorted by, beyond what every record table is: the person, then the start date.
SORTED_BY = {
    "variants": ["pos", "ref", "alt"],
    "genotypes": ["variant_idx"],
    "carriers": ["variant_idx", "sample_idx"],
    "samples": ["sample_idx"],
}
START = {
    "observation_period": "observation_period_start_date",
    "visit_occurrence": "visit_start_date",
    "visit_detail": "visit_detail_start_date",
    "condition_occurrence": "condition_start_date",
    "drug_exposure": "drug_exposure_start_date",
    "device_exposure": "device_exposure_start_date",
    "procedure_occurrence": "procedure_date",
    "measurement": "measurement_date",
    "observation": "observation_date",
    "specimen": "specimen_date",
    "note": "note_date",
    "death": "death_date",
    "condition_era": "condition_era_start_date",
    "drug_era": "drug_era_start_date",
    "visit_stay": "visit_stay_start_date",
    "person_summary": "first_record_date",
    "survey_conduct": "survey_start_date",
    "survey_module": "first_survey_date",
    "wearable_day": "date",
    "heart_rate_summary": "date",
    "sleep_daily_summary": "sleep_date",
    "sleep_level": "sleep_date",
    "activity_summary": "date",
}


class Checks:
    """Counts what held and gathers what did not."""

    def __init__(self):
        self.held, self.failed, self.skipped = 0, [], []

    def that(self, truth, what):
        if truth:
            self.held += 1
        else:
            self.failed.append(what)

    def equal(self, left, right, what):
        self.that(left == right, f"{what}: {str(left)[:120]} is not {str(right)[:120]}")

    def skip(self, what):
        self.skipped.append(what)


def find_release(path, checks):
    """The release folder and its manifest, by way of CURRENT where there is one."""
    store = path
    if (path / "MANIFEST.json").exists():
        store = path.parent.parent
    current = store / "CURRENT"
    digest = None
    if current.exists():
        release_id, digest = current.read_text().split()
        if store == path:
            path = store / "releases" / release_id
        elif path.name != release_id:
            digest = None
    text = (path / "MANIFEST.json").read_bytes()
    if digest is not None:
        checks.equal(hashlib.sha256(text).hexdigest(), digest, "manifest digest in CURRENT")
    manifest = json.loads(text)
    checks.equal(manifest["release_id"], path.name, "release id")
    checks.that(
        manifest["content_key"].startswith(manifest["release_id"].rsplit("-", 1)[1]),
        "the release id does not come from the content key",
    )
    return path, manifest


def table_key(path):
    """`controlled/omop/person/part-0000.parquet` -> `controlled/omop/person`; partitions left out."""
    *folders, name = [p for p in path.split("/") if "=" not in p]
    stem = name.removesuffix(".parquet")
    return "/".join(folders if stem.startswith("part") else [*folders, stem])


def check_files(root, manifest, checks):
    """Every listed file is there, with its size and digest; nothing else is."""
    listed = {f["path"]: f for f in manifest["files"]}
    checks.equal(len(listed), len(manifest["files"]), "paths listed more than once")
    checks.equal(list(listed), sorted(listed), "the manifest's files are sorted")
    found = {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()}
    checks.equal(found - {"MANIFEST.json"}, set(listed), "files on disk and in the manifest")
    for path, entry in listed.items():
        if path not in found:
            continue
        data = (root / path).read_bytes()
        checks.equal(len(data), entry["bytes"], f"bytes of {path}")
        checks.equal(hashlib.sha256(data).hexdigest(), entry["sha256"], f"sha256 of {path}")
        checks.that(path.split("/")[0] in TIERS, f"{path} is in no tier")
        checks.equal(path.split("/")[0], entry["tier"], f"tier of {path}")
        if entry["tier"] in ("controlled", "registered", "quality"):
            mode = (root / path).stat().st_mode & 0o077
            checks.equal(mode, 0, f"others' rights to {path}")


def check_footers(root, manifest, tables, checks):
    """What each file says of itself: rows, tier, encoding, page index, no release id."""
    rows = {f["path"]: f.get("rows") for f in manifest["files"]}
    for key, files in tables.items():
        for path in files:
            footer = pq.ParquetFile(root / path)
            meta = footer.metadata
            checks.equal(meta.num_rows, rows[path], f"rows of {path}")
            tags = {k.decode(): v.decode() for k, v in (meta.metadata or {}).items() if k != b"ARROW:schema"}
            checks.equal(tags.get("strata.tier"), key.split("/")[0], f"strata.tier of {path}")
            for tag in ("strata.table", "strata.schema_version", "strata.date_basis", "strata.version"):
                checks.that(tag in tags, f"{path} has no {tag}")
            checks.that(manifest["release_id"] not in str(tags), f"{path} names its release")
            for part in path.split("/"):
                if "=" in part:
                    column = part.split("=")[0]
                    checks.that(column not in footer.schema_arrow.names, f"{path} repeats {column}")
            for g in range(meta.num_row_groups):
                group = meta.row_group(g)
                for c in range(group.num_columns):
                    column = group.column(c)
                    checks.that(
                        column.compression == "ZSTD", f"{path}: {column.path_in_schema} is not zstd"
                    )
                    # A column of lists or structs may go without; plain ones may not.
                    if "." not in column.path_in_schema:
                        checks.that(column.has_offset_index, f"{path} has no page index")


def check_counts(root, manifest, tables, db, checks):
    """The same number of rows by manifest, DuckDB, Polars and pyarrow, partitions included."""
    rows = {f["path"]: f.get("rows", 0) for f in manifest["files"]}
    for key, files in tables.items():
        paths = [str(root / f) for f in files]
        stated = sum(rows[f] for f in files)
        hive = [p.split("=")[0] for p in files[0].split("/") if "=" in p]
        source = "read_parquet(?, hive_partitioning = true, union_by_name = true)"
        checks.equal(db.execute(f"SELECT count(*) FROM {source}", [paths]).fetchone()[0], stated, f"DuckDB rows of {key}")
        lazy = pl.scan_parquet(paths, hive_partitioning=bool(hive))
        checks.equal(lazy.select(pl.len()).collect().item(), stated, f"Polars rows of {key}")
        dataset = ds.dataset(paths, format="parquet", partitioning="hive" if hive else None)
        checks.equal(dataset.count_rows(), stated, f"pyarrow rows of {key}")
        for column in hive:
            written = sorted({p.split(f"{column}=")[1].split("/")[0] for p in files})
            in_duckdb = db.execute(f"SELECT DISTINCT {column}::VARCHAR FROM {source}", [paths]).fetchall()
            as_text = sorted(v.lstrip("0") or "0" for v in written) if column == "person_bucket" else written
            got = sorted(v[0].lstrip("0") or "0" for v in in_duckdb) if column == "person_bucket" else sorted(v[0] for v in in_duckdb)
            empty = stated == 0 or any(rows[f] == 0 for f in files)
            checks.that(empty or got == as_text, f"DuckDB sees other {column} values in {key}")
            checks.that(column in lazy.collect_schema().names(), f"Polars sees no {column} in {key}")
            checks.that(column in dataset.schema.names, f"pyarrow sees no {column} in {key}")


def check_order(root, tables, checks):
    """Rows are in the declared order, within each file and from part to part of a partition."""
    for key, files in tables.items():
        table = key.split("/")[-1]
        tier, kind = key.split("/")[:2]
        if tier not in ("controlled", "registered"):
            continue
        names = pq.read_schema(root / files[0]).names
        columns = SORTED_BY.get(table) if kind == "genomics" else None
        if kind in ("omop", "wearables") and "person_id" in names and table != "person":
            columns = ["person_id"] + [START.get(table)] * (START.get(table) in names)
        if not columns:
            continue
        partitions = defaultdict(list)
        for path in files:
            partitions[path.rsplit("/", 1)[0]].append(path)
            declared = [
                names[s.column_index]
                for s in pq.ParquetFile(root / path).metadata.row_group(0).sorting_columns
            ] if pq.read_metadata(root / path).num_row_groups else columns
            checks.that(declared[:1] == columns[:1], f"{path} does not declare its order")
        for partition, paths in partitions.items():
            frame = pl.concat([pl.read_parquet(root / p, columns=columns, hive_partitioning=False) for p in sorted(paths)])
            order = frame.with_row_index("row").sort(columns, nulls_last=False, maintain_order=True)
            checks.that(order["row"].is_sorted(), f"{partition} is not sorted by {columns}")


def plane_counts(rows, samples):
    """Per variant, from the planes alone: het, hom_alt and not called, of the masked samples."""
    mask = np.packbits(samples.astype(np.uint8), bitorder="little")
    het = np.stack([np.frombuffer(r, np.uint8) for r in rows["het"]]) & mask
    hom = np.stack([np.frombuffer(r, np.uint8) for r in rows["hom_alt"]]) & mask
    count = lambda planes: np.bitwise_count(planes).sum(axis=1, dtype=np.int64)
    return count(het & ~hom), count(hom & ~het), count(het & hom)


def check_genomics(root, tables, db, checks):
    """Planes, carriers and stored counts tell the same story, in three engines."""
    callsets = sorted({k.rsplit("/", 1)[0] for k in tables if k.split("/")[1] == "genomics"})
    if not callsets:
        checks.skip("no callset in this release")
    for callset in callsets:
        files = {t: [str(root / f) for f in tables.get(f"{callset}/{t}", [])]
                 for t in ("variants", "genotypes", "carriers", "samples")}
        checks.that(files["variants"] and files["genotypes"] and files["samples"], f"{callset} lacks a table")
        for table, paths in files.items():
            if paths:
                db.execute(f"CREATE OR REPLACE TEMP VIEW {table} AS SELECT * FROM "
                           f"read_parquet({paths!r}, hive_partitioning = true)")
        samples = pl.read_parquet(files["samples"]).sort("sample_idx")
        n = samples.height
        checks.equal(samples["sample_idx"].to_list(), list(range(n)), f"{callset} sample_idx")
        checks.equal(samples["person_id"].n_unique(), n, f"{callset} people")
        pairs = db.execute(
            "SELECT count(*), count(*) FILTER (v.pos = g.pos) FROM variants v "
            "JOIN genotypes g USING (chrom, variant_idx)").fetchone()
        total = db.execute("SELECT count(*) FROM variants").fetchone()[0]
        checks.equal(pairs, (total, total), f"{callset} variants with their planes")
        checks.equal(db.execute("SELECT count(DISTINCT vid) FROM variants").fetchone()[0], total, f"{callset} vids")
        bytes_ = {len(r) for r in pl.read_parquet(files["genotypes"][0], columns=["het"])["het"].head(100)}
        checks.that(bytes_ <= {(n + 7) // 8}, f"{callset} planes are not ceil(n / 8) bytes")
        planes = ("bit_count(het::BIT & ~hom_alt::BIT) AS het_n, bit_count(hom_alt::BIT & ~het::BIT) AS hom_n, "
                  "bit_count(het::BIT & hom_alt::BIT) AS none_n")
        db.execute(f"CREATE OR REPLACE TEMP TABLE counted AS SELECT chrom, variant_idx, {planes} FROM genotypes")
        wrong = db.execute(
            "SELECT count(*) FROM counted JOIN variants v USING (chrom, variant_idx) "
            "WHERE het_n != n_het OR hom_n != n_hom_alt + n_hemi_alt OR none_n < n_missing").fetchone()[0]
        checks.equal(wrong, 0, f"{callset} variants whose planes and stored counts differ")
        called = db.execute("SELECT count(*) FROM variants WHERE n_called != n_hom_ref + n_het + n_hom_alt "
                            "+ n_hemi_ref + n_hemi_alt").fetchone()[0]
        checks.equal(called, 0, f"{callset} variants whose calls do not add up")
        if files["carriers"]:
            check_carriers(callset, db, checks)
        else:
            checks.skip(f"{callset} has no carriers table")
        check_subcohorts(callset, files, samples, db, checks)


def check_carriers(callset, db, checks):
    """Of every variant, carriers in SQL equal set bits in the planes."""
    wrong = db.execute("""
        WITH listed AS (
            SELECT chrom, variant_idx,
                   count(*) FILTER (gt = 1) AS het, count(*) FILTER (gt IN (2, 3)) AS hom,
                   count(*) FILTER (gt IN (4, 5, 6)) AS none, count(DISTINCT sample_idx) = count(*) AS once
            FROM carriers GROUP BY ALL)
        SELECT count(*) FROM counted LEFT JOIN listed USING (chrom, variant_idx)
        WHERE (het_n, hom_n, none_n) IS DISTINCT FROM (coalesce(het, 0), coalesce(hom, 0), coalesce(none, 0))
           OR NOT coalesce(once, true)""").fetchone()[0]
    checks.equal(wrong, 0, f"{callset} variants whose carriers and planes differ")
    strays = db.execute("SELECT count(*) FROM carriers c ANTI JOIN variants USING (chrom, variant_idx, pos)").fetchone()[0]
    checks.equal(strays, 0, f"{callset} carriers of no variant")


def check_subcohorts(callset, files, samples, db, checks):
    """Allele counts by ancestry group from the planes of its members equal the stored columns."""
    schema = pq.read_schema(files["variants"][0]).names
    groups = [c.removeprefix("ac_") for c in schema if c.startswith("ac_")]
    checks.that(bool(groups), f"{callset} has no counts by group")
    n = samples.height
    for group in groups:
        members = (samples["ancestry"].cast(pl.String) == group).fill_null(False).to_numpy()
        mask = np.packbits(members.astype(np.uint8), bitorder="little").tobytes()
        sql = ("SELECT count(*), count(*) FILTER (bit_count(het::BIT & ~hom_alt::BIT & m) + "
               "2 * bit_count(hom_alt::BIT & ~het::BIT & m) = ac_G AND "
               "2 * ($n - bit_count(het::BIT & hom_alt::BIT & m)) = an_G) "
               "FROM (SELECT *, $mask::BLOB::BIT AS m FROM genotypes) "
               "JOIN variants USING (chrom, variant_idx) "
               "WHERE chrom NOT IN ('chrX', 'chrY', 'chrM', 'X', 'Y', 'MT') AND n_half = 0")
        total, right = db.execute(sql.replace("_G", f"_{group}"), {"mask": mask, "n": int(members.sum())}).fetchone()
        checks.equal(right, total, f"{callset} variants with the stored counts of {group}, by DuckDB")
    # numpy on the raw bytes, and Polars on carriers joined to samples, for the first part.
    part = pl.read_parquet(files["genotypes"][0], hive_partitioning=False).head(2000)
    stored = pl.read_parquet(files["variants"][0], hive_partitioning=False).join(
        part.select("variant_idx"), on="variant_idx", how="semi").sort("variant_idx")
    het, hom, none = plane_counts(part, np.ones(n, bool))
    whole = stored.height == part.height and "chrom=chrX" not in files["genotypes"][0]
    if whole and stored["n_half"].sum() == 0:
        checks.equal((het + 2 * hom).tolist(), stored["ac"].to_list(), f"{callset} ac by numpy")
        checks.equal((2 * (n - none)).tolist(), stored["an"].to_list(), f"{callset} an by numpy")
    if files["carriers"] and groups:
        group = samples["ancestry"].cast(pl.String).value_counts(sort=True)["ancestry"][0]
        if group not in groups:
            return
        frequency = (
            pl.scan_parquet(files["carriers"], hive_partitioning=True)
            .join(pl.scan_parquet(files["samples"]).filter(pl.col("ancestry").cast(pl.String) == group)
                  .select("sample_idx"), on="sample_idx")
            .group_by("chrom", "variant_idx")
            .agg(ac=(pl.col("gt").cast(pl.Int64) == 1).sum() + 2 * (pl.col("gt") == 2).sum() + (pl.col("gt") == 3).sum())
        )
        joined = (
            pl.scan_parquet(files["variants"], hive_partitioning=True)
            .filter(pl.col("n_half") == 0)
            .join(frequency, on=["chrom", "variant_idx"], how="left")
            .select((pl.col("ac_right").fill_null(0).cast(pl.Int64) != pl.col(f"ac_{group}")).sum())
            if "ac" in schema else None
        )
        if joined is not None:
            checks.equal(joined.collect().item(), 0, f"{callset} variants with another count of {group}, by Polars")


def check_records(root, tables, db, checks):
    """Conditions by sex joined to person, in DuckDB and Polars; a person lives in one bucket."""
    seen = False
    for tier in ("controlled", "registered"):
        person = tables.get(f"{tier}/omop/person")
        condition = tables.get(f"{tier}/omop/condition_occurrence")
        if not person or not condition:
            continue
        seen = True
        person, condition = ([str(root / f) for f in t] for t in (person, condition))
        people = pl.read_parquet(person, hive_partitioning=False)
        checks.equal(people["person_id"].n_unique(), people.height, f"{tier} people")
        sql = db.execute(
            "SELECT condition_concept_id, gender_concept_id, count(DISTINCT person_id) "
            "FROM read_parquet(?, hive_partitioning = true) c JOIN read_parquet(?) p USING (person_id) "
            "GROUP BY ALL ORDER BY ALL", [condition, person]).fetchall()
        frame = (
            pl.scan_parquet(condition, hive_partitioning=True)
            .join(pl.scan_parquet(person), on="person_id")
            .group_by("condition_concept_id", "gender_concept_id")
            .agg(pl.col("person_id").n_unique())
            .sort("condition_concept_id", "gender_concept_id")
            .collect()
        )
        order = lambda rows: sorted(rows, key=str)
        checks.equal(order(frame.rows()), order(sql), f"{tier} conditions by sex, Polars and DuckDB")
        checks.that(len(sql) > 1, f"{tier} has hardly any conditions")
        for key, files in tables.items():
            if not key.startswith(f"{tier}/omop/") or "person_bucket=" not in files[0]:
                continue
            paths = [str(root / f) for f in files]
            split = db.execute(
                "SELECT count(*) FROM (SELECT person_id FROM read_parquet(?, hive_partitioning = true) "
                "GROUP BY person_id HAVING count(DISTINCT person_bucket) > 1)", [paths]).fetchone()[0]
            checks.equal(split, 0, f"people of {key} in two buckets")
            strays = db.execute(
                "SELECT count(*) FROM read_parquet(?) r ANTI JOIN read_parquet(?) p USING (person_id)",
                [paths, person]).fetchone()[0]
            checks.equal(strays, 0, f"rows of {key} without a person")
    if not seen:
        checks.skip("no EHR tables in this release")


def check_privacy(root, tables, feed, checks):
    """No raw id in any tier, no person in public, no genomics in registered, no made-up text let through."""
    for key, files in tables.items():
        tier = key.split("/")[0]
        names = pq.read_schema(root / files[0]).names
        if tier == "public":
            checks.that(not {"person_id", "sample_id", "sample_idx", "research_id"} & set(names), f"{key} has a person in it")
        if tier == "registered":
            checks.that(key.split("/")[1] != "genomics", f"{key} is genomics in the registered tier")
    if feed is None:
        checks.skip("raw ids: no --feed")
        return
    with open(feed / "participants.csv", newline="") as file:
        raw = [int(row["person_id"]) for row in csv.DictReader(file)]
    with open(feed / "sample_person.csv", newline="") as file:
        names = [row["sample_id"] for row in csv.DictReader(file)]
    ids, id_texts = pa.array(raw, pa.int64()), pa.array([str(i) for i in raw] + names)
    # Small raw ids are also counts and concepts; then only person_id columns can be told apart.
    telling = min(raw) > 2**31
    for key, files in tables.items():
        for path in files:
            for field in pq.read_schema(root / path):
                is_text = pa.types.is_string(field.type) or pa.types.is_dictionary(field.type) or pa.types.is_large_string(field.type)
                is_id = pa.types.is_int64(field.type) and (telling or field.name == "person_id")
                if not is_id and not (is_text and telling):
                    continue
                column = pq.ParquetFile(root / path).read([field.name]).column(0)
                if is_id:
                    checks.that(not pc.any(pc.is_in(column, ids)).as_py(), f"{path}: {field.name} has raw person ids")
                    continue
                values = pc.drop_null(column.cast(pa.string())).unique()
                checks.that(not pc.any(pc.is_in(values, id_texts)).as_py(), f"{path}: {field.name} has raw ids as text")
                if key.split("/")[0] != "quality":
                    fake = pc.match_substring_regex(values, r"MRN-FAKE|Fake Street|555-01\d\d|Testperson")
                    checks.that(not pc.any(fake).as_py(), f"{path}: {field.name} has made-up identifiers")


def check_association(root, tables, feed, db, checks):
    """The genotype-phenotype join that controlled users come for finds what was planted."""
    truth = feed and feed / "truth.json"
    if not truth or not truth.exists():
        checks.skip("planted association: no truth.json")
        return
    planted = json.loads(truth.read_text()).get("association")
    files = {t: [str(root / f) for f in tables.get(f"controlled/{t}", [])] for t in
             ("genomics/wgs/variants", "genomics/wgs/carriers", "genomics/wgs/samples", "omop/condition_occurrence", "omop/person")}
    if not planted or not all(files.values()):
        checks.skip("planted association: tables missing")
        return
    source = {t.split("/")[-1]: f"read_parquet({p!r}, hive_partitioning = true)" for t, p in files.items()}
    rows = db.execute(f"""
        WITH risk AS (SELECT sample_idx, gt FROM {source["carriers"]} k JOIN {source["variants"]} v
                      USING (chrom, variant_idx) WHERE vid = ?),
             cases AS (SELECT DISTINCT person_id FROM {source["condition_occurrence"]} WHERE condition_concept_id = ?)
        SELECT coalesce(gt IN (1, 2), false) AS carrier, c.person_id IS NOT NULL AS is_case, count(*)
        FROM {source["samples"]} s SEMI JOIN {source["person"]} p USING (person_id)
        LEFT JOIN risk USING (sample_idx) LEFT JOIN cases c USING (person_id)
        WHERE gt IS NULL OR gt IN (1, 2) GROUP BY ALL""",
        [planted["vid"], planted["condition_concept_id"]]).fetchall()
    cells = defaultdict(int, {(carrier, case): n for carrier, case, n in rows})
    limits = {(True, True): "carriers_with", (True, False): "carriers_without",
              (False, True): "others_with", (False, False): "others_without"}
    for cell, name in limits.items():
        checks.that(cells[cell] <= planted[name], f"more {name} than were made")
    checks.that(cells[True, True] > 0.8 * planted["carriers_with"], "cases among carriers went missing")
    ratio = ((cells[True, True] + .5) * (cells[False, False] + .5)) / ((cells[True, False] + .5) * (cells[False, True] + .5))
    checks.that(ratio > 1.3, f"odds ratio of the planted variant is {ratio:.2f}")


def check(path, feed=None):
    """Runs every check on a store or release; returns the `Checks`."""
    checks = Checks()
    root, manifest = find_release(Path(path), checks)
    check_files(root, manifest, checks)
    tables = defaultdict(list)
    for entry in manifest["files"]:
        if entry["path"].endswith(".parquet") and (root / entry["path"]).exists():
            tables[table_key(entry["path"])].append(entry["path"])
    checks.that(bool(tables), "the release has no tables")
    db = duckdb.connect()
    try:
        check_footers(root, manifest, tables, checks)
        check_counts(root, manifest, tables, db, checks)
        check_order(root, tables, checks)
        check_genomics(root, tables, db, checks)
        check_records(root, tables, db, checks)
        check_privacy(root, tables, feed, checks)
        check_association(root, tables, feed, db, checks)
    except (duckdb.Error, pa.ArrowException, pl.exceptions.PolarsError) as error:
        checks.failed.append(f"a reader gave up: {type(error).__name__}: {error}")
    return checks


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("release", type=Path, help="store (with CURRENT) or release folder")
    parser.add_argument("--feed", type=Path, help="folder the release was made from")
    arguments = parser.parse_args()
    checks = check(arguments.release, arguments.feed)
    for what in checks.skipped:
        print(f"skipped: {what}")
    for what in checks.failed[:50]:
        print(f"FAILED: {what}", file=sys.stderr)
    print(f"{checks.held} checks held, {len(checks.failed)} failed, {len(checks.skipped)} skipped")
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
