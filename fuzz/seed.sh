#!/bin/sh
# Fills corpus/ from a folder of VCF files (the conformance files of the specification, for one).
# Usage: fuzz/seed.sh <folder>; then e.g. cargo +nightly fuzz run line -- -max_total_time=3600
set -eu
from=${1:?folder of VCF files}
cd "$(dirname "$0")"
for target in header line blocks bcf file; do mkdir -p "corpus/$target"; done
find "$from" -name '*.vcf' -size +0 | sort | while read -r vcf; do
  name=$(printf '%s' "$vcf" | cksum | cut -d' ' -f1)
  cp "$vcf" "corpus/header/$name"
  cp "$vcf" "corpus/file/$name.vcf"
  grep -v '^#' "$vcf" > "corpus/line/$name" || true
  if command -v bgzip > /dev/null; then
    bgzip -c "$vcf" > "corpus/blocks/$name"
    cp "corpus/blocks/$name" "corpus/file/$name.gz"
  fi
  # What bcftools cannot read is no seed; the target packs the bytes itself.
  if command -v bcftools > /dev/null && bcftools view -Ou -o "corpus/bcf/$name" "$vcf" 2> /dev/null; then
    gzip -dc < "corpus/bcf/$name" > "corpus/bcf/$name.raw" 2> /dev/null && mv "corpus/bcf/$name.raw" "corpus/bcf/$name"
  fi
done
