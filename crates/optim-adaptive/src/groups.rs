//! Parameter groups by path: other rates, no decay for biases and norms, frozen layers, an optimizer of their own.
//!
//! A parameter belongs to the *last* group whose pattern matches its path (as in burn), or to none, and is then
//! treated as `[optimizer]` says.

use burn::module::{ModuleVisitor, Param, ParamGroup, ParamId};
use burn::tensor::Tensor;
use strict_config::{ConfigError, Fields};
use toml::Table;

use crate::OptimizerConfig;

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
    /// A regular expression that is none.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        let inner = text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
        let regex = inner.map_or_else(|| from_glob(text), str::to_owned);
        let group = ParamGroup::from_regex(regex)
            .map_err(|error| PatternError { pattern: text.to_owned(), reason: format!("{error:?}") })?;
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
    pub fn param_group(&self) -> &ParamGroup {
        &self.group
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// A pattern that cannot be read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("`{pattern}` is no pattern: {reason}")]
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
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Which parameters.
    pub params: Pattern,
    /// Only parameters of at most this rank: 1 means biases, norm weights and other vectors. Default: any.
    pub max_rank: Option<usize>,
    /// Factor on the learning rate. Default 1.
    pub lr_scale: f64,
    /// Weight decay in place of the optimizer's. Default: the optimizer's.
    pub weight_decay: Option<f64>,
    /// Leave these parameters alone. Default false.
    pub frozen: bool,
    /// An optimizer of their own; its `lr` plays no part (the schedule's rate times `lr_scale` does). Default: none.
    pub optimizer: Option<OptimizerConfig>,
}

impl Group {
    /// A group that changes nothing yet.
    pub fn new(params: Pattern) -> Self {
        Self { params, max_rank: None, lr_scale: 1.0, weight_decay: None, frozen: false, optimizer: None }
    }

    fn matches(&self, path: &str, rank: usize) -> bool {
        self.max_rank.is_none_or(|most| rank <= most) && self.params.matches(path)
    }
}

/// The fields of a `[[groups]]` table that this crate reads.
pub const GROUP_FIELDS: &[&str] =
    &["params", "max_rank", "lr_scale", "weight_decay", "frozen", "optimizer", "layers", "layer_decay"];

/// Parameter groups, in the order in which they were added: the last match wins.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Groups {
    groups: Vec<Group>,
}

impl Groups {
    /// Groups in this order.
    pub fn new(groups: Vec<Group>) -> Self {
        Self { groups }
    }

    /// Reads `[[groups]]` tables, each with its path (`groups[0]`). `others` are fields that someone else reads
    /// (`schedule`).
    ///
    /// A table either names its `params` or, for layer-wise rate decay, lists `layers` (patterns from the input to
    /// the output) with a `layer_decay`: the last layer has factor 1, each one before it `layer_decay` times the
    /// factor of the next. `lr_scale` multiplies both.
    ///
    /// `base` is the optimizer whose groups these are: a `weight_decay` it does not have is refused.
    ///
    /// # Errors
    ///
    /// Unknown fields, wrong types, patterns that cannot be read.
    pub fn from_tables(
        tables: &[(&Table, String)],
        others: &[&str],
        base: &OptimizerConfig,
    ) -> Result<Self, ConfigError> {
        let known: Vec<&str> = GROUP_FIELDS.iter().chain(others).copied().collect();
        let mut groups = Vec::new();
        for (table, path) in tables {
            let fields = Fields::open(table, path, &known)?;
            if fields.has("layers") {
                groups.extend(read_layers(&fields, base)?);
            } else {
                let text = fields.need_str("params", "a pattern on parameter paths, such as \"*.bias\"")?;
                groups.push(read_group(&fields, pattern(text, fields.path_of("params"))?, 1.0, base)?);
            }
        }
        Ok(Self { groups })
    }

    /// The groups as tables, every field explicit (layer lists as one group per layer).
    pub fn to_tables(&self) -> Vec<Table> {
        self.groups
            .iter()
            .map(|group| {
                let mut table = Table::new();
                table.insert("params".into(), group.params.as_str().into());
                if let Some(rank) = group.max_rank {
                    table.insert("max_rank".into(), i64::try_from(rank).unwrap_or(i64::MAX).into());
                }
                table.insert("lr_scale".into(), group.lr_scale.into());
                if let Some(weight_decay) = group.weight_decay {
                    table.insert("weight_decay".into(), weight_decay.into());
                }
                table.insert("frozen".into(), group.frozen.into());
                if let Some(optimizer) = &group.optimizer {
                    table.insert("optimizer".into(), optimizer.to_table().into());
                }
                table
            })
            .collect()
    }

    /// Adds a group, after those there are.
    pub fn push(&mut self, group: Group) {
        self.groups.push(group);
    }

    /// The groups, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Index of the group of a parameter: the last that matches; `None` for the base.
    pub fn index_of(&self, path: &str, rank: usize) -> Option<usize> {
        self.groups.iter().rposition(|group| group.matches(path, rank))
    }

