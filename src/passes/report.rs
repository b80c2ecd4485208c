//! What passes say about themselves.

use std::collections::HashSet;

/// What a pass did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// Edits made, in order.
    pub done: Vec<Note>,
    /// Edits declined, in order.
    pub refused: Vec<Note>,
    /// What the user must know, e.g. that the operator set was raised.
    pub warnings: Vec<String>,
    /// What was gained by methods that work layer by layer.
    pub layers: Vec<LayerNote>,
}

/// What a method did for the accuracy of one layer.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerNote {
    /// The layer in words.
    pub place: String,
    /// Name of the method.
    pub method: &'static str,
    /// Mean squared error that the weights make in an output on held-out samples, before and after; of
    /// `correct-bias` the part that is the same in all samples.
    pub errors: (f64, f64),
    /// Mean square of an output there; 0 when it was not measured.
    pub signal: f64,
}

/// One edit made or declined.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Note {
    /// Place in words, e.g. ``node `conv1` (Conv)``.
    pub place: String,
    /// What was done, or why it was not.
    pub text: String,
}

impl Report {
    /// Records an edit.
    pub fn did(&mut self, place: impl Into<String>, text: impl Into<String>) {
        self.done.push(Note { place: place.into(), text: text.into() });
    }

    /// Records an edit that was declined, with the reason.
    pub fn refuse(&mut self, place: impl Into<String>, text: impl Into<String>) {
        self.refused.push(Note { place: place.into(), text: text.into() });
    }

    /// Adds what a later run of the same pass did; what it declined again stands there once.
    pub fn extend(&mut self, later: Self) {
        self.done.extend(later.done);
        self.layers.extend(later.layers);
        let known: HashSet<Note> = self.refused.iter().cloned().collect();
        self.refused.extend(later.refused.into_iter().filter(|note| !known.contains(note)));
        let warnings = later.warnings.into_iter().filter(|w| !self.warnings.contains(w));
        self.warnings.extend(warnings.collect::<Vec<_>>());
    }

    /// True when the model was edited.
    pub fn changed(&self) -> bool {
        !self.done.is_empty()
    }
}
