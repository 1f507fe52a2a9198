#!/usr/bin/env python3
"""Builds a small release by hand, as the contract lays it out, and breaks it in one way after another.

    python3 tests/consumers/selftest.py

The readers must accept the whole one and notice every break. Needs no strata.
"""

import hashlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from readers import check

N, VARIANTS, RELEASE = 21, 60, "2026q4r1-0123456789ab"
PLANTED, CARRIERS = 3, 9
TAGS = {"strata.schema_version": "1", "strata.date_basis": "true", "strata.version": "0"}


class Release:
    """A release under construction."""

    def __init__(self, store):
        self.store, self.root, self.files = store, store / "releases" / RELEASE, []

    def table(self, path, columns, sort=(), compression="zstd"):
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        tier, name = path.split("/")[0], path.split("/")[2]
        data = pa.table(columns).replace_schema_metadata({"strata.tier": tier, "strata.table": name, **TAGS})
        order = [pq.SortingColumn(data.schema.names.index(c)) for c in sort]
        pq.write_table(data, target, compression=compression, write_page_index=True, sorting_columns=order or None)
        self.files.append((path, tier, name, data.num_rows))

    def commit(self):
        entries = []
        for path, tier, name, rows in sorted(self.files):
            data = (self.root / path).read_bytes()
            (self.root / path).chmod(0o600)
            entries.append({"path": path, "tier": tier, "table": name, "rows": rows, "bytes": len(data),
                            "sha256": hashlib.sha256(data).hexdigest()})
        manifest = {"release_id": RELEASE, "content_key": "0123456789ab" + "0" * 52, "files": entries}
        text = json.dumps(manifest).encode()
        (self.root / "MANIFEST.json").write_bytes(text)
        (self.store / "CURRENT").write_text(f"{RELEASE} {hashlib.sha256(text).hexdigest()}\n")


