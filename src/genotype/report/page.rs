//! The page: what to look at first, then the plots, then the books.

use minijinja::value::Serde;
use minijinja::{Environment, Value, context};
use serde::Serialize;

use super::draw::{count, percent};
use super::figures::Figures;
use super::people::{People, Person};
use super::plots;
use crate::engine::TableLedger;
use crate::genotype::allele::VariantType;
use crate::genotype::{Error, Genome};

/// Flagged people listed; there may be more.
const LISTED: usize = 200;
/// People listed where none is flagged.
const LOWEST: usize = 10;

/// A number worth a look, and how it looks.
#[derive(Serialize)]
struct Finding {
    /// `good`, `look` or `plain`.
    state: &'static str,
    name: &'static str,
    value: String,
    note: String,
}

#[derive(Serialize)]
struct Figure {
    title: &'static str,
    svg: Value,
    caption: &'static str,
    wide: bool,
}

#[derive(Serialize)]
struct Line {
    name: String,
    count: String,
    meter: Value,
}

fn figure(
    title: &'static str,
    svg: impl Into<Option<String>>,
    caption: &'static str,
) -> Option<Figure> {
    let svg = Value::from_safe_string(svg.into()?);
    Some(Figure { title, svg, caption, wide: false })
}

/// The page as HTML.
pub fn render(
    (callset, genome): (&str, Genome),
    f: &Figures,
    people: &People,
    ledger: &TableLedger,
    individuals: bool,
) -> Result<String, Error> {
    let colours: Vec<(String, String)> = people
        .groups
        .iter()
        .enumerate()
        .map(|(i, g)| (if g == "?" { "g7".to_owned() } else { format!("g{}", i % 7) }, g.clone()))
        .collect();
    let fault = Error::internal::<minijinja::Error>("rendering the report");
    let mut environment = Environment::new();
    environment
        .add_template("report.html", include_str!("../templates/report.html"))
        .map_err(&fault)?;
    environment
        .get_template("report.html")
        .and_then(|template| {
            template.render(context! {
                callset => callset,
                genome => match genome { Genome::Grch37 => "GRCh37", Genome::Grch38 => "GRCh38" },
                version => env!("CARGO_PKG_VERSION"),
                people => count(people.all.len() as u64),
                variants => count(f.variants),
                tiles => Value::from(Serde(tiles(f, people))),
                findings => Value::from(Serde(findings(f, people, ledger))),
                variant_figures => Value::from(Serde(variant_figures(f))),
                call_figures => Value::from(Serde(call_figures(f, people))),
                individuals,
                people_figures => Value::from(Serde(people_figures(people, &colours))),
                boxes => Value::from(Serde(box_figures(people, &colours))),
                types => Value::from(Serde(types(f))),
                flags => Value::from(Serde(flags(people))),
                listed => Value::from(Serde(listed(people))),
                flagged => count(people.flagged().count() as u64),
                any_flagged => people.flagged().next().is_some(),
                listed_most => LISTED,
                rows_in => count(ledger.rows_in),
                rows_out => count(ledger.rows_out),
                excluded => Value::from(Serde(lines(ledger.excluded.iter(), ledger.rows_in))),
                noted => Value::from(Serde(lines(ledger.noted.iter(), 0))),
                style => Value::from_safe_string(include_str!("../templates/report.css").to_owned()),
            })
        })
        .map_err(fault)
}

fn tiles(f: &Figures, people: &People) -> Vec<(&'static str, String)> {
    let dash = || "–".to_owned();
    let two = |v: Option<f64>| v.map_or_else(dash, |v| format!("{v:.2}"));
    let indels =
        f.by_type[VariantType::Insertion as usize] + f.by_type[VariantType::Deletion as usize];
    vec![
        ("people", count(people.all.len() as u64)),
        ("variants", count(f.variants)),
        ("SNVs", count(f.by_type[VariantType::Snv as usize])),
        ("insertions and deletions", count(indels)),
        ("Ti/Tv", two(f.ti_tv_of(None))),
        ("genotypes called", f.call_rate().map_or_else(dash, percent)),
    ]
}

fn types(f: &Figures) -> Vec<Line> {
    VariantType::NAMES
        .iter()
        .zip(f.by_type)
        .filter(|(_, n)| *n > 0)
        .map(|(name, n)| Line {
            name: (*name).to_owned(),
            count: count(n),
            meter: Value::from_safe_string(plots::meter(n, f.variants)),
        })
        .collect()
}

fn lines<'a>(of: impl Iterator<Item = (&'a String, &'a u64)>, all: u64) -> Vec<Line> {
    of.map(|(name, &n)| Line {
        name: name.clone(),
        count: count(n),
        meter: Value::from_safe_string(if all > 0 { plots::meter(n, all) } else { String::new() }),
    })
    .collect()
}

