//! OMOP CDM extracts: CSV or Parquet in, typed tables and a quarantine out.
