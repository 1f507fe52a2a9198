//! Inline SVG: lines by year, a pyramid, bars. Coordinates have one decimal: the same bytes everywhere.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Text safe inside an element.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A count in groups of three.
pub(super) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// A share in percent.
pub(super) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        "–".to_owned()
    } else {
        format!("{:.1} %", 100.0 * part as f64 / whole as f64)
    }
}

/// Counts by year as columns over the years `from..=to`.
pub(super) fn years(counts: &BTreeMap<i64, u64>, from: i64, to: i64) -> String {
    const WIDE: f64 = 520.0;
    const HIGH: f64 = 90.0;
    let most = counts.values().copied().max().unwrap_or(1).max(1) as f64;
    let step = WIDE / ((to - from + 1).max(1) as f64);
    let mut svg = format!("<svg viewBox=\"0 0 {WIDE:.0} {:.0}\" role=\"img\">", HIGH + 18.0);
    for (&year, &n) in counts.range(from..=to) {
        let (x, high) = ((year - from) as f64 * step, HIGH * n as f64 / most);
        // Writing to a string cannot fail.
        let _ = write!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{high:.1}\">\
             <title>{year}: {}</title></rect>",
            HIGH - high,
            (step - 0.6).max(0.6),
            count(n)
        );
    }
    let _ = write!(
        svg,
        "<path d=\"M0 {HIGH:.1}H{WIDE:.1}\"/><text x=\"0\" y=\"{0:.1}\">{from}</text>\
         <text class=\"r\" x=\"{WIDE:.1}\" y=\"{0:.1}\">{to}</text>\
         <text class=\"r\" x=\"{WIDE:.1}\" y=\"11\">peak {1}</text></svg>",
        HIGH + 14.0,
        count(most as u64)
    );
    svg
}

/// Persons by age decile: women to the left, men to the right, others beside the men.
pub(super) fn pyramid(ages: &BTreeMap<i64, [u64; 3]>) -> String {
    const HALF: f64 = 220.0;
    const ROW: f64 = 24.0;
    let most = ages.values().map(|a| a[0].max(a[1] + a[2])).max().unwrap_or(1).max(1) as f64;
    let high = ROW * (ages.len() as f64 + 1.0);
    let middle = HALF + 40.0;
    let mut svg = format!(
        "<svg viewBox=\"0 0 520 {high:.0}\" role=\"img\"><text x=\"0\" y=\"13\">Female</text>\
         <text class=\"r\" x=\"520\" y=\"13\">Male, other</text>"
    );
    for (i, (&decile, &[female, male, other])) in ages.iter().rev().enumerate() {
        let y = ROW * (i as f64 + 1.0);
        let wide = |n: u64| HALF * n as f64 / most;
        let mut bar = |x: f64, n: u64, class: &str, who: &str| {
            let _ = write!(
                svg,
                "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\">\
                 <title>{who}: {}</title></rect>",
                wide(n),
                ROW - 3.0,
                count(n)
            );
        };
        bar(HALF - wide(female), female, "f", "female");
        bar(HALF + 80.0, male, "m", "male");
        bar(HALF + 80.0 + wide(male), other, "o", "other");
        let from = decile * 10;
        let _ = write!(
            svg,
            "<text class=\"c\" x=\"{middle:.1}\" y=\"{:.1}\">{from}–{}</text>",
            y + 15.0,
            from + 9
        );
    }
    svg.push_str("</svg>");
    svg
}

/// A share as a meter.
pub(super) fn meter(part: u64, whole: u64) -> String {
    let share = if whole == 0 { 0.0 } else { 100.0 * part as f64 / whole as f64 };
    format!("<span class=\"meter\"><i style=\"width:{share:.1}%\"></i></span>")
}
