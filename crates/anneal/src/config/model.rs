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
    /// `convnet` only: the channels of its stages. Default `[32, 64, 128]`.
    pub channels: Option<Vec<usize>>,
    /// `convnet` only: whether its stages have residuals. Default `false`.
    pub residual: Option<bool>,
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
            "convnet" => &["type", "channels", "residual", "label_smoothing", "pretrained"],
            _ => &["type", "label_smoothing", "pretrained"],
        };
        let fields = Fields::open(table, "model", known)?;
        let hidden = widths(&fields, "hidden")?;
        let channels = widths(&fields, "channels")?;
        let most = vision::models::ConvNetConfig::MOST_STAGES;
        if let Some(stages) = channels.as_ref().map(Vec::len).filter(|stages| !(1..=most).contains(stages)) {
            let found = format!("{stages} stages");
            return Err(ConfigError::not_allowed(fields.path_of("channels"), found, format!("1 to {most} stages")));
        }
        let usual = vision::models::ModelOptions::default();
        Ok(Self {
            name: name.to_owned(),
            hidden: (name == "mlp").then(|| hidden.unwrap_or(usual.hidden)),
            channels: (name == "convnet").then(|| channels.unwrap_or(usual.channels)),
            residual: (name == "convnet").then_some(fields.bool("residual")?.unwrap_or(usual.residual)),
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
        for (field, widths) in [("hidden", &self.hidden), ("channels", &self.channels)] {
            let widths = widths.as_ref();
            put(
                &mut table,
                field,
                widths.map(|widths| widths.iter().map(|width| Value::Integer(*width as i64)).collect::<Vec<_>>()),
            );
        }
        put(&mut table, "residual", self.residual);
        put(&mut table, "label_smoothing", Some(self.label_smoothing));
        put(&mut table, "pretrained", self.pretrained.as_ref().map(PretrainedSection::to_table));
        table
    }
}

/// A list of widths, none of which may be 0.
fn widths(fields: &Fields<'_>, field: &str) -> Result<Option<Vec<usize>>, ConfigError> {
    let Some(widths) = fields.u64s(field)? else { return Ok(None) };
    if let Some(at) = widths.iter().position(|width| *width == 0) {
        return Err(ConfigError::not_allowed(format!("{}[{at}]", fields.path_of(field)), 0, "a width of at least 1"));
    }
    Ok(Some(widths.into_iter().map(|width| width as usize).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ModelSection, ConfigError> {
        ModelSection::from_table(&text.parse().expect("a table"))
    }

    #[test]
    fn each_model_has_its_own_fields_and_their_defaults() {
        let cases = [
            ("type = 'mlp'", Some(vec![256, 128]), None, None),
            ("type = 'mlp'\nhidden = []", Some(vec![]), None, None),
            ("type = 'lenet'", None, None, None),
            ("type = 'convnet'", None, Some(vec![32, 64, 128]), Some(false)),
            ("type = 'convnet'\nchannels = [8, 16]\nresidual = true", None, Some(vec![8, 16]), Some(true)),
        ];
        for (text, hidden, channels, residual) in cases {
            let section = read(text).expect(text);
            assert_eq!(
                (&section.hidden, &section.channels, section.residual),
                (&hidden, &channels, residual),
                "{text}"
            );
            assert_eq!(ModelSection::from_table(&section.to_table()).expect(text), section, "{text}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_field() {
        let cases = [
            ("type = 'convent'", "did you mean `convnet`?"),
            ("type = 'lenet'\nchannels = [8]", "model.channels"),
            ("type = 'resnet8'\nresidual = true", "model.residual"),
            ("type = 'convnet'\nchannels = []", "model.channels: 0 stages is not allowed here; allowed: 1 to 8 stages"),
            ("type = 'convnet'\nchannels = [8, 0]", "model.channels[1]: 0 is not allowed here"),
            ("type = 'mlp'\nhidden = [0]", "model.hidden[0]: 0 is not allowed here; allowed: a width of at least 1"),
            ("type = 'convnet'\nresidual = 1", "model.residual: expected true or false"),
        ];
        for (text, expected) in cases {
            let refusal = read(text).expect_err(text).to_string();
            assert!(refusal.contains(expected), "{text}: {refusal}");
        }
    }
}