    /// Which parameters of a model are in which group: `(path, shape, group)`, in the model's order.
    pub fn assign<M: burn::module::Module>(&self, model: &M) -> Vec<(String, Vec<usize>, Option<usize>)> {
        struct Assign<'a> {
            groups: &'a Groups,
            path: Vec<String>,
            found: Vec<(String, Vec<usize>, Option<usize>)>,
        }
        impl ModuleVisitor for Assign<'_> {
            fn enter_module(&mut self, name: &str, _container_type: &str) {
                self.path.push(name.to_owned());
            }

            fn exit_module(&mut self, _name: &str, _container_type: &str) {
                self.path.pop();
            }

            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                let path = self.path.join(".");
                let shape = param.val().dims().to_vec();
                let group = self.groups.index_of(&path, D);
                self.found.push((path, shape, group));
            }
        }
        let mut visitor = Assign { groups: self, path: Vec::new(), found: Vec::new() };
        model.visit(&mut visitor);
        visitor.found
    }
}

fn pattern(text: &str, path: String) -> Result<Pattern, ConfigError> {
    Pattern::new(text).map_err(|error| {
        ConfigError::not_allowed(
            path,
            format!("{text:?}"),
            format!("a glob, or a regular expression between slashes ({})", error.reason),
        )
    })
}

fn read_group(fields: &Fields<'_>, params: Pattern, factor: f64, base: &OptimizerConfig) -> Result<Group, ConfigError> {
    for field in ["layer_decay"] {
        if fields.has(field) && !fields.has("layers") {
            return Err(ConfigError::conflict(fields.path_of(field), format!("`{field}` goes with `layers`")));
        }
    }
    let non_negative = |x: f64| x >= 0.0;
    let optimizer = match fields.table("optimizer")? {
        Some(table) => Some(OptimizerConfig::from_table(table, &fields.path_of("optimizer"))?),
        None => None,
    };
    let weight_decay = fields.f64_where("weight_decay", "a number of at least 0", non_negative)?;
    let lr_scale = fields.f64_where("lr_scale", "a number of at least 0", non_negative)?.unwrap_or(1.0) * factor;
    let effective = optimizer.as_ref().unwrap_or(base);
    if weight_decay.is_some() && effective.clone().with_weight_decay(0.0).is_none() {
        return Err(ConfigError::conflict(
            fields.path_of("weight_decay"),
            format!("`{}` has no weight decay", effective.type_name()),
        ));
    }
    if optimizer.as_ref().is_some_and(|own| ["prodigy"].contains(&own.type_name())) {
        return Err(ConfigError::conflict(
            fields.path_of("optimizer"),
            "Prodigy's estimate is one for all parameters: it cannot be the optimizer of a group",
        ));
    }
    if base.type_name() == "prodigy" && lr_scale != 1.0 && lr_scale != 0.0 {
        return Err(ConfigError::not_allowed(
            fields.path_of("lr_scale"),
            lr_scale,
            "0 or 1: Prodigy finds one step size for all parameters",
        ));
    }
    Ok(Group {
        params,
        max_rank: fields.u64("max_rank")?.map(|rank| usize::try_from(rank).unwrap_or(usize::MAX)),
        lr_scale,
        weight_decay,
        frozen: fields.bool("frozen")?.unwrap_or(false),
        optimizer,
    })
}

fn read_layers(fields: &Fields<'_>, base: &OptimizerConfig) -> Result<Vec<Group>, ConfigError> {
    if fields.has("params") {
        return Err(ConfigError::conflict(fields.path_of("params"), "a group has either `params` or `layers`"));
    }
    let layers = fields.array("layers")?.unwrap_or_default();
    let decay = fields
        .f64_where("layer_decay", "a number above 0", |x| x > 0.0)?
        .ok_or_else(|| fields.missing("layer_decay", "the factor between the rates of neighbouring layers"))?;
    layers
        .iter()
        .enumerate()
        .map(|(i, layer)| {
            let path = format!("{}[{i}]", fields.path_of("layers"));
            let text =
                layer.as_str().ok_or_else(|| ConfigError::not_allowed(&path, layer, "a pattern on parameter paths"))?;
            let above = i32::try_from(layers.len() - 1 - i).unwrap_or(i32::MAX);
            read_group(fields, pattern(text, path)?, decay.powi(above), base)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> OptimizerConfig {
        OptimizerConfig::from_toml_str("type = 'adamw'").unwrap()
    }

    fn read(text: &str, base: &OptimizerConfig) -> Result<Groups, ConfigError> {
        let table: Table = text.parse().unwrap();
        let fields = Fields::open_any(&table, "");
        Groups::from_tables(&fields.tables("groups")?.unwrap_or_default(), &["schedule"], base)
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
            assert_eq!(groups.index_of(path, rank), Some(expected), "{path}");
        }
        assert_eq!(Groups::default().index_of("body.weight", 2), None);
        let tables = groups.to_tables();
        let again: Vec<_> = tables.iter().enumerate().map(|(i, t)| (t, format!("groups[{i}]"))).collect();
        assert_eq!(Groups::from_tables(&again, &[], &base()).unwrap(), groups);
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
