//! What counts as a call: half calls and filtered genotypes, settled before alleles are counted.

use super::HalfCalls;
use super::gt::{ABSENT, Call, FILTERED, MISSING, NOT_EXPECTED};

/// Whether a call names all its alleles.
fn is_called(call: &Call) -> bool {
    call.a < NOT_EXPECTED && (call.b < NOT_EXPECTED || call.b == ABSENT)
}

/// Whether one of two alleles is missing.
pub fn is_half(call: &Call) -> bool {
    (call.a == MISSING) != (call.b == MISSING) && call.b != ABSENT
}

/// Applies the policy to the half calls among `calls` and returns how many of them are calls now.
pub fn settle_halves(calls: &mut [Call], policy: HalfCalls) -> i32 {
    if policy != HalfCalls::Haploid {
        return 0;
    }
    let mut settled = 0;
    for call in calls.iter_mut().filter(|c| is_half(c)) {
        call.a = if call.a == MISSING { call.b } else { call.a };
        (call.b, call.phased) = (ABSENT, false);
        settled += 1;
    }
    settled
}

/// Makes the calls of the samples in `failed` filtered ones. `failed` is left with those that were called,
/// ascending: a call that is missing anyway is not filtered.
pub fn filter(calls: &mut Vec<Call>, failed: &mut Vec<u32>) {
    if failed.is_empty() {
        return;
    }
    failed.sort_unstable();
    let mut listed = vec![false; failed.len()];
    let mut missing = vec![false; failed.len()];
    for call in calls.iter_mut() {
        if let Ok(at) = failed.binary_search(&call.sample) {
            listed[at] = true;
            if is_called(call) {
                *call = Call { a: FILTERED, b: FILTERED, phased: false, ..*call };
            } else {
                missing[at] = true;
            }
        }
    }
    // Who is not among the calls is hom-ref.
    let hom_ref = failed.iter().zip(&listed).filter(|(_, listed)| !**listed);
    calls.extend(hom_ref.map(|(&sample, _)| Call {
        sample,
        a: FILTERED,
        b: FILTERED,
        phased: false,
    }));
    let mut kept = missing.iter();
    failed.retain(|_| kept.next() == Some(&false));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(sample: u32, a: u16, b: u16) -> Call {
        Call { sample, a, b, phased: true }
    }

    #[test]
    fn half_calls_become_haploid_on_request() {
        let mut calls =
            [call(0, MISSING, 0), call(1, 2, MISSING), call(2, MISSING, ABSENT), call(3, 0, 1)];
        assert_eq!(settle_halves(&mut calls, HalfCalls::Missing), 0);
        assert_eq!(settle_halves(&mut calls, HalfCalls::Haploid), 2);
        let pairs: Vec<_> = calls.iter().map(|c| (c.a, c.b)).collect();
        assert_eq!(pairs, [(0, ABSENT), (2, ABSENT), (MISSING, ABSENT), (0, 1)]);
    }

    #[test]
    fn only_called_genotypes_are_filtered() {
        let mut calls =
            vec![call(4, 0, 1), call(2, MISSING, MISSING), call(7, 1, ABSENT), call(1, 1, 1)];
        let mut failed = vec![7, 4, 2, 0];
        filter(&mut calls, &mut failed);
        assert_eq!(failed, [0, 4, 7]);
        let filtered: Vec<u32> =
            calls.iter().filter(|c| c.a == FILTERED).map(|c| c.sample).collect();
        assert_eq!(filtered, [4, 7, 0]);
        assert_eq!(calls[3], call(1, 1, 1));
    }
}
