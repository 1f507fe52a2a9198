#!/usr/bin/env python3
"""Measures `strata run` over callsets against bgzip, plink2, bcftools and hail. See README.md.

    python3 benches/genotype.py [--rounds 5] [--slow] [--scale] [--wide] [--work out/bench] [--strata PATH]

Every round runs each command once, one after the other; ratios are taken within rounds and the median over
rounds is reported. Results go to benches/results/<date>-genotype.json.
"""

import argparse
import gzip
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path

HERE = Path(__file__).resolve().parent
THREADS = 2


class Failed(Exception):
    pass


def measure(command, shell=False, outputs=()):
    """Runs a command; wall and CPU seconds, peak memory of its largest process and what it said to stderr."""
    for path in outputs:
        shutil.rmtree(path, ignore_errors=True)
    with open(os.devnull, "wb") as sink, tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        # A shell starts with a memory of its own size; `exec` keeps pipes out of the way.
        process = subprocess.Popen(command, shell=shell, executable="/bin/bash" if shell else None, stdout=sink, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        errors.seek(0)
        said = errors.read().decode(errors="replace")
    if status:
        raise Failed(f"{command}: {said[-800:]}")
    return {"wall_s": round(wall, 3), "cpu_s": round(usage.ru_utime + usage.ru_stime, 3), "peak_mib": usage.ru_maxrss // 1024, "said": said}


def samples_of(vcf):
    with gzip.open(vcf, "rt") as lines:
        for line in lines:
            if line.startswith("#CHROM"):
                return line.rstrip("\n").split("\t")[9:]
    raise Failed(f"{vcf} has no header")


def make_vcf(path, kind, samples, variants):
    if not path.exists():
        print(f"making {path.name}", file=sys.stderr)
        part = path.with_suffix(".part")
        command = f"{sys.executable} {HERE}/make_vcf.py {kind} {samples} {variants} | bgzip -@2 -c > {part}"
        subprocess.run(["bash", "-o", "pipefail", "-c", command], check=True)
        part.rename(path)
    return path


def make_programme(folder, samples):
    """Roster, sample map, ancestry and sex of made-up people with these samples."""
    folder.mkdir(parents=True, exist_ok=True)
    sheets = {
        "participants.csv": ["person_id,primary_consent,primary_consent_date,ehr_consent,ehr_consent_date,genomics_consent,withdrawal_status,withdrawal_date"],
        "sample_person.csv": ["sample_id,person_id"],
        "ancestry_preds.tsv": ["sample_id\tancestry_pred"],
        "sample_sex.tsv": ["sample_id\tsex"],
    }
    for i, name in enumerate(samples):
        person = 7_000_000 + i * 37
        group = "".join(c for c in name if c.isalpha()).lower()[:3] or "oth"
        sheets["participants.csv"].append(f"{person},yes,2024-01-01,yes,2024-01-01,yes,not_withdrawn,")
        sheets["sample_person.csv"].append(f"{name},{person}")
        sheets["ancestry_preds.tsv"].append(f"{name}\t{group}")
        sheets["sample_sex.tsv"].append(f"{name}\t{'female' if i % 2 else 'male'}")
    for name, lines in sheets.items():
        (folder / name).write_text("\n".join(lines) + "\n")


def workflow(folder, name, callset):
    path = folder / f"{name}.toml"
    path.write_text(f"""[workflow]
name = "bench"
release = "bench"
reference_date = 2026-01-01
store = "store-{name}"

[participants]
roster = "participants.csv"
samples = "sample_person.csv"

[identity]
key = {{ file = "bench.key", create = true }}

[callset.wgs]
genome = "GRCh38"
ancestry = "ancestry_preds.tsv"
sex = "sample_sex.tsv"
{callset}

[tier.controlled]
policy = "{HERE.parent}/configs/tiers/controlled.toml"

[engine]
threads = {THREADS}
""")
    return path, folder / f"store-{name}"


def bytes_below(store, table):
    return sum(p.stat().st_size for p in store.glob(f"releases/*/controlled/genomics/*/{table}/**/*.parquet"))


def sizes(store):
    return {t: bytes_below(store, t) for t in ("variants", "genotypes", "carriers", "variant_freq", "quality")}


def inflate(vcf):
    return dict(command=f"exec bgzip -dc -@2 {vcf}", shell=True)


class Bench:
    def __init__(self, args):
        self.args, self.rounds, self.facts = args, {}, {}
        self.work = Path(args.work).resolve()
        self.work.mkdir(parents=True, exist_ok=True)
        self.strata = str(Path(args.strata).resolve())

    def strata_run(self, folder, name, callset):
        path, store = workflow(folder, name, callset)
        return dict(command=[self.strata, "run", str(path)], outputs=[store])

    def plink(self, vcf, out):
        return dict(command=["plink2", "--vcf", str(vcf), "--make-pgen", "--threads", str(THREADS), "--out", str(out)])

    def fill_tags(self, vcf, folder):
        groups = folder / "groups.txt"
        lines = (folder / "ancestry_preds.tsv").read_text().splitlines()[1:]
        groups.write_text("".join(line + "\n" for line in lines))
        return dict(command=["bcftools", "+fill-tags", str(vcf), "-Ou", "-o", "/dev/null", "--", "-S", str(groups), "-t", "AC,AN,AF,AC_Het,AC_Hom,HWE,ExcHet,F_MISSING"])

    def commands(self):
        gt = make_vcf(self.work / "gt.vcf.gz", "gt", 2500, self.args.variants)
        gatk = make_vcf(self.work / "gatk.vcf.gz", "gatk", 1000, self.args.variants * 3 // 10)
        gt_folder, gatk_folder = self.work / "gt", self.work / "gatk"
        make_programme(gt_folder, samples_of(gt))
        make_programme(gatk_folder, samples_of(gatk))
        self.gt, self.gatk, self.gt_folder, self.gatk_folder = gt, gatk, gt_folder, gatk_folder
        pgen = self.work / "gt_pgen"
        commands = {
            "gt_bgzip": inflate(gt),
            "gt_strata_carriers": self.strata_run(gt_folder, "carriers", f'vcf = ["{gt}"]'),
            "gt_strata_planes": self.strata_run(gt_folder, "planes", f'vcf = ["{gt}"]\ncarriers = false'),
            "gt_plink2": self.plink(gt, pgen),
            "gatk_bgzip": inflate(gatk),
            "gatk_strata": self.strata_run(gatk_folder, "fields", f'vcf = ["{gatk}"]\nformat = ["GQ", "DP", "AD"]'),
            "gatk_strata_gt_only": self.strata_run(gatk_folder, "gt-only", f'vcf = ["{gatk}"]'),
            "gatk_plink2": self.plink(gatk, self.work / "gatk_pgen"),
        }
        if not self.args.no_plink_inputs:
            bed = self.work / "gt_bed"
            if not bed.with_suffix(".bed").exists():
                subprocess.run(["plink2", "--vcf", gt, "--max-alleles", "2", "--make-bed", "--out", bed], check=True, capture_output=True)
            if not pgen.with_suffix(".pgen").exists():
                subprocess.run(["plink2", "--vcf", gt, "--make-pgen", "--out", pgen], check=True, capture_output=True)
            kept = self.work / "kept"
            if not kept.with_suffix(".pgen").exists():
                for suffix in ("pgen", "pvar", "psam"):
                    shutil.copy(pgen.with_suffix(f".{suffix}"), kept.with_suffix(f".{suffix}"))
            commands |= {
                "bed_cat": dict(command=f"exec cat {bed}.bed {bed}.bim", shell=True),
                "bed_strata": self.strata_run(gt_folder, "bed", f'bed = ["{bed}.bed"]'),
                "pgen_cat": dict(command=f"exec cat {kept}.pgen {kept}.pvar", shell=True),
                "pgen_strata": self.strata_run(gt_folder, "pgen", f'pgen = ["{kept}.pgen"]'),
                "parquet_write": dict(command=[sys.executable, str(HERE / "rewrite.py"), str(gt_folder / "store-bed")]),
            }
        return commands

    def run(self):
        commands = self.commands()
        for number in range(1, self.args.rounds + 1):
            for name, command in commands.items():
                self.note(number, name, measure(**command))
        if self.args.slow:
            self.note(1, "gt_fill_tags", measure(**self.fill_tags(self.gt, self.gt_folder)))
            self.note(1, "gatk_fill_tags", measure(**self.fill_tags(self.gatk, self.gatk_folder)))
            self.hail()
        self.facts["sizes"] = {
            "gt": sizes(self.gt_folder / "store-carriers") | self.peers(self.gt, self.work / "gt_pgen"),
            "gatk": sizes(self.gatk_folder / "store-gt-only") | self.peers(self.gatk, self.work / "gatk_pgen"),
            "gatk_with_fields": sizes(self.gatk_folder / "store-fields"),
        }
        if self.args.wide:
            self.wide()

    def note(self, number, name, result):
        said = result.pop("said", "")
        if name == "parquet_write":
            result["write_s"] = float(said.split()[-1])
        self.rounds.setdefault(name, []).append(result)
        print(f"{number}\t{name}\t{result}", file=sys.stderr)

    def peers(self, vcf, pgen):
        bcf = vcf.with_suffix(".gt.bcf")
        if not bcf.exists():
            subprocess.run(f"bcftools annotate -x INFO,^FORMAT/GT -Ob -o {bcf} {vcf}", shell=True, check=True, capture_output=True)
        return {
            "pgen": pgen.with_suffix(".pgen").stat().st_size,
            "pvar": pgen.with_suffix(".pvar").stat().st_size,
            "bcf_gt_only": bcf.stat().st_size,
        }

    def hail(self):
        """Wall seconds inside hail: import, variant_qc, sample_qc, write; without the start of Java and Spark."""
        for name, vcf in (("gt_hail", self.gt), ("gatk_hail", self.gatk)):
            out = self.work / "hail.mt"
            shutil.rmtree(out, ignore_errors=True)
            try:
                self.note(1, name, measure([self.args.hail_python, str(HERE / "hail_qc.py"), str(vcf), str(out)]))
            except (Failed, OSError) as error:
                print(f"hail skipped: {str(error)[-300:]}", file=sys.stderr)
            shutil.rmtree(out, ignore_errors=True)

    def wide(self):
        """1,000 to 100,000 samples at as many genotypes: their cost must stay flat, memory bounded."""
        wide = {}
        for samples, variants in ((1_000, 400_000), (10_000, 40_000), (100_000, 4_000)):
            vcf = make_vcf(self.work / f"wide-{samples}.vcf.gz", "gt", samples, variants)
            folder = self.work / f"wide-{samples}"
            make_programme(folder, samples_of(vcf))
            runs = [(measure(**inflate(vcf)), measure(**self.strata_run(folder, "wide", f'vcf = ["{vcf}"]'))) for _ in range(3)]
            best = min(runs, key=lambda r: r[1]["wall_s"])
            for result in best:
                result.pop("said")
            wide[samples] = {"bgzip": best[0], "strata": best[1], "ns_a_genotype": round(best[1]["cpu_s"] * 1e9 / samples / variants, 3)}
            print(samples, wide[samples], file=sys.stderr)
        self.facts["wide_400_million_genotypes"] = wide

    def report(self):
        medians = {
            name: {k: round(statistics.median(r[k] for r in results), 3) for k in results[0]}
            for name, results in self.rounds.items()
        }

        def ratio(a, b):
            pairs = list(zip(self.rounds.get(a, []), self.rounds.get(b, [])))
            if len(self.rounds.get(b, [])) == 1:
                pairs = [(x, self.rounds[b][0]) for x in self.rounds.get(a, [])]
            return round(statistics.median(x["wall_s"] / y["wall_s"] for x, y in pairs), 3) if pairs else None

        bars = [
            ("gt_strata_carriers", "gt_bgzip", 2.5), ("gt_strata_planes", "gt_bgzip", 1.6),
            ("gt_strata_carriers", "gt_plink2", 0.5), ("gt_strata_planes", "gt_plink2", 0.5),
            ("gatk_strata", "gatk_bgzip", 4.0), ("gatk_strata", "gatk_plink2", 1.0),
            ("gt_strata_carriers", "gt_fill_tags", 1 / 20), ("gatk_strata", "gatk_fill_tags", 1 / 5),
            ("gt_strata_carriers", "gt_hail", 1 / 50), ("gatk_strata", "gatk_hail", 1 / 50),
        ]
        ratios = [
            {"of": a, "to": b, "ratio": r, "bar": round(bar, 3), "met": r <= bar}
            for a, b, bar in bars if (r := ratio(a, b)) is not None
        ]
        if "parquet_write" in medians:
            write = medians["parquet_write"]["write_s"]
            for kind in ("bed", "pgen"):
                bar = 2 * (medians[f"{kind}_cat"]["wall_s"] + write)
                wall = medians[f"{kind}_strata"]["wall_s"]
                ratios.append({"of": f"{kind}_strata", "to": "2 * (cat + Parquet write)", "ratio": round(wall / bar, 3), "bar": 1.0, "met": wall <= bar})
        version = lambda *c: (subprocess.run(c, capture_output=True, text=True).stdout or "").split("\n")[0]
        cpu = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), platform.machine())
        return {
            "machine": f"{os.cpu_count()} x {cpu}",
            "load_before": self.load,
            "commit": version("git", "-C", str(HERE), "describe", "--always", "--dirty", "--abbrev=12"),
            "versions": {"strata": version(self.strata, "--version"), "bgzip": version("bgzip", "--version"), "plink2": version("plink2", "--version"), "bcftools": version("bcftools", "--version")},
            "threads": THREADS,
            "inputs": {p.name: p.stat().st_size for p in (self.gt, self.gatk)},
            "medians": medians,
            "ratios": ratios,
            **self.facts,
            "rounds": self.rounds,
        }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--variants", type=int, default=200_000)
    parser.add_argument("--slow", action="store_true", help="also bcftools +fill-tags and hail, once each")
    parser.add_argument("--wide", action="store_true", help="also 1,000 to 100,000 samples")
    parser.add_argument("--no-plink-inputs", action="store_true")
    parser.add_argument("--work", default="out/bench")
    parser.add_argument("--strata", default="target/release/strata")
    parser.add_argument("--hail-python", default="python3", help="a Python that has hail")
    bench = Bench(parser.parse_args())
    bench.load = os.getloadavg()[0]
    bench.run()
    result = json.dumps(bench.report(), indent=1)
    out = HERE / "results" / f"{datetime.now(timezone.utc):%Y-%m-%d}-genotype.json"
    out.write_text(result + "\n")
    print(result)


main()
