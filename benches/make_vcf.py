#!/usr/bin/env python3
"""Writes a benchmark VCF to standard output: benches/make_vcf.py KIND SAMPLES VARIANTS [SEED] | bgzip > out.vcf.gz

KIND `gt`: phased GT alone. KIND `gatk`: GT:AD:DP:GQ:PL, unphased, as a joint caller writes it.

Genotypes come from a coalescent with recombination under a history of five populations (a split out of
Africa with a bottleneck, growth, later admixture), so that the frequency spectrum and the linkage are as
of people. Samples are named by population (`AFR0` ...). Needs msprime and numpy.
"""

import sys

import msprime
import numpy as np

POPULATIONS = ["AFR", "EUR", "EAS", "SAS", "AMR"]
BASES = np.array(list("ACGT"))


def history():
    d = msprime.Demography()
    d.add_population(name="AFR", initial_size=30_000, growth_rate=0.0005)
    d.add_population(name="EUR", initial_size=60_000, growth_rate=0.004)
    d.add_population(name="EAS", initial_size=60_000, growth_rate=0.0045)
    d.add_population(name="SAS", initial_size=60_000, growth_rate=0.004)
    d.add_population(name="AMR", initial_size=50_000, growth_rate=0.002)
    d.add_population(name="OOA", initial_size=1_900)
    d.add_population(name="ANC", initial_size=14_000)
    d.add_admixture(time=14, derived="AMR", ancestral=["EUR", "EAS", "AFR"], proportions=[0.55, 0.3, 0.15])
    d.add_population_split(time=900, derived=["EUR", "EAS", "SAS"], ancestral="OOA")
    d.add_population_split(time=2_000, derived=["AFR", "OOA"], ancestral="ANC")
    d.sort_events()
    return d


