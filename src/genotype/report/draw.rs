//! Inline SVG: bars, points, boxes and axes. Coordinates have one decimal, so that bytes are the same everywhere.

use std::fmt::Write;

/// Width of a plot in its own units.
pub const WIDE: f64 = 560.0;
/// Height of a plot in its own units.
pub const HIGH: f64 = 300.0;
/// Room for the values on the left.
pub const LEFT: f64 = 66.0;
/// Room on the right.
pub const RIGHT: f64 = 10.0;
const TOP: f64 = 10.0;
/// Room for values and a name below.
pub const BOTTOM: f64 = 48.0;

/// Text safe inside an element or attribute.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A count with thin groups of three.
pub fn count(n: u64) -> String {
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

/// A count in few characters, for axes.
pub fn short(n: f64) -> String {
    let (scaled, unit) = match n.abs() {
        x if x >= 1e9 => (n / 1e9, "G"),
        x if x >= 1e6 => (n / 1e6, "M"),
        x if x >= 1e3 => (n / 1e3, "k"),
        _ => (n, ""),
    };
    let text = if scaled.abs() >= 100.0 || scaled.fract() == 0.0 {
        format!("{scaled:.0}")
    } else if scaled.abs() >= 1.0 {
        format!("{scaled:.2}")
    } else {
        format!("{scaled:.4}")
    };
    let text = match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    };
    format!("{text}{unit}")
}

/// A share in percent, with as many decimals as it takes near 0 and 100.
pub fn percent(share: f64) -> String {
    let p = 100.0 * share;
    // 100 less a share has rounding errors of its own.
    let near = (p.min(100.0 - p) * 1e9).round() / 1e9;
    match near {
        x if x <= 0.0 => format!("{p:.0} %"),
        x if x < 0.005 => format!("{p:.4} %"),
        x if x < 0.1 => format!("{p:.3} %"),
        x if x < 1.0 => format!("{p:.2} %"),
        _ => format!("{p:.1} %"),
    }
}

/// Round numbers from `low` to `high`, some five.
pub fn ticks(low: f64, high: f64) -> Vec<f64> {
    let span = high - low;
    if !(span.is_finite() && span > 0.0) {
        return vec![low];
    }
    let rough = span / 4.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0]
        .into_iter()
        .map(|s| s * power)
        .find(|s| *s >= rough)
        .unwrap_or(10.0 * power);
    let first = (low / step).ceil() as i64;
    (0..12).map(|i| (first + i) as f64 * step).take_while(|t| *t <= high + step * 1e-9).collect()
}

/// A scale of one axis, linear.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    /// Value at the start.
    pub low: f64,
    /// Value at the end.
    pub high: f64,
}

