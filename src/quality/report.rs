//! The data-quality page of the health records.
