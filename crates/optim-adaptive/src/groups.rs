//! Parameter groups by path: other rates, no decay for biases and norms, frozen layers, their own optimizer.
//!
//! A parameter belongs to the *last* group whose pattern matches its path (as in burn), or to none: then it is stepped
//! as `[optimizer]` says.

use std::fmt;

use burn::module::{ParamGroup, ParamGroupError, ParamId};
use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use strict_config::{ConfigError, Settings};
use toml::{Table, Value};

use crate::config::{OptimizerConfig, OptimizerRegistry};
use crate::ranges;

/// Which parameters: a pattern on their dotted path (`conv1.weight`).
///
/// `*` stands for any run of characters, dots included, and `?` for one character; the whole path must match. A
/// pattern between slashes is a regular expression, found anywhere in the path: `/norm\d+\.(weight|bias)$/`.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    group: ParamGroup,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// A regular expression that cannot be parsed.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        let inner = text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
        let regex = inner.map_or_else(|| from_glob(text), str::to_owned);
        let group = ParamGroup::from_regex(regex).map_err(|error| {
            let ParamGroupError::InvalidPatternError(said) = error;
            // Of the lines that draw the place, the last says what is wrong.
            let reason = said.rsplit("error: ").next().unwrap_or_default().trim().to_owned();
            PatternError { pattern: text.to_owned(), reason }
        })?;
        Ok(Self { text: text.to_owned(), group })
    }

    /// Whether a parameter's path matches.
    pub fn matches(&self, path: &str) -> bool {
        self.group.matches(&ParamId::from(0), Some(path))
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The pattern as burn's group of parameters.
    pub(crate) fn param_group(&self) -> &ParamGroup {
        &self.group
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Pattern;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a pattern on parameter paths, such as \"*.bias\"")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Pattern, E> {
                Pattern::new(text).map_err(|error| {
                    let allowed = format!("a glob, or a regular expression between slashes ({})", error.reason);
                    strict_config::raise(ConfigError::not_allowed("", format!("{text:?}"), allowed))
                })
            }
        }

        deserializer.deserialize_any(Text)
    }
}

/// A pattern that cannot be read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("`{pattern}` is not a pattern: {reason}")]
pub struct PatternError {
    /// The pattern.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: String,
}

/// The regular expression of a glob.
fn from_glob(glob: &str) -> String {
    let mut regex = String::from("^");
    for c in glob.chars() {
        match c {
            '*' => regex.push_str(".*"),
            '?' => regex.push('.'),
            c if c.is_alphanumeric() || c == '_' => regex.push(c),
            c => {
                regex.push('\\');
                regex.push(c);
            }
        }
    }
    regex.push('$');
    regex
}

/// One group: which parameters, and what is different for them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Which parameters.
    pub params: Pattern,
    /// Only parameters of at most this rank: 1 means biases, norm weights and other vectors. Default: any.
    #[serde(default)]
    pub max_rank: Option<usize>,
    /// Factor on the learning rate. Default 1.
    #[serde(default = "one")]
    pub lr_scale: f64,
    /// Weight decay in place of the optimizer's. Default: the optimizer's.
    #[serde(default)]
    pub weight_decay: Option<f64>,
    /// Leave these parameters alone. Default false.
    #[serde(default)]
    pub frozen: bool,
    /// Their own optimizer; its `lr` is not used (the schedule's rate times `lr_scale` does). Default: none.
    #[serde(default)]
    pub optimizer: Option<OptimizerConfig>,
}

fn one() -> f64 {
    1.0
}

impl Settings for Group {
    fn check(&self) -> Result<(), ConfigError> {
        ranges::non_negative(&[("lr_scale", self.lr_scale)])?;
        self.weight_decay.map_or(Ok(()), |decay| ranges::non_negative(&[("weight_decay", decay)]))
    }
}

impl Group {
    /// A group that changes nothing yet.
    pub fn new(params: Pattern) -> Self {
        Self { params, max_rank: None, lr_scale: one(), weight_decay: None, frozen: false, optimizer: None }
    }

