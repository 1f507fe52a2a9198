#!/usr/bin/env bash
# Measures queries over a release against DuckDB, Polars, numpy, bcftools and plink2. See README.md.
set -euo pipefail
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/.."
strata=$(realpath "${STRATA:-target/release/strata}")
work=${WORK:-out/bench-queries}
rounds=${ROUNDS:-5}
persons=${PERSONS:-2631} # 2,500 of them have a sample
variants=${VARIANTS:-200000}
for tool in "$strata" bgzip bcftools plink2 python3; do
    command -v "$tool" >/dev/null || { echo "benches/queries.sh needs $tool" >&2; exit 2; }
done
feed=$work/feed-${persons}x$variants
mkdir -p "$work"
if [[ ! -e $feed/bench.vcf.gz ]]; then
    rm -rf "$feed"
    "$strata" synth --persons "$persons" --variants "$variants" --seed 1 --out "$feed" >&2
    files=("$feed"/wgs/wgs.chr*.vcf.gz)
    {
        bgzip -dc "${files[0]}"
        for file in "${files[@]:1}"; do bgzip -dc "$file" | grep -v '^#'; done
    } | bgzip -@2 -c >"$feed/bench.part"
    mv "$feed/bench.part" "$feed/bench.vcf.gz"
    rm -r "$feed/wgs"
fi
cat >"$feed/queries.toml" <<TOML
[workflow]
name = "bench"
release = "bench"
reference_date = 2026-01-01
store = "$(realpath "$work")/store"

[participants]
roster = "participants.csv"
samples = "sample_person.csv"

[identity]
key = { file = "bench.key", create = true }

[callset.wgs]
genome = "GRCh38"
vcf = ["bench.vcf.gz"]
ancestry = "ancestry_preds.tsv"
sex = "sample_sex.tsv"

[tier.controlled]
policy = "$PWD/configs/tiers/controlled.toml"

[engine]
threads = 2
TOML
"$strata" run "$feed/queries.toml" --quiet >&2
if [[ ! -e $work/bench.bcf.csi ]]; then
    bcftools view -Ob --threads 2 -o "$work/bench.bcf" "$feed/bench.vcf.gz"
    bcftools index "$work/bench.bcf"
fi
if [[ ! -e $work/plink.pgen ]]; then
    plink2 --vcf "$feed/bench.vcf.gz" --make-pgen --threads 2 --out "$work/plink" >/dev/null
fi
mkdir -p benches/results
result=benches/results/$(date -u +%F)-queries.json
python3 benches/queries.py --strata "$strata" --work "$work" --feed "$feed" --rounds "$rounds" \
    ${QUERIES_FLAGS:-} >"$work/result.json"
mv "$work/result.json" "$result"
cat "$result"
