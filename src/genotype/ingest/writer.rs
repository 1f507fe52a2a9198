//! Row groups to disk, chromosome by chromosome.

use std::path::Path;

use super::super::Error;
use super::super::encode::{Encoded, Plan};
use super::super::tables::Parts;
use crate::engine::{FileEntry, partition};

/// Appends row groups to the part files of one chromosome after the other.
pub struct Writer<'a> {
    plan: &'a Plan,
    root: &'a Path,
    callset: &'a str,
    chrom: Option<String>,
    open: Vec<Parts<'a>>,
    files: Vec<FileEntry>,
}

impl<'a> Writer<'a> {
    /// Nothing is created before there is something to write.
    pub fn new(plan: &'a Plan, root: &'a Path, callset: &'a str) -> Self {
        Self { plan, root, callset, chrom: None, open: Vec::new(), files: Vec::new() }
    }

    /// Appends a row group to each table.
    pub fn write(&mut self, encoded: Encoded) -> Result<(), Error> {
        if self.chrom.as_ref() != Some(&encoded.chrom) {
            self.close()?;
            let tables = &self.plan.tables;
            let tables = [
                Some(&tables.variants),
                Some(&tables.genotypes),
                tables.carriers.as_ref(),
                tables.freq.as_ref(),
                tables.consequences.as_ref(),
                tables.quality.as_ref(),
            ];
            for table in tables.into_iter().flatten() {
                let folder = format!(
                    "controlled/genomics/{}/{}/chrom={}",
                    self.callset,
                    table.name,
                    partition::folder(&encoded.chrom)
                );
                self.open.push(Parts::new(self.root, folder, table));
            }
            self.chrom = Some(encoded.chrom);
        }
        let [variants, genotypes, rest @ ..] = &mut self.open[..] else { return Ok(()) };
        variants.append(encoded.variants, encoded.rows)?;
        genotypes.append(encoded.genotypes, encoded.rows)?;
        // In the order in which they were opened.
        let mut rest = rest.iter_mut();
        let tables = &self.plan.tables;
        let quality = encoded.quality.map(|chunks| (encoded.rows, chunks)).into_iter().collect();
        for (table, groups) in [
            (&tables.carriers, encoded.carriers),
            (&tables.freq, encoded.freq),
            (&tables.consequences, encoded.consequences),
            (&tables.quality, quality),
        ] {
            let Some(parts) = table.as_ref().and_then(|_| rest.next()) else { continue };
            for (rows, chunks) in groups {
                parts.append(chunks, rows)?;
            }
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), Error> {
        for parts in self.open.drain(..) {
            self.files.extend(parts.finish()?);
        }
        Ok(())
    }

    /// Closes the last files and returns all, chromosome by chromosome.
    pub fn finish(mut self) -> Result<Vec<FileEntry>, Error> {
        self.close()?;
        Ok(self.files)
    }
}
