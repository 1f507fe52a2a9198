#!/bin/sh
# Builds the targets without cargo-fuzz and runs each for so many seconds, one after the other.
# Usage: fuzz/run.sh <seconds> [target...]; logs are in artifacts/, findings beside them.
set -eu
seconds=${1:?seconds a target}
shift
cd "$(dirname "$0")"
[ $# -gt 0 ] || set -- header line blocks bcf file bed pgen csv
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
RUSTC_WRAPPER="$PWD/rustc.sh" cargo +nightly build --release
mkdir -p artifacts
status=0
for target; do
  mkdir -p "corpus/$target"
  "$CARGO_TARGET_DIR/release/$target" "corpus/$target" -max_total_time="$seconds" -timeout=20 \
    -rss_limit_mb=3000 -print_final_stats=1 -artifact_prefix="artifacts/$target-" > "artifacts/$target.log" 2>&1 ||
    { status=1; echo "$target: finding, see artifacts/$target.log"; }
done
exit $status
