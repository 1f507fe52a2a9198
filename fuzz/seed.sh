#!/bin/sh
# Fills corpus/ from a folder of VCF files (the conformance files of the specification, for one).
# Usage: fuzz/seed.sh <folder>; then fuzz/run.sh <seconds>, or cargo +nightly fuzz run line -- -max_total_time=3600
set -eu
from=$(realpath "${1:?folder of VCF files}")
cd "$(dirname "$0")"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
for target in header line blocks bcf file bed pgen; do mkdir -p "corpus/$target"; done
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
  # The three files of a set, with a zero byte between them.
  set -- --vcf "$vcf" --allow-extra-chr --double-id --threads 1 --memory 700 --out "$scratch/set"
  if command -v plink2 > /dev/null && plink2 "$@" --make-pgen > /dev/null 2>&1; then
    { cat "$scratch/set.pvar"; printf '\0'; cat "$scratch/set.psam"; printf '\0'; cat "$scratch/set.pgen"; } > "corpus/pgen/$name"
  fi
  if command -v plink2 > /dev/null && plink2 "$@" --max-alleles 2 --make-bed > /dev/null 2>&1; then
    { cat "$scratch/set.bim"; printf '\0'; cat "$scratch/set.fam"; printf '\0'; cat "$scratch/set.bed"; } > "corpus/bed/$name"
  fi
done
