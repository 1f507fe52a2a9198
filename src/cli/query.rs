//! `strata query`.

use std::process::ExitCode;

use super::args::Query;
use super::report::Failure;
use crate::pipeline::keys_of;
use crate::pipeline::query::{
    Call, Callset, Counted, Counts, Release, SampleSet, Site, Span, chrom_name, on_threads, vid,
};

mod answer;
mod groups;

use answer::{Answer, Cell, Column};

pub fn query(verb: &Query) -> Result<ExitCode, Failure> {
    let threads = verb.threads.map_or(0, usize::from);
    on_threads(threads, || run(verb))??;
    Ok(ExitCode::SUCCESS)
}

fn run(verb: &Query) -> Result<(), Failure> {
    let keys = keys_of(&verb.store, &verb.key)?;
    let release = Release::open(&verb.store, verb.release.as_deref(), &keys)?;
    let callset = release.callset(verb.callset.as_deref())?;
    let variant = verb.variant.as_deref().map(|raw| vid(raw).ok_or_else(unknown_variant));
    let variant = variant.transpose()?;
    let places = places(verb, variant.as_deref(), &callset)?;
    let calls = verb.carriers || verb.person.is_some();
    // Before the answer begins: a fault here must leave none.
    let groups = if calls {
        vec![(String::new(), people(verb, &callset)?)]
    } else {
        groups::groups(verb, &callset.samples)?
    };
    let (names, sets): (Vec<String>, Vec<SampleSet>) = groups.into_iter().unzip();
    let mut answer = Answer::open(verb, if calls { &CALLS } else { &COUNTS })?;
    for (chrom, span) in places {
        let ask = Ask {
            verb,
            variant: variant.as_deref(),
            callset: &callset,
            chrom: &chrom,
            span,
            names: &names,
            sets: &sets,
        };
        let more = if calls { ask.calls(&mut answer)? } else { ask.counts(&mut answer)? };
        if !more {
            break;
        }
    }
    answer.finish()
}

/// Whose calls are asked for.
fn people(verb: &Query, callset: &Callset) -> Result<SampleSet, Failure> {
    let people = &callset.samples;
    match verb.person {
        Some(id) => Ok(SampleSet::of(people.len(), [groups::person(id, people)?])),
        None => groups::base(verb, people),
    }
}

static COUNTS: [Column; 14] = [
    Column::text("vid"),
    Column::text("chrom"),
    Column::int("pos"),
    Column::text("group"),
    Column::int("n_called"),
    Column::int("n_missing"),
    Column::int("n_hom_ref"),
    Column::int("n_het"),
    Column::int("n_hom_alt"),
    Column::int("n_hemi_ref"),
    Column::int("n_hemi_alt"),
    Column::int("ac"),
    Column::int("an"),
    Column::real("af"),
];

static CALLS: [Column; 7] = [
    Column::text("vid"),
    Column::text("chrom"),
    Column::int("pos"),
    Column::int("sample_idx"),
    Column::int("person_id"),
    Column::text("gt"),
    Column::text("phased_gt"),
];

fn stated(code: &str, message: impl Into<String>, help: &str) -> Failure {
    Failure::stated(code, message, (!help.is_empty()).then(|| help.to_owned()))
}

/// The chromosomes and spans to read.
fn places(
    verb: &Query,
    vid: Option<&str>,
    callset: &Callset,
) -> Result<Vec<(String, Span)>, Failure> {
    if let Some(vid) = vid {
        return Ok(vec![variant(vid, callset)?]);
    }
    let Some(region) = &verb.region else {
        return Ok(callset.chroms().into_iter().map(|c| (c.to_owned(), Span::ALL)).collect());
    };
    let chroms = callset.chroms();
    let place = place(region, &chroms).ok_or_else(|| {
        let help = "write chr20, chr20:123 or chr20:1-100000; positions are 1-based";
        stated("query::region", "--region cannot be read", help)
    })?;
    callset.genotypes(&place.0)?;
    Ok(vec![place])
}

fn unknown_variant() -> Failure {
    let help = "a vid is <chrom>-<pos>-<ref>-<alt>, as in the column vid of variants";
    stated("query::variant", "--variant names no variant of this callset", help)
}

/// Where the variant `vid` is.
fn variant(vid: &str, callset: &Callset) -> Result<(String, Span), Failure> {
    let place = callset.chroms().into_iter().find_map(|chrom| {
        let (pos, _) = vid.strip_prefix(chrom)?.strip_prefix('-')?.split_once('-')?;
        let pos: i32 = pos.parse().ok()?;
        Some((chrom.to_owned(), Span { start: pos, end: pos }))
    });
    let (chrom, span) = place.ok_or_else(unknown_variant)?;
    for site in callset.sites(&chrom, span) {
        if site?.vid == vid {
            return Ok((chrom, span));
        }
    }
    Err(unknown_variant())
}

/// Reads `chr20`, `chr20:123` or `chr20:1-100,000`. Names of HLA contigs have colons: a region that is the
/// whole name of one of `chroms` is that contig.
fn place(region: &str, chroms: &[&str]) -> Option<(String, Span)> {
    if let Some(name) = chrom_name(region).filter(|name| chroms.contains(&name.as_str())) {
        return Some((name, Span::ALL));
    }
    let (chrom, span) = region.rsplit_once(':').map_or((region, None), |(c, s)| (c, Some(s)));
    let number = |text: &str| text.replace(',', "").parse::<i32>().ok().filter(|&n| n > 0);
    let span = match span.map(|s| s.split_once('-').unwrap_or((s, s))) {
        None => Span::ALL,
        Some((start, "")) => Span { start: number(start)?, end: i32::MAX },
        Some((start, end)) => Span { start: number(start)?, end: number(end)? },
    };
    (span.start <= span.end).then_some((chrom_name(chrom)?, span))
}

