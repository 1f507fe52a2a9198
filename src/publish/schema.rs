//! The closed list of what may be in the public tier: tables, columns, categories and file names.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};

use crate::config::disclosure::{Method, PublicPolicy};

/// Path of the parameters of the protection.
pub(super) const PROTECTION: &str = "public/protection.json";
/// Path of the counts by concept.
pub(super) const PARTICIPANT_COUNTS: &str = "public/tables/participant_counts.parquet";
/// Path of the demographics.
pub(super) const DEMOGRAPHICS: &str = "public/tables/demographics.parquet";
/// Folder of the allele frequencies.
pub(super) const ALLELE_FREQUENCIES: &str = "public/tables/allele_frequencies/callset=";
/// Folder of the page.
pub(super) const SITE: &str = "public/site/";

/// Dimensions of the demographics table.
pub(super) const DIMENSIONS: [&str; 7] =
    ["participants", "sex", "age_band", "race", "ethnicity", "ancestry", "data"];

/// `participant_counts`: one row a published cell, sorted by domain table, concept, stratum, category.
pub(super) fn participant_counts() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("domain_table", DataType::Utf8, false),
        Field::new("concept_id", DataType::Int64, false),
        Field::new("concept_name", DataType::Utf8, true),
        Field::new("domain_id", DataType::Utf8, true),
        Field::new("vocabulary_id", DataType::Utf8, true),
        Field::new("stratum", DataType::Utf8, false),
        Field::new("category", DataType::Utf8, false),
        Field::new("participants", DataType::Int64, false),
    ]))
}

/// `demographics`: one row a published cell.
pub(super) fn demographics() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("dimension", DataType::Utf8, false),
        Field::new("category", DataType::Utf8, false),
        Field::new("concept_id", DataType::Int64, true),
        Field::new("participants", DataType::Int64, false),
    ]))
}

/// `allele_frequencies` of a callset with these ancestry groups: one row a published variant, sorted by
/// position (1-based), ref and alt. Nulls are withheld numbers.
pub(super) fn allele_frequencies(groups: &[String]) -> SchemaRef {
    let mut fields = vec![
        Field::new("vid", DataType::Utf8, false),
        Field::new("chrom", DataType::Utf8, false),
        Field::new("pos", DataType::Int32, false),
        Field::new("ref", DataType::Utf8, false),
        Field::new("alt", DataType::Utf8, false),
        Field::new("rsid", DataType::Utf8, true),
        Field::new("variant_type", DataType::Utf8, true),
        Field::new("ac", DataType::Int32, true),
        Field::new("an", DataType::Int32, true),
        Field::new("af", DataType::Float64, true),
        Field::new("hom", DataType::Int32, true),
    ];
    for group in groups {
        fields.push(Field::new(format!("ac_{group}"), DataType::Int32, true));
        fields.push(Field::new(format!("an_{group}"), DataType::Int32, true));
        fields.push(Field::new(format!("af_{group}"), DataType::Float64, true));
        fields.push(Field::new(format!("hom_{group}"), DataType::Int32, true));
    }
    Arc::new(Schema::new(fields))
}

/// The parameters of the protection. They are no secret: the key is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Protection {
    /// Name of the policy.
    pub policy: String,
    /// Rounding method.
    pub method: Method,
    /// Rounding base.
    pub base: u32,
    /// 1 to this many people are sensitive.
    pub sensitive_max: u32,
    /// Smallest ancestry group that is published.
    pub min_group: u32,
    /// Groups that may be published.
    pub groups: Vec<String>,
}

impl Protection {
    pub fn of(policy: &PublicPolicy) -> Self {
        Self {
            policy: policy.policy.name.clone(),
            method: policy.disclosure.method,
            base: policy.disclosure.base,
            sensitive_max: policy.disclosure.sensitive_max,
            min_group: policy.alleles.min_group,
            groups: policy.alleles.groups.clone(),
        }
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        // Plain data with string keys: serialising it cannot fail.
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}