def haplotypes(samples, variants, seed):
    """Yields (position, row of 0/1 over 2 * samples haplotypes) for `variants` segregating sites."""
    each = [samples // 5 + (i < samples % 5) for i in range(5)]
    start, found, piece = 0, 0, 0
    while found < variants:
        # Windows are independent of each other and linked within.
        tree = msprime.sim_ancestry(
            samples=dict(zip(POPULATIONS, each)), demography=history(), sequence_length=1_000_000,
            recombination_rate=1.2e-8, random_seed=seed * 1000 + piece + 1)
        tree = msprime.sim_mutations(tree, rate=1.3e-8, random_seed=seed * 1000 + piece + 1, model=msprime.BinaryMutationModel())
        last = 0
        for site in tree.variants():
            row = site.genotypes.astype(np.uint8)
            position = start + int(site.site.position) + 1
            if position == last or not 0 < row.sum() < len(row):
                continue
            last = position
            yield position, row
            found += 1
            if found == variants:
                return
        start += 1_000_000
        piece += 1


def alleles(rng, count):
    """REF and `count` ALTs: mostly single bases, 8 % indels."""
    reference = int(rng.integers(4))
    others = [b for b in range(4) if b != reference]
    # Twice as many transitions as transversions.
    partner = {0: 2, 2: 0, 1: 3, 3: 1}[reference]
    first = partner if rng.random() < 0.67 else int(rng.choice([b for b in others if b != partner]))
    alts = [first, *[b for b in others if b != first]][:count]
    ref, names = BASES[reference], [BASES[a] for a in alts]
    if rng.random() < 0.08:
        tail = "".join(BASES[rng.integers(4, size=rng.geometric(0.4))])
        if rng.random() < 0.5:
            names[0] = ref + tail
        else:
            ref, names = ref + tail, [ref, *[n + tail for n in names[1:]]]
    return ref, names


def rows(samples, variants, seed, multiallelic):
    """Yields (position, REF, ALTs, allele row); some sites take the next site's mutation as second ALT."""
    rng = np.random.default_rng(seed)
    waiting = None
    for position, row in haplotypes(samples, variants, seed):
        if waiting is not None:
            first, base = waiting
            waiting = None
            both = np.where(row == 1, 2, base).astype(np.uint8)
            if (both == 1).any():
                yield (first, *alleles(rng, 2), both)
                continue
            yield (first, *alleles(rng, 1), base)
        if rng.random() < multiallelic:
            waiting = (position, row)
            continue
        yield (position, *alleles(rng, 1), row)
    if waiting is not None:
        yield (waiting[0], *alleles(rng, 1), waiting[1])


def header(out, samples, gatk):
    each = [samples // 5 + (i < samples % 5) for i in range(5)]
    names = [f"{p}{i}" for p, n in zip(POPULATIONS, each) for i in range(n)]
    fields = '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">\n'
    if gatk:
        fields += (
            '##INFO=<ID=AC,Number=A,Type=Integer,Description="ALT copies">\n'
            '##INFO=<ID=AN,Number=1,Type=Integer,Description="Alleles">\n'
            '##INFO=<ID=DP,Number=1,Type=Integer,Description="Reads">\n'
            '##FORMAT=<ID=AD,Number=R,Type=Integer,Description="Reads by allele">\n'
            '##FORMAT=<ID=DP,Number=1,Type=Integer,Description="Reads">\n'
            '##FORMAT=<ID=GQ,Number=1,Type=Integer,Description="Quality">\n'
            '##FORMAT=<ID=PL,Number=G,Type=Integer,Description="Likelihoods">\n')
    out.write((
        '##fileformat=VCFv4.2\n##FILTER=<ID=PASS,Description="All filters passed">\n' + fields +
        "##contig=<ID=chr20,length=64444167>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t" +
        "\t".join(names) + "\n").encode())


def phased(out, samples, variants, seed):
    line = np.empty((samples, 4), dtype=np.uint8)
    line[:, 1], line[:, 3] = ord("|"), ord("\t")
    for position, ref, alts, row in rows(samples, variants, seed, 0.005):
        line[:, 0] = row[0::2] + ord("0")
        line[:, 2] = row[1::2] + ord("0")
        fixed = f"chr20\t{position}\t.\t{ref}\t{','.join(alts)}\t.\tPASS\t.\tGT\t"
        out.write(fixed.encode() + line.tobytes()[:-1] + b"\n")


class Cells:
    """Ready-made cells of a genotype: reads, likelihoods and quality drawn together."""

    def __init__(self, rng, alts, size=20_000):
        genotypes = [(a, b) for b in range(alts + 1) for a in range(b + 1)]
        self.pools = {g: self.pool(rng, g, genotypes, alts, size) for g in genotypes}
        missing = ["./.", "./.:0" + ",0" * alts, "./.:0" + ",0" * alts + ":0"]
        self.missing = np.array(missing, dtype=object)

    @staticmethod
    def pool(rng, genotype, genotypes, alts, size):
        depth = rng.poisson(rng.gamma(20, 1.6, size)) + 1
        error = 0.002
        share = np.full(alts + 1, error)
        for allele in genotype:
            share[allele] += (1 - error * (alts + 1)) / 2
        reads = np.array([rng.multinomial(n, share / share.sum()) for n in depth])
        logs = []
        for g in genotypes:
            p = np.full(alts + 1, error)
            for allele in g:
                p[allele] += (1 - error * (alts + 1)) / 2
            logs.append(-10 * (reads * np.log10(p)).sum(axis=1))
        pl = np.array(logs).T
        pl = np.minimum(np.rint(pl - pl.min(axis=1, keepdims=True)), 9999).astype(int)
        quality = np.minimum(np.sort(pl, axis=1)[:, 1], 99)
        gt = f"{genotype[0]}/{genotype[1]}"
        return np.array([
            f"{gt}:{','.join(map(str, a))}:{d}:{q}:{','.join(map(str, p))}"
            for a, d, q, p in zip(reads, depth, quality, pl)], dtype=object)


def called(out, samples, variants, seed):
    rng = np.random.default_rng(seed + 1)
    cells = {n: Cells(rng, n) for n in (1, 2)}
    for position, ref, alts, row in rows(samples, variants, seed, 0.05):
        if len(alts) == 2 and rng.random() < 0.3:
            alts[1] = "*"
        pools, n = cells[len(alts)], len(alts)
        a, b = np.minimum(row[0::2], row[1::2]), np.maximum(row[0::2], row[1::2])
        missing = rng.random(samples) < 0.008
        draw = rng.integers(20_000, size=samples)
        cell = np.empty(samples, dtype=object)
        code = a * 4 + b
        for g in np.unique(code):
            here = code == g
            cell[here] = pools.pools[(int(g) // 4, int(g) % 4)][draw[here]]
        cell[missing] = pools.missing[draw[missing] % 3]
        quality = f"{rng.gamma(3, 400):.2f}"
        info = f"AC={','.join(str(int((row == i + 1).sum())) for i in range(n))};AN={len(row)};DP={int(rng.poisson(32 * samples))}"
        fixed = f"chr20\t{position}\t.\t{ref}\t{','.join(alts)}\t{quality}\tPASS\t{info}\tGT:AD:DP:GQ:PL\t"
        out.write((fixed + "\t".join(cell) + "\n").encode())


def main():
    kind, samples, variants = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    seed = int(sys.argv[4]) if len(sys.argv) > 4 else 1
    if kind not in ("gt", "gatk"):
        sys.exit(__doc__)
    out = sys.stdout.buffer
    header(out, samples, kind == "gatk")
    (called if kind == "gatk" else phased)(out, samples, variants, seed)


main()