/// The numbers that tell most of a callset, each with what is usual.
fn findings(f: &Figures, people: &People, ledger: &TableLedger) -> Vec<Finding> {
    let mut out = Vec::new();
    let mut add = |state, name, value, note: String| out.push(Finding { state, name, value, note });
    let state = |good: bool| if good { "good" } else { "look" };
    if let Some(ti_tv) = f.ti_tv_of(None) {
        let usual = (1.8..=3.4).contains(&ti_tv);
        let note =
            "2.0 to 2.1 in whole genomes, near 3 in exomes; false variants pull it towards 0.5";
        add(state(usual), "Ti/Tv", format!("{ti_tv:.3}"), note.to_owned());
    }
    let (ins, del) =
        (f.by_type[VariantType::Insertion as usize], f.by_type[VariantType::Deletion as usize]);
    if ins + del >= 100 && del > 0 {
        let ratio = ins as f64 / del as f64;
        let note = "insertions to deletions; 0.7 to 1.1 in most callsets".to_owned();
        add(state((0.6..=1.2).contains(&ratio)), "Ins/del", format!("{ratio:.2}"), note);
    }
    let known: u64 = f.missing.iter().sum();
    let poor: u64 = f.missing[7..].iter().sum();
    if known > 0 {
        let share = poor as f64 / known as f64;
        let note = format!("{} variants miss more than 5 % of their calls", count(poor));
        add(state(share < 0.05), "Poorly called variants", percent(share), note);
    }
    let common: u64 = f.hwe.iter().flatten().sum();
    if common > 0 {
        let out: u64 = f.hwe_out.iter().sum();
        let share = out as f64 / common as f64;
        let note = format!(
            "of autosomal variants of 1 % and more have p < 10⁻⁶: {} with too many hets (paralogues, mapping), {} with too few (ancestry, dropout)",
            count(f.hwe_out[0]),
            count(f.hwe_out[1])
        );
        add(
            if people.groups.len() > 1 { "plain" } else { state(share < 0.01) },
            "Off Hardy-Weinberg",
            percent(share),
            note,
        );
    }
    let seen = f.variants - f.af[0].iter().sum::<u64>();
    if seen > 0 {
        let single: u64 = f.af[1].iter().sum();
        let note =
            "of variants are singletons: half or more in large genome callsets, few on arrays"
                .to_owned();
        add("plain", "Singletons", percent(single as f64 / seen as f64), note);
    }
    if f.by_filter[1] > 0 {
        let note = format!("{} variants carry a filter of the caller", count(f.by_filter[1]));
        add("plain", "Filtered", percent(f.by_filter[1] as f64 / f.variants.max(1) as f64), note);
    }
    let low = people.all.iter().filter(|p| p.number("call_rate").is_some_and(|r| r < 0.95)).count();
    if !people.all.is_empty() {
        let note = "people with a call rate below 95 %".to_owned();
        add(state(low == 0), "Poorly called people", count(low as u64), note);
        let flagged = people.flagged().count();
        let note = "people with a flag; nobody is dropped for one".to_owned();
        add(state(flagged * 20 <= people.all.len()), "Flagged", count(flagged as u64), note);
    }
    let unusable: u64 = ledger
        .excluded
        .iter()
        .filter(|(reason, _)| reason.starts_with("bad_record"))
        .map(|(_, n)| n)
        .sum();
    let note = "alleles could not be used; each with its line in quality/rejects".to_owned();
    add(state(unusable == 0), "Unusable", count(unusable), note);
    out
}

fn variant_figures(f: &Figures) -> Vec<Figure> {
    if f.variants == 0 {
        return Vec::new();
    }
    let mut figures: Vec<Figure> = [
        figure(
            "Allele frequency",
            plots::af_spectrum(f),
            "Rare variants should outnumber common ones, most of all singletons. A hump in the middle is ascertainment (an array) or a filter; a dip at singletons is a caller that drops them.",
        ),
        figure(
            "Ti/Tv by allele frequency",
            plots::ti_tv(f),
            "Level across frequencies in a clean callset; the band is 2.0 to 2.1. A drop on the left means false rare variants.",
        ),
    ]
    .into_iter()
    .flatten()
    .collect();
    if f.indels.iter().any(|&n| n > 0) {
        figures.extend(figure(
            "Indel lengths",
            plots::indels(f),
            "Falls off on both sides of one base. Peaks at multiples of three are coding; a lone spike is an artefact; lopsided sides are a caller's bias.",
        ));
    }
    let svg = Value::from_safe_string(plots::density(f));
    figures.push(Figure {
        title: "Where the variants are",
        svg,
        caption: "Variants a megabase; darker is more. Empty stretches should be centromeres and gaps. A whole pale chromosome is a missing or cut file.",
        wide: true,
    });
    figures
}

