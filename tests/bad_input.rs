//! Bad input ends a run with exit code 1, a stable code and the place, and repeats no value.
#![expect(clippy::unwrap_used, reason = "test helpers")]

#[path = "support/programme.rs"]
mod programme;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use programme::{Programme, Said, assert_silent, skipped};

/// A value that may be repeated nowhere.
const CANARY: &str = "Qx7Canary55";

const EOF_BLOCK: [u8; 28] = [
    0x1f, 0x8b, 0x08, 0x04, 0, 0, 0, 0, 0, 0xff, 0x06, 0, 0x42, 0x43, 0x02, 0, 0x1b, 0, 0x03, 0, 0,
    0, 0, 0, 0, 0, 0, 0,
];

/// Runs a programme that must be refused, and be silent about the canary; nothing becomes current.
#[track_caller]
fn refused(programme: &Programme, code: &str, words: &[&str]) -> Said {
    let before = programme.current();
    let said = programme.run().refused(code, words);
    assert_silent(programme, &said, &[CANARY]);
    assert_eq!(programme.current(), before);
    // What people see says the same, wrapped.
    let text = programme.strata(["run", "w.toml"]);
    assert_eq!(text.code, Some(1), "{text:?}");
    assert!(text.err.contains(code), "{}", text.err);
    assert_silent(programme, &text, &[CANARY]);
    said
}

/// A programme with only a callset, and the callset's one file.
fn callset(variants: u32, name: &str) -> (Programme, PathBuf) {
    let programme = Programme::in_memory(60, variants);
    let wgs = programme.path("feed/wgs");
    fs::rename(wgs.join("wgs.chr20.vcf.gz"), programme.path(name)).unwrap();
    fs::remove_dir_all(&wgs).unwrap();
    fs::create_dir(&wgs).unwrap();
    fs::rename(programme.path(name), wgs.join(name)).unwrap();
    programme.edit("w.toml", |text| {
        let drop = ["vocabulary]", "ehr.", "tier.registered]", "tier.public]"];
        let mut sections: Vec<&str> = text.split("\n[").collect();
        sections.retain(|section| !drop.iter().any(|start| section.starts_with(start)));
        sections.join("\n[") + "\n"
    });
    (programme, wgs.join(name))
}

/// The callset's text with its first file replaced by plain VCF.
fn plain_callset(change: impl FnOnce(String) -> String) -> Programme {
    let (programme, file) = callset(300, "bad.vcf.gz");
    let text = programme.read("feed/wgs/bad.vcf.gz");
    fs::remove_file(&file).unwrap();
    fs::write(file.with_extension(""), change(text)).unwrap();
    programme
}

/// Starts of the BGZF blocks of a file, its end included.
fn blocks(data: &[u8]) -> Vec<usize> {
    let mut starts = vec![0];
    let mut at = 0;
    while at < data.len() {
        at += usize::from(u16::from_le_bytes([data[at + 16], data[at + 17]])) + 1;
        starts.push(at);
    }
    starts
}

/// `text` in BGZF blocks of `size` bytes, the end-of-file block behind them.
fn bgzf(text: &[u8], size: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in text.chunks(size) {
        let mut packer =
            flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(piece).unwrap();
        let packed = packer.finish().unwrap();
        let mut crc = flate2::Crc::new();
        crc.update(piece);
        out.extend_from_slice(&EOF_BLOCK[..16]);
        out.extend(u16::try_from(packed.len() + 25).unwrap().to_le_bytes());
        out.extend(packed);
        out.extend(crc.sum().to_le_bytes());
        out.extend(u32::try_from(piece.len()).unwrap().to_le_bytes());
    }
    out.extend(EOF_BLOCK);
    out
}

