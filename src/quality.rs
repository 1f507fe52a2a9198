//! Data quality and characterisation of the curated records: the checks of the OHDSI
//! DataQualityDashboard and the analyses of Achilles, each table scanned once.

pub mod achilles;
pub mod dqd;
pub mod report;
