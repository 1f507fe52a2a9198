//! Withdrawal: of people who leave, a new release has no trace in any byte, and what is not about them is the same
//! to the byte. Genotypes of people who may not be in a callset are never written, those least of all that nobody
//! else has.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

#[path = "attack/forms.rs"]
mod forms;
#[path = "support/programme.rs"]
mod programme;
#[path = "attack/scan.rs"]
mod scan;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use programme::{KEY, Programme, files_below, table};
use scan::{Canary, Scanner, shown};
use strata::identity::{IdScope, Key, PersonId};

/// Buckets of people: more than twice as many as people have records in a small table.
const BUCKETS: i64 = 97;

fn key() -> Key {
    let byte = |i: usize| u8::from_str_radix(&KEY[2 * i..2 * i + 2], 16).unwrap();
    Key::from_bytes(std::array::from_fn(byte)).unwrap()
}

/// The research ids of a person in the Controlled and the Registered tier.
fn research(person: i64) -> [i64; 2] {
    let tables = || strata::tier::row_tables();
    let (controlled, registered) = (
        key().controlled(IdScope::PerTier, tables()),
        key().registered(IdScope::PerTier, tables()),
    );
    [controlled.research_id(PersonId(person)).0, registered.research_id(PersonId(person)).0]
}

/// 200 people with records, wearables, genomes, and a callset of ten who stay.
fn programme() -> Programme {
    let programme = Programme::in_memory(200, 1_000);
    programme.replace("w.toml", "person_buckets = 2", &format!("person_buckets = {BUCKETS}"));
    programme.replace(
        "w.toml",
        "[tier.controlled]",
        "[wearables.fitbit]\npath = \"feed/wearables\"\n\n\
         [callset.panel]\ngenome = \"GRCh38\"\nvcf = [\"feed/panel.vcf\"]\n\n[tier.controlled]",
    );
    programme.replace("w.toml", "[identity]", "unmapped_samples = \"exclude\"\n\n[identity]");
    programme
}

/// A callset of the first ten samples of the map that are not of `leaving`.
fn panel(programme: &Programme, leaving: &[Leaver]) {
    let map = programme.rows("feed/sample_person.csv");
    let stays = |sample: &&String| !leaving.iter().any(|leaver| leaver.sample == **sample);
    let samples: Vec<&String> =
        map.iter().map(|row| &row["sample_id"]).filter(stays).take(10).collect();
    let mut text = String::from(
        "##fileformat=VCFv4.2\n##contig=<ID=chr20,length=64444167>\n\
         ##FORMAT=<ID=GT,Number=1,Type=String,Description=\"Genotype\">\n\
         #CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT",
    );
    for sample in &samples {
        text += &format!("\t{sample}");
    }
    for pos in 1..=20 {
        text += &format!("\nchr20\t{}\t.\tA\tG\t50\tPASS\t.\tGT", 1_000 * pos);
        for at in 0..samples.len() {
            text += if at % 10 == pos % 10 { "\t0/1" } else { "\t0/0" };
        }
    }
    programme.write("feed/panel.vcf", text + "\n");
}

/// Somebody who leaves: raw id, sample, and the variants that only they carry.
struct Leaver {
    person: i64,
    sample: String,
    private: Vec<String>,
}

/// Samples of each raw VCF file: name to column; and by row the vid of one ALT and who carries it.
fn carriers(programme: &Programme) -> BTreeMap<String, BTreeSet<String>> {
    let mut carriers: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in files_below(&programme.path("feed/wgs")) {
        let relative = path.strip_prefix(programme.root()).unwrap().display().to_string();
        let text = programme.read(&relative);
        let header = text.lines().find(|line| line.starts_with("#CHROM")).unwrap();
        let samples: Vec<&str> = header.split('\t').skip(9).collect();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let cells: Vec<&str> = line.split('\t').collect();
            for (index, alt) in cells[4].split(',').enumerate() {
                // Written as they are where nothing is to be trimmed.
                if cells[3].len() != 1 || alt.len() != 1 || alt == "*" {
                    continue;
                }
                let vid = format!("{}-{}-{}-{alt}", cells[0], cells[1], cells[3]);
                let number = (index + 1).to_string();
                let carries = |call: &str| {
                    call.split(':').next().unwrap().split(['|', '/']).any(|allele| allele == number)
                };
                let who = samples.iter().zip(&cells[9..]).filter(|(_, call)| carries(call));
                carriers
                    .entry(vid)
                    .or_default()
                    .extend(who.map(|(sample, _)| (*sample).to_owned()));
            }
        }
    }
    carriers
}

