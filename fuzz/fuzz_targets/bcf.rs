//! See `strata::genotype::fuzz::bcf`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = strata::genotype::fuzz::bcf(data);
});
