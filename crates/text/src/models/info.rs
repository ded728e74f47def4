//! What lists say about a model.

/// What is known about a model without building it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LanguageModelInfo {
    /// The name to ask for.
    pub name: &'static str,
    /// What it is, in a line.
    pub summary: &'static str,
    /// Where it comes from.
    pub source: &'static str,
}
