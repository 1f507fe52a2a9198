//! The page itself.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::draw::{count, escape, meter, percent, pyramid, years};
use super::read::Figures;
use super::{CheckSummary, Request, RuleCount};

/// Checks listed as failing, at most.
const LISTED: usize = 40;

/// The page as HTML.
pub(super) fn render(request: &Request<'_>, f: &Figures) -> String {
    let title = escape(request.title);
    let records: u64 = f.tables.iter().map(|t| t.records).sum();
    let failed = request.checks.iter().filter(|c| c.failed).count() as u64;
    let unrun = request.checks.iter().filter(|c| c.is_error).count() as u64;
    let judged = request.checks.iter().filter(|c| !c.not_applicable && !c.is_error).count() as u64;
    let counts = match request.small_cell_count {
        0 => "exact counts".to_owned(),
        small => format!("counts of at most {small} are left out, and so of the sums"),
    };
    let mut tiles = vec![
        ("Persons", count(f.persons)),
        ("Records in observation", count(records)),
        ("Tables with records", count(f.tables.len() as u64)),
    ];
    if judged > 0 {
        tiles.push(("Checks passed", format!("{} of {}", count(judged - failed), count(judged))));
    }
    if unrun > 0 {
        tiles.push(("Checks that could not be run", count(unrun)));
    }
    let tiles: String =
        tiles.iter().map(|(t, d)| format!("<div><dt>{t}</dt><dd>{d}</dd></div>")).collect();
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'unsafe-inline'\"><title>{title} · health record quality</title>\
         <style>{style}</style></head><body><main class=\"wrap\"><h1>{title}</h1>\
         <p>Health records as curated: {counts}; internal. Records count once for every observation \
         period that holds their start.</p><dl class=\"tiles\">{tiles}</dl>\
         {density}{people}{unmapped}{concepts}{checks}{rules}</main></body></html>\n",
        style = include_str!("report.css"),
        density = density(f),
        people = people(f),
        unmapped = unmapped(f),
        concepts = concepts(f),
        checks = checks(request.checks),
        rules = rules(request.rules),
    )
}

fn density(f: &Figures) -> String {
    let all = f.tables.iter().flat_map(|t| t.by_year.keys()).chain(f.observed.keys());
    let (Some(&from), Some(&to)) = (all.clone().min(), all.max()) else { return String::new() };
    let mut html = String::from(
        "<h2>Density by year</h2><div class=\"grid\"><figure><h3>Persons in observation</h3>",
    );
    html.push_str(&years(&f.observed, from, to));
    html.push_str("</figure>");
    for t in &f.tables {
        let svg = years(&t.by_year, from, to);
        // Writing to a string cannot fail.
        let _ = write!(html, "<figure><h3>{} · {}</h3>{svg}</figure>", t.name, count(t.records));
    }
    html + "</div>"
}

fn people(f: &Figures) -> String {
    if f.ages.is_empty() {
        return String::new();
    }
    format!(
        "<h2>Age and sex at first observation</h2><div class=\"grid\"><figure>{}</figure></div>",
        pyramid(&f.ages)
    )
}

fn scroll(head: &[&str], numeric: usize, rows: impl Iterator<Item = Vec<String>>) -> String {
    let cell = |tag: &str, i: usize, text: &str| {
        let class = if i >= numeric { " class=\"n\"" } else { "" };
        format!("<{tag}{class}>{text}</{tag}>")
    };
    let head: String = head.iter().enumerate().map(|(i, h)| cell("th", i, h)).collect();
    let body: String = rows
        .map(|row| {
            let cells: String = row.iter().enumerate().map(|(i, c)| cell("td", i, c)).collect();
            format!("<tr>{cells}</tr>")
        })
        .collect();
    format!("<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")
}

fn unmapped(f: &Figures) -> String {
    let rows = f.tables.iter().map(|t| {
        vec![
            t.name.to_owned(),
            meter(t.unmapped, t.records),
            percent(t.unmapped, t.records),
            count(t.unmapped),
            count(t.records),
        ]
    });
    let head = ["Table", "", "Share", "Unmapped", "Records"];
    format!(
        "<h2>Records without a standard concept</h2><p>Concept 0 or none.</p>\
         <div class=\"scroll\">{}</div>",
        scroll(&head, 2, rows)
    )
}

fn concepts(f: &Figures) -> String {
    let mut html = String::from("<h2>Most frequent concepts</h2><div class=\"grid\">");
    for t in f.tables.iter().filter(|t| !t.top.is_empty()) {
        let rows = t.top.iter().map(|c| vec![escape(&c.name), count(c.persons), count(c.records)]);
        let table = scroll(&["Concept", "Persons", "Records"], 1, rows);
        let _ = write!(html, "<figure><h3>{}</h3>{table}</figure>", t.name);
    }
    html + "</div>"
}

fn checks(checks: &[CheckSummary]) -> String {
    if checks.is_empty() {
        return String::new();
    }
    // Passed, failed, not applicable, not run.
    let mut tables: BTreeMap<(&str, &str), [u64; 4]> = BTreeMap::new();
    for c in checks {
        let at = match (c.is_error, c.not_applicable) {
            (true, _) => 3,
            (_, true) => 2,
            _ => usize::from(c.failed),
        };
        tables.entry((&c.category, &c.cdm_table_name)).or_default()[at] += 1;
    }
    let rows = tables.into_iter().map(|((category, table), [passed, failed, not, unrun])| {
        let bad = format!("<span class=\"bad\">{}</span>", count(failed));
        vec![
            escape(category),
            escape(table),
            percent(passed, passed + failed),
            count(passed),
            if failed > 0 { bad } else { count(0) },
            count(not),
            count(unrun),
        ]
    });
    let head = ["Category", "Table", "Pass rate", "Passed", "Failed", "Not applicable", "Not run"];
    let overview = scroll(&head, 2, rows);
    let mut failing: Vec<&CheckSummary> = checks.iter().filter(|c| c.failed).collect();
    failing.sort_by_key(|c| {
        let name = (&c.cdm_table_name, &c.cdm_field_name, &c.check_name);
        (std::cmp::Reverse(c.num_violated_rows), name)
    });
    let more = failing.len().saturating_sub(LISTED);
    let rows = failing.iter().take(LISTED).map(|c| {
        vec![
            escape(&c.check_name),
            escape(&c.cdm_table_name),
            escape(&c.cdm_field_name),
            count(c.num_violated_rows),
            percent(c.num_violated_rows, c.num_denominator_rows),
            format!("{} %", c.threshold),
        ]
    });
    let head = ["Check", "Table", "Field", "Rows", "Share", "Allowed"];
    let list = scroll(&head, 3, rows);
    let more =
        if more > 0 { format!("<p>and {} more</p>", count(more as u64)) } else { String::new() };
    format!(
        "<h2>Quality checks</h2><div class=\"scroll\">{overview}</div>\
         <h2>Failing checks</h2><div class=\"scroll\">{list}</div>{more}"
    )
}

fn rules(rules: &[RuleCount]) -> String {
    if rules.is_empty() {
        return String::new();
    }
    let mut sorted: Vec<&RuleCount> = rules.iter().collect();
    sorted.sort_by_key(|r| (&r.rule, &r.table));
    let rows = sorted.iter().map(|r| {
        let counts = [r.removed, r.changed, r.made].map(count);
        [escape(&r.rule), escape(&r.table)].into_iter().chain(counts).collect()
    });
    format!(
        "<h2>Curation rules</h2><div class=\"scroll\">{}</div>",
        scroll(&["Rule", "Table", "Rows removed", "Rows changed", "Rows made"], 2, rows)
    )
}
