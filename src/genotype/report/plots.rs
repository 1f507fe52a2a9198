//! The plots of the page.

use super::draw::{
    BOTTOM, HIGH, LEFT, Plot, RIGHT, Scale, WIDE, count, legend, percent, short, ticks,
};
use super::figures::{AF_NAMES, Figures, INDEL, MISSING_NAMES, P_STEPS};
use super::people::{People, Person, quartiles};

fn names(of: &[&str]) -> Vec<String> {
    of.iter().map(|n| (*n).to_owned()).collect()
}

fn from_zero(values: impl Iterator<Item = u64>) -> Scale {
    Scale { low: 0.0, high: values.max().unwrap_or(0).max(1) as f64 * 1.05 }
}

/// Variants by allele frequency; the bar of absent alleles only if there are any, and no bins of frequencies
/// that so few people cannot have.
pub fn af_spectrum(f: &Figures) -> String {
    let total = |b: usize| f.af[b].iter().sum::<u64>();
    let first = (3..17).find(|&b| total(b) > 0).unwrap_or(17);
    let shown: Vec<usize> =
        (0..17).filter(|&b| (b == 0 && total(0) > 0) || b == 1 || b == 2 || b >= first).collect();
    let parts: Vec<Vec<u64>> =
        (0..3).map(|k| shown.iter().map(|&b| f.af[b][k]).collect()).collect();
    let scale = from_zero(shown.iter().map(|&b| total(b)));
    let mut plot = Plot::new("Variants by allele frequency");
    plot.y_axis(scale, "variants", short);
    let names: Vec<String> = shown.iter().map(|&b| AF_NAMES[b].to_owned()).collect();
    plot.bars(&names, &parts, &["SNVs", "indels", "others"], scale);
    plot.name_x("copies, then allele frequency");
    plot.finish() + &legend(&[("s0", "SNVs"), ("s1", "insertions, deletions"), ("s2", "others")])
}

/// Transitions over transversions by allele frequency.
pub fn ti_tv(f: &Figures) -> String {
    let shown: Vec<usize> = (1..17).filter(|&b| f.ti_tv[b][0] + f.ti_tv[b][1] > 0).collect();
    let high = shown.iter().filter_map(|&b| f.ti_tv_of(Some(b))).fold(3.0, f64::max);
    let scale = Scale { low: 0.0, high: high.min(8.0) * 1.05 };
    let across = Scale { low: -0.5, high: shown.len().max(1) as f64 - 0.5 };
    let mut plot = Plot::new("Transitions over transversions by allele frequency");
    plot.y_axis(scale, "Ti/Tv", short);
    let (left, right) = (plot.x(across, across.low), plot.x(across, across.high));
    let (low, high) = (plot.y(scale, 2.1), plot.y(scale, 2.0));
    plot.rect((left, low), (right - left, high - low), "band", "2.0 to 2.1: whole genomes");
    let every = shown.len().div_ceil(7).max(1);
    let mut last: Option<(f64, f64)> = None;
    for (i, &bin) in shown.iter().enumerate() {
        let x = plot.x(across, i as f64);
        if i.is_multiple_of(every) {
            plot.text(x, HIGH - BOTTOM + 18.0, "m", AF_NAMES[bin]);
        }
        let Some(value) = f.ti_tv_of(Some(bin)) else { continue };
        let at = (x, plot.y(scale, value));
        if let Some(last) = last {
            plot.line(last, at, "trend");
        }
        let n = count(f.ti_tv[bin].iter().sum());
        plot.dot(at, 4.0, "s0", &format!("{}: {value:.2} of {n} SNVs", AF_NAMES[bin]));
        last = Some(at);
    }
    plot.name_x("copies, then allele frequency");
    plot.finish()
}

