//! Reading a table of settings strictly: every value has a path, every refusal says the field, the value found
//! and what would be right, and an unknown name is answered with the nearest known one.
//!
//! What lives here: [`Fields`], a typed reader over one TOML table, and [`ConfigError`]. It knows nothing of
//! learning rates, optimizers or files; the rooms above use it to turn a table into a type that cannot be wrong.
//!
//! ```
//! use strict_config::Fields;
//! let table: toml::Table = "step_size = 30\ngama = 0.1".parse()?;
//! let error = Fields::open(&table, "schedule", &["type", "step_size", "gamma"]).unwrap_err();
//! assert_eq!(error.to_string(), "schedule.gama: unknown field; did you mean `gamma`? (known: type, step_size, gamma)");
//! # Ok::<(), toml::de::Error>(())
//! ```

mod error;
mod fields;

pub use error::{ConfigError, Problem};
pub use fields::Fields;

/// The known name nearest to `name`, if any is near enough to be a likely slip: by Jaro-Winkler similarity, which
/// forgives long names a wrong ending, or by Damerau-Levenshtein distance, which forgives short names a swap.
///
/// ```
/// assert_eq!(strict_config::nearest("cosin_annealing", ["step", "cosine_annealing"]), Some("cosine_annealing"));
/// assert_eq!(strict_config::nearest("mpl", ["mlp", "lenet"]), Some("mlp"));
/// assert_eq!(strict_config::nearest("zzz", ["step", "cosine_annealing"]), None);
/// ```
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const LIKELY: f64 = 0.75;
    const LIKELY_SLIP: f64 = 0.6;
    let folded = name.to_lowercase().replace('-', "_");
    let likeness = |candidate: &str| {
        let candidate = candidate.to_lowercase();
        let similar = strsim::jaro_winkler(&folded, &candidate);
        let slip = strsim::normalized_damerau_levenshtein(&folded, &candidate);
        (similar >= LIKELY || slip >= LIKELY_SLIP).then(|| similar.max(slip))
    };
    known
        .into_iter()
        .filter_map(|candidate| Some((likeness(candidate)?, candidate)))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// Joins a path and a field: `("schedule", "gamma")` is `schedule.gamma`, `("", "gamma")` is `gamma`.
pub fn join(path: &str, field: &str) -> String {
    if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") }
}

/// A value as a person would write it in a config, shortened to one line.
pub fn show(value: &toml::Value) -> String {
    const LONGEST: usize = 60;
    let text = match value {
        toml::Value::Table(_) => "a table".to_owned(),
        other => other.to_string().replace('\n', " "),
    };
    if text.chars().count() > LONGEST {
        let short: String = text.chars().take(LONGEST).collect();
        format!("{short}...")
    } else {
        text
    }
}
