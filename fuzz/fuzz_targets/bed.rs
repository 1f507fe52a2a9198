//! See `strata::genotype::fuzz::bed`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = strata::genotype::fuzz::bed(data);
});
