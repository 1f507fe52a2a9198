//! The static Data Browser: one page and its data files, which work from a folder or any web server.
//!
//! Data files are scripts that call one function, because a page opened from a folder may not fetch. Every
//! number in them is a published one, and so is every order: concepts are sorted by published total, then
//! by concept id.

use std::path::Path;

use minijinja::{Environment, Value, context};
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::alleles::{CallsetAlleles, PublishedVariant};
use super::audit::{AuditReport, Figures, check_variant, find, is_rounded};
use super::concepts::{Concepts, DOMAINS, PublishedConcept};
use super::demographics::Demographics;
use super::disclosure::allele::{PublishedAllele, Region};
use super::source::{SEXES, age_bands};
use super::{Error, PublishRequest, schema};
use crate::engine::parquet::write_bytes;
use crate::engine::{FileEntry, Job};
use crate::error::IoError;

/// Rows in one data file.
const CHUNK: usize = 10_000;
const PAGE: &str = "public/site/index.html";
const CALL: &str = "strataData(";
const SUMMARY_OPEN: &str = "<script id=\"summary\" type=\"application/json\">";

/// Writes the page and its data.
pub(super) fn build(
    request: &PublishRequest<'_>,
    concepts: &Concepts,
    people: &Demographics,
    callsets: &[CallsetAlleles],
    job: &Job,
) -> Result<Vec<FileEntry>, Error> {
    let mut files = Vec::new();
    let mut scripts = Vec::new();
    let mut chunk = |name: String, rows: &[Json]| -> Result<(), Error> {
        for (i, rows) in rows.chunks(CHUNK).enumerate() {
            let path = format!("data/{name}-{i:03}.js");
            let body = format!("{CALL}{},{});\n", json!(name), Json::from(rows));
            let full = format!("{}{path}", schema::SITE);
            files.push(write_bytes(&job.out, &full, "public", "site", body.as_bytes())?);
            scripts.push(path);
        }
        Ok(())
    };
    let shown = top_concepts(&concepts.published, request.policy.site.max_concepts as usize);
    chunk("concepts".into(), &shown.iter().map(|c| concept_row(c)).collect::<Vec<_>>())?;
    for callset in callsets {
        let rows: Vec<Json> = callset.sample.iter().map(variant_row).collect();
        chunk(format!("alleles-{}", callset.callset), &rows)?;
    }
    let summary = summary(request, concepts, shown.len(), people, callsets);
    let page = render(request, &summary, &scripts)?;
    files.push(write_bytes(&job.out, PAGE, "public", "site", page.as_bytes())?);
    Ok(files)
}

/// Concepts by published total, then id, then table.
fn top_concepts(published: &[PublishedConcept], most: usize) -> Vec<&PublishedConcept> {
    let mut shown: Vec<&PublishedConcept> = published.iter().collect();
    shown.sort_by_key(|c| (std::cmp::Reverse(c.total), c.concept_id, c.domain_table));
    shown.truncate(most);
    shown
}

/// `[domain, id, name, vocabulary, total, sex x 3, age x 10]`
fn concept_row(concept: &PublishedConcept) -> Json {
    let domain = DOMAINS.iter().position(|d| d.0 == concept.domain_table);
    let mut row = vec![
        json!(domain),
        json!(concept.concept_id),
        json!(concept.about.name),
        json!(concept.about.vocabulary),
    ];
    row.push(json!(concept.total));
    row.extend(concept.by_sex.iter().chain(&concept.by_age).map(|n| json!(n)));
    Json::from(row)
}

/// `[chrom, pos, ref, alt, rsid, type, [ac, an, hom], [[ac, an, hom] of each group]]`
fn variant_row(variant: &PublishedVariant) -> Json {
    let cell = |c: &PublishedAllele| json!([c.ac, c.an, c.hom]);
    json!([
        variant.chrom,
        variant.pos,
        variant.reference,
        variant.alternate,
        variant.rsid,
        variant.variant_type,
        cell(&variant.total),
        variant.groups.iter().map(cell).collect::<Vec<_>>(),
    ])
}

#[derive(Serialize)]
struct Category<'a> {
    name: &'a str,
    n: super::disclosure::PublishedCount,
}

fn summary(
    request: &PublishRequest<'_>,
    concepts: &Concepts,
    shown: usize,
    people: &Demographics,
    callsets: &[CallsetAlleles],
) -> Json {
    let dimensions: Vec<Json> = schema::DIMENSIONS
        .iter()
        .map(|dimension| {
            let cells: Vec<Category> = people
                .published
                .iter()
                .filter(|c| c.dimension == *dimension)
                .map(|c| Category { name: &c.category, n: c.participants })
                .collect();
            json!({ "dimension": dimension, "cells": cells })
        })
        .collect();
    let callsets: Vec<Json> = callsets
        .iter()
        .map(|c| {
            json!({
                "name": c.callset,
                "groups": c.groups,
                "published": c.published,
                "shown": c.sample.len(),
            })
        })
        .collect();
    json!({
        "programme": request.programme,
        "release": request.release,
        "reference_date": request.reference_date.to_string(),
        "protection": schema::Protection::of(&request.policy),
        "dimensions": dimensions,
        "sexes": SEXES,
        "age_bands": age_bands(),
        "domains": DOMAINS.map(|d| d.0),
        "concepts": { "published": concepts.published.len(), "shown": shown },
        "variants_per_chromosome": request.policy.site.max_variants_per_chromosome,
        "callsets": callsets,
    })
}