impl Scale {
    /// A scale that holds all values, with a little air.
    pub fn around(values: impl Iterator<Item = f64>) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for v in values {
            (low, high) = (low.min(v), high.max(v));
        }
        if low > high {
            return Self { low: 0.0, high: 1.0 };
        }
        let air = if high > low { (high - low) * 0.05 } else { low.abs().max(1.0) * 0.05 };
        Self { low: low - air, high: high + air }
    }
    fn share(&self, v: f64) -> f64 {
        ((v - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }
}

/// A plot in the making.
pub struct Plot {
    out: String,
    high: f64,
}

impl Plot {
    /// An empty plot; `about` is read to those who do not see it.
    pub fn new(about: &str) -> Self {
        Self::sized(about, HIGH)
    }

    /// An empty plot of another height.
    pub fn sized(about: &str, high: f64) -> Self {
        let out = format!(
            "<svg viewBox=\"0 0 {WIDE:.0} {high:.0}\" role=\"img\" aria-label=\"{}\">",
            escape(about)
        );
        Self { out, high }
    }

    /// The finished element.
    pub fn finish(mut self) -> String {
        self.out.push_str("</svg>");
        self.out
    }

    /// Where a value is across.
    pub fn x(&self, scale: Scale, v: f64) -> f64 {
        LEFT + (WIDE - LEFT - RIGHT) * scale.share(v)
    }

    /// Where a value is in height.
    pub fn y(&self, scale: Scale, v: f64) -> f64 {
        self.high - BOTTOM - (self.high - TOP - BOTTOM) * scale.share(v)
    }

    fn base(&self) -> f64 {
        self.high - BOTTOM
    }

    /// Text at a place; `class` sets its alignment.
    pub fn text(&mut self, x: f64, y: f64, class: &str, text: &str) {
        let text = escape(text);
        let _ = write!(self.out, "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\">{text}</text>");
    }

    /// A straight line.
    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        let _ = write!(
            self.out,
            "<path d=\"M{:.1} {:.1}L{:.1} {:.1}\" class=\"{class}\"/>",
            from.0, from.1, to.0, to.1
        );
    }

    /// A rectangle, with words that show when pointed at.
    pub fn rect(&mut self, at: (f64, f64), size: (f64, f64), class: &str, title: &str) {
        let _ = write!(
            self.out,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" class=\"{class}\"",
            at.0, at.1, size.0, size.1
        );
        self.close("rect", title);
    }

    /// A point.
    pub fn dot(&mut self, at: (f64, f64), radius: f64, class: &str, title: &str) {
        let _ = write!(
            self.out,
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"{radius:.1}\" class=\"{class}\"",
            at.0, at.1
        );
        self.close("circle", title);
    }

    fn close(&mut self, element: &str, title: &str) {
        if title.is_empty() {
            self.out.push_str("/>");
        } else {
            let _ = write!(self.out, "><title>{}</title></{element}>", escape(title));
        }
    }

    /// Grid lines and their values, and what is measured.
    pub fn y_axis(&mut self, scale: Scale, name: &str, format: fn(f64) -> String) {
        for t in ticks(scale.low, scale.high) {
            let y = self.y(scale, t);
            self.line((LEFT, y), (WIDE - RIGHT, y), "grid");
            self.text(LEFT - 6.0, y + 5.0, "r", &format(t));
        }
        let middle = TOP + (self.base() - TOP) / 2.0;
        let _ = write!(
            self.out,
            "<text transform=\"translate(12 {middle:.1}) rotate(-90)\" class=\"m axis\">{}</text>",
            escape(name)
        );
    }

    /// Values below, and what is measured.
    pub fn x_axis(&mut self, scale: Scale, name: &str, format: fn(f64) -> String) {
        for t in ticks(scale.low, scale.high) {
            let x = self.x(scale, t);
            self.line((x, self.base()), (x, self.base() + 4.0), "tick");
            self.text(x, self.base() + 19.0, "m", &format(t));
        }
        self.name_x(name);
    }

    /// What is measured across.
    pub fn name_x(&mut self, name: &str) {
        self.line((LEFT, self.base()), (WIDE - RIGHT, self.base()), "tick");
        self.text(LEFT + (WIDE - LEFT - RIGHT) / 2.0, self.high - 7.0, "m axis", name);
    }

    /// Stacked bars, one a name; classes `s0`, `s1` ... from below. Names are thinned out to what fits.
    pub fn bars(&mut self, names: &[String], parts: &[Vec<u64>], labels: &[&str], scale: Scale) {
        let wide = (WIDE - LEFT - RIGHT) / names.len().max(1) as f64;
        let gap = (wide * 0.14).min(4.0);
        let every = (names.len() as f64 * 60.0 / (WIDE - LEFT - RIGHT)).ceil().max(1.0) as usize;
        for (i, name) in names.iter().enumerate() {
            let x = LEFT + wide * i as f64 + gap / 2.0;
            let mut below = 0;
            for (k, part) in parts.iter().enumerate() {
                let n = part[i];
                if n == 0 {
                    continue;
                }
                let (y0, y1) = (self.y(scale, below as f64), self.y(scale, (below + n) as f64));
                let label = labels.get(k).copied().unwrap_or("");
                let title = format!("{name}: {} {label}", count(n));
                // A bar that is there must be seen.
                let high = (y0 - y1).max(0.8);
                let class = format!("s{k}");
                self.rect((x, y0 - high), (wide - gap, high), &class, title.trim_end());
                below += n;
            }
            if i.is_multiple_of(every) {
                self.text(x + (wide - gap) / 2.0, self.base() + 18.0, "m", name);
            }
        }
    }
}

/// Names of colours beside what they stand for.
pub fn legend(items: &[(&str, &str)]) -> String {
    let item = |(class, name): &(&str, &str)| {
        format!("<span><i class=\"{class}\"></i>{}</span>", escape(name))
    };
    format!("<p class=\"legend\">{}</p>", items.iter().map(item).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_exact() {
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(12), "12");
        assert_eq!(short(25_000.0), "25k");
        assert_eq!(short(1_500_000.0), "1.5M");
        assert_eq!(short(0.025), "0.025");
        assert_eq!(percent(0.99995), "99.995 %");
        assert_eq!(percent(1.0), "100 %");
        assert_eq!(percent(0.5), "50.0 %");
    }

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(ticks(0.0, 10.0), [0.0, 2.5, 5.0, 7.5, 10.0]);
        assert_eq!(ticks(0.0, 7.0), [0.0, 2.0, 4.0, 6.0]);
        assert_eq!(ticks(3.0, 3.0), [3.0]);
        assert!(ticks(0.97, 1.0).len() >= 3);
    }

    #[test]
    fn text_cannot_leave_its_element() {
        let mut plot = Plot::new("a\"b");
        plot.text(1.0, 2.0, "m", "<script>");
        let svg = plot.finish();
        assert!(svg.contains("&lt;script&gt;") && svg.contains("a&quot;b"));
    }
}
