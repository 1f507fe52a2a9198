//! Paths in a configuration, and whether what they name is there.

use std::io::{BufRead, BufReader};
use std::path::{Component, Path, PathBuf};

use super::diagnostic::{Diagnostic, nearest};

/// `a/../b` is `b`: messages and records are easier to read, and nothing is looked up.
pub(super) fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir
                if matches!(out.components().next_back(), Some(Component::Normal(_))) =>
            {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

/// Files that match `pattern` below `base`, sorted. What is special in `base` itself is not.
pub fn expand(base: &Path, pattern: &str) -> Vec<PathBuf> {
    let whole = normal(&base.join(pattern));
    let whole = whole.to_string_lossy();
    let base = normal(base).to_string_lossy().into_owned();
    let whole = match whole.strip_prefix(&base) {
        Some(rest) if !base.is_empty() => format!("{}{rest}", glob::Pattern::escape(&base)),
        _ => whole.into_owned(),
    };
    let found = glob::glob(&whole);
    let mut files: Vec<PathBuf> = found.into_iter().flatten().flatten().collect();
    files.sort();
    files
}

/// The file of the nearest name in the same folder, or how far the path exists.
pub(super) fn neighbour(path: &Path) -> Option<String> {
    let wanted = path.file_name()?.to_string_lossy().into_owned();
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(entries) = std::fs::read_dir(parent) else {
        return Some(format!("the folder {} does not exist", parent.display()));
    };
    let mut names: Vec<String> =
        entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    nearest(&wanted, names.iter().map(String::as_str)).map(|near| format!("did you mean `{near}`?"))
}

/// Columns that the header line of a delimited file lacks. What cannot be read is reported when it is.
pub(super) fn missing_columns(path: &Path, wanted: &[&str]) -> Vec<Diagnostic> {
    let mut line = String::new();
    let read = std::fs::File::open(path).map(|file| BufReader::new(file).read_line(&mut line));
    if !matches!(read, Ok(Ok(_))) {
        return Vec::new();
    }
    let line = line.trim_start_matches('\u{feff}').trim_end();
    let separator = if line.contains('\t') { '\t' } else { ',' };
    let found: Vec<String> =
        line.split(separator).map(|c| c.trim().trim_matches('"').to_lowercase()).collect();
    let missing =
        wanted.iter().filter(|name| !found.iter().any(|column| column.eq_ignore_ascii_case(name)));
    missing
        .map(|name| Diagnostic {
            file: path.to_owned(),
            line: 1,
            column: 1,
            // Nothing is marked: an excerpt would show data.
            span: 0..0,
            message: format!("the column `{name}` is missing"),
            help: nearest(name, found.iter().map(String::as_str))
                .map(|near| format!("is it the column `{near}`?")),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_shown_in_their_short_form() {
        assert_eq!(normal(Path::new("a/b/../c/./d")), Path::new("a/c/d"));
        assert_eq!(normal(Path::new("../x/../y")), Path::new("../y"));
    }
}
