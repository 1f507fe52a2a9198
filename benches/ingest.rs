//! Wall time of the genotype stage on a VCF or BCF: `cargo bench --bench ingest -- FILE [THREADS] [RUNS] [on|off|both] [OUT|-] [FIELDS]`.
//!
//! FIELDS, comma-separated: `format` (GQ, DP and AD in carriers), `quality`, `adj`.
//!
//! Prints one JSON line a run, with carriers on and off. Samples get research ids and one of five
//! ancestry groups by a fixed rule.
#![expect(clippy::print_stdout, reason = "its output")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use strata::engine::Job;
use strata::genotype::{
    CallRules, CallsetRequest, FormatField, Genome, Options, SampleEntry, SampleSheet, ingest,
    sample_names,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn options(fields: &str) -> Options {
    let has = |name| fields.split(',').any(|f| f == name);
    let mut options = Options { quality: has("quality"), ..Options::default() };
    if has("format") {
        options.format = vec![FormatField::AD, FormatField::DP, FormatField::GQ];
    }
    if has("adj") {
        let calls = CallRules { min_gq: Some(20), min_dp: Some(10), ..CallRules::default() };
        options.calls = CallRules { min_ab: Some(0.2), ..calls };
    }
    options
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let Some(file) = args.first().map(PathBuf::from) else {
        println!("{{\"skipped\": \"no input file given\"}}");
        return Ok(());
    };
    let threads = args.get(1).map_or(Ok(2), |t| t.parse())?;
    let runs: usize = args.get(2).map_or(Ok(1), |r| r.parse())?;
    let groups = ["afr", "amr", "eas", "eur", "sas"];
    let included: BTreeMap<String, SampleEntry> = sample_names(&file)?
        .into_iter()
        .enumerate()
        .map(|(i, name)| {
            let research_id = 1_000_000 + (i as i64 * 7919) % 999_983;
            let ancestry = Some(groups[i * 5 / 2500 % 5].to_owned());
            (name, SampleEntry { research_id, ancestry, ..SampleEntry::default() })
        })
        .collect();
    for run in 0..runs {
        for carriers in [true, false] {
            if args.get(3).is_some_and(|m| m == if carriers { "off" } else { "on" }) {
                continue;
            }
            let kept = args.get(4).filter(|a| *a != "-").map(PathBuf::from);
            let out = kept.clone().unwrap_or_else(|| {
                std::env::temp_dir().join(format!("strata-bench-{}", std::process::id()))
            });
            let request = CallsetRequest {
                name: "wgs".to_owned(),
                genome: Genome::Grch38,
                files: vec![file.clone()],
                samples: SampleSheet { included: included.clone(), ..SampleSheet::default() },
                info: Vec::new(),
                carriers,
                options: options(args.get(5).map_or("", String::as_str)),
            };
            let start = Instant::now();
            let done = ingest(&request, &Job::quiet(&out, threads))?;
            let seconds = start.elapsed().as_secs_f64();
            let bytes: u64 = done.files.iter().map(|f| f.bytes).sum();
            println!(
                "{{\"run\": {run}, \"threads\": {threads}, \"carriers\": {carriers}, \"seconds\": {seconds:.3}, \
                 \"variants\": {}, \"bytes\": {bytes}}}",
                done.ledger.0[0].rows_out
            );
            if kept.is_none() {
                std::fs::remove_dir_all(&out)?;
            }
        }
    }
    Ok(())
}