/// Insertions and deletions by length.
pub fn indels(f: &Figures) -> String {
    let label = |i: usize| match i {
        0 => format!("< −{INDEL}"),
        i if i == f.indels.len() - 1 => format!("> {INDEL}"),
        i if i <= INDEL => format!("−{}", INDEL + 1 - i),
        i => format!("+{}", i - INDEL),
    };
    let labels: Vec<String> = (0..f.indels.len()).map(label).collect();
    let half = INDEL + 1;
    let split = |from: usize, to: usize| -> Vec<u64> {
        f.indels
            .iter()
            .enumerate()
            .map(|(i, &n)| if (from..to).contains(&i) { n } else { 0 })
            .collect()
    };
    // Lengths fall off fast: the root shows the tail and keeps the order.
    let rooted =
        |v: Vec<u64>| v.into_iter().map(|n| ((n as f64).sqrt() * 100.0) as u64).collect::<Vec<_>>();
    let parts = [rooted(split(0, half)), rooted(split(half, f.indels.len()))];
    let scale = from_zero(parts.iter().flatten().copied());
    let mut plot = Plot::new("Insertions and deletions by length");
    for t in ticks(0.0, scale.high / 100.0) {
        let y = plot.y(scale, t * 100.0);
        plot.line((LEFT, y), (WIDE - RIGHT, y), "grid");
        plot.text(LEFT - 6.0, y + 5.0, "r", &short((t * t).round()));
    }
    let wide = (WIDE - LEFT - RIGHT) / labels.len() as f64;
    for (i, name) in labels.iter().enumerate() {
        let n = f.indels[i];
        let x = LEFT + wide * i as f64;
        if n > 0 {
            let (class, root) = if i < half { ("s1", parts[0][i]) } else { ("s0", parts[1][i]) };
            let (y, base) = (plot.y(scale, root as f64), plot.y(scale, 0.0));
            plot.rect(
                (x, y),
                (wide - 0.8, base - y),
                class,
                &format!("{name} bases: {}", count(n)),
            );
        }
        let bases = i as i64 - if i < half { half as i64 } else { half as i64 - 1 };
        if (bases % 9 == 0 && bases.abs() < 30) || i == 0 || i + 1 == labels.len() {
            plot.text(x + wide / 2.0, HIGH - BOTTOM + 18.0, "m", name);
        }
    }
    plot.name_x("bases lost or gained (height: square root of the count)");
    plot.finish() + &legend(&[("s1", "deletions"), ("s0", "insertions")])
}

/// Variants by share of missing calls.
pub fn missing(bins: &[u64; 10], about: &str, axis: &str) -> String {
    let scale = from_zero(bins.iter().copied());
    let mut plot = Plot::new(about);
    plot.y_axis(scale, axis, short);
    plot.bars(&names(&MISSING_NAMES), &[bins.to_vec()], &[axis], scale);
    plot.name_x("share of calls missing");
    plot.finish()
}

/// Hardy-Weinberg p against what they would be by chance.
pub fn hwe(f: &Figures) -> Option<String> {
    let totals = [0, 1].map(|k| f.hwe[k].iter().sum::<u64>());
    if totals.iter().all(|&n| n == 0) {
        return None;
    }
    let mut series = Vec::new();
    for (k, &total) in totals.iter().enumerate() {
        let mut seen = 0;
        let mut points = Vec::new();
        // From the smallest p up: the share of p this small or smaller is what chance would give.
        for (bin, &n) in f.hwe[k].iter().enumerate().rev().filter(|(_, n)| **n > 0) {
            seen += n;
            let expected = -(seen as f64 / (total as f64 + 1.0)).log10();
            points.push((expected, bin as f64 / P_STEPS as f64));
        }
        series.push(points);
    }
    let across = series.iter().flatten().map(|p| p.0).fold(1.0, f64::max) * 1.05;
    let up = series.iter().flatten().map(|p| p.1).fold(across, f64::max) * 1.05;
    let (across, up) = (Scale { low: 0.0, high: across }, Scale { low: 0.0, high: up });
    let mut plot = Plot::new("Hardy-Weinberg p values against chance");
    plot.y_axis(up, "−log₁₀ p, seen", short);
    plot.x_axis(across, "−log₁₀ p, by chance", short);
    let end = across.high.min(up.high);
    let (from, to) =
        ((plot.x(across, 0.0), plot.y(up, 0.0)), (plot.x(across, end), plot.y(up, end)));
    plot.line(from, to, "chance");
    for (points, class) in series.iter().zip(["s2", "s0"]) {
        for &(x, y) in points {
            let at = (plot.x(across, x), plot.y(up, y));
            plot.dot(at, 2.2, class, "");
        }
    }
    Some(plot.finish() + &legend(&[("s0", "5 % and more"), ("s2", "1 to 5 %")]))
}

