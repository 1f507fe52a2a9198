#!/usr/bin/env python3
"""Turns the measurements of run.sh into a result: medians, ratios within rounds, and the machine.

    python3 benches/summarise.py MEASUREMENTS.tsv FEED STRATA PERSONS VARIANTS
"""

import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path


def first_line(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).strip().split("\n")[0]


def machine():
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} x {cpu}, {memory:.0f} GiB, {platform.system()} {platform.release()}"


def vcf_text_bytes(path):
    """Bytes of text in a BGZF file, summed over the blocks' own sizes."""
    data, at, total = path.read_bytes(), 0, 0
    while at < len(data):
        size = int.from_bytes(data[at + 16 : at + 18], "little") + 1
        total += int.from_bytes(data[at + size - 4 : at + size], "little")
        at += size
    return total


def main():
    measurements, feed, strata, persons, variants = sys.argv[1:]
    feed = Path(feed)
    rounds = {}
    for line in open(measurements):
        number, name, wall, user, system, peak = line.split("\t")
        rounds.setdefault(int(number), {})[name] = {
            "wall_s": float(wall), "cpu_s": round(float(user) + float(system), 2), "peak_mib": int(peak) // 1024}
    names = list(rounds[1])
    medians = {n: {k: round(statistics.median(r[n][k] for r in rounds.values()), 3) for k in ("wall_s", "cpu_s", "peak_mib")} for n in names}

    def ratio(name, to):
        values = [r[name]["wall_s"] / r[to]["wall_s"] for r in rounds.values() if r[to]["wall_s"] > 0]
        return round(statistics.median(values), 3) if values else None

    pairs = [("strata_carriers", "bgzip"), ("strata_planes", "bgzip"), ("plink2", "bgzip"),
             ("strata_carriers", "plink2"), ("strata_planes", "plink2"),
             ("strata_carriers", "strata_carriers_half_variants"), ("strata_carriers", "strata_carriers_half_persons")]
    ratios = {f"{a}_to_{b}": ratio(a, b) for a, b in pairs if a in names and b in names}
    peak = max(r[n]["peak_mib"] for r in rounds.values() for n in names if n.startswith("strata"))
    result = {
        "machine": machine(),
        "commit": first_line("git", "describe", "--always", "--dirty", "--abbrev=12"),
        "versions": {"strata": first_line(strata, "--version"), "bgzip": first_line("bgzip", "--version"), "plink2": first_line("plink2", "--version")},
        "input": {"persons": int(persons), "variants": int(variants), "vcf_bytes": (feed / "bench.vcf.gz").stat().st_size, "text_bytes": vcf_text_bytes(feed / "bench.vcf.gz")},
        "threads": 2,
        "medians": medians,
        "ratios": ratios,
        "bars": {
            "carriers_at_most_3_times_bgzip": ratios["strata_carriers_to_bgzip"] <= 3,
            "planes_at_most_2_times_bgzip": ratios["strata_planes_to_bgzip"] <= 2,
            "faster_than_plink2": ratios["strata_carriers_to_plink2"] < 1,
            "peak_under_1_gib": peak < 1024,
        },
        "rounds": [rounds[n] for n in sorted(rounds)],
    }
    json.dump(result, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
