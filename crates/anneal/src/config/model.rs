//! `[model]`: which reference model is trained, and what it starts from.

use strict_config::{ConfigError, Fields};
use toml::{Table, Value};

use super::{PretrainedSection, put};

/// `[model]`.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelSection {
    /// A name from `anneal list models`. Default `mlp`.
    pub name: String,
    /// `mlp` only: the widths of its hidden layers. Default `[256, 128]`.
    pub hidden: Option<Vec<usize>>,
    /// Smoothing of the target distribution in the training loss, from 0 to below 1. Default 0.
    pub label_smoothing: f64,
    /// Weights to start from. Default: none, the model starts as its seed draws it.
    pub pretrained: Option<PretrainedSection>,
}

impl ModelSection {
    /// Reads the table.
    pub fn from_table(table: &Table) -> Result<Self, ConfigError> {
        let fields = Fields::open_any(table, "model");
        let name = fields.str("type")?.unwrap_or("mlp");
        let names: Vec<&str> = vision::models::known().map(|info| info.name).collect();
        if !names.contains(&name) {
            return Err(ConfigError::unknown_name(fields.path_of("type"), "model", name, names));
        }
        let known: &[&str] = match name {
            "mlp" => &["type", "hidden", "label_smoothing", "pretrained"],
            _ => &["type", "label_smoothing", "pretrained"],
        };
        let fields = Fields::open(table, "model", known)?;
        let hidden = fields.u64s("hidden")?;
        if let Some(at) = hidden.as_ref().and_then(|widths| widths.iter().position(|width| *width == 0)) {
            let path = format!("{}[{at}]", fields.path_of("hidden"));
            return Err(ConfigError::not_allowed(path, 0, "a width of at least 1"));
        }
        let hidden = hidden.map(|widths| widths.into_iter().map(|width| width as usize).collect());
        Ok(Self {
            name: name.to_owned(),
            hidden: if name == "mlp" { hidden.or_else(|| Some(vec![256, 128])) } else { None },
            label_smoothing: fields
                .f64_where("label_smoothing", "from 0 to below 1", |part| (0.0..1.0).contains(&part))?
                .unwrap_or(0.0),
            pretrained: PretrainedSection::from_fields(&fields)?,
        })
    }

    /// Every setting explicit.
    pub fn to_table(&self) -> Table {
        let mut table = Table::new();
        put(&mut table, "type", Some(self.name.clone()));
        let hidden = self.hidden.as_ref();
        put(
            &mut table,
            "hidden",
            hidden.map(|widths| widths.iter().map(|width| Value::Integer(*width as i64)).collect::<Vec<_>>()),
        );
        put(&mut table, "label_smoothing", Some(self.label_smoothing));
        put(&mut table, "pretrained", self.pretrained.as_ref().map(PretrainedSection::to_table));
        table
    }
}
