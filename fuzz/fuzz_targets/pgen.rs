//! See `strata::genotype::fuzz::pgen`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = strata::genotype::fuzz::pgen(data);
});