/// The two people to leave: they take part in everything, wear a tracker, and have variants of their own.
fn leavers(programme: &Programme) -> Vec<Leaver> {
    let roster = programme.rows("feed/participants.csv");
    let taking: BTreeSet<&String> = roster
        .iter()
        .filter(|row| {
            row["withdrawal_status"] == "not_withdrawn"
                && row["ehr_consent"] == "yes"
                && row["genomics_consent"] == "yes"
        })
        .map(|row| &row["person_id"])
        .collect();
    let births = programme.rows("feed/omop/person.csv");
    let young: BTreeSet<&String> = births
        .iter()
        .filter(|row| row["year_of_birth"].parse::<i32>().unwrap() > 1940)
        .map(|row| &row["person_id"])
        .collect();
    let worn = programme.rows("feed/wearables/activity_summary.csv.gz");
    let worn: BTreeSet<&String> = worn.iter().map(|row| &row["person_id"]).collect();
    let carriers = carriers(programme);
    let mut found = Vec::new();
    for row in programme.rows("feed/sample_person.csv") {
        let (person, sample) = (&row["person_id"], &row["sample_id"]);
        let alone = |who: &BTreeSet<String>| who.len() == 1 && who.contains(sample);
        let private: Vec<String> =
            carriers.iter().filter(|(_, who)| alone(who)).map(|(vid, _)| vid.clone()).collect();
        let chosen = taking.contains(person) && young.contains(person) && worn.contains(person);
        if chosen && private.len() > 1 {
            let person = person.parse().unwrap();
            found.push(Leaver { person, sample: sample.clone(), private });
        }
    }
    assert!(found.len() > 2, "{}", found.len());
    found.truncate(2);
    found
}

fn withdraw(programme: &Programme, leavers: &[Leaver]) {
    programme.edit("feed/participants.csv", |text| {
        let lines = text.lines().map(|line| {
            let leaves = leavers.iter().any(|leaver| line.starts_with(&leaver.person.to_string()));
            match line.strip_suffix("not_withdrawn,").filter(|_| leaves) {
                Some(before) => format!("{before}withdrawn,2025-12-30\n"),
                None => format!("{line}\n"),
            }
        });
        lines.collect()
    });
}

/// What tells of the leavers in a release: their ids in each tier, the ids of their rows, their variants.
fn traces(programme: &Programme, leavers: &[Leaver]) -> BTreeMap<String, Canary> {
    let mut traces = BTreeMap::new();
    for (at, leaver) in leavers.iter().enumerate() {
        traces.insert(format!("{at} raw"), Canary::Id(leaver.person));
        traces.insert(format!("{at} sample"), Canary::Text(leaver.sample.clone()));
        for vid in &leaver.private {
            traces.insert(format!("{at} variant {vid}"), Canary::Text(vid.clone()));
        }
        for (tier, id) in ["controlled", "registered"].into_iter().zip(research(leaver.person)) {
            traces.insert(format!("{at} {tier}"), Canary::Id(id));
            let id = id.to_string();
            for folder in ["omop", "wearables"].map(|f| programme.release().join(tier).join(f)) {
                for path in programme::tables_below(&folder) {
                    let rows = programme::columns(&path);
                    let Some(people) = rows.get("person_id") else { continue };
                    let of_leaver = (0..people.len()).filter(|row| people[*row] == id);
                    let key = rows.keys().find(|c| {
                        let table = path.parent().unwrap().parent().unwrap();
                        c.strip_suffix("_id") == table.file_name().and_then(|t| t.to_str())
                    });
                    let Some(key) = key else { continue };
                    for row in of_leaver {
                        let value = &rows[key][row];
                        let canary = value.parse().map(Canary::Id);
                        let canary = canary.unwrap_or_else(|_| Canary::Text(value.clone()));
                        traces.insert(format!("{at} {tier} {key} {value}"), canary);
                    }
                }
            }
        }
    }
    traces
}

