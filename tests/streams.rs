//! Callsets that come by standard input or a pipe, and runs that stop at the first bad record.
#![expect(clippy::unwrap_used, reason = "test helpers")]

#[path = "support/programme.rs"]
mod programme;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use programme::{Programme, STRATA, Said, said};

/// A programme with only a callset, whose files `vcf` names, and the bytes of its one file.
fn callset(vcf: &str) -> (Programme, Vec<u8>) {
    let programme = Programme::in_memory(60, 300);
    let file = programme.path("feed/wgs/wgs.chr20.vcf.gz");
    let bytes = fs::read(&file).unwrap();
    fs::remove_file(file).unwrap();
    programme.edit("w.toml", |text| {
        let drop = ["vocabulary]", "ehr.", "tier.registered]", "tier.public]"];
        let mut sections: Vec<&str> = text.split("\n[").collect();
        sections.retain(|section| !drop.iter().any(|start| section.starts_with(start)));
        let lines = sections.join("\n[");
        let lines = lines.lines().map(|line| match line.starts_with("vcf = ") {
            true => format!("vcf = [\"{vcf}\"]"),
            false => line.to_owned(),
        });
        lines.collect::<Vec<_>>().join("\n") + "\n"
    });
    (programme, bytes)
}

fn run_with(programme: &Programme, bytes: &[u8]) -> Said {
    let input = programme.path("input");
    fs::write(&input, bytes).unwrap();
    // A pipe and not the file itself.
    let mut cat = Command::new("cat").arg(&input).stdout(Stdio::piped()).spawn().unwrap();
    let pipe = cat.stdout.take().unwrap();
    let mut command = Command::new(STRATA);
    command.args(["run", "w.toml", "--log-format", "json"]).current_dir(programme.root());
    let said = said(command.stdin(pipe));
    cat.wait().unwrap();
    said
}

fn left(programme: &Programme) -> Vec<PathBuf> {
    let entries = fs::read_dir(programme.store().join("staging")).into_iter().flatten().flatten();
    entries.map(|e| e.path()).collect()
}

/// The text of a BGZF VCF less its last record.
fn shorter(bytes: &[u8]) -> Vec<u8> {
    let mut text = String::new();
    let mut decoder = flate2::read::MultiGzDecoder::new(bytes);
    std::io::Read::read_to_string(&mut decoder, &mut text).unwrap();
    let end = text.trim_end().rfind('\n').unwrap();
    text.truncate(end + 1);
    text.into_bytes()
}

#[test]
fn standard_input_is_an_input_like_any_other() {
    let (programme, bytes) = callset("-");
    run_with(&programme, &bytes).done();
    let first = programme.current().unwrap();
    assert!(left(&programme).is_empty(), "{:?}", left(&programme));
    // The same bytes: nothing to do. Others: another release.
    run_with(&programme, &bytes).done();
    assert_eq!(programme.current().unwrap(), first);
    run_with(&programme, &shorter(&bytes)).done();
    assert_ne!(programme.current().unwrap(), first);
    assert!(left(&programme).is_empty(), "{:?}", left(&programme));
    // Nothing at all is no callset, and leaves nothing behind either.
    run_with(&programme, b"").refused("genotype::unknown_format", &[]);
    assert!(left(&programme).iter().all(|p| !p.to_string_lossy().contains("spool")));
}

#[test]
fn a_named_pipe_is_read_once() {
    let (programme, bytes) = callset("feed/wgs/pipe.vcf.gz");
    let pipe = programme.path("feed/wgs/pipe.vcf.gz");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let writer = std::thread::spawn(move || fs::write(pipe, bytes).unwrap());
    programme.run().done();
    writer.join().unwrap();
    assert!(left(&programme).is_empty());
}

#[test]
fn standard_input_is_one_stream() {
    let (programme, _) = callset("-\", \"-");
    programme.run().refused("config::invalid", &["standard input"]);
}

#[test]
fn strict_fails_and_reuses_nothing_that_was_not() {
    let (programme, bytes) = callset("feed/wgs/wgs.vcf");
    let text = String::from_utf8({
        let mut text = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(&bytes[..]), &mut text)
            .unwrap();
        text
    })
    .unwrap();
    let header = text.lines().filter(|l| l.starts_with('#')).count();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut fields: Vec<&str> = lines[header + 4].split('\t').collect();
    fields[1] = "Qx7";
    lines[header + 4] = fields.join("\t");
    programme.write("feed/wgs/wgs.vcf", lines.join("\n") + "\n");
    programme.run().done();
    let counted = programme.current();
    let line = format!("line {}", header + 5);
    let strict = ["run", "w.toml", "--strict", "--log-format", "json"];
    let said =
        programme.strata(strict).refused("genotype::rejected", &[&line, "bad_pos", "--strict"]);
    assert!(!said.err.contains("Qx7"), "{said:?}");
    assert_eq!(programme.current(), counted);
    // A good file passes, in a release of its own.
    programme.write("feed/wgs/wgs.vcf", text);
    programme.strata(strict).done();
    let strictly = programme.current();
    assert_ne!(strictly, counted);
    programme.run().done();
    assert_ne!(programme.current(), strictly);
    // `strict = true` is the same as the flag.
    programme.edit("w.toml", |text| text.replace("vcf = [", "strict = true\nvcf = ["));
    programme.run().done();
    assert_eq!(programme.current(), strictly);
}
