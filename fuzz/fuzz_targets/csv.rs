//! See `strata::omop::fuzz::csv`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    assert!(strata::omop::fuzz::csv(data).sound);
});