#[test]
fn bgzf_cut_anywhere() {
    let (programme, file) = callset(6000, "cut.vcf.gz");
    programme.run().done();
    let whole = fs::read(&file).unwrap();
    let starts = blocks(&whole);
    assert!(starts.len() > 5, "too few blocks to cut between: {starts:?}");
    assert_eq!(whole.len() - starts[starts.len() - 2], EOF_BLOCK.len());
    let mut cuts: Vec<usize> = starts
        .iter()
        .flat_map(|start| [start.saturating_sub(1), *start, start + 1, start + 17, start + 18])
        .chain((1..20).map(|i| whole.len() * i / 20 + 7))
        .chain([1, 2, 3, whole.len() - 27, whole.len() - 1])
        .filter(|cut| *cut < whole.len())
        .collect();
    cuts.sort_unstable();
    cuts.dedup();
    let before = programme.current();
    for cut in cuts {
        fs::write(&file, &whole[..cut]).unwrap();
        let said = programme.run();
        let code = said.error()["code"].as_str().unwrap().to_owned();
        let wanted: &[&str] = match cut {
            0 | 1 => &["genotype::unknown_format"],
            // Too short to be told from gzip.
            2..18 => &["genotype::gzip"],
            _ => &["genotype::bgzf_truncated"],
        };
        assert!(wanted.contains(&code.as_str()), "cut at {cut} of {}: {code}", whole.len());
        said.refused(&code, &["cut.vcf.gz"]);
        assert_eq!(programme.current(), before, "cut at {cut}");
    }
}

#[test]
fn bgzf_cut_at_a_block_and_closed_again() {
    let (programme, file) = callset(300, "cut.vcf.gz");
    let text = programme.read("feed/wgs/cut.vcf.gz");
    // Blocks of a fixed size, as bgzip makes them, end within a line.
    let whole = bgzf(text.as_bytes(), 5000);
    fs::write(&file, &whole).unwrap();
    programme.run().done();
    let starts = blocks(&whole);
    let middle = starts.len() - 4;
    assert_ne!(text.as_bytes()[middle * 5000 - 1], b'\n');
    fs::write(&file, [&whole[..starts[middle]], &EOF_BLOCK].concat()).unwrap();
    refused(&programme, "genotype::cut_line", &["cut.vcf.gz"]);
}

#[test]
fn bgzf_with_a_damaged_block() {
    let (programme, file) = callset(6000, "hurt.vcf.gz");
    let mut whole = fs::read(&file).unwrap();
    let starts = blocks(&whole);
    let middle = (starts[2] + starts[3]) / 2;
    whole[middle] ^= 0x10;
    fs::write(&file, whole).unwrap();
    let said = refused(&programme, "genotype::bgzf_damaged", &["hurt.vcf.gz", "at byte"]);
    assert!(said.err.contains(&starts[2].to_string()), "{}", said.err);
}

#[test]
fn wrong_magic() {
    let (programme, file) = callset(300, "magic.vcf.gz");
    fs::write(&file, format!("PK\u{3}\u{4}{CANARY}")).unwrap();
    refused(&programme, "genotype::unknown_format", &["magic.vcf.gz"]);
}

#[test]
fn header_without_samples() {
    let cut = |line: &str| match line.starts_with("##") {
        true => line.to_owned(),
        false => line.split('\t').take(8).collect::<Vec<_>>().join("\t"),
    };
    let programme = plain_callset(|text| text.lines().map(cut).map(|line| line + "\n").collect());
    refused(&programme, "genotype::no_samples", &["bad.vcf"]);
}

#[test]
fn duplicate_sample() {
    let programme = plain_callset(|text| text.replacen("SYN000002", "SYN000001", 1));
    let said = refused(&programme, "genotype::duplicate_sample", &["bad.vcf"]);
    assert!(!said.err.contains("SYN0"), "{}", said.err);
}

#[test]
fn no_header_line() {
    let programme = plain_callset(|text| {
        let kept = text.lines().filter(|line| !line.starts_with("#CHROM"));
        kept.map(|line| format!("{line}\n")).collect()
    });
    refused(&programme, "genotype::header", &["bad.vcf", "line"]);
}

#[test]
fn sample_missing_from_the_map() {
    let programme = plain_callset(|text| text.replacen("SYN000002", CANARY, 1));
    refused(&programme, "identity::unmapped_sample", &["sample_person.csv", "wgs", "exclude"]);
    // The other way to have it: left out and counted.
    programme.replace("w.toml", "[identity]", "unmapped_samples = \"exclude\"\n[identity]");
    programme.run().done();
    let manifest = programme.manifest().to_string();
    assert!(manifest.contains("unmapped_sample") && !manifest.contains(CANARY));
}