struct Ask<'a> {
    verb: &'a Query,
    /// The variant that is asked for, as the tables write it.
    variant: Option<&'a str>,
    callset: &'a Callset,
    chrom: &'a str,
    span: Span,
    /// Names of `sets`.
    names: &'a [String],
    /// Groups to count, or those whose calls are wanted.
    sets: &'a [SampleSet],
}

impl Ask<'_> {
    fn wanted(&self, site: &Site) -> bool {
        self.variant.is_none_or(|vid| vid == site.vid)
    }

    /// Whether to go on with the next chromosome.
    fn counts(&self, answer: &mut Answer) -> Result<bool, Failure> {
        let (names, sets) = (self.names, self.sets);
        let mut sites = Sites(self.callset.sites(self.chrom, self.span));
        let genotypes = self.callset.genotypes(self.chrom)?;
        let mut more = true;
        genotypes.count(self.span, sets, |counted: Counted| -> Result<bool, Failure> {
            let sites = sites.of(&counted.variant_idx)?;
            let rows: Vec<usize> = (0..sites.len()).filter(|&i| self.wanted(&sites[i])).collect();
            more = answer.rows(rows.len() * names.len(), |k, cells| {
                let (row, set) = (rows[k / names.len()], k % names.len());
                let counts = &counted.counts[row * names.len() + set];
                count_cells(&sites[row], self.chrom, &names[set], counts, cells);
            })?;
            Ok(more)
        })?;
        Ok(more)
    }

    fn calls(&self, answer: &mut Answer) -> Result<bool, Failure> {
        let people = &self.callset.samples;
        let Some(set) = self.sets.first() else { return Ok(true) };
        let mut sites = Sites(self.callset.sites(self.chrom, self.span));
        let genotypes = self.callset.genotypes(self.chrom)?;
        let mut more = true;
        genotypes.calls(self.span, set, self.verb.missing, |calls: Vec<Call>| {
            let mut idx: Vec<i32> = calls.iter().map(|c| c.variant_idx).collect();
            idx.dedup();
            let sites = sites.of(&idx)?;
            let mut at = 0;
            let mut rows = Vec::with_capacity(calls.len());
            for call in &calls {
                while sites[at].variant_idx != call.variant_idx {
                    at += 1;
                }
                if self.wanted(&sites[at]) {
                    rows.push((at, call));
                }
            }
            more = answer.rows(rows.len(), |k, cells| {
                let (at, call) = rows[k];
                call_cells(&sites[at], self.chrom, call, people, cells);
            })?;
            Ok::<_, Failure>(more)
        })?;
        Ok(more)
    }
}

fn count_cells<'a>(
    site: &'a Site,
    chrom: &'a str,
    group: &'a str,
    counts: &Counts,
    cells: &mut Vec<Cell<'a>>,
) {
    cells.extend([
        Cell::Text(&site.vid),
        Cell::Text(chrom),
        Cell::Int(i64::from(site.pos)),
        Cell::Text(group),
    ]);
    let c = counts;
    for n in
        [c.called, c.missing, c.hom_ref, c.het, c.hom_alt, c.hemi_ref, c.hemi_alt, c.ac(), c.an()]
    {
        cells.push(Cell::Int(i64::from(n)));
    }
    cells.push(c.af().map_or(Cell::Null, Cell::Real));
}

fn call_cells<'a>(
    site: &'a Site,
    chrom: &'a str,
    call: &Call,
    people: &[crate::pipeline::query::Sample],
    cells: &mut Vec<Cell<'a>>,
) {
    cells.extend([
        Cell::Text(&site.vid),
        Cell::Text(chrom),
        Cell::Int(i64::from(site.pos)),
        Cell::Int(i64::from(call.sample_idx)),
        Cell::Int(people[call.sample_idx as usize].person_id),
        Cell::Text(call.genotype.name()),
        match call.second {
            Some(true) => Cell::Text("0|1"),
            Some(false) => Cell::Text("1|0"),
            None => Cell::Null,
        },
    ]);
}

/// The names of variants in step with their counts.
struct Sites<I>(I);

impl<I: Iterator<Item = Result<Site, crate::pipeline::query::TableError>>> Sites<I> {
    /// The sites of `idx`, which ascend from call to call.
    fn of(&mut self, idx: &[i32]) -> Result<Vec<Site>, Failure> {
        let mut found = Vec::with_capacity(idx.len());
        for &want in idx {
            let site = self.0.find(|s| s.as_ref().map_or(true, |s| s.variant_idx >= want));
            match site.transpose().map_err(crate::pipeline::Error::from)? {
                Some(site) if site.variant_idx == want => found.push(site),
                _ => {
                    let what = "variants and genotypes of this release do not fit together";
                    return Err(stated("query::torn", what, "check it with `strata verify`"));
                }
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_of_contigs_with_colons() {
        let known = ["HLA-A*01:01:01:01", "chr20"];
        let read = |text| place(text, &known).map(|(chrom, span)| (chrom, span.start, span.end));
        let at = |chrom: &str, start, end| Some((chrom.to_owned(), start, end));
        assert_eq!(read("HLA-A*01:01:01:01"), at(known[0], 1, i32::MAX));
        assert_eq!(read("HLA-A*01:01:01:01:7-9"), at(known[0], 7, 9));
        assert_eq!(read("20:1,000"), at("chr20", 1000, 1000));
        assert_eq!(read("chr20"), at("chr20", 1, i32::MAX));
        assert_eq!(read("chr20:9-7"), None);
    }
}
