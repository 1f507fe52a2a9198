#!/usr/bin/env python3
"""hail's import_vcf, variant_qc, sample_qc and write of one VCF: benches/hail_qc.py IN OUT"""

import sys

import hail as hl

hl.init(master="local[2]", quiet=True, log="/dev/null")
table = hl.import_vcf(sys.argv[1], force_bgz=True, reference_genome="GRCh38", array_elements_required=False)
table = hl.split_multi_hts(table, permit_shuffle=True)
hl.sample_qc(hl.variant_qc(table)).write(sys.argv[2], overwrite=True)
