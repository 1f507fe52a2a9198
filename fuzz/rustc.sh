#!/bin/sh
# A RUSTC_WRAPPER: counts the edges of strata and of the targets for libFuzzer, and of nothing else, so that
# the crates below are built once and fast. What `cargo fuzz` does with RUSTFLAGS for all crates.
case " $* " in
*" --crate-name strata "* | *" fuzz_targets/"*)
  exec "$@" --cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares
  ;;
*) exec "$@" ;;
esac
