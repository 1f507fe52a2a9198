//! The standardised vocabulary as an index: ancestors, mappings, concept sets.