    /// Reads a `[[groups]]` table; paths in errors begin at the table.
    ///
    /// It either names its `params` or, for layer-wise rate decay, lists `layers` (patterns from the input to the
    /// output) with a `layer_decay`, and is then one group per layer: the last layer has factor 1, each one before it
    /// `layer_decay` times the factor of the next. `lr_scale` multiplies both.
    ///
    /// `base` is the optimizer whose group this is: a `weight_decay` it does not have is refused. An `optimizer` of the
    /// group's own is one of `registry`.
    ///
    /// # Errors
    ///
    /// Unknown fields, wrong types, patterns that cannot be read, settings that the optimizer cannot follow.
    pub fn from_table(
        table: &Table,
        base: &OptimizerConfig,
        registry: &OptimizerRegistry,
    ) -> Result<Vec<Self>, ConfigError> {
        let mut table = table.clone();
        let optimizer = match table.get("optimizer") {
            Some(Value::Table(own)) => Some(OptimizerConfig::from_table_with(own, "optimizer", registry)?),
            _ => None,
        };
        if optimizer.is_some() {
            table.remove("optimizer");
        }
        let read = |table: &Table, factor: f64| {
            let mut group = strict_config::read::<Self>(table, "")
                .map_err(|error| error.with_known(strict_config::fields_of::<Layers>()))?;
            group.lr_scale *= factor;
            group.optimizer.clone_from(&optimizer);
            group.check_under(base).map(|()| group)
        };
        let [layers, decay] = LAYER_FIELDS.map(|field| table.remove(field));
        let Some(layers) = layers else {
            return match decay {
                None => Ok(vec![read(&table, 1.0)?]),
                Some(_) => Err(ConfigError::conflict("layer_decay", "`layer_decay` goes with `layers`")),
            };
        };
        if table.contains_key("params") {
            return Err(ConfigError::conflict("params", "a group has either `params` or `layers`"));
        }
        let expected = "the factor between the rates of neighbouring layers";
        let decay = decay.ok_or_else(|| ConfigError::missing("layer_decay", expected))?;
        let fields = LAYER_FIELDS.map(str::to_owned).into_iter().zip([layers, decay]).collect();
        let Layers { layers, layer_decay } = strict_config::read(&fields, "")?;
        let factors = (0..layers.len()).rev().map(|above| layer_decay.powi(i32::try_from(above).unwrap_or(i32::MAX)));
        layers
            .iter()
            .zip(factors)
            .map(|(layer, factor)| {
                table.insert("params".to_owned(), layer.as_str().into());
                read(&table, factor)
            })
            .collect()
    }

    /// Refuses what cannot be a group under the optimizer `base`.
    fn check_under(&self, base: &OptimizerConfig) -> Result<(), ConfigError> {
        let own = self.optimizer.as_ref();
        if self.weight_decay.is_some() && own.unwrap_or(base).weight_decay().is_none() {
            let message = format!("`{}` has no weight decay", own.unwrap_or(base).type_name());
            return Err(ConfigError::conflict("weight_decay", message));
        }
        if let Some(why) = own.and_then(OptimizerConfig::one_for_all) {
            return Err(ConfigError::conflict("optimizer", format!("{why}: it cannot be the optimizer of a group")));
        }
        match base.one_for_all() {
            Some(why) if self.lr_scale != 1.0 && self.lr_scale != 0.0 => {
                Err(ConfigError::not_allowed("lr_scale", self.lr_scale, format!("0 or 1: {why}")))
            }
            _ => Ok(()),
        }
    }

    /// Whether it fits a parameter of this path and rank.
    pub fn matches(&self, path: &str, rank: usize) -> bool {
        self.max_rank.is_none_or(|most| rank <= most) && self.params.matches(path)
    }
}

/// Layer-wise rate decay: what a `[[groups]]` table may have in place of `params`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Layers {
    layers: Vec<Pattern>,
    layer_decay: f64,
}

/// The fields of [`Layers`].
const LAYER_FIELDS: [&str; 2] = ["layers", "layer_decay"];

impl Settings for Layers {
    fn check(&self) -> Result<(), ConfigError> {
        if self.layers.is_empty() {
            return Err(ConfigError::not_allowed("layers", "[]", "at least one pattern"));
        }
        ranges::positive(&[("layer_decay", self.layer_decay)])
    }
}