/// Files of a release by their paths in it: digest.
fn digests(programme: &Programme) -> BTreeMap<String, String> {
    let manifest = programme.manifest();
    let files = manifest["files"].as_array().unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    files.iter().map(|file| (text(&file["path"]), text(&file["sha256"]))).collect()
}

/// `controlled/omop/visit_occurrence` of a path.
fn family(path: &str) -> String {
    path.split('/')
        .take_while(|part| !part.contains('=') && !part.starts_with("part-"))
        .collect::<Vec<_>>()
        .join("/")
}

#[test]
fn of_people_who_withdraw_nothing_is_left() {
    let programme = programme();
    let leavers = leavers(&programme);
    panel(&programme, &leavers);
    programme.run().done();
    let before = digests(&programme);
    let traces = traces(&programme, &leavers);
    let scanner = Scanner::new(&traces);
    let tiers = ["controlled", "registered", "public", "quality"];
    let look = || {
        let release = programme.release();
        let files: Vec<_> =
            tiers.iter().flat_map(|tier| files_below(&release.join(tier))).collect();
        scanner.files(&release, &files)
    };
    let hits = look();
    let found: BTreeSet<&String> = hits.iter().map(|hit| &hit.canary).collect();
    let unseen: Vec<&String> = traces
        .keys()
        .filter(|label| {
            !found.contains(label) && !label.ends_with("raw") && !label.ends_with("sample")
        })
        .collect();
    assert!(unseen.is_empty(), "not even there before: {unseen:?}");
    println!("{} traces of {} people, {} finds before", traces.len(), leavers.len(), hits.len());
    assert!(traces.len() > 200);

    withdraw(&programme, &leavers);
    programme.run().done();
    let hits = look();
    assert!(hits.is_empty(), "{}", shown(&hits));
    let after = digests(&programme);
    assert_eq!(fs::read_dir(programme.store().join("releases")).unwrap().count(), 2);

    // Only files of the leavers' buckets are others, or gone.
    let mut same: BTreeMap<String, [usize; 2]> = BTreeMap::new();
    let ids: Vec<[i64; 2]> = leavers.iter().map(|leaver| research(leaver.person)).collect();
    for (path, digest) in &before {
        let tier = path.split('/').next().unwrap();
        let Some(number) = ["controlled", "registered"].iter().position(|t| *t == tier) else {
            continue;
        };
        let is_same = after.get(path) == Some(digest);
        let count = same.entry(family(path)).or_default();
        count[usize::from(!is_same)] += 1;
        if let Some(bucket) = path.split("person_bucket=").nth(1) {
            let bucket: i64 = bucket.split('/').next().unwrap().parse().unwrap();
            let touched = ids.iter().any(|id| id[number] % BUCKETS == bucket);
            assert!(is_same || touched, "{path} is another file");
        }
    }
    for path in after.keys().filter(|path| path.contains("person_bucket=")) {
        assert!(before.contains_key(path), "{path} is new");
    }
    for (family, [same, other]) in &same {
        println!("{family}: {same} the same, {other} not");
        let of_everybody = family.ends_with("omop/person") || family.contains("/genomics/wgs");
        assert!(*same > 0 || of_everybody, "{family}: no file is the same");
        assert!(!of_everybody || *same == 0, "{family} should not be the same");
    }
    let of = |name: &str| same.keys().filter(|family| family.contains(name)).count();
    assert!(of("/omop/") > 40 && of("/wearables/") >= 10 && of("/genomics/panel") == 4, "{same:?}");
}

