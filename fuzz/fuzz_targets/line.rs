//! See `strata::genotype::fuzz::line`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = strata::genotype::fuzz::line(data);
});
