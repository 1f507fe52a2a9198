//! `strata unlock`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::process::ExitCode;

use zeroize::Zeroizing;

use super::args::{KeyFormat, TierName, Unlock};
use super::report::Failure;
use crate::config::Tier;
use crate::error::IoError;
use crate::pipeline::{self, Project, TableKeys};

pub fn unlock(verb: &Unlock) -> Result<ExitCode, Failure> {
    let project = Project::open(&verb.workflow)?;
    if !pipeline::has_key(&project) {
        let what = "the key file of the workflow is not there";
        return Err(Failure::stated("identity::no_key", what, None));
    }
    let tier = match verb.tier {
        TierName::Controlled => Tier::Controlled,
        TierName::Registered => Tier::Registered,
    };
    // Made before anything is asked: an answer that is in the log is not lost for want of a place.
    let mut options = OpenOptions::new();
    let made = options.write(true).create_new(true).mode(0o600).open(&verb.out);
    let mut out = made.map_err(IoError::at("creating", &verb.out))?;
    let asked = pipeline::load_key(&project).and_then(|key| {
        let release = verb.release.as_deref();
        pipeline::unlock(&project, &key, release, tier, &verb.table, &verb.reason)
    });
    let keys = asked.inspect_err(|_| {
        // An empty answer is none.
        let _ = std::fs::remove_file(&verb.out);
    })?;
    let text = match verb.format {
        KeyFormat::Json => {
            Zeroizing::new(serde_json::to_string_pretty(&keys).map_err(Failure::internal)?)
        }
        KeyFormat::Duckdb => script(&keys),
    };
    let written = out.write_all(text.as_bytes()).and_then(|()| out.sync_all());
    written.map_err(IoError::at("writing", &verb.out))?;
    super::print_line(&format!(
        "{} key(s) of the {} tier of {} are in {}",
        keys.files.len(),
        keys.tier,
        keys.release_id,
        verb.out.display()
    ));
    Ok(ExitCode::SUCCESS)
}

/// Keys and views for DuckDB. A view has the name of its table, after that of the callset if it has one.
fn script(keys: &TableKeys) -> Zeroizing<String> {
    let mut text = Zeroizing::new(format!(
        "-- Keys of the {} tier of {}. Whoever has this file reads the tables.\n\
         -- Columns of lists are left out: DuckDB cannot decrypt them.\n",
        keys.tier, keys.release_id
    ));
    let mut views: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (i, file) in keys.files.iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "PRAGMA add_parquet_key('k{i}', '{}');", *file.key);
        let path = keys.folder.join(&file.path).display().to_string().replace('\'', "''");
        let callset = file.path.split('/').skip_while(|part| *part != "genomics").nth(1);
        let name = callset.map_or(file.table.clone(), |set| format!("{set}_{}", file.table));
        let nested: Vec<String> = file.nested.iter().map(|name| format!("\"{name}\"")).collect();
        let columns = match &nested[..] {
            [] => "*".to_owned(),
            nested => format!("* EXCLUDE ({})", nested.join(", ")),
        };
        views.entry(name).or_default().push(format!(
            "  SELECT {columns} FROM read_parquet('{path}', encryption_config = {{footer_key: 'k{i}'}}, \
             hive_partitioning = true)"
        ));
    }
    for (name, files) in views {
        let files = files.join("\n  UNION ALL BY NAME\n");
        let _ = writeln!(text, "CREATE VIEW \"{name}\" AS\n{files};");
    }
    text
}
