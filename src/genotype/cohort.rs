//! Who is in the callset: file columns to output ordinals, ancestry groups, stated sex.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::gt::EXCLUDED;
use super::{Error, SampleEntry, SampleSheet, Sex};

/// The included samples of a callset, in output order.
#[derive(Debug, Clone, Default)]
pub struct Cohort {
    /// By file column: output ordinal, or [`EXCLUDED`].
    pub columns: Vec<u32>,
    /// By output ordinal: research id ascending, so that the order of the file, which would link
    /// releases to raw data, leaves no trace.
    pub entries: Vec<SampleEntry>,
    /// Ancestry groups, sorted.
    pub groups: Vec<String>,
    /// Samples of each group, then of none.
    pub group_sizes: Vec<i32>,
    /// By output ordinal: index into `groups`, or `groups.len()` for none.
    pub group_of: Vec<u8>,
    /// Cells of (ancestry group, stated sex) with anybody in them; groups in order, none last, and in
    /// each female, male, unknown.
    pub cells: Vec<Cell>,
    /// By output ordinal: index into `cells`.
    pub cell_of: Vec<u16>,
    /// Output ordinals of samples stated female, ascending.
    pub females: Vec<u32>,
    /// Bit plane of samples stated male.
    pub male_plane: Vec<u8>,
    /// Bit plane of everybody.
    pub full_plane: Vec<u8>,
    /// Samples left out, by reason.
    pub excluded: BTreeMap<String, u64>,
    /// Included samples of the sheet that are not in the files.
    pub absent: u64,
}

/// The people of one ancestry group and one stated sex.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// Index into `groups`, or `groups.len()` for none.
    pub group: u8,
    /// Stated sex.
    pub sex: Option<Sex>,
    /// Samples.
    pub size: i32,
}

/// Order of the sexes in a group.
fn rank(sex: Option<Sex>) -> u8 {
    match sex {
        Some(Sex::Female) => 0,
        Some(Sex::Male) => 1,
        None => 2,
    }
}

impl Cohort {
    /// Matches the sample columns of the files with the sheet.
    ///
    /// # Errors
    /// Unmapped samples (unless the sheet excludes them), a person with two samples, nobody left, an
    /// ancestry group whose name cannot be a column.
    pub fn new(names: &[String], sheet: &SampleSheet, path: &Path) -> Result<Self, Error> {
        let file = || path.to_owned();
        let mut cohort = Self { columns: vec![EXCLUDED; names.len()], ..Self::default() };
        let mut found: Vec<(&SampleEntry, usize)> = Vec::new();
        let (mut unmapped, mut first) = (0, 0);
        for (column, name) in names.iter().enumerate() {
            // A reason to stay out is stronger than one to come in.
            if let Some(reason) = sheet.excluded.get(name) {
                *cohort.excluded.entry(reason.clone()).or_default() += 1;
            } else if let Some(entry) = sheet.included.get(name) {
                found.push((entry, column));
            } else {
                first = if unmapped == 0 { column + 1 } else { first };
                unmapped += 1;
            }
        }
        if unmapped > 0 && !sheet.exclude_unmapped {
            return Err(Error::UnmappedSample { file: file(), count: unmapped, first });
        }
        if unmapped > 0 {
            cohort.excluded.insert("unmapped_sample".to_owned(), unmapped as u64);
        }
        cohort.absent = (sheet.included.len() - found.len()) as u64;
        found.sort_by_key(|(entry, _)| entry.research_id);
        let count = found.windows(2).filter(|w| w[0].0.research_id == w[1].0.research_id).count();
        if count > 0 {
            return Err(Error::DuplicatePerson { file: file(), count });
        }
        if found.is_empty() {
            return Err(Error::NobodyIncluded { file: file() });
        }
        cohort.fill(&found)?;
        Ok(cohort)
    }

    fn fill(&mut self, found: &[(&SampleEntry, usize)]) -> Result<(), Error> {
        let groups: BTreeSet<&String> =
            found.iter().filter_map(|(e, _)| e.ancestry.as_ref()).collect();
        if groups.len() > 200 {
            return Err(Error::TooLarge { what: "number of ancestry groups" });
        }
        if !groups.iter().all(|g| super::is_name(g)) {
            return Err(Error::BadName { what: "an ancestry group" });
        }
        if groups.iter().any(|g| g.eq_ignore_ascii_case("adj")) {
            return Err(Error::ReservedGroup);
        }
        self.groups = groups.into_iter().cloned().collect();
        self.group_sizes = vec![0; self.groups.len() + 1];
        for (i, (entry, column)) in found.iter().enumerate() {
            self.columns[*column] = i as u32;
            let group = entry.ancestry.as_ref().and_then(|a| self.groups.binary_search(a).ok());
            let group = group.unwrap_or(self.groups.len());
            self.group_sizes[group] += 1;
            self.group_of.push(group as u8);
            if entry.sex == Some(Sex::Female) {
                self.females.push(i as u32);
            }
            self.entries.push((*entry).clone());
        }
        self.fill_cells();
        Ok(())
    }

    /// Sorts the samples into cells of one ancestry group and sex.
    pub fn fill_cells(&mut self) {
        let keys: Vec<(u8, u8)> =
            self.group_of.iter().zip(&self.entries).map(|(&g, e)| (g, rank(e.sex))).collect();
        let present: Vec<(u8, u8)> =
            keys.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
        let sex = |rank| [Some(Sex::Female), Some(Sex::Male), None][usize::from(rank)];
        self.cells =
            present.iter().map(|&(group, s)| Cell { group, sex: sex(s), size: 0 }).collect();
        self.male_plane = vec![0; self.stride()];
        self.full_plane = vec![0; self.stride()];
        for (i, key) in keys.iter().enumerate() {
            let cell = present.partition_point(|p| p < key);
            self.cells[cell].size += 1;
            self.cell_of.push(cell as u16);
            self.full_plane[i >> 3] |= 1 << (i & 7);
            if self.entries[i].sex == Some(Sex::Male) {
                self.male_plane[i >> 3] |= 1 << (i & 7);
            }
        }
    }

    /// Whether a sample of the files stays out, for any reason.
    pub fn leaves_out(&self) -> bool {
        self.columns.len() > self.len()
    }

    /// Number of included samples.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of a bit plane over the included samples.
    pub fn stride(&self) -> usize {
        self.len().div_ceil(8)
    }
}