/// Index of the group of a parameter: the last that matches; `None` for a parameter in no group.
pub(crate) fn index_of(groups: &[Group], path: &str, rank: usize) -> Option<usize> {
    groups.iter().rposition(|group| group.matches(path, rank))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> OptimizerConfig {
        OptimizerConfig::from_toml_str("type = 'adamw'").unwrap()
    }

    fn read(text: &str, base: &OptimizerConfig) -> Result<Vec<Group>, ConfigError> {
        let table: Table = text.parse().unwrap();
        let tables = table["groups"].as_array().unwrap().iter().enumerate();
        let groups = tables.map(|(i, table)| {
            let read = Group::from_table(table.as_table().unwrap(), base, &OptimizerRegistry::standard());
            read.map_err(|error| error.within(&format!("groups[{i}]")))
        });
        Ok(groups.collect::<Result<Vec<_>, _>>()?.concat())
    }

    #[test]
    fn patterns() {
        let cases = [
            ("*.bias", "conv1.bias", true),
            ("*.bias", "conv1.weight", false),
            ("*.bias", "bias", false),
            ("conv?.*", "conv1.weight", true),
            ("conv?.*", "conv12.weight", false),
            ("a.b", "axb", false),
            ("*", "anything.at.all", true),
            (r"/norm\d*\./", "block.norm2.weight", true),
            (r"/norm\d*\./", "block.normal", false),
        ];
        for (pattern, path, expected) in cases {
            assert_eq!(Pattern::new(pattern).unwrap().matches(path), expected, "{pattern} on {path}");
        }
    }

    #[test]
    fn the_last_match_wins() {
        let groups = read(
            "[[groups]]\nparams = '*'\nlr_scale = 0.1\n[[groups]]\nparams = 'head.*'\n\
             [[groups]]\nparams = '*'\nmax_rank = 1\nweight_decay = 0",
            &base(),
        )
        .unwrap();
        for (path, rank, expected) in [("body.weight", 2, 0), ("head.weight", 2, 1), ("head.bias", 1, 2)] {
            assert_eq!(index_of(&groups, path, rank), Some(expected), "{path}");
        }
        assert_eq!(index_of(&[], "body.weight", 2), None);
        for group in &groups {
            let again = Group::from_table(&strict_config::write(group), &base(), &OptimizerRegistry::standard());
            assert_eq!(again.unwrap(), std::slice::from_ref(group));
        }
    }

    #[test]
    fn layers_decay_towards_the_input() {
        let groups =
            read("[[groups]]\nlayers = ['a.*', 'b.*', 'c.*']\nlayer_decay = 0.5\nlr_scale = 2", &base()).unwrap();
        let scales: Vec<f64> = groups.iter().map(|group| group.lr_scale).collect();
        assert_eq!(scales, [0.5, 1.0, 2.0]);
    }

    #[test]
    fn refusals_name_the_group() {
        let cases = [
            ("lr_scal = 1", "groups[0].lr_scal: unknown field; did you mean `lr_scale`?"),
            ("lr_scale = 1", "groups[0].params: missing"),
            ("params = '/(/'", "groups[0].params: \"/(/\" is not allowed here"),
            ("params = '*'\nlr_scale = -1", "groups[0].lr_scale: -1 is not allowed here"),
            ("params = '*'\nlayer_decay = 0.5", "groups[0].layer_decay: `layer_decay` goes with `layers`"),
            ("layers = ['a']", "groups[0].layer_decay: missing"),
            ("params = '*'\noptimizer = { type = 'adamm' }", "groups[0].optimizer.type: there is no optimizer `adamm`"),
        ];
        for (text, expected) in cases {
            let error = read(&format!("[[groups]]\n{text}"), &base()).expect_err(text).to_string();
            assert!(error.starts_with(expected), "{error}");
        }
        let prodigy = OptimizerConfig::from_toml_str("type = 'prodigy'").unwrap();
        let error = read("[[groups]]\nparams = '*'\nlr_scale = 0.5", &prodigy).expect_err("one step size").to_string();
        assert!(error.contains("0 or 1"), "{error}");
    }
}
