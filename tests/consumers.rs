//! A fresh release opened by DuckDB, Polars, pyarrow and numpy, through `consumers/readers.py`.

#[path = "support/programme.rs"]
mod programme;

use std::path::Path;
use std::process::Command;

use programme::{Programme, said, skipped};

/// Whether Python has the readers. `STRATA_REQUIRE_CONSUMERS=1` makes their absence a failure.
fn has_readers() -> bool {
    let check = ["-c", "import duckdb, polars, pyarrow, numpy"];
    let found = Command::new("python3").args(check).output().is_ok_and(|o| o.status.success());
    let required = std::env::var("STRATA_REQUIRE_CONSUMERS").is_ok_and(|v| v == "1");
    assert!(found || !required, "python3 has no duckdb, polars, pyarrow and numpy");
    if !found {
        skipped("python3 has no duckdb, polars, pyarrow and numpy");
    }
    found
}

#[test]
fn researchers_tools_read_a_release() {
    if !has_readers() {
        return;
    }
    let programme = Programme::in_memory(400, 2_000);
    programme.run().done();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/consumers/readers.py");
    let run = || {
        let mut command = Command::new("python3");
        command.arg(&script).arg(programme.store()).arg("--feed").arg(programme.path("feed"));
        said(&mut command)
    };
    let answer = run().done().out;
    assert!(answer.contains(" 0 failed") && !answer.contains("skipped:"), "{answer}");
    let held: u32 = answer.lines().last().unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!(held > 1_000, "{answer}");
    // And they notice when something is not as promised.
    let table = programme::tables_below(&programme.release().join("registered")).remove(0);
    std::fs::remove_file(table).unwrap();
    assert_eq!(run().code, Some(1));
}
