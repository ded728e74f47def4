//! Names of strategies, and how each is read from a table. Open: register your own under a name of your own.

use std::fmt;
use std::sync::{Arc, OnceLock};

use strict_config::{ConfigError, Fields};

use crate::strategy::{Scope, Strategy};
use crate::time::Interval;
use crate::{compose, port, strategies};

type Parser = dyn Fn(&Fields<'_>, &Scope<'_>) -> Result<Box<dyn Strategy>, ConfigError> + Send + Sync;

/// A strategy that can be named in a config.
#[derive(Clone)]
pub struct Entry {
    name: &'static str,
    aliases: &'static [&'static str],
    summary: &'static str,
    interval: Interval,
    fields: &'static [&'static str],
    example: &'static str,
    parse: Arc<Parser>,
}

impl Entry {
    /// An entry.
    ///
    /// `fields` are the known fields beside `type`, `interval` and `warmup`, which every strategy has; `interval` is
    /// the default one; `example` is a complete table in TOML, which `anneal list` shows and the tests of every
    /// strategy run.
    pub fn new<S: Strategy + 'static>(
        name: &'static str,
        summary: &'static str,
        interval: Interval,
        fields: &'static [&'static str],
        example: &'static str,
        parse: impl Fn(&Fields<'_>, &Scope<'_>) -> Result<S, ConfigError> + Send + Sync + 'static,
    ) -> Self {
        let parse = move |fields: &Fields<'_>, scope: &Scope<'_>| {
            parse(fields, scope).map(|strategy| Box::new(strategy) as Box<dyn Strategy>)
        };
        Self { name, aliases: &[], summary, interval, fields, example, parse: Arc::new(parse) }
    }

    /// The same under further names.
    #[must_use]
    pub fn with_aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    /// The name in a config.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Further names for the same.
    pub fn aliases(&self) -> &'static [&'static str] {
        self.aliases
    }

    /// What it is, in a line.
    pub fn summary(&self) -> &'static str {
        self.summary
    }

    /// What a tick is unless the config says so.
    pub fn interval(&self) -> Interval {
        self.interval
    }

    /// The fields of its table, beside `type`, `interval` and `warmup`.
    pub fn fields(&self) -> &'static [&'static str] {
        self.fields
    }

    /// A complete table in TOML.
    pub fn example(&self) -> &'static str {
        self.example
    }

    pub(crate) fn parse(&self, fields: &Fields<'_>, scope: &Scope<'_>) -> Result<Box<dyn Strategy>, ConfigError> {
        (self.parse)(fields, scope)
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("name", &self.name).field("fields", &self.fields).finish_non_exhaustive()
    }
}

/// The strategies that a config can name.
///
/// ```
/// use lr_core::Registry;
/// let registry = Registry::standard();
/// assert!(registry.iter().any(|entry| entry.name() == "cosine_annealing"));
/// assert_eq!(registry.get("lambda").map(|entry| entry.name()), Some("expression"));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Registry {
    entries: Vec<Entry>,
}

impl Registry {
    /// No strategies.
    pub fn empty() -> Self {
        Self::default()
    }

    /// All strategies of this crate.
    pub fn standard() -> Self {
        Self::shared().clone()
    }

    /// The standard registry, made once.
    pub(crate) fn shared() -> &'static Self {
        static STANDARD: OnceLock<Registry> = OnceLock::new();
        STANDARD.get_or_init(|| {
            let mut registry = Self::empty();
            strategies::register(&mut registry);
            compose::register(&mut registry);
            port::register(&mut registry);
            registry
        })
    }

    /// Adds a strategy; one of the same name is replaced.
    pub fn register(&mut self, entry: Entry) {
        match self.entries.iter_mut().find(|known| known.name == entry.name) {
            Some(known) => *known = entry,
            None => self.entries.push(entry),
        }
    }

    /// The strategies, in the order they were registered.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// The strategy of that name or alias.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name || entry.aliases.contains(&name))
    }

    /// All names, aliases included.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.entries.iter().flat_map(|entry| std::iter::once(entry.name).chain(entry.aliases.iter().copied()))
    }
}