fn call_figures(f: &Figures, people: &People) -> Vec<Figure> {
    let variants = (f.missing.iter().sum::<u64>() > 0)
        .then(|| plots::missing(&f.missing, "Variants by share of missing calls", "variants"));
    [
        figure(
            "Missing calls of variants",
            variants,
            "Most should lie far left. A second hump on the right is a batch, a platform or a region that was not covered.",
        ),
        figure(
            "Missing calls of people",
            plots::missing_people(people),
            "As before, by person. People far right drag allele numbers down for everyone.",
        ),
        figure(
            "Hardy-Weinberg, autosomes",
            plots::hwe(f),
            "On the line is chance. A lift of the whole curve is mixed ancestry; a tail that breaks away on the right is false genotypes. Rare variants are left out: their p cannot be small.",
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn people_figures(people: &People, colours: &[(String, String)]) -> Vec<Figure> {
    let by_group: Vec<(&str, &str)> =
        colours.iter().map(|c| (c.0.as_str(), c.1.as_str())).collect();
    let sex = |p: &Person| match p.sex.as_deref() {
        Some("female") => 0,
        Some("male") => 1,
        _ => 2,
    };
    let sexes = [("g0", "stated female"), ("g1", "stated male"), ("g7", "not stated")];
    let group = |p: &Person| people.group_of(p);
    let rates = || people.all.iter().filter_map(|p| p.number("call_rate"));
    let varied = rates().next().is_some_and(|first| rates().any(|r| r != first));
    let first = if varied {
        figure(
            "Heterozygosity and call rate",
            plots::scatter(
                people,
                ("call_rate", "n_het"),
                ("call rate", "heterozygous calls"),
                group,
                &by_group,
            ),
            "One cloud per ancestry, on the right. Points to the left are poor samples; high ones are contaminated, low ones have related parents or dropout.",
        )
    } else {
        figure(
            "Heterozygous and homozygous calls",
            plots::scatter(
                people,
                ("n_hom_alt", "n_het"),
                ("hom-alt calls", "heterozygous calls"),
                group,
                &by_group,
            ),
            "One cloud per ancestry. Up from its cloud is contamination; down and to the right, related parents.",
        )
    };
    [
        first,
        figure(
            "Sex chromosomes",
            plots::scatter(people, ("f_x", "y_call_rate"), ("F on X", "call rate on Y"), sex, &sexes),
            "Two clouds: women at F near 0 without Y calls, men at F near 1 with them. A colour in the wrong cloud is a swapped sample; points between are unusual karyotypes or contamination.",
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn box_figures(people: &People, colours: &[(String, String)]) -> Vec<Figure> {
    let all = [
        (
            "het_hom_ratio",
            "Het/hom",
            "In genomes highest in African ancestries. Outliers up: contamination; down: consanguinity.",
        ),
        ("ti_tv", "Ti/Tv", "Narrow and equal between groups."),
        (
            "n_singleton",
            "Singletons",
            "Grows with distance from the rest of the cohort; a lone high point is a poor sample.",
        ),
        ("ins_del_ratio", "Ins/del", "Narrow; shifts by library or caller version."),
        (
            "f_inbreeding",
            "Inbreeding F",
            "Near 0 against the whole cohort; lower where ancestry is rare in it.",
        ),
        ("n_hom_alt", "Hom-alt calls", "Distance from the reference genome."),
        ("mean_dp", "Mean depth", "Low depth explains most other outliers."),
        ("mean_gq", "Mean GQ", "Follows depth; a gap between the two is a changed caller."),
    ];
    all.into_iter()
        .filter_map(|(column, name, caption)| {
            figure(name, plots::boxes(people, column, name, colours), caption)
        })
        .collect()
}

fn flags(people: &People) -> Vec<Line> {
    let all = people.all.len() as u64;
    let line = |(name, n): (&str, u64)| Line {
        name: name.to_owned(),
        count: count(n),
        meter: Value::from_safe_string(plots::meter(n, all)),
    };
    people.flags().into_iter().map(line).collect()
}

#[derive(Serialize)]
struct Listed {
    idx: u32,
    id: i64,
    sex: String,
    karyotype: String,
    group: String,
    call_rate: String,
    hets: String,
    het_hom: String,
    ti_tv: String,
    flags: Vec<String>,
}

/// Flagged people, most flags first; where there are none, those with the lowest call rates.
fn listed(people: &People) -> Vec<Listed> {
    let mut chosen: Vec<&Person> = people.flagged().collect();
    chosen.sort_by_key(|p| (std::cmp::Reverse(p.flags.len()), p.idx));
    chosen.truncate(LISTED);
    if chosen.is_empty() {
        chosen = people.all.iter().filter(|p| p.number("call_rate").is_some()).collect();
        let rate = |p: &Person| p.number("call_rate").unwrap_or(1.0);
        chosen.sort_by(|a, b| rate(a).total_cmp(&rate(b)).then(a.idx.cmp(&b.idx)));
        chosen.truncate(LOWEST);
    }
    let dash = || "–".to_owned();
    let text = |t: &Option<String>| t.clone().unwrap_or_else(dash);
    chosen
        .into_iter()
        .map(|p| {
            let three = |name| p.number(name).map_or_else(dash, |v| format!("{v:.3}"));
            Listed {
                idx: p.idx,
                id: p.id,
                sex: text(&p.sex),
                karyotype: text(&p.karyotype),
                group: text(&p.group),
                call_rate: p.number("call_rate").map_or_else(dash, percent),
                hets: p.number("n_het").map_or_else(dash, |n| count(n as u64)),
                het_hom: three("het_hom_ratio"),
                ti_tv: three("ti_tv"),
                flags: p.flags.clone(),
            }
        })
        .collect()
}