/// Variants along the chromosomes, a cell a Mb.
pub fn density(f: &Figures) -> String {
    let rows: Vec<_> = f.density.iter().filter(|(_, places)| !places.is_empty()).collect();
    let last = rows.iter().filter_map(|(_, p)| p.keys().next_back()).max().map_or(1, |&m| m + 1);
    let most = rows.iter().flat_map(|(_, p)| p.values()).max().copied().unwrap_or(1) as f64;
    let (tall, left) = (13.0, 60.0);
    let mut plot =
        Plot::sized("Variants by chromosome and megabase", rows.len() as f64 * tall + 26.0);
    let wide = (WIDE - left - 64.0) / f64::from(last);
    for (i, ((_, name), places)) in rows.iter().enumerate() {
        let y = 4.0 + tall * i as f64;
        plot.text(left - 6.0, y + 9.0, "r", name);
        let end = places.keys().next_back().map_or(0, |&m| m + 1);
        plot.rect((left, y), (f64::from(end) * wide, tall - 3.0), "track", "");
        for (&mb, &n) in places.iter() {
            // Nine shades by root, so that sparse places still show.
            let shade = ((n as f64 / most).sqrt() * 9.0).ceil().clamp(1.0, 9.0);
            let title = format!("{name}, Mb {mb}: {}", count(n));
            let at = (left + f64::from(mb) * wide, y);
            plot.rect(at, (wide.max(0.7), tall - 3.0), &format!("d{shade:.0}"), &title);
        }
        plot.text(WIDE, y + 9.0, "r", &count(places.values().sum()));
    }
    let base = rows.len() as f64 * tall + 6.0;
    for t in ticks(0.0, f64::from(last)) {
        plot.text(left + t * wide, base + 14.0, "m", &format!("{} Mb", short(t)));
    }
    plot.finish()
}

/// Occupied places of a fine grid, so that a plot stays small for any number of people.
fn thinned(points: &[(f64, f64, usize)]) -> Vec<(f64, f64, usize, u64)> {
    let mut cells: std::collections::BTreeMap<(i64, i64, usize), u64> = Default::default();
    for &(x, y, k) in points {
        *cells.entry(((x / 2.5).round() as i64, (y / 2.5).round() as i64, k)).or_default() += 1;
    }
    cells.into_iter().map(|((x, y, k), n)| (x as f64 * 2.5, y as f64 * 2.5, k, n)).collect()
}

/// Two numbers of all people against each other, coloured by group or sex.
pub fn scatter(
    people: &People,
    (x, y): (&str, &str),
    (x_name, y_name): (&str, &str),
    colour: impl Fn(&Person) -> usize,
    colours: &[(&str, &str)],
) -> Option<String> {
    let both: Vec<(f64, f64, usize)> =
        people.all.iter().filter_map(|p| Some((p.number(x)?, p.number(y)?, colour(p)))).collect();
    if both.is_empty() {
        return None;
    }
    let mut across = Scale::around(both.iter().map(|p| p.0));
    if x.ends_with("call_rate") {
        across.high = 1.0;
    }
    let up = Scale::around(both.iter().map(|p| p.1));
    let mut plot = Plot::new(&format!("{y_name} against {x_name}"));
    plot.y_axis(up, y_name, short);
    plot.x_axis(across, x_name, short);
    let placed: Vec<_> =
        both.iter().map(|&(a, b, k)| (plot.x(across, a), plot.y(up, b), k)).collect();
    for (px, py, k, n) in thinned(&placed) {
        let class = colours.get(k).map_or("g7", |c| c.0);
        let title = if n > 1 { format!("{n} people") } else { String::new() };
        plot.dot((px, py), 2.6, &format!("{class} pt"), &title);
    }
    let legend = if colours.len() > 1 { legend(colours) } else { String::new() };
    Some(plot.finish() + &legend)
}