/// Takes every line about the leavers, and every column of their samples, out of the feed.
fn erase(programme: &Programme, leavers: &[Leaver]) {
    let words: Vec<String> = leavers
        .iter()
        .flat_map(|leaver| [leaver.person.to_string(), leaver.sample.clone()])
        .collect();
    for path in files_below(&programme.path("feed")) {
        let relative = path.strip_prefix(programme.root()).unwrap().display().to_string();
        let is_table = [".csv", ".csv.gz", ".tsv"].iter().any(|end| relative.ends_with(end));
        if relative.starts_with("feed/vocabulary") || !is_table {
            continue;
        }
        let text = programme.read(&relative);
        let stays = |line: &&str| !words.iter().any(|word| line.contains(word.as_str()));
        let left: String = text.lines().filter(stays).map(|line| format!("{line}\n")).collect();
        if left.len() < text.len() {
            programme.edit(&relative, |_| left);
        }
    }
    for path in files_below(&programme.path("feed/wgs")) {
        let relative = path.strip_prefix(programme.root()).unwrap().display().to_string();
        let text = programme.read(&relative);
        let header = text.lines().find(|line| line.starts_with("#CHROM")).unwrap();
        let out: BTreeSet<usize> = header
            .split('\t')
            .enumerate()
            .filter(|(_, name)| words.iter().any(|word| word == name))
            .map(|(at, _)| at)
            .collect();
        assert_eq!(out.len(), leavers.len());
        let cut = |line: &str| -> String {
            let cells = line.split('\t').enumerate().filter(|(at, _)| !out.contains(at));
            cells.map(|(_, cell)| cell).collect::<Vec<_>>().join("\t") + "\n"
        };
        let lines = text.lines();
        let left: String =
            lines.map(|l| if l.starts_with("##") { format!("{l}\n") } else { cut(l) }).collect();
        fs::remove_file(&path).unwrap();
        programme.write(relative.strip_suffix(".gz").unwrap(), left);
    }
}

/// The strongest form of no trace: the tiers are, byte for byte, those of a programme which never knew the people.
#[test]
fn a_release_after_a_withdrawal_is_that_of_a_programme_without_the_people() {
    let (left, never) = (programme(), programme());
    let leavers = leavers(&left);
    for programme in [&left, &never] {
        panel(programme, &leavers);
    }
    left.run().done();
    withdraw(&left, &leavers);
    left.run().done();
    erase(&never, &leavers);
    never.run().done();
    let [after, anew] = [&left, &never].map(|programme| {
        let mut files = digests(programme);
        files.retain(|path, _| !path.starts_with("quality/"));
        files
    });
    let differ: Vec<&String> = after
        .keys()
        .chain(anew.keys())
        .filter(|path| after.get(*path) != anew.get(*path))
        .collect();
    assert!(differ.is_empty(), "{differ:?}");
    assert!(after.len() > 2_000, "{}", after.len());
    assert!(after.keys().any(|path| path.starts_with("public/tables/")));
}

