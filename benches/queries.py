#!/usr/bin/env python3
"""The same questions to strata query, DuckDB, Polars, numpy, bcftools and plink2. Run by queries.sh.

A round asks every tool every question once, on a warm page cache and with two threads. Command-line tools are
timed as whole processes that write their answer to a file, libraries inside this process from opening the
Parquet files to the finished answer. bcftools answers for one chromosome only unless --slow is given: it
needs minutes for the callset.
"""

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("POLARS_MAX_THREADS", "2")

import duckdb
import numpy as np
import polars as pl
import pyarrow.parquet as pq

CHROM = "chr22"
GROUPS = ["afr", "amr", "eas", "eur", "sas"]


def first_line(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).strip().split("\n")[0]


class Bench:
    def __init__(self, args):
        self.strata, self.work, self.feed, self.slow = args.strata, Path(args.work), Path(args.feed), args.slow
        self.store = self.work / "store"
        release = self.store / "releases" / (self.store / "CURRENT").read_text().split()[0]
        paths = [f["path"] for f in json.loads((release / "MANIFEST.json").read_text())["files"]]
        self.files = lambda table, chrom="": [
            str(release / p) for p in paths if p.startswith(f"controlled/genomics/wgs/{table}/{chrom and f'chrom={chrom}/'}")]
        self.samples = pl.read_parquet(self.files("samples")).sort("sample_idx")
        self.stride = -(-len(self.samples) // 8)
        random.seed(1)
        self.cohort = sorted(random.sample(range(len(self.samples)), len(self.samples) // 10))
        people = self.samples["person_id"].to_list()
        (self.work / "cohort.txt").write_text("".join(f"{people[i]}\n" for i in self.cohort))
        self.people = people
        variants = pl.read_parquet(self.files("variants", CHROM), columns=["vid", "variant_idx", "pos", "ref", "alt", "ac", "an"])
        self.variant = variants.filter((pl.col("ac") > 0.009 * pl.col("an")) & (pl.col("ac") < 0.011 * pl.col("an"))).row(0, named=True)
        # Peers know people by the names of the file: as many of them, not the same ones.
        names = [line.split("\t") for line in (self.feed / "ancestry_preds.tsv").read_text().splitlines()[1:]]
        in_file = set(subprocess.run(["bcftools", "query", "-l", self.work / "bench.bcf"], capture_output=True, text=True).stdout.split())
        names = [n for n in names if n[0] in in_file]
        self.one = names[len(names) // 2][0]
        (self.work / "groups.tsv").write_text("".join(f"{n[0]}\t{n[1]}\n" for n in names))
        (self.work / "pop.tsv").write_text("#IID\tpop\n" + "".join(f"{n[0]}\t{n[1]}\n" for n in names))
        (self.work / "keep.txt").write_text("".join(f"{n[0]}\n" for n in random.sample(names, len(self.cohort))))

    def mask(self, members):
        bits = np.zeros(self.stride * 8, dtype=np.uint8)
        bits[members] = 1
        return np.packbits(bits, bitorder="little")

    def group_masks(self):
        ancestry = self.samples["ancestry"].to_list()
        return {g: self.mask([i for i, a in enumerate(ancestry) if a == g]) for g in GROUPS}

    def run(self, *command, out="answer"):
        with open(self.work / out, "wb") as file:
            done = subprocess.run([str(c) for c in command], stdout=file, stderr=subprocess.PIPE)
        if done.returncode:
            sys.exit(f"{command[0]} failed: {done.stderr.decode()[-500:]}")

    def query(self, *more):
        self.run(self.strata, "query", self.store, "-j", "2", *more)

    def plink(self, *more):
        self.run("plink2", "--pfile", self.work / "plink", "--threads", "2", "--out", self.work / "plink.out", *more)

    def planes(self, chrom, masks):
        """AC and AN by mask with numpy."""
        answer = []
        for path in self.files("genotypes", chrom):
            file = pq.ParquetFile(path)
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=["het", "hom_alt"])
                het, hom = (np.frombuffer(table.column(c).combine_chunks().buffers()[1], dtype=np.uint8).reshape(-1, self.stride)
                            for c in ("het", "hom_alt"))
                for mask in masks:
                    count = lambda plane: np.bitwise_count(plane & mask).sum(axis=1, dtype=np.int32)
                    both = count(het & hom)
                    ac = count(het) - both + 2 * (count(hom) - both)
                    answer.append((ac, 2 * (int(np.bitwise_count(mask).sum()) - both)))
        return answer

    def duck(self, chrom, masks):
        """AC and AN by mask in SQL. Bits of a DuckDB BIT run from the most significant of each byte."""
        con = duckdb.connect(config={"threads": 2})
        text = [f"'{''.join(f'{b:08b}' for b in mask)}'::BIT" for mask in masks]
        cells = ", ".join(
            f"bit_count(het & {m}) + 2 * bit_count(hom & {m}) - 3 * bit_count(het & hom & {m}) AS ac{i}, "
            f"2 * (bit_count({m}) - bit_count(het & hom & {m})) AS an{i}" for i, m in enumerate(text))
        return con.execute(
            f"SELECT variant_idx, {cells} FROM (SELECT variant_idx, het::BIT AS het, hom_alt::BIT AS hom FROM read_parquet($1))",
            [self.files("genotypes", chrom)]).to_arrow_table()

    def long(self, chrom, samples, by):
        """AC by group from carriers."""
        copies = pl.col("gt").replace_strict({1: 1, 2: 2, 3: 1}, default=0, return_dtype=pl.Int32)
        carriers = pl.scan_parquet(self.files("carriers", chrom)).select("variant_idx", "sample_idx", copies.alias("ac"))
        joined = carriers.join(samples.lazy(), on="sample_idx")
        return joined.group_by("variant_idx", *by).agg(pl.col("ac").sum()).collect(engine="streaming")

    def questions(self):
        v, region = self.variant, f"{CHROM}:{self.variant['pos']}"
        ids = self.samples.select("sample_idx", "person_id", "ancestry")
        some = ids.filter(pl.col("sample_idx").is_in(self.cohort))
        me = len(self.samples) // 2
        carriers = self.files("carriers", CHROM)
        con = lambda: duckdb.connect(config={"threads": 2})
        bcf = self.work / "bench.bcf"
        five = lambda: list(self.group_masks().values())
        ten = lambda: [self.mask(self.cohort)]
        plink_range = lambda *more: self.plink("--chr", CHROM[3:], *more)
        view = lambda *more: self.run("bcftools", "view", "-H", "-r", *more, bcf)
        yield "carriers_of_a_variant", {
            "strata": lambda: self.query("--variant", v["vid"], "--carriers"),
            "duckdb_carriers": lambda: con().execute(
                "SELECT s.person_id, c.gt FROM read_parquet($1) c JOIN read_parquet($2) s USING (sample_idx) "
                "WHERE c.variant_idx = $3 AND c.gt <= 3", [carriers, self.files("samples"), v["variant_idx"]]).fetchall(),
            "polars_carriers": lambda: pl.scan_parquet(carriers).filter(
                (pl.col("variant_idx") == v["variant_idx"]) & (pl.col("gt") <= 3)).join(ids.lazy(), on="sample_idx").collect(),
            "bcftools": lambda: self.run("bcftools", "query", "-r", region, "-i", 'GT="alt"', "-f", "[%SAMPLE\\t%GT\\n]", bcf),
            "plink2": lambda: plink_range("--from-bp", v["pos"], "--to-bp", v["pos"], "--export", "A-transpose"),
        }
        yield "calls_of_a_sample_one_chromosome", {
            "strata": lambda: self.query("--region", CHROM, "--person", self.people[me]),
            "duckdb_carriers": lambda: con().execute(
                "SELECT variant_idx, gt FROM read_parquet($1) WHERE sample_idx = $2 AND gt <= 3", [carriers, me]).to_arrow_table(),
            "polars_carriers": lambda: pl.scan_parquet(carriers).filter(
                (pl.col("sample_idx") == me) & (pl.col("gt") <= 3)).select("variant_idx", "gt").collect(),
            "bcftools": lambda: view(CHROM, "-s", self.one, "-c", "1"),
            "plink2": lambda: plink_range("--keep", self.keep_one(), "--mac", "1", "--export", "A-transpose"),
        }
        yield "af_by_5_groups_one_chromosome", {
            "strata": lambda: self.query("--region", CHROM, "--by", "ancestry"),
            "duckdb_planes": lambda: self.duck(CHROM, five()),
            "numpy_planes": lambda: self.planes(CHROM, five()),
            "polars_carriers": lambda: self.long(CHROM, ids, ["ancestry"]),
            "bcftools": lambda: self.run("bash", "-c", f"bcftools view -Ou -r {CHROM} {bcf} | bcftools +fill-tags -Ob -- -t AC,AN,AF -S {self.work}/groups.tsv"),
            "plink2": lambda: plink_range("--pheno", self.work / "pop.tsv", "--loop-cats", "pop", "--freq"),
        }
        yield "af_of_a_tenth_one_chromosome", {
            "strata": lambda: self.query("--region", CHROM, "--samples", self.work / "cohort.txt"),
            "duckdb_planes": lambda: self.duck(CHROM, ten()),
            "numpy_planes": lambda: self.planes(CHROM, ten()),
            "polars_carriers": lambda: self.long(CHROM, some, []),
            "bcftools": lambda: self.run("bash", "-c", f"bcftools view -Ou -r {CHROM} -S {self.work}/keep.txt {bcf} | bcftools +fill-tags -Ob -- -t AC,AN,AF"),
            "plink2": lambda: plink_range("--keep", self.work / "keep.txt", "--freq"),
        }
        yield "af_by_5_groups_callset", {
            "strata": lambda: self.query("--by", "ancestry", "--columns", "vid,group,af,an"),
            "strata_all_columns": lambda: self.query("--by", "ancestry"),
            "strata_parquet": lambda: self.to_parquet("--by", "ancestry"),
            "duckdb_planes": lambda: self.duck("", five()),
            "numpy_planes": lambda: self.planes("", five()),
            "plink2": lambda: self.plink("--pheno", self.work / "pop.tsv", "--loop-cats", "pop", "--freq"),
        }
        yield "af_of_a_tenth_callset", {
            "strata": lambda: self.query("--samples", self.work / "cohort.txt"),
            "duckdb_planes": lambda: self.duck("", ten()),
            "numpy_planes": lambda: self.planes("", ten()),
            "plink2": lambda: self.plink("--keep", self.work / "keep.txt", "--freq"),
        }

    def keep_one(self):
        path = self.work / "one.txt"
        path.write_text(f"{self.one}\n")
        return path

    def to_parquet(self, *more):
        (self.work / "answer.parquet").unlink(missing_ok=True)
        self.query(*more, "--format", "parquet", "--out", self.work / "answer.parquet")

    def check(self):
        """The answers agree before their times are compared."""
        self.query("--region", CHROM, "--by", "ancestry")
        answer = pl.read_csv(self.work / "answer", separator="\t")
        masks = self.group_masks()
        for (ac, an), group in zip(self.sums(self.planes(CHROM, list(masks.values())), len(masks)), masks):
            mine = answer.filter(pl.col("group") == group)
            assert (mine["ac"].sum(), mine["an"].sum()) == (ac, an), group
        table = self.duck(CHROM, list(masks.values()))
        for i, group in enumerate(masks):
            assert answer.filter(pl.col("group") == group)["ac"].sum() == sum(table.column(f"ac{i}").to_pylist()), group

    @staticmethod
    def sums(answer, n):
        return [tuple(sum(int(a[k].sum()) for a in answer[i::n]) for k in (0, 1)) for i in range(n)]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--strata", "--work", "--feed"):
        parser.add_argument(name, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slow", action="store_true", help="bcftools in every round, not in the first only")
    args = parser.parse_args()
    bench = Bench(args)
    bench.check()
    times, load = {}, []
    for number in range(args.rounds):
        load.append(round(os.getloadavg()[0], 1))
        for question, tools in bench.questions():
            for tool, ask in tools.items():
                if tool == "bcftools" and number > 0 and not args.slow:
                    continue
                start = time.perf_counter()
                ask()
                times.setdefault(question, {}).setdefault(tool, []).append(time.perf_counter() - start)
    genotypes = sum(pq.ParquetFile(f).metadata.num_rows for f in bench.files("genotypes")) * len(bench.samples)
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    print(json.dumps({
        "machine": f"{os.cpu_count()} x {cpu}",
        "commit": first_line("git", "describe", "--always", "--dirty", "--abbrev=12"),
        "versions": {"strata": first_line(args.strata, "--version"), "plink2": first_line("plink2", "--version"),
                     "bcftools": first_line("bcftools", "--version"), "duckdb": duckdb.__version__, "polars": pl.__version__},
        "genotypes": genotypes,
        "rounds": args.rounds,
        "load_before_each_round": load,
        "median_s": {q: {t: round(statistics.median(v), 4) for t, v in tools.items()} for q, tools in times.items()},
        "to_strata": {q: {t: round(statistics.median(v) / statistics.median(tools["strata"]), 2) for t, v in tools.items()} for q, tools in times.items()},
    }, indent=2))


if __name__ == "__main__":
    main()