/// A number by ancestry group: a box of quartiles over all people as points.
pub fn boxes(
    people: &People,
    column: &str,
    name: &str,
    colours: &[(String, String)],
) -> Option<String> {
    let mut by_group: Vec<Vec<f64>> = vec![Vec::new(); people.groups.len()];
    for p in &people.all {
        if let Some(v) = p.number(column) {
            by_group[people.group_of(p)].push(v);
        }
    }
    // One value for everyone is no picture.
    let first = by_group.iter().flatten().next()?;
    if by_group.iter().flatten().all(|v| v == first) {
        return None;
    }
    let high = 40.0 + 36.0 * by_group.len() as f64;
    let scale = Scale::around(by_group.iter().flatten().copied());
    let mut plot = Plot::sized(&format!("{name} by ancestry"), high);
    for t in ticks(scale.low, scale.high) {
        let x = plot.x(scale, t);
        plot.line((x, 4.0), (x, high - 30.0), "grid");
        plot.text(x, high - 10.0, "m", &short(t));
    }
    for (i, values) in by_group.iter_mut().enumerate() {
        let middle = 23.0 + 36.0 * i as f64;
        plot.text(LEFT - 6.0, middle + 5.0, "r", &people.groups[i]);
        let class = colours.get(i).map_or("g7", |c| c.0.as_str());
        let n = values.len();
        let Some([low, q1, median, q3, top]) = quartiles(values) else { continue };
        let (fence_low, fence_top) = (q1 - 1.5 * (q3 - q1), q3 + 1.5 * (q3 - q1));
        let points: Vec<_> = values
            .iter()
            .enumerate()
            .filter(|(_, v)| n <= 400 || **v < fence_low || **v > fence_top)
            // A fixed scatter across, so that equal values do not hide each other.
            .map(|(j, &v)| (plot.x(scale, v), middle + ((j * 7) % 13) as f64 * 1.5 - 9.0, 0))
            .collect();
        for (x, y, _, _) in thinned(&points) {
            plot.dot((x, y), 2.2, &format!("{class} pt"), "");
        }
        let at = |plot: &Plot, v: f64| plot.x(scale, v);
        let (a, b) = (at(&plot, fence_low.max(low)), at(&plot, fence_top.min(top)));
        plot.line((a, middle), (b, middle), "whisker");
        let (x1, x3) = (at(&plot, q1), at(&plot, q3));
        let title = format!(
            "{}: median {}, quartiles {} and {}, {} people",
            people.groups[i],
            value(median),
            value(q1),
            value(q3),
            count(n as u64)
        );
        plot.rect((x1, middle - 11.0), ((x3 - x1).max(1.0), 22.0), &format!("{class} box"), &title);
        let m = at(&plot, median);
        plot.line((m, middle - 11.0), (m, middle + 11.0), "median");
    }
    Some(plot.finish())
}

fn value(v: f64) -> String {
    if v.fract() == 0.0 && (0.0..1e15).contains(&v) { count(v as u64) } else { format!("{v:.4}") }
}

/// People by share of missing calls.
pub fn missing_people(people: &People) -> Option<String> {
    let mut bins = [0u64; 10];
    for rate in people.all.iter().filter_map(|p| p.number("call_rate")) {
        let share = 1.0 - rate;
        bins[super::figures::MISSING_ENDS.iter().position(|&e| share <= e + 1e-12).unwrap_or(9)] +=
            1;
    }
    (bins.iter().sum::<u64>() > 0)
        .then(|| missing(&bins, "People by share of missing calls", "people"))
}

/// A share of all as a bar of its own, for tables.
pub fn meter(part: u64, all: u64) -> String {
    let share = if all > 0 { part as f64 / all as f64 } else { 0.0 };
    format!(
        "<svg viewBox=\"0 0 100 6\" class=\"meter\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{}\">\
         <rect width=\"100\" height=\"6\" class=\"track\"/><rect width=\"{:.1}\" height=\"6\" class=\"s0\"/></svg>",
        percent(share),
        100.0 * share
    )
}
