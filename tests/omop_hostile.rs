//! Text that no exporter should write: a typed error or the quarantine, nothing lost, bounded memory.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its own input has failed")]

#[path = "omop_support/support.rs"]
mod support;

use std::fs::File;
use std::io::{BufWriter, Write};

use support::{Case, NOTE, books, column};

fn note(rows: &[u8]) -> Case {
    Case::new().with("note.csv", [NOTE.as_bytes(), rows].concat())
}

#[test]
fn a_field_of_ten_megabytes_is_a_value() {
    let long = "x".repeat(10_000_000);
    for quote in ["", "\""] {
        let case = note(format!("1,1,2020-01-01,{quote}{long}{quote}\n2,1,,y").as_bytes());
        case.run().unwrap();
        let texts = column(&case.table("note"), "note_text");
        assert_eq!((texts[0].len(), texts[1].as_str()), (10_000_000, "y"));
    }
}

#[test]
fn a_line_of_a_gigabyte_is_refused_without_being_held() {
    for (open, code) in [("1,1,,", "omop::record_too_long"), ("1,1,,\"", "omop::record_too_long")] {
        let case = Case::new();
        let mut file = BufWriter::new(File::create(case.input.path().join("note.csv")).unwrap());
        file.write_all(NOTE.as_bytes()).unwrap();
        file.write_all(open.as_bytes()).unwrap();
        // A hole reads as NULs and takes no room.
        let file = file.into_inner().unwrap();
        file.set_len(1 << 30).unwrap();
        assert_eq!(case.code(), code);
    }
    let peak = peak_kib();
    assert!(peak < 512 << 10, "{peak} KiB");
}

/// Highest resident memory of this process so far; 0 where it is not told.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[test]
fn nul_bytes_are_quarantined_by_row() {
    let case = note(b"1,1,2020-01-01,a\0b\n2,1,,fine\n\0,1,,x\n");
    let extract = case.run().unwrap();
    assert_eq!(case.rejects(), ["note.csv:2 note  nul_byte", "note.csv:4 note  nul_byte"]);
    assert_eq!(books(&extract, "note").rows_out, 1);
}

#[test]
fn a_quote_out_of_place_is_text_or_an_error() {
    let case = note(b"1,1,,in\"side\n2,1,,\"closed\" then text\n3,1,,a\"\n");
    case.run().unwrap();
    let texts = column(&case.table("note"), "note_text");
    assert_eq!(texts, ["in\"side", "closed then text", "a\""]);
    assert_eq!(note(b"1,1,,\"open\n2,1,,x\n").code(), "omop::unclosed_quote");
    // A stray quote that a later one closes draws rows together, which is told and not believed.
    let case = note(b"1,1,,\"open\n2,1,,\"x\n3,1,,y\n");
    case.run().unwrap();
    // Each of its lines may have been a row.
    assert_eq!(case.rejects(), ["note.csv:2 note  torn_quote", "note.csv:3 note  torn_quote"]);
    assert_eq!(column(&case.table("note"), "note_id"), ["3"]);
}

#[test]
fn ten_thousand_columns_are_read_by_name() {
    let extra: String = (0..10_000).map(|i| format!(",extra_{i}")).collect();
    let header = format!("note_id,person_id{extra},note_text\n");
    let case = Case::new().with("note.csv", format!("{header}1,1{},z\n", ",".repeat(10_000)));
    let extract = case.run().unwrap();
    assert_eq!(column(&case.table("note"), "note_text"), ["z"]);
    let noted = &books(&extract, "note").noted;
    assert_eq!(noted.keys().filter(|k| k.starts_with("unknown_column")).count(), 10_000);
    let twice = format!("note_id,person_id{extra},extra_77\n");
    assert_eq!(Case::new().with("note.csv", twice).code(), "omop::duplicate_column");
}

#[test]
fn what_is_no_text_is_refused() {
    let mut zip = b"PK\x03\x04\x14\0\0\0\x08\0".to_vec();
    zip.extend((0..500u32).map(|i| ((i * 7919) >> 3) as u8));
    let code = Case::new().with("note.csv", zip).code();
    assert!(["omop::encoding", "omop::no_header"].contains(&code), "{code}");
    assert_eq!(Case::new().with("note.csv", b"\x1f\x8b\x08\0rubbish").code(), "omop::compressed");
    let zstd = b"\x28\xb5\x2f\xfdrubbish rubbish";
    assert_eq!(Case::new().with("note.csv", zstd).code(), "omop::compressed");
    assert_eq!(Case::new().with("note.parquet", b"PAR1 no").code(), "omop::parquet");
    assert_eq!(Case::new().with("note.csv", b"\n\n\r\n").code(), "ok");
}
