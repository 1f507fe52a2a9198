# Counts of Hail's variant_qc by ALT of every record of the files named, as one TSV on stdout.
# Calls are downcoded to each ALT as hl.split_multi_hts does.
import os, sys
import hail as hl

scratch = sys.argv[1]
hl.init(quiet=True, log=os.path.join(scratch, "hail.log"), local="local[1]", tmp_dir=scratch)
for number, path in enumerate(sys.argv[2:]):
    try:
        mt = hl.import_vcf(path, force=True, reference_genome=None, array_elements_required=False)
        mt = mt.select_entries("GT").select_rows()
        mt = mt.filter_rows(hl.len(mt.alleles) > 1)
        mt = mt.annotate_rows(written=mt.alleles, a=hl.range(1, hl.len(mt.alleles)))
        mt = mt.explode_rows("a")
        mt = mt.key_rows_by("locus", alleles=[mt.alleles[0], mt.alleles[mt.a]])
        mt = mt.annotate_entries(GT=hl.downcode(mt.GT, mt.a))
        rows = hl.variant_qc(mt).rows()
        q = rows.variant_qc
        rows = rows.select(
            contig=rows.locus.contig, pos=rows.locus.position, ref=rows.written[0],
            alts=hl.delimit(rows.written[1:]), a=rows.a, ac=q.AC[1], an=q.AN, af=q.AF[1],
            het=q.n_het, hom_ref=q.homozygote_count[0], hom_alt=q.homozygote_count[1],
            missing=q.n_not_called, hwe=q.p_value_hwe, excess=q.p_value_excess_het)
        for r in rows.collect():
            names = ["contig", "pos", "ref", "alts", "a", "ac", "an", "af", "het", "hom_ref",
                     "hom_alt", "missing", "hwe", "excess"]
            print(number, *("." if r[n] is None else repr(r[n]) if isinstance(r[n], float) else r[n]
                            for n in names), sep="\t")
    except Exception as e:
        print(number, "refused", str(e).strip().splitlines()[0][:200], sep="\t")
