//! Bars with rates and an estimate on a terminal; one line a stage elsewhere.

use std::sync::Arc;
use std::time::Duration;

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::args::{Args, LogFormat};
use crate::engine::{Progress, job::Silent};
use crate::pipeline::record::StageRun;
use crate::pipeline::{Action, Listener, Stage};

/// Shows how far a run has come.
pub struct Bars {
    visible: bool,
    lines: bool,
}

impl Bars {
    /// Bars if stderr is a terminal and nobody asked otherwise.
    pub fn new(args: &Args) -> Self {
        use std::io::IsTerminal;
        let text = args.log_format == LogFormat::Text && !args.quiet;
        let visible = text && !args.no_progress && std::io::stderr().is_terminal();
        Self { visible, lines: text }
    }
}

struct Bar(ProgressBar);

impl Progress for Bar {
    fn expect(&self, units: u64) {
        self.0.inc_length(units);
    }
    fn advance(&self, units: u64) {
        self.0.inc(units);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// A bar for work that is not a stage.
pub fn units(args: &Args) -> Arc<dyn Progress> {
    if !Bars::new(args).visible {
        return Arc::new(Silent);
    }
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(10));
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {per_sec} eta {eta}") {
        bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
    }
    Arc::new(Bar(bar))
}

impl Listener for Bars {
    fn stage_started(&self, stage: &Stage, index: usize, total: usize) -> Arc<dyn Progress> {
        tracing::info!(stage = stage.id, why = stage.why, "stage started");
        if !self.visible {
            return Arc::new(Silent);
        }
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(10));
        let template = "{prefix} {msg:28} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} eta {eta}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
        }
        bar.set_prefix(format!("[{}/{total}]", index + 1));
        bar.set_message(stage.id.clone());
        bar.enable_steady_tick(Duration::from_millis(200));
        Arc::new(Bar(bar))
    }

    fn stage_finished(&self, run: &StageRun) {
        let rows: u64 = run.ledger.0.iter().map(|t| t.rows_out).sum();
        let excluded: u64 = run.ledger.0.iter().flat_map(|t| t.excluded.values()).sum();
        let bytes: u64 = run.files.iter().map(|f| f.bytes).sum();
        tracing::info!(
            stage = run.stage,
            rows,
            excluded,
            bytes,
            seconds = run.seconds,
            "stage finished"
        );
        if self.lines {
            let mark = match run.action {
                Action::Run => "✔",
                Action::Reuse => "=",
                Action::Resume => "»",
            };
            let rows = HumanCount(rows);
            let left_out = match excluded {
                0 => String::new(),
                n => format!(", {} excluded with a reason", HumanCount(n)),
            };
            let (bytes, id) = (HumanBytes(bytes), &run.stage);
            eprintln!("{mark} {id:26} {rows} rows{left_out}, {bytes}, {:.1} s", run.seconds);
        }
    }
}
