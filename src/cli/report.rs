//! How a failure is shown: with the place, the cause and what to do about it.

use std::process::ExitCode;

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};

use super::args::LogFormat;
use super::signal;
use crate::config::Diagnostic;
use crate::error::Coded;
use crate::pipeline;
use crate::vocabulary;

/// Why a verb failed.
pub struct Failure {
    code: String,
    message: String,
    help: Option<String>,
    places: Vec<Diagnostic>,
    exit: u8,
}

impl Failure {
    /// A stated problem.
    pub fn stated(code: &str, message: impl Into<String>, help: Option<String>) -> Self {
        Self { code: code.into(), message: message.into(), help, places: Vec::new(), exit: 1 }
    }

    /// A defect.
    pub fn internal(error: impl std::fmt::Display) -> Self {
        Self {
            code: "cli::internal".into(),
            message: error.to_string(),
            help: None,
            places: Vec::new(),
            exit: 2,
        }
    }

    /// An error of a module that the pipeline does not run.
    fn coded(error: &impl Coded) -> Self {
        let exit = if error.is_unexpected() { 2 } else { 1 };
        let (code, message) = (error.code().to_owned(), error.to_string());
        Self { code, message, help: error.help(), places: Vec::new(), exit }
    }
}

impl From<vocabulary::Error> for Failure {
    fn from(error: vocabulary::Error) -> Self {
        match error {
            vocabulary::Error::Config(e) => e.into(),
            vocabulary::Error::Cancelled(e) => pipeline::Error::from(e).into(),
            other => Self::coded(&other),
        }
    }
}

impl From<pipeline::Error> for Failure {
    fn from(error: pipeline::Error) -> Self {
        let places = error.diagnostics().map(<[Diagnostic]>::to_vec).unwrap_or_default();
        let exit = match (error.is_cancelled(), error.is_unexpected()) {
            (true, _) => signal::exit_code(),
            (_, true) => 2,
            _ => 1,
        };
        let message = match places.len() {
            0 => error.to_string(),
            1 => "1 problem in the configuration".into(),
            n => format!("{n} problems in the configuration"),
        };
        Self { code: error.code().into(), message, help: error.help(), places, exit }
    }
}

macro_rules! through_pipeline {
    ($($error:ty),*) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                pipeline::Error::from(error).into()
            }
        })*
    };
}
through_pipeline!(
    crate::config::Error,
    crate::release::Error,
    crate::error::IoError,
    crate::omop::Error,
    pipeline::query::TableError
);

#[derive(Debug)]
struct Shown {
    code: String,
    message: String,
    help: Option<String>,
    source: Option<NamedSource<String>>,
    label: Option<LabeledSpan>,
    related: Vec<Shown>,
}

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Shown {}

impl miette::Diagnostic for Shown {
    fn code<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        (!self.code.is_empty()).then(|| Box::new(&self.code) as Box<dyn std::fmt::Display>)
    }
    fn help<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn std::fmt::Display>)
    }
    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }
    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.label.clone().map(|label| Box::new(std::iter::once(label)) as Box<_>)
    }
    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn miette::Diagnostic> + 'a>> {
        (!self.related.is_empty()).then(|| {
            Box::new(self.related.iter().map(|shown| shown as &dyn miette::Diagnostic)) as Box<_>
        })
    }
}

impl Shown {
    /// An excerpt is shown where something is marked: never of a data table, whose lines hold what is
    /// people's own.
    fn place(place: &Diagnostic) -> Self {
        let marked = !place.span.is_empty();
        let text = marked.then(|| std::fs::read_to_string(&place.file).ok()).flatten();
        let label = LabeledSpan::new_with_span(None, place.span.clone());
        Self {
            code: String::new(),
            message: place.to_string().split(" (").next().unwrap_or_default().to_owned(),
            help: place.help.clone(),
            label: text.as_ref().map(|_| label),
            source: text.map(|text| NamedSource::new(place.file.to_string_lossy(), text)),
            related: Vec::new(),
        }
    }
}

/// Shows a failure and gives its exit code.
pub fn show(failure: &Failure, format: LogFormat) -> ExitCode {
    match format {
        LogFormat::Json => {
            let problems: Vec<String> = failure.places.iter().map(ToString::to_string).collect();
            let line = serde_json::json!({
                "level": "ERROR",
                "code": failure.code,
                "message": failure.message,
                "help": failure.help,
                "problems": problems,
            });
            eprintln!("{line}");
        }
        LogFormat::Text => eprint!("{}", render(failure)),
    }
    ExitCode::from(failure.exit)
}

fn render(failure: &Failure) -> String {
    use std::io::IsTerminal;
    let fancy = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let theme = if fancy { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let shown = Shown {
        code: failure.code.clone(),
        message: failure.message.clone(),
        help: failure.help.clone(),
        source: None,
        label: None,
        related: failure.places.iter().map(Shown::place).collect(),
    };
    let mut text = String::new();
    let handler = GraphicalReportHandler::new_themed(theme).with_width(100);
    match handler.render_report(&mut text, &shown) {
        Ok(()) => text,
        Err(_) => format!("error: {}\n", failure.message),
    }
}
