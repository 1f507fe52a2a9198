//! The public tier's policy file: how counts are protected and what goes on the page.

use serde::{Deserialize, Serialize};

use super::Tier;

/// A public tier policy (`configs/tiers/public.toml`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PublicPolicy {
    /// What this policy is.
    pub policy: PolicyHead,
    /// How counts of people are protected.
    pub disclosure: Disclosure,
    /// How allele frequencies are protected.
    #[serde(default)]
    pub alleles: AllelePolicy,
    /// What goes on the page.
    #[serde(default)]
    pub site: SitePolicy,
}

/// Name and tier of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyHead {
    /// Name of the policy, shown in plans and on the page.
    pub name: String,
    /// The tier it is for; `public` here.
    pub tier: Tier,
}

/// How a count of people becomes a published count.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// `base * floor((n + u) / base)` with a secret offset `u` fixed per cell. "0" means 0 to 19 people,
    /// "20" means 1 to 39 (privacy reference 2.5).
    #[default]
    Dithered,
    /// `base * ceil(n / base)`, as the All of Us Data Browser does. Measured weaker (privacy reference
    /// 2.4): about 8 % of small cells are bounded more tightly than the marker.
    AouCeil20,
}

/// What is published of the people without a call at a variant, and so of AN.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// AN is `2 * (people - missing)` with `missing` protected as any count of people, in every cell: AF is
    /// off by less than `base` people, and exact where nobody is missing. Autosomes only: elsewhere as
    /// `withhold`.
    #[default]
    Round,
    /// AN is exact, or withheld (and AF with it) where 1 to `sensitive_max` people are missing.
    Withhold,
}

/// Protection of counts of people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Disclosure {
    /// The rounding method.
    #[serde(default)]
    pub method: Method,
    /// Rounding base; at least `sensitive_max`.
    #[serde(default = "twenty")]
    pub base: u32,
    /// Counts of 1 up to this many people are sensitive; at least 20.
    #[serde(default = "twenty")]
    pub sensitive_max: u32,
    /// At least this many people join or leave between two public releases, or none; more than
    /// `sensitive_max`. Exact allele counts of two releases, subtracted, are those of the people who differ.
    /// 0 switches the rule off, for synthetic data only.
    #[serde(default = "twenty_one")]
    pub min_change: u32,
}

/// Protection of allele counts (privacy reference 2.7, strict).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AllelePolicy {
    /// Whether allele frequencies are published at all.
    #[serde(default = "yes")]
    pub publish: bool,
    /// Ancestry groups with fewer people than this are not published.
    #[serde(default = "hundred")]
    pub min_group: u32,
    /// How AN is protected.
    #[serde(default)]
    pub missing: Missing,
    /// Ancestry groups that may appear in public tables, in the order of their columns.
    #[serde(default = "ancestry_groups")]
    pub groups: Vec<String>,
}

/// Bounds of the static page. The tables are always whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SitePolicy {
    /// Concepts on the page, by published count; the table has all of them.
    #[serde(default = "site_concepts")]
    pub max_concepts: u32,
    /// Variants on the page for each chromosome of a callset; the table has all of them.
    #[serde(default = "site_variants")]
    pub max_variants_per_chromosome: u32,
}

/// A public policy that does not protect enough.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The policy is for another tier.
    #[error("the policy of the public tier says tier = \"{found}\": it must say \"public\"")]
    Tier {
        /// The tier it names.
        found: &'static str,
    },
    /// The sensitive range is narrower than the programme's rule.
    #[error("disclosure.sensitive_max is {found}: it must be at least 20")]
    SensitiveMax {
        /// The value.
        found: u32,
    },
    /// The base is smaller than the sensitive range.
    #[error(
        "disclosure.base is {base}: it must be at least disclosure.sensitive_max ({sensitive})"
    )]
    Base {
        /// The base.
        base: u32,
        /// The end of the sensitive range.
        sensitive: u32,
    },
    /// Two releases may differ by a sensitive number of people.
    #[error(
        "disclosure.min_change is {found}: it must be more than disclosure.sensitive_max ({sensitive}), \
         or 0 for synthetic data"
    )]
    MinChange {
        /// The value.
        found: u32,
        /// The end of the sensitive range.
        sensitive: u32,
    },
    /// Groups may be so small that rounding cannot hide a person.
    #[error("alleles.min_group is {found}: it must be at least twice disclosure.sensitive_max + 1")]
    MinGroup {
        /// The value.
        found: u32,
    },
    /// A group name that is no column name part.
    #[error("alleles.groups has a name that is not 2 to 8 lower-case letters")]
    Group,
}

impl PublicPolicy {
    /// Checks what types cannot.
    ///
    /// # Errors
    /// The first setting that protects less than the reference allows.
    pub fn check(&self) -> Result<(), PolicyError> {
        let sensitive = self.disclosure.sensitive_max;
        if self.policy.tier != Tier::Public {
            return Err(PolicyError::Tier { found: self.policy.tier.name() });
        }
        if sensitive < 20 {
            return Err(PolicyError::SensitiveMax { found: sensitive });
        }
        if self.disclosure.base < sensitive {
            return Err(PolicyError::Base { base: self.disclosure.base, sensitive });
        }
        let min_change = self.disclosure.min_change;
        if min_change != 0 && min_change <= sensitive {
            return Err(PolicyError::MinChange { found: min_change, sensitive });
        }
        if self.alleles.min_group < 2 * (sensitive + 1) {
            return Err(PolicyError::MinGroup { found: self.alleles.min_group });
        }
        let named =
            |g: &String| (2..=8).contains(&g.len()) && g.bytes().all(|b| b.is_ascii_lowercase());
        if !self.alleles.groups.iter().all(named) {
            return Err(PolicyError::Group);
        }
        Ok(())
    }
}

impl Default for Disclosure {
    fn default() -> Self {
        Self {
            method: Method::default(),
            base: twenty(),
            sensitive_max: twenty(),
            min_change: twenty_one(),
        }
    }
}

impl Default for AllelePolicy {
    fn default() -> Self {
        Self {
            publish: true,
            min_group: hundred(),
            missing: Missing::default(),
            groups: ancestry_groups(),
        }
    }
}

impl Default for SitePolicy {
    fn default() -> Self {
        Self { max_concepts: site_concepts(), max_variants_per_chromosome: site_variants() }
    }
}

fn yes() -> bool {
    true
}
fn twenty() -> u32 {
    20
}
fn twenty_one() -> u32 {
    21
}
fn hundred() -> u32 {
    100
}
fn site_concepts() -> u32 {
    20_000
}
fn site_variants() -> u32 {
    2_000
}
fn ancestry_groups() -> Vec<String> {
    ["afr", "amr", "eas", "eur", "mid", "sas", "oth"].map(str::to_owned).to_vec()
}