#[test]
fn person_missing_from_the_roster() {
    let programme = Programme::new();
    let person = programme.rows("feed/omop/person.csv")[4]["person_id"].clone();
    programme.edit("feed/participants.csv", |text| {
        let kept = text.lines().filter(|line| !line.starts_with(&person));
        kept.map(|line| format!("{line}\n")).collect()
    });
    let said = refused(&programme, "identity::person_not_in_roster", &["feed/omop", "1 person"]);
    assert_silent(&programme, &said, &[&person]);
}

#[test]
fn a_sample_of_nobody_on_the_roster() {
    let programme = Programme::new();
    programme.edit("feed/sample_person.csv", |text| text + "SYN999999,4299999999\n");
    let words = ["sample_person.csv", "1 person", "roster"];
    let said = refused(&programme, "identity::person_not_in_roster", &words);
    assert_silent(&programme, &said, &["4299999999", "SYN999999"]);
}

#[test]
fn two_samples_of_one_person() {
    let programme = Programme::new();
    let rows = programme.rows("feed/sample_person.csv");
    let (one, two) = (&rows[0]["person_id"], &rows[1]["person_id"]);
    programme.replace("feed/sample_person.csv", two, one);
    let words = ["sample_person.csv", "callset wgs", "1 person"];
    let said = refused(&programme, "identity::person_has_two_samples", &words);
    assert_silent(&programme, &said, &[one]);
}

#[test]
fn unknown_key_and_several_problems_at_once() {
    let programme = Programme::new();
    programme.replace("w.toml", "roster = ", "rooster = ");
    let found = |said: &Said| -> Vec<String> {
        let error = said.error();
        error["problems"].as_array().unwrap().iter().map(|p| p.as_str().unwrap().into()).collect()
    };
    let problems = found(&refused(&programme, "config::invalid", &[]));
    assert!(
        problems
            .iter()
            .any(|p| p.starts_with("w.toml:8:1:") && p.contains("did you mean `roster`")),
        "{problems:?}"
    );
    programme.replace("w.toml", "genome = \"GRCh38\"", "genome = \"GRCh83\"\nidx = 3");
    programme.replace("w.toml", "person_buckets = 2", "person_buckets = \"two\"");
    let problems = found(&refused(&programme, "config::invalid", &[]));
    for place in ["w.toml:8:1", "w.toml:23:", "w.toml:24:1", "w.toml:37:"] {
        assert!(problems.iter().any(|p| p.starts_with(place)), "{place} of {problems:#?}");
    }
}

#[test]
fn bad_paths_with_the_nearest_name() {
    let programme = Programme::new();
    programme.replace("w.toml", "feed/participants.csv", "feed/participant.csv");
    programme.replace("w.toml", "feed/wgs/*", "feed/wgs/wgs.chr20.vcf.gx");
    programme.replace("w.toml", "policies/public.toml", "policies/publik.toml");
    let help = ["`participants.csv`", "`wgs.chr20.vcf.gz`", "`public.toml`", "w.toml:8:"];
    refused(&programme, "config::invalid", &help);
}

#[test]
fn keys_that_cannot_be_used() {
    let programme = Programme::new();
    programme.write_key("key", programme::KEY, 0o644);
    let said = refused(&programme, "identity::key_readable_by_others", &["key", "chmod 600"]);
    assert!(!said.err.contains(&programme::KEY[..16]));
    programme.write_key("key", &"0".repeat(64), 0o600);
    refused(&programme, "identity::key_weak", &["key"]);
    programme.write_key("key", CANARY, 0o600);
    refused(&programme, "identity::key_malformed", &["key"]);
    fs::remove_file(programme.path("key")).unwrap();
    refused(&programme, "config::invalid", &["w.toml:12:", "there is no such file"]);
    // A folder in place of a key that may be made: it is not replaced.
    fs::create_dir(programme.path("key")).unwrap();
    programme.replace("w.toml", "{ file = \"key\" }", "{ file = \"key\", create = true }");
    let said = programme.run();
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.error()["message"].as_str().unwrap().contains("key"), "{said:?}");
    assert!(programme.path("key").is_dir());
}

