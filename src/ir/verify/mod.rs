//! The gate: what a model must satisfy before it may be written or run, and what is odd about it.

mod attributes;
mod bodies;
mod functions;
mod header;
mod nodes;
mod shapes;
mod structure;
#[cfg(test)]
mod tests;
mod types;

use std::fmt;

use crate::error::{Error, ErrorKind};
use crate::ir::Model;

/// A model that passed [`Model::verify`]; the only thing `emit` accepts.
#[derive(Debug, Clone, Copy)]
pub struct Verified<'a>(&'a Model);

impl<'a> Verified<'a> {
    /// The model.
    pub fn model(self) -> &'a Model {
        self.0
    }
}

/// A rule that the model breaks, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Place in words.
    pub place: String,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// How many violations an error message lists; all of them are in the vector.
const LISTED: usize = 5;

impl From<Vec<Violation>> for Error {
    fn from(violations: Vec<Violation>) -> Self {
        let mut text: Vec<String> =
            violations.iter().take(LISTED).map(ToString::to_string).collect();
        if violations.len() > LISTED {
            text.push(format!("and {} more", violations.len() - LISTED));
        }
        Self::new(ErrorKind::Invalid, text.join("; "))
    }
}

/// What the rules found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Rules broken: the model means nothing, or nothing certain.
    pub(super) violations: Vec<Violation>,
    /// What works somewhere, but not everywhere.
    pub(super) warnings: Vec<Violation>,
}

impl Findings {
    pub(super) fn violation(&mut self, place: impl fmt::Display, message: impl Into<String>) {
        self.violations.push(Violation { place: place.to_string(), message: message.into() });
    }

    pub(super) fn warning(&mut self, place: impl fmt::Display, message: impl Into<String>) {
        self.warnings.push(Violation { place: place.to_string(), message: message.into() });
    }

    /// Takes over what was found inside of `place`.
    pub(super) fn within(&mut self, place: &str, inner: Self) {
        let placed = |inner: Violation| Violation {
            place: format!("{place}: {}", inner.place),
            message: inner.message,
        };
        self.violations.extend(inner.violations.into_iter().map(placed));
        self.warnings.extend(inner.warnings.into_iter().map(placed));
    }

    /// A violation when `wrong`, else a warning.
    pub(super) fn either(&mut self, wrong: bool, place: impl fmt::Display, message: String) {
        if wrong { self.violation(place, message) } else { self.warning(place, message) }
    }
}

impl Model {
    /// Checks versions, names, scopes, order, use lists and outputs, and every node of a known
    /// operator against what ONNX says about it at the version in force; model-local functions
    /// likewise, and that none calls itself. Linear.
    ///
    /// # Errors
    /// All violations: first of the header, then of the graphs, of the nodes, of the functions.
    pub fn verify(&self) -> Result<Verified<'_>, Vec<Violation>> {
        let findings = self.findings();
        if findings.violations.is_empty() { Ok(Verified(self)) } else { Err(findings.violations) }
    }

    /// As [`Model::verify`] and [`Model::warnings`] together, in one go.
    ///
    /// # Errors
    /// As [`Model::verify`].
    pub(crate) fn verify_with_warnings(&self) -> Result<Vec<Violation>, Vec<Violation>> {
        let findings = self.findings();
        if findings.violations.is_empty() {
            Ok(findings.warnings)
        } else {
            Err(findings.violations)
        }
    }

    /// What is odd about a model without making it invalid: operators and versions that onnxpress
    /// does not know, and what some runtimes refuse and others accept. Linear.
    pub fn warnings(&self) -> Vec<Violation> {
        self.findings().warnings
    }

    fn findings(&self) -> Findings {
        let mut findings = Findings::default();
        if self.graphs.is_empty() {
            findings.violation("model", "has no graph");
            return findings;
        }
        header::check(self, &mut findings);
        structure::check(self, &mut findings);
        let versions = header::versions(&self.header.opsets, self.header.ir_version);
        nodes::check(self, versions, &functions::names(self), &mut findings);
        functions::check(self, &mut findings);
        findings
    }
}
