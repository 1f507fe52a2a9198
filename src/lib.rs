//! strata turns a research programme's raw feeds (VCF, BCF, OMOP extracts, rosters, sample maps) into
//! a *release*: tiered Parquet for researchers and public aggregates with a static browser.
//!
//! Data flows one way:
//!
//! ```text
//! cli -> pipeline -> {genotype, curation, derived, quality, tier, publish, release, ...}
//!                 -> {omop, vocabulary, identity} -> engine
//! ```
//!
//! [`config`] and [`error`] are leaves that every module may use. `ARCHITECTURE.md` has the map.

pub mod attack;
pub mod cli;
pub mod config;
pub mod curation;
pub mod derived;
pub mod engine;
pub mod error;
pub mod genotype;
pub mod identity;
pub mod invariant;
pub mod omop;
pub mod pipeline;
pub mod publish;
pub mod quality;
pub mod release;
pub mod synth;
pub mod tier;
pub mod vocabulary;