/// Only where the tests do not run as root, whom no mode stops.
#[test]
fn key_without_read_permission() {
    let programme = Programme::new();
    programme.write_key("key", programme::KEY, 0o000);
    if fs::read(programme.path("key")).is_ok() {
        return skipped("this user reads files of mode 000");
    }
    refused(&programme, "io::permission_denied", &["key"]);
}

#[test]
fn a_locked_store() {
    let programme = Programme::new();
    fs::create_dir(programme.store()).unwrap();
    let lock = fs::File::create(programme.path("store/.lock")).unwrap();
    lock.lock().unwrap();
    refused(&programme, "release::locked", &["another run"]);
    lock.unlock().unwrap();
    programme.run().done();
}

#[test]
fn ragged_rows() {
    let programme = Programme::new();
    let ragged = |text: String| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines[6] += &format!(",{CANARY}");
        lines.join("\n") + "\n"
    };
    programme.edit("feed/participants.csv", ragged);
    refused(&programme, "identity::bad_row", &["participants.csv", "line 7"]);
    let programme = Programme::new();
    programme.edit("feed/omop/condition_occurrence.csv.gz", ragged);
    programme.run().done();
    let manifest = programme.manifest();
    let books = manifest["stages"]["ingest.ehr.site_a"]["ledger"].as_array().unwrap();
    let of = books.iter().find(|b| b["table"].as_str().unwrap().ends_with("condition_occurrence"));
    assert_eq!(of.unwrap()["excluded"]["ragged_row"], 1, "{of:?}");
    let programme = Programme::new();
    programme.edit("feed/omop/condition_occurrence.csv.gz", |text| {
        let (header, rows) = text.split_once('\n').unwrap();
        format!("{header}\n{}", rows.replace('\n', &format!(",{CANARY}\n")))
    });
    refused(&programme, "omop::ragged_rows", &["condition_occurrence.csv.gz", "on lines 2, 3"]);
}

#[test]
fn wrong_encodings() {
    let utf16 = |path: &Path| {
        let text = fs::read_to_string(path).unwrap();
        let units = [0xfeff].into_iter().chain(text.encode_utf16());
        fs::write(path, units.flat_map(u16::to_le_bytes).collect::<Vec<u8>>()).unwrap();
    };
    // Every row with a letter that is one byte in Latin-1.
    let latin1 = |path: &Path, place: &str| {
        let text = fs::read_to_string(path).unwrap().replace(place, &format!("{CANARY}ÿ{place}"));
        let bytes: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
        fs::write(path, bytes).unwrap();
    };
    let programme = Programme::new();
    utf16(&programme.path("feed/omop/person.csv"));
    refused(&programme, "omop::encoding", &["person.csv", "UTF-16"]);
    let programme = Programme::new();
    utf16(&programme.path("feed/participants.csv"));
    refused(&programme, "identity::bad_row", &["participants.csv", "line 1", "UTF-8"]);
    let programme = Programme::new();
    latin1(&programme.path("feed/omop/person.csv"), "MRN-FAKE");
    refused(&programme, "omop::encoding", &["person.csv", "not utf-8", "windows-1252"]);
    let programme = Programme::new();
    latin1(&programme.path("feed/participants.csv"), "not_withdrawn");
    refused(&programme, "identity::bad_row", &["participants.csv", "line 2", "UTF-8"]);
}

/// One bad value is quarantined with its place, not a reason to stop; the value is told nowhere.
#[test]
fn one_bad_row_is_quarantined() {
    let programme = Programme::new();
    programme.edit("feed/omop/condition_occurrence.csv.gz", |text| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut cells: Vec<&str> = lines[3].split(',').collect();
        cells[3] = CANARY;
        lines[3] = cells.join(",");
        lines.join("\n") + "\n"
    });
    let said = programme.run().done();
    assert_silent(&programme, &said, &[CANARY]);
    let rejects =
        programme::columns(&programme.release().join("quality/rejects/ehr/site_a.parquet"));
    let row = (0..rejects["line"].len())
        .find(|&i| rejects["line"][i] == "4" && rejects["file"][i] == "condition_occurrence.csv.gz")
        .unwrap();
    assert_eq!(rejects["column"][row], "condition_start_date");
    assert_eq!(rejects["reason"][row], "unparsable_date");
    assert_eq!(rejects["table"][row], "condition_occurrence");
    let ledger = &programme.manifest()["stages"]["ingest.ehr.site_a"]["ledger"];
    let books = ledger.as_array().unwrap().iter();
    let books = books.clone().find(|t| t["table"] == "omop/condition_occurrence").unwrap();
    let told = rejects["table"].iter().filter(|t| *t == "condition_occurrence").count();
    let excluded = books["excluded"].as_object().unwrap().values().map(|n| n.as_u64().unwrap());
    assert_eq!(excluded.sum::<u64>(), told as u64, "{books}");
}