fn render(
    request: &PublishRequest<'_>,
    summary: &Json,
    scripts: &[String],
) -> Result<String, Error> {
    let page = |e: minijinja::Error| Error::Page { path: PAGE.into(), message: e.to_string() };
    let mut environment = Environment::new();
    environment
        .add_template("index.html", include_str!("templates/index.html"))
        .map_err(page)?;
    // JSON inside a script element: without `<`, `>` and `&` it cannot end the element.
    let summary = summary
        .to_string()
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026");
    environment
        .get_template("index.html")
        .and_then(|template| {
            template.render(context! {
                programme => request.programme.as_str(),
                release => request.release.as_str(),
                reference_date => request.reference_date.to_string(),
                base => request.policy.disclosure.base,
                sensitive => request.policy.disclosure.sensitive_max,
                min_group => request.policy.alleles.min_group,
                dithered => request.policy.disclosure.method
                    == crate::config::disclosure::Method::Dithered,
                scripts => scripts.to_vec(),
                summary_open => Value::from_safe_string(SUMMARY_OPEN.to_owned()),
                summary => Value::from_safe_string(summary),
                style => Value::from_safe_string(include_str!("templates/style.css").to_owned()),
                program => Value::from_safe_string(include_str!("templates/browser.js").to_owned()),
            })
        })
        .map_err(page)
}

/// Audits a file of the page: every number of people in it must be a published one.
pub(super) fn audit(
    root: &Path,
    path: &str,
    protection: &schema::Protection,
    report: &mut AuditReport,
) -> Result<(), Error> {
    let full = root.join(path);
    let text = std::fs::read_to_string(&full).map_err(IoError::at("reading", &full))?;
    let data = if path == PAGE {
        text.split_once(SUMMARY_OPEN)
            .and_then(|(_, rest)| rest.split_once("</script>"))
            .and_then(|(json, _)| serde_json::from_str::<Json>(json).ok())
    } else {
        text.strip_prefix(CALL)
            .and_then(|rest| rest.strip_suffix(");\n"))
            .and_then(|json| serde_json::from_str::<Json>(&format!("[{json}]")).ok())
    };
    let Some(data) = data else {
        find(report, path, "unreadable");
        return Ok(());
    };
    let name = data.get(0).and_then(Json::as_str).unwrap_or("");
    let rows = data.get(1).and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
    if path == PAGE {
        audit_summary(&data, path, protection, report);
    } else if name == "concepts" {
        for row in rows {
            let counts = row.as_array().map_or(&[][..], |r| r.get(4..).unwrap_or(&[]));
            let whole = counts.len() == 1 + SEXES.len() + age_bands().len();
            if !whole || !counts.iter().all(|n| n.as_i64().is_some_and(|n| is_rounded(n, protection))) {
                find(report, path, "not_a_multiple");
            }
            report.cells += counts.len() as u64;
        }
    } else if name.starts_with("alleles-") {
        for row in rows {
            if let Some(rule) = audit_variant(row, protection) {
                find(report, path, rule);
            }
            report.variants += 1;
        }
    } else {
        find(report, path, "unknown_file");
    }
    Ok(())
}

fn audit_summary(
    data: &Json,
    path: &str,
    protection: &schema::Protection,
    report: &mut AuditReport,
) {
    let dimensions = data.get("dimensions").and_then(Json::as_array);
    let cells = dimensions.into_iter().flatten().filter_map(|d| d.get("cells")?.as_array());
    for cell in cells.flatten() {
        let n = cell.get("n").and_then(Json::as_i64);
        if !n.is_some_and(|n| is_rounded(n, protection)) {
            find(report, path, "not_a_multiple");
        }
        report.cells += 1;
    }
}

fn audit_variant(row: &Json, protection: &schema::Protection) -> Option<&'static str> {
    let figures = |cell: &Json| {
        let at = |i: usize| cell.get(i).and_then(Json::as_i64);
        Figures { ac: at(0), an: at(1), hom: at(2) }
    };
    let region = Region::of(row.get(0).and_then(Json::as_str).unwrap_or(""));
    let total = row.get(6).map(figures)?;
    let groups = row.get(7).and_then(Json::as_array).into_iter().flatten().map(figures);
    let cells: Vec<Figures> = std::iter::once(total).chain(groups).collect();
    check_variant(&cells, region, protection)
}