/// Variants of people who are not in the callset: of no form of record is anything left, be the allele alone, one
/// of several, in both copies, half called or phased.
#[test]
fn genotypes_of_people_who_are_out_are_never_written() {
    let programme = Programme::in_memory(60, 300);
    let (withdrawn, no_genomics, stays) = (9_310_000_041_i64, 9_310_000_042_i64, 9_310_000_043_i64);
    programme.edit("feed/participants.csv", |text| {
        text + &format!(
            "{withdrawn},yes,2020-01-01,yes,2020-01-01,yes,withdrawn,2021-01-01\n\
             {no_genomics},yes,2020-01-01,yes,2020-01-01,no,not_withdrawn,\n\
             {stays},yes,2020-01-01,yes,2020-01-01,yes,not_withdrawn,\n"
        )
    });
    programme.edit("feed/sample_person.csv", |text| {
        text + &format!("ZqGone,{withdrawn}\nZqNever,{no_genomics}\nZqStays,{stays}\n")
    });
    // POS, REF, ALT, and the calls of who is gone, who never was in, and who stays.
    let records = [
        (101, "A", "G", ["0/1", "0/0", "0/0"]),
        (102, "A", "G", ["0/0", "1/1", "0/0"]),
        (103, "A", "G", ["1|0", "0|1", "0|0"]),
        (104, "A", "G", ["./1", "0/0", "0/0"]),
        (105, "A", "G,T", ["0/1", "0/0", "0/2"]),
        (106, "A", "G,T,C", ["2/3", "3/3", "0/1"]),
        (107, "ACC", "A,ACCTTTTGGG", ["2/2", "0/2", "0/1"]),
        (108, "A", "G", ["0/1", "0/0", "./."]),
        (109, "A", "G", ["1", "0", "0"]),
        (110, "A", "G", ["0/1", "0/1", "1/1"]),
    ];
    let mut text = String::from(
        "##fileformat=VCFv4.2\n##contig=<ID=chr20,length=64444167>\n\
         ##FORMAT=<ID=GT,Number=1,Type=String,Description=\"Genotype\">\n\
         ##FORMAT=<ID=AD,Number=R,Type=Integer,Description=\"Depths\">\n\
         #CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tZqGone\tZqNever\tZqStays\n",
    );
    for (pos, reference, alt, calls) in records {
        let alleles = alt.split(',').count() + 1;
        let depths: Vec<String> = (0..alleles).map(|a| (a + 1).to_string()).collect();
        let calls = calls.map(|call| format!("{call}:{}", depths.join(",")));
        text += &format!(
            "chr20\t{pos}\trs{pos};ZqId{pos}\t{reference}\t{alt}\t50\tPASS\tAC={pos}777;NOTE=Zq{pos}\tGT:AD\t{}\n",
            calls.join("\t")
        );
    }
    programme.write("feed/panel.vcf", text);
    programme.replace(
        "w.toml",
        "[tier.controlled]",
        "[callset.panel]\ngenome = \"GRCh38\"\nvcf = [\"feed/panel.vcf\"]\ninfo = []\n\
         format = [\"AD\"]\n\n[tier.controlled]",
    );
    programme.run().done();
    let panel = programme.release().join("controlled/genomics/panel");
    let variants = table(&panel.join("variants"));
    let vids: Vec<&str> = variants["vid"].iter().map(String::as_str).collect();
    assert_eq!(vids, ["chr20-105-A-T", "chr20-106-A-G", "chr20-107-ACC-A", "chr20-110-A-G"]);
    // Nor does any column name an allele of theirs.
    for (column, cells) in &variants {
        for cell in cells {
            for gone in ["ACCTTTTGGG", "CTTTTGGG", "G,T", "T,C"] {
                assert!(!cell.contains(gone), "{column}: {cell}");
            }
        }
    }
    for (column, wanted) in [("n_called", 1), ("n_missing", 0)] {
        for cell in &variants[column] {
            assert_eq!(cell.parse::<i32>().unwrap(), wanted, "{column}");
        }
    }
    assert_eq!(variants["ac"], ["1", "1", "1", "2"]);
    assert_eq!(table(&panel.join("samples"))["sample_idx"], ["0"]);
    assert_eq!(table(&panel.join("carriers"))["sample_idx"], ["0"; 4]);
    // One sample is one bit of a byte.
    for planes in ["het", "hom_alt"] {
        for cell in &table(&panel.join("genotypes"))[planes] {
            assert!(["00", "01"].contains(&cell.as_str()), "{planes} {cell}");
        }
    }
    let canaries = BTreeMap::from_iter(
        ["ZqGone", "ZqNever", "ZqStays", "NOTE=Zq"]
            .map(|word| (word.to_owned(), Canary::Text(word.to_owned()))),
    );
    let hits = Scanner::new(&canaries).files(&programme.store(), &files_below(&programme.store()));
    assert!(hits.is_empty(), "{}", shown(&hits));
}
