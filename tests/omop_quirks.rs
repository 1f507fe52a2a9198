//! The quirks that real extracts are known for, each on a table of a few rows.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its own input has failed")]

#[path = "omop_support/support.rs"]
mod support;

use std::io::Write;

use strata::error::Coded;
use strata::omop::{CdmVersion, Error, RejectLimit, TextEncoding};
use support::{Case, NOTE, books, column};

/// What one file becomes: the named column, the quarantine and the notes.
struct Quirk {
    name: &'static str,
    file: &'static str,
    text: &'static str,
    table: &'static str,
    column: &'static str,
    values: &'static [&'static str],
    rejects: &'static [&'static str],
    notes: &'static [&'static str],
}

const DEATH_DATES: Quirk = Quirk {
    name: "dates: plain, with midnight, unpadded, compact, with a time",
    file: "death.csv",
    text: "person_id,death_date\n1,1998-04-09\n2,1998-04-09 00:00:00\n3,1937-12-1\n1,19980409\n\
        2,1998-04-09T04:17:47Z\n",
    table: "death",
    column: "death_date",
    values: &["1998-04-09", "1998-04-09", "1937-12-01", "1998-04-09", "1998-04-09"],
    rejects: &[],
    notes: &["time_dropped"],
};

const QUIRKS: &[Quirk] = &[
    DEATH_DATES,
    Quirk {
        name: "datetimes: a zone, a date alone",
        file: "death.csv",
        text: "person_id,death_datetime\n1,2023-10-10T04:17:47Z\n2,2023-10-10\n",
        column: "death_datetime",
        values: &["2023-10-10T04:17:47", "2023-10-10T00:00:00"],
        notes: &["zone_dropped", "missing_column:death_date"],
        ..DEATH_DATES
    },
    Quirk {
        name: "ids written as floats; upper case in the header and the file's name",
        file: "DEATH.CSV",
        text: "PERSON_ID,CAUSE_CONCEPT_ID\n1.0,10204.0\n2.5,1\n",
        column: "cause_concept_id",
        values: &["10204"],
        rejects: &["DEATH.CSV:3 death person_id unparsable_integer"],
        notes: &[],
        ..DEATH_DATES
    },
    Quirk {
        name: "empty, quoted empty and the letters NA",
        file: "note.csv",
        text: "note_id,person_id,note_date,note_text\n1,1,,\"\"\n2,1,NA,NA\n3,1,\"\",\n",
        table: "note",
        column: "note_text",
        values: &["", "NA", ""],
        notes: &["na_as_null", "required_missing:note_date"],
        ..DEATH_DATES
    },
    Quirk {
        name: "a dummy row under placeholder names, then the header",
        text: "column0,column1\nPERSON_ID,DEATH_DATE\n1,1998-04-09\n",
        values: &["1998-04-09"],
        notes: &["placeholder_header"],
        ..DEATH_DATES
    },
    Quirk {
        name: "header only, without a line end",
        text: "person_id,death_date",
        values: &[],
        notes: &[],
        ..DEATH_DATES
    },
    Quirk {
        name: "no final line end; CRLF, LF and CR in one file",
        text: "person_id,death_date\r\n1,2020-01-01\n2,2020-01-02\r3,2020-01-03",
        values: &["2020-01-01", "2020-01-02", "2020-01-03"],
        notes: &[],
        ..DEATH_DATES
    },
    Quirk {
        name: "byte order mark, TAB, a column the table lacks",
        text: "\u{feff}person_id\tward\tdeath_date\n1\tx\t2020-01-01\n",
        values: &["2020-01-01"],
        notes: &["unknown_column:ward"],
        ..DEATH_DATES
    },
    Quirk {
        name: "orphans, persons missing",
        text: "person_id,death_date\n9,2020-01-01\n,2020-01-01\n1,2020-01-01\n",
        values: &["2020-01-01"],
        rejects: &[
            "death.csv:2 death person_id orphan_person",
            "death.csv:3 death person_id missing_key",
        ],
        notes: &[],
        ..DEATH_DATES
    },
    Quirk {
        name: "duplicate keys; rows of commas",
        file: "note.csv",
        text: "note_id,person_id,note_text\n1,1,a\n1,1,a\n,,\n2,1,b\n",
        table: "note",
        column: "note_text",
        values: &["a", "b"],
        rejects: &["note.csv:3 note note_id duplicate_key"],
        notes: &["duplicate_key_rows_involved", "empty_row"],
    },
    Quirk {
        name: "the quoted column \"offset\"",
        file: "note_nlp.csv",
        text: "note_nlp_id,note_id,\"offset\",nlp_date\n1,5,\"12,3\",2020-01-01\n",
        table: "note_nlp",
        column: "offset",
        values: &["12,3"],
        notes: &[],
        ..DEATH_DATES
    },
    Quirk {
        name: "Athena: TAB, no quoting, raw quotes, compact dates",
        file: "CONCEPT.csv",
        text: "concept_id\tconcept_name\tvalid_start_date\n1\t\"5\" tube\t19700101\n2\tO'Neil \"x\"\t\n",
        table: "concept",
        column: "concept_name",
        values: &["\"5\" tube", "O'Neil \"x\""],
        notes: &["missing_column:domain_id"],
        ..DEATH_DATES
    },
];