def genomics(release, **breaks):
    rng = np.random.default_rng(1)
    # 0 hom_ref, 1 het, 2 hom_alt, 3 not called.
    calls = rng.choice(4, size=(VARIANTS, N), p=[0.7, 0.2, 0.07, 0.03])
    # Carriers of this one have the condition 201826, the others have another.
    release.carriers = calls[PLANTED] % 3 > 0
    groups = np.array(["afr", "eur", "eas"])[np.arange(N) % 3]
    pos = pa.array(range(100, 100 + 10 * VARIANTS, 10), pa.int32())
    if breaks.get("unsorted"):
        pos = pa.array(list(reversed(pos.to_pylist())), pa.int32())
    idx = pa.array(range(VARIANTS), pa.int32())
    count = lambda mask: pa.array(mask.sum(axis=1), pa.int32())
    zeros = pa.array([0] * VARIANTS, pa.int32())
    text = lambda value: pa.array([value] * VARIANTS)
    variants = {
        "vid": pa.array([f"chr20-{p}-A-C" for p in pos.to_pylist()]), "variant_idx": idx, "pos": pos, "end": pos,
        "ref": text("A"), "alt": text("C"), "n_called": count(calls < 3), "n_missing": count(calls == 3),
        "n_half": zeros, "n_hom_ref": count(calls == 0), "n_het": count(calls == 1), "n_hom_alt": count(calls == 2),
        "n_hemi_ref": zeros, "n_hemi_alt": zeros,
        "ac": pa.array(((calls == 1) + 2 * (calls == 2)).sum(axis=1) + bool(breaks.get("ac")), pa.int32()),
        "an": pa.array(2 * (calls < 3).sum(axis=1), pa.int32()),
    }
    for group in ("afr", "eur", "eas"):
        mine = calls[:, groups == group]
        wrong = breaks.get("group") == group
        variants[f"ac_{group}"] = pa.array(((mine == 1) + 2 * (mine == 2)).sum(axis=1) + wrong, pa.int32())
        variants[f"an_{group}"] = pa.array(2 * (mine < 3).sum(axis=1), pa.int32())
    home = "controlled/genomics/wgs"
    release.table(f"{home}/variants/chrom=chr20/part-0000.parquet", variants, ["pos", "ref", "alt"])
    plane = lambda mask: pa.array([np.packbits(r, bitorder="little").tobytes() for r in mask], pa.binary((N + 7) // 8))
    bits = calls.copy()
    if breaks.get("plane"):
        bits[5, 3] = (bits[5, 3] + 1) % 4
    planes = {"variant_idx": idx, "pos": pos, "het": plane((bits & 1) > 0), "hom_alt": plane((bits & 2) > 0)}
    release.table(f"{home}/genotypes/chrom=chr20/part-0000.parquet", planes, ["variant_idx"])
    rows, samples = np.nonzero(calls)
    if breaks.get("carrier"):
        rows, samples = rows[1:], samples[1:]
    code = np.array([0, 1, 2, 5])[calls[rows, samples]]
    carriers = {"variant_idx": pa.array(rows, pa.int32()), "pos": pos.take(pa.array(rows)),
                "sample_idx": pa.array(samples, pa.int32()), "gt": pa.array(code, pa.int8())}
    release.table(f"{home}/carriers/chrom=chr20/part-0000.parquet", carriers, ["variant_idx", "sample_idx"])
    people = {"sample_idx": pa.array(range(N), pa.int32()), "person_id": pa.array(range(7000, 7000 + N), pa.int64()),
              "ancestry": pa.array(groups.tolist())}
    release.table(f"{home}/samples/part-0000.parquet", people, ["sample_idx"])


def records(release, **breaks):
    for tier in ("controlled", "registered"):
        ids = list(range(7000, 7000 + N))
        if breaks.get("raw_id") == tier:
            ids[0] = 4_200_000_001
        person = {"person_id": pa.array(ids, pa.int64()),
                  "gender_concept_id": pa.array([8507 + 25 * (i % 2) for i in range(N)], pa.int64()),
                  "person_source_value": pa.array(["MRN-FAKE-1" if breaks.get("text") == tier else None] * N, pa.string())}
        release.table(f"{tier}/omop/person/part-0000.parquet", person, ["person_id"])
        for bucket in range(2):
            mine = [i for i in ids if i % 2 == bucket for _ in range(3)]
            if breaks.get("bucket") == tier and bucket == 1:
                mine.insert(0, ids[2])
            if breaks.get("stray") == tier and bucket == 1:
                mine.append(99_999)
            dates = np.array(["2020-01-01", "2020-02-01", "2021-03-01"] * len(mine), "datetime64[D]")[: len(mine)]
            if breaks.get("order") == tier:
                dates = dates[::-1]
            condition = {"condition_occurrence_id": pa.array(range(len(mine)), pa.int64()),
                         "person_id": pa.array(mine, pa.int64()),
                         "condition_concept_id": pa.array(concepts(release, mine, **breaks), pa.int64()),
                         "condition_start_date": pa.array(dates, pa.date32())}
            release.table(f"{tier}/omop/condition_occurrence/person_bucket={bucket:03}/part-0000.parquet", condition,
                          ["person_id", "condition_start_date"], breaks.get("compression", "zstd"))


def concepts(release, people, lost=False, **_):
    ill = lambda person: 0 <= person - 7000 < N and release.carriers[person - 7000] and not lost
    return [201826 if ill(person) else 201827 for person in people]


def public(release, person=False):
    columns = {"concept_id": pa.array([201826], pa.int64()), "count": pa.array([20], pa.int64())}
    if person:
        columns["person_id"] = pa.array([1], pa.int64())
    release.table("public/tables/concept_counts.parquet", columns)


def build(store, **breaks):
    release = Release(store)
    genomics(release, **breaks)
    records(release, **breaks)
    public(release, breaks.get("public", False))
    release.commit()
    return release.root


def later(change):
    """A break made after commit: `change(root)`."""
    return change


FIRST = "controlled/genomics/wgs/samples/part-0000.parquet"
BREAKS = {
    "planes differ from carriers and counts": {"plane": True},
    "a carrier is missing": {"carrier": True},
    "ac differs from planes": {"ac": True},
    "a group's ac differs": {"group": "eur"},
    "variants out of order": {"unsorted": True},
    "conditions out of order": {"order": "controlled"},
    "a person in two buckets": {"bucket": "registered"},
    "a row without a person": {"stray": "registered"},
    "a raw id in a tier": {"raw_id": "registered"},
    "made-up text in a tier": {"text": "registered"},
    "a person in public": {"public": True},
    "the planted association is lost": {"lost": True},
    "another compression": {"compression": "snappy"},
    "a flipped byte": later(lambda root: flip(root / FIRST)),
    "a missing file": later(lambda root: (root / FIRST).unlink()),
    "a file too many": later(lambda root: (root / "controlled/extra.txt").write_text("x")),
    "others may read": later(lambda root: (root / FIRST).chmod(0o644)),
    "a changed manifest": later(lambda root: add_space(root / "MANIFEST.json")),
}


def flip(path):
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)


def add_space(path):
    path.write_bytes(path.read_bytes() + b" ")


def write_feed(folder):
    folder.mkdir()
    ids = range(4_200_000_001, 4_200_000_001 + N)
    (folder / "participants.csv").write_text("person_id\n" + "".join(f"{i}\n" for i in ids))
    (folder / "sample_person.csv").write_text("sample_id,person_id\n" + "".join(f"SYN{i},{i}\n" for i in ids))
    cells = ("carriers_with", "carriers_without", "others_with", "others_without")
    planted = {"vid": f"chr20-{100 + 10 * PLANTED}-A-C", "condition_concept_id": 201826, **dict.fromkeys(cells, N)}
    planted["carriers_with"] = CARRIERS
    (folder / "truth.json").write_text(json.dumps({"association": planted}))
    return folder


def main():
    failures = 0
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        feed = write_feed(scratch / "feed")
        os.umask(0o077)
        whole = check(build(scratch / "whole"), feed)
        if whole.failed or whole.held < 100:
            failures += 1
            print("FAILED: the whole release:", *whole.failed, sep="\n  ", file=sys.stderr)
        if check(scratch / "whole", feed).failed:
            failures += 1
            print("FAILED: the whole release by its store", file=sys.stderr)
        for name, change in BREAKS.items():
            store = scratch / "broken"
            root = build(store, **({} if callable(change) else change))
            if callable(change):
                change(root)
            if not check(root, feed).failed:
                failures += 1
                print(f"FAILED: not noticed: {name}", file=sys.stderr)
            shutil.rmtree(store)
    print(f"{len(BREAKS) + 2 - failures} of {len(BREAKS) + 2} self-tests hold")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