#[test]
fn a_bad_value_in_the_roster() {
    let programme = Programme::new();
    programme.replace("feed/participants.csv", "not_withdrawn", CANARY);
    refused(
        &programme,
        "identity::bad_value",
        &["participants.csv", "line 2", "withdrawal_status"],
    );
}

#[test]
fn bad_policies() {
    let programme = Programme::new();
    programme.replace("policies/registered.toml", "\"shift_dates\"", "\"shift_date\"");
    let text = programme.read("policies/registered.toml");
    let line = text.lines().position(|l| l.contains("\"shift_date\"")).unwrap() + 1;
    let place = format!("registered.toml:{line}:");
    refused(&programme, "config::invalid", &[&place, "did you mean", "shift_dates"]);
    let programme = Programme::new();
    programme.replace("w.toml", "policies/registered.toml", "policies/controlled.toml");
    programme.replace(
        "w.toml",
        "[tier.controlled]\npolicy = \"policies/controlled.toml\"",
        "[tier.controlled]\npolicy = \"policies/registered.toml\"",
    );
    let said = refused(&programme, "config::invalid", &["this policy is for another tier"]);
    assert!(said.err.contains("w.toml:"), "{}", said.err);
}

#[test]
fn tiers_without_what_they_are_made_of() {
    let (programme, _) = callset(300, "fine.vcf.gz");
    programme.edit("w.toml", |text| {
        text.replace("[tier.", "[tier.public]\npolicy = \"policies/public.toml\"\n[tier.")
    });
    refused(&programme, "config::invalid", &["needs an extract", "w.toml:"]);
    programme.replace("w.toml", "[tier.controlled]", "[tier.registered]");
    refused(&programme, "config::invalid", &["needs the Controlled tier"]);
}