#[test]
fn every_known_quirk_is_read_as_it_is_meant() {
    for quirk in QUIRKS {
        let case = Case::new().with(quirk.file, quirk.text);
        let extract = case.run().unwrap();
        let name = quirk.name;
        assert_eq!(column(&case.table(quirk.table), quirk.column), quirk.values, "{name}");
        assert_eq!(case.rejects(), quirk.rejects, "{name}");
        let books = books(&extract, quirk.table);
        assert_eq!(books.rows_in as usize, quirk.values.len() + quirk.rejects.len(), "{name}");
        for note in quirk.notes {
            assert!(books.noted.contains_key(*note), "{name}: {note} not in {:?}", books.noted);
        }
    }
}

#[test]
fn misnamed_files_and_rubbish_are_noted() {
    let case = Case::new()
        .with("DEVICES_EXPOSURE.csv", "device_exposure_id\n1\n")
        .with("__MACOSX/._person.csv", "\0\0")
        .with("._death.csv", "\0\0")
        .with(".DS_Store", "\0");
    let extract = case.run().unwrap();
    let noted = &extract.output.ledger.0[0].noted;
    assert_eq!(noted["unknown_table:devices_exposure~device_exposure"], 1);
    assert_eq!(noted["missing_table:death"], 1);
    assert!(!noted.keys().any(|key| key.contains("macosx") || key.contains("ds_store")));
}

#[test]
fn zstd_is_told_by_its_bytes_and_a_cut_file_is_refused() {
    let rows: String = (0..5000).map(|i| format!("{i},1,,number {}\n", i * 7919 % 5003)).collect();
    let pack = |text: &str| zstd::encode_all(text.as_bytes(), 3).unwrap();
    let packed = pack(&format!("{NOTE}{rows}"));
    for name in ["note.csv.zst", "note.csv"] {
        let case = Case::new().with(name, &packed);
        assert_eq!(case.run().unwrap().table("note").unwrap().rows, 5000);
    }
    let two = [packed.clone(), pack("9001,2,,second frame\n")].concat();
    assert_eq!(
        Case::new().with("note.tsv.zst", two).run().unwrap().table("note").unwrap().rows,
        5001
    );
    for cut in [packed.len() / 2, packed.len() - 1] {
        let case = Case::new().with("note.csv.zst", &packed[..cut]);
        assert_eq!(case.code(), "omop::compressed");
    }
}

#[test]
fn declared_encodings_give_the_same_table() {
    let text = format!("{NOTE}1,1,2020-01-01,\"café, naïve\"\n2,1,2020-01-02,Ünal\n");
    let bytes: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    let utf16 = |big: bool, mark: bool| -> Vec<u8> {
        let units = mark.then_some(0xFEFF).into_iter().chain(text.encode_utf16());
        units.flat_map(|u| if big { u.to_be_bytes() } else { u.to_le_bytes() }).collect()
    };
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&bytes).unwrap();
    let forms = [
        (TextEncoding::Utf8, text.clone().into_bytes()),
        (TextEncoding::Windows1252, bytes.clone()),
        (TextEncoding::Iso8859_1, bytes.clone()),
        (TextEncoding::Iso8859_1, packed.finish().unwrap()),
        (TextEncoding::Windows1252, format!("\u{feff}{text}").into_bytes()),
        (TextEncoding::Utf16, utf16(true, true)),
        (TextEncoding::Utf16, utf16(false, true)),
        (TextEncoding::Utf16, utf16(true, false)),
        (TextEncoding::Utf16, utf16(false, false)),
    ];
    for (encoding, bytes) in forms {
        let mut case = Case::new().with("note.csv", bytes).encoded(encoding);
        // The folder's other file is in the same encoding, or says by its mark that it is not.
        case = case.with("person.csv", "\u{feff}person_id\n1\n");
        case.run().unwrap();
        assert_eq!(
            column(&case.table("note"), "note_text"),
            ["café, naïve", "Ünal"],
            "{encoding:?}"
        );
        assert_eq!(case.rejects(), [""; 0]);
    }
}

