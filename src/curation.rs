//! Curation: the sites' extracts united, cleaned by rules that are data, with what each rule removed or
//! changed kept in a sandbox.