/// A small file system that goes away with the test.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: PathBuf, size: &str) -> Option<Self> {
        fs::create_dir(&at).unwrap();
        let options = format!("size={size}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "none"])
            .arg(&at)
            .output()
            .is_ok_and(|output| output.status.success());
        mounted.then_some(Self(at))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk() {
    let programme = Programme::new();
    let Some(disk) = Disk::mount(programme.path("disk"), "8m") else {
        return skipped("no tmpfs can be mounted here");
    };
    programme.replace("w.toml", "store = \"store\"", "store = \"disk/store\"");
    programme.run().done();
    let store = disk.0.join("store");
    let old = fs::read(store.join("CURRENT")).unwrap();
    // A new key makes every stage run again.
    programme.write_key("key", &"5a".repeat(32), 0o600);
    programme.replace("w.toml", "\"key\" }", "\"key\" }\nepoch = 2");
    let run = || programme.strata(["run", "w.toml", "--new-epoch", "--log-format", "json"]);
    let ballast = disk.0.join("ballast");
    for room in [0u64, 20, 60, 120, 200, 300, 400, 500, 600, 700] {
        let _ = fs::remove_dir_all(store.join("staging"));
        let _ = fs::remove_file(&ballast);
        let fill = vec![0u8; usize::try_from(free(&disk.0).saturating_sub(room << 10)).unwrap()];
        fs::write(&ballast, fill).unwrap();
        let said = run();
        if said.code == Some(0) {
            assert!(room > 400, "a release fits into {room} KiB");
            break;
        }
        said.refused("io::disk_full", &["free some space"]);
        assert_eq!(fs::read(store.join("CURRENT")).unwrap(), old, "{room} KiB left");
        programme.strata(["verify", "disk/store"]).done();
    }
    fs::remove_file(&ballast).unwrap();
    run().done();
    programme.strata(["verify", "disk/store", "--audit", "--key", "key"]).done();
    assert_ne!(fs::read(store.join("CURRENT")).unwrap(), old);
    programme.strata(["verify", "disk/store"]).done();
}

/// Free bytes of a file system.
fn free(path: &Path) -> u64 {
    let output = Command::new("df").args(["--output=avail", "-B1"]).arg(path).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().nth(1).unwrap().trim().parse().unwrap()
}

#[test]
fn a_table_without_its_column_is_not_shown() {
    let programme = Programme::in_memory(60, 100);
    let header = "sample_id\tPC1\tPC2\n";
    programme.write("pcs.tsv", format!("{header}{CANARY}\t0.5\t0.5\n"));
    programme.replace("w.toml", "sex = \"feed", "pcs = \"pcs.tsv\"\nsex = \"feed");
    programme.strata(["validate", "w.toml"]).done();
    // Every table whose header is looked at, with a row that may be shown nowhere.
    let tables = [
        ("feed/participants.csv", "genomics_consent", format!("{CANARY},yes,,yes,,yes,no,")),
        ("feed/sample_person.csv", "sample_id", format!("{CANARY},{CANARY}")),
        ("feed/ancestry_preds.tsv", "ancestry_pred", format!("{CANARY}\teur")),
        ("feed/sample_sex.tsv", "sex", format!("{CANARY}\tfemale")),
        ("pcs.tsv", "PC1", format!("{CANARY}\t0.25")),
    ];
    for (file, column, row) in tables {
        let whole = programme.read(file);
        let (header, rows) = whole.split_once('\n').unwrap();
        let broken = header.replacen(column, "other", 1);
        programme.write(file, format!("{broken}\n{row}\n{rows}"));
        for arguments in [&["validate", "w.toml"][..], &["run", "w.toml"]] {
            let said = programme.strata(arguments.iter().copied());
            assert_eq!(said.code, Some(1), "{said:?}");
            assert!(said.err.contains(&format!("`{column}` is missing")), "{}", said.err);
            assert_silent(&programme, &said, &[CANARY]);
            for id in rows.lines().take(3).filter_map(|line| line.split([',', '\t']).next()) {
                assert!(!said.err.contains(id), "{file}: a row is shown");
            }
        }
        programme.write(file, whole);
    }
}

#[test]
fn a_file_that_a_list_or_a_map_names_must_be_there() {
    let programme = Programme::in_memory(60, 100);
    let with = |files: &str| {
        programme.replace("w.toml", "vcf = [\"feed/wgs/*\"]", files);
        let said = programme.strata(["validate", "w.toml", "--log-format", "json"]);
        programme.replace("w.toml", files, "vcf = [\"feed/wgs/*\"]");
        said
    };
    programme.write("list.txt", "# files\nfeed/wgs/*\nnope.vcf\n");
    with("vcf_list = \"list.txt\"").refused("config::invalid", &["line 3 of the list"]);
    programme.write("list.txt", b"\xff\xfe".as_slice());
    with("vcf_list = \"list.txt\"").refused("config::invalid", &["not readable text"]);
    let none = "vcf_by_chrom = { chr20 = \"feed/wgs/*\", chr7 = \"nope*.vcf\" }";
    with(none).refused("config::invalid", &["no file matches that of `chr7`"]);
    let odd = "vcf_by_chrom = { \"chromosome 7\" = \"feed/wgs/*\" }";
    with(odd).refused("config::invalid", &["is no chromosome"]);
}

#[test]
fn numbers_keep_their_bounds_whole_or_not() {
    let programme = Programme::in_memory(60, 100);
    let cases = [
        ("carriers_max_af = -1.0", "at least 0"),
        ("carriers_max_af = nan", "a finite number"),
        ("carriers_max_af = 1.5", "at most 1"),
        ("outlier_mads = 0.0", "at least 1"),
        ("outlier_mads = inf", "a finite number"),
        ("calls = { min_ab = 7.0 }", "at most 1"),
        ("selection.rare = { af_above = nan }", "a finite number"),
    ];
    for (line, words) in cases {
        programme.replace("w.toml", "sex = \"feed", &format!("{line}\nsex = \"feed"));
        let said = programme.strata(["validate", "w.toml", "--log-format", "json"]);
        said.refused("config::invalid", &[words]);
        programme.replace("w.toml", &format!("{line}\n"), "");
    }
}