#[test]
fn an_undeclared_encoding_is_named_with_what_to_write() {
    let told = |case: Case| {
        let error = case.run().unwrap_err();
        assert_eq!(error.code(), "omop::encoding");
        error.help().unwrap()
    };
    let utf16: Vec<u8> = NOTE.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let help = told(Case::new().with("note.csv", utf16));
    assert!(help.contains("`encoding = \"utf-16\"`"), "{help}");
    let latin = [NOTE.as_bytes(), b"1,1,2020-01-01,caf\xE9\n"].concat();
    let help = told(Case::new().with("note.csv", latin));
    assert!(help.contains("`encoding = \"windows-1252\"`"), "{help}");
    // Bytes that code page 1252 has no character for stay out of the table.
    let holes = [NOTE.as_bytes(), b"1,1,2020-01-01,a\x81\n2,1,,b\n3,1,,c\n"].concat();
    let case = Case::new().with("note.csv", holes).encoded(TextEncoding::Windows1252);
    case.run().unwrap();
    assert_eq!(case.rejects(), ["note.csv:2 note  invalid_utf8"]);
}

#[test]
fn too_many_rejected_rows_fail_and_stay_readable() {
    let text = format!("{NOTE}1,1,2020-01-01,a\n1,1,2020-01-01,b\n2,9,2020-01-01,c\n3,1,x,d\n");
    let run = |rows, fraction| {
        let mut case = Case::new().with("note.csv", &text);
        case.max_rejected = RejectLimit { rows, fraction };
        let result = case.run();
        assert_eq!(case.rejects().len(), 3);
        result
    };
    for (rows, fraction) in
        [(None, None), (Some(3), None), (None, Some(0.75)), (Some(3), Some(1.0))]
    {
        run(rows, fraction).unwrap();
    }
    for (rows, fraction) in [(Some(2), None), (None, Some(0.7)), (Some(100), Some(0.0))] {
        let error = run(rows, fraction).unwrap_err();
        assert_eq!(error.code(), "omop::too_many_rejected");
        let text = error.to_string();
        assert!(text.starts_with("table `note`: 3 of 4 rows are quarantined ("), "{text}");
        assert!(text.contains("duplicate_key 1, orphan_person 1, unparsable_date 1"), "{text}");
        assert!(error.help().unwrap().contains("quality/rejects/ehr/s1.parquet"));
        assert!(matches!(error, Error::TooManyRejected { others: 0, .. }));
    }
}

#[test]
fn version_5_5_has_its_new_columns_and_tables() {
    let mut case = Case::new()
        .with("observation.csv", "observation_id,person_id,value_as_date\n1,1,2020-02-29\n")
        .with("specimen.csv", "specimen_id,person_id,visit_occurrence_id\n1,1,7\n")
        .with("PACK_CONTENT.csv", "pack_concept_id\tdrug_concept_id\tamount\n1\t2\t28\n");
    case.cdm = CdmVersion::V5_5;
    case.run().unwrap();
    assert_eq!(column(&case.table("observation"), "value_as_date"), ["2020-02-29"]);
    assert_eq!(column(&case.table("specimen"), "visit_occurrence_id"), ["7"]);
    assert_eq!(column(&case.table("pack_content"), "amount"), ["28"]);
    case.cdm = CdmVersion::V5_4;
    case.output = tempfile::tempdir().unwrap();
    let extract = case.run().unwrap();
    assert_eq!(books(&extract, "observation").noted["unknown_column:value_as_date"], 1);
}
