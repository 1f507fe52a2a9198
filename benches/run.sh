#!/usr/bin/env bash
# Measures `strata run` against bgzip and plink2 on one made-up VCF. See README.md.
set -euo pipefail
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/.."
strata=$(realpath "${STRATA:-target/release/strata}")
work=${WORK:-out/bench}
rounds=${ROUNDS:-5}
persons=${PERSONS:-2631} # 2,500 of them have a sample
variants=${VARIANTS:-200000}
scale=${1:-}
[[ -z $scale || $scale == --scale ]] || { echo "usage: benches/run.sh [--scale]" >&2; exit 2; }
for tool in "$strata" bgzip plink2 python3 /usr/bin/time; do
    command -v "$tool" >/dev/null || { echo "benches/run.sh needs $tool" >&2; exit 2; }
done

# make PERSONS VARIANTS: a programme whose VCF is one file, and the workflows over it.
make_feed() {
    local feed=$work/feed-$1x$2
    if [[ ! -e $feed/bench.vcf.gz ]]; then
        rm -rf "$feed"
        "$strata" synth --persons "$1" --variants "$2" --seed 1 --out "$feed" >&2
        local files=("$feed"/wgs/wgs.chr*.vcf.gz)
        {
            bgzip -dc "${files[0]}"
            local file
            for file in "${files[@]:1}"; do bgzip -dc "$file" | grep -v '^#'; done
        } | bgzip -@2 -c >"$feed/bench.part"
        mv "$feed/bench.part" "$feed/bench.vcf.gz"
        rm -r "$feed/wgs"
    fi
    local carriers
    for carriers in true false; do
        cat >"$feed/carriers-$carriers.toml" <<TOML
[workflow]
name = "bench"
release = "bench"
reference_date = 2026-01-01
store = "store-$carriers"

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
carriers = $carriers

[tier.controlled]
policy = "$PWD/configs/tiers/controlled.toml"

[engine]
threads = 2
TOML
    done
    echo "$feed"
}

measurements=$work/measurements.tsv

# measure ROUND NAME COMMAND...: one line of round, name, wall s, user s, system s, peak KiB.
measure() {
    local round=$1 name=$2
    shift 2
    if ! /usr/bin/time -o "$work/time" -f '%e\t%U\t%S\t%M' "$@" >"$work/stdout" 2>"$work/stderr"; then
        echo "$name failed:" >&2
        tail -20 "$work/stderr" >&2
        exit 1
    fi
    printf '%s\t%s\t%s\n' "$round" "$name" "$(tail -1 "$work/time")" | tee -a "$measurements" >&2
}

inflate() { measure "$1" "$2" bash -c 'bgzip -dc -@2 "$1" >/dev/null' - "$3"; }

strata_run() { # ROUND NAME FEED CARRIERS
    rm -rf "$3/store-$4"
    measure "$1" "$2" "$strata" run "$3/carriers-$4.toml"
}

mkdir -p "$work"
: >"$measurements"
feed=$(make_feed "$persons" "$variants")
if [[ -n $scale ]]; then
    fewer_variants=$(make_feed "$persons" $((variants / 2)))
    fewer_persons=$(make_feed $((persons / 2)) "$variants")
fi
for round in $(seq "$rounds"); do
    cat "$feed/bench.vcf.gz" >/dev/null
    inflate "$round" bgzip "$feed/bench.vcf.gz"
    strata_run "$round" strata_carriers "$feed" true
    strata_run "$round" strata_planes "$feed" false
    rm -f "$work"/plink.*
    measure "$round" plink2 plink2 --vcf "$feed/bench.vcf.gz" --make-pgen --threads 2 --out "$work/plink"
    if [[ -n $scale ]]; then
        strata_run "$round" strata_carriers_half_variants "$fewer_variants" true
        strata_run "$round" strata_carriers_half_persons "$fewer_persons" true
    fi
done
mkdir -p benches/results
result=benches/results/$(date -u +%F).json
python3 benches/summarise.py "$measurements" "$feed" "$strata" "$persons" "$variants" >"$result"
rm -rf "$feed"/store-* "$work"/plink.* "$work"/feed-*/store-*
cat "$result"
