//! See `strata::genotype::fuzz::file`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = strata::genotype::fuzz::file(data);
});
