//! A typed, strict reader over one table.

use toml::{Table, Value};

use crate::{ConfigError, Problem, join, nearest, show};

/// One table being read: its values and its path in the document.
///
/// Opening it refuses unknown fields; each getter refuses a wrong type. `None` means the field is absent, so the
/// caller writes its default beside the name: `fields.f64("gamma")?.unwrap_or(0.1)`.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    table: &'a Table,
    path: String,
}

impl<'a> Fields<'a> {
    /// Opens `table`, found at `path`, which may hold the `known` fields and no others.
    pub fn open(table: &'a Table, path: &str, known: &[&str]) -> Result<Self, ConfigError> {
        match table.keys().find(|key| !known.contains(&key.as_str())) {
            None => Ok(Self { table, path: path.to_owned() }),
            Some(key) => Err(ConfigError::new(
                join(path, key),
                Problem::UnknownField {
                    nearest: nearest(key, known.iter().copied()).map(str::to_owned),
                    known: known.iter().map(|&name| name.to_owned()).collect(),
                },
            )),
        }
    }

    /// Opens a table that may hold any field.
    pub fn open_any(table: &'a Table, path: &str) -> Self {
        Self { table, path: path.to_owned() }
    }

    /// The path of a field of this table.
    pub fn path_of(&self, field: &str) -> String {
        join(&self.path, field)
    }

    /// The path of this table.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether the field is present.
    pub fn has(&self, field: &str) -> bool {
        self.table.contains_key(field)
    }

    /// The raw value.
    pub fn value(&self, field: &str) -> Option<&'a Value> {
        self.table.get(field)
    }

    /// A finite number; an integer is taken as one.
    pub fn f64(&self, field: &str) -> Result<Option<f64>, ConfigError> {
        self.value(field).map(|value| number(value, &self.path_of(field))).transpose()
    }

    /// A finite number that must be there.
    pub fn need_f64(&self, field: &str, expected: &str) -> Result<f64, ConfigError> {
        self.f64(field)?.ok_or_else(|| self.missing(field, expected))
    }

    /// A finite number for which `accept` holds; `allowed` says in words which.
    pub fn f64_where(
        &self,
        field: &str,
        allowed: &str,
        accept: impl Fn(f64) -> bool,
    ) -> Result<Option<f64>, ConfigError> {
        match self.f64(field)? {
            Some(number) if !accept(number) => Err(ConfigError::not_allowed(self.path_of(field), number, allowed)),
            other => Ok(other),
        }
    }

    /// A whole number of at least 0.
    pub fn u64(&self, field: &str) -> Result<Option<u64>, ConfigError> {
        self.value(field).map(|value| whole(value, &self.path_of(field))).transpose()
    }

    /// A whole number of at least `least`.
    pub fn u64_from(&self, field: &str, least: u64) -> Result<Option<u64>, ConfigError> {
        match self.u64(field)? {
            Some(number) if number < least => Err(ConfigError::not_allowed(
                self.path_of(field),
                number,
                format!("a whole number of at least {least}"),
            )),
            other => Ok(other),
        }
    }

    /// `true` or `false`.
    pub fn bool(&self, field: &str) -> Result<Option<bool>, ConfigError> {
        match self.value(field) {
            None => Ok(None),
            Some(Value::Boolean(flag)) => Ok(Some(*flag)),
            Some(other) => Err(self.wrong_type(field, "true or false", other)),
        }
    }

    /// A text.
    pub fn str(&self, field: &str) -> Result<Option<&'a str>, ConfigError> {
        match self.value(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong_type(field, "a string", other)),
        }
    }

    /// A text that must be there.
    pub fn need_str(&self, field: &str, expected: &str) -> Result<&'a str, ConfigError> {
        self.str(field)?.ok_or_else(|| self.missing(field, expected))
    }

    /// One of the named choices (`mode = "triangular"`), as the value that stands for it.
    pub fn choice<T: Copy>(&self, field: &str, choices: &[(&str, T)]) -> Result<Option<T>, ConfigError> {
        let Some(found) = self.str(field)? else { return Ok(None) };
        match choices.iter().find(|(name, _)| *name == found) {
            Some((_, value)) => Ok(Some(*value)),
            None => {
                Err(ConfigError::unknown_name(self.path_of(field), field, found, choices.iter().map(|(name, _)| *name)))
            }
        }
    }

    /// A table.
    pub fn table(&self, field: &str) -> Result<Option<&'a Table>, ConfigError> {
        match self.value(field) {
            None => Ok(None),
            Some(Value::Table(table)) => Ok(Some(table)),
            Some(other) => Err(self.wrong_type(field, "a table", other)),
        }
    }

    /// An array.
    pub fn array(&self, field: &str) -> Result<Option<&'a [Value]>, ConfigError> {
        match self.value(field) {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(other) => Err(self.wrong_type(field, "an array", other)),
        }
    }

    /// An array of finite numbers.
    pub fn f64s(&self, field: &str) -> Result<Option<Vec<f64>>, ConfigError> {
        self.items(field, number)
    }

    /// An array of whole numbers of at least 0.
    pub fn u64s(&self, field: &str) -> Result<Option<Vec<u64>>, ConfigError> {
        self.items(field, whole)
    }

    /// An array of tables, each with its path (`schedule.schedules[1]`).
    pub fn tables(&self, field: &str) -> Result<Option<Vec<(&'a Table, String)>>, ConfigError> {
        self.items(field, |value, path| match value {
            Value::Table(table) => Ok((table, path.to_owned())),
            other => Err(wrong_type(path, "a table", other)),
        })
    }

    /// An error: this field is missing.
    pub fn missing(&self, field: &str, expected: &str) -> ConfigError {
        ConfigError::missing(self.path_of(field), expected)
    }

    /// An error: this field holds another type.
    pub fn wrong_type(&self, field: &str, expected: &str, found: &Value) -> ConfigError {
        wrong_type(&self.path_of(field), expected, found)
    }

    fn items<T>(
        &self,
        field: &str,
        read: impl Fn(&'a Value, &str) -> Result<T, ConfigError>,
    ) -> Result<Option<Vec<T>>, ConfigError> {
        let Some(items) = self.array(field)? else { return Ok(None) };
        let path = self.path_of(field);
        items
            .iter()
            .enumerate()
            .map(|(i, item)| read(item, &format!("{path}[{i}]")))
            .collect::<Result<_, _>>()
            .map(Some)
    }
}

fn wrong_type(path: &str, expected: &str, found: &Value) -> ConfigError {
    ConfigError::new(path, Problem::WrongType { expected: expected.to_owned(), found: show(found) })
}

fn number(value: &Value, path: &str) -> Result<f64, ConfigError> {
    match value {
        Value::Float(number) if number.is_finite() => Ok(*number),
        Value::Float(number) => Err(ConfigError::not_allowed(path, number, "a finite number")),
        Value::Integer(number) => Ok(*number as f64),
        other => Err(wrong_type(path, "a number", other)),
    }
}

fn whole(value: &Value, path: &str) -> Result<u64, ConfigError> {
    match value {
        Value::Integer(number) => {
            u64::try_from(*number).map_err(|_| ConfigError::not_allowed(path, number, "a whole number of at least 0"))
        }
        other => Err(wrong_type(path, "a whole number", other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str, read: impl Fn(&Fields<'_>) -> Result<(), ConfigError>) -> String {
        let table: Table = text.parse().expect("a table");
        let fields = Fields::open_any(&table, "schedule");
        read(&fields).expect_err("a refusal").to_string()
    }

    #[test]
    fn each_refusal_names_field_value_and_what_is_right() {
        let cases: [(&str, &str, String); 7] = [
            (
                "wrong type",
                "schedule.gamma: expected a number, found \"fast\"",
                refusal("gamma = 'fast'", |f| f.f64("gamma").map(drop)),
            ),
            (
                "nan",
                "schedule.gamma: NaN is not allowed here; allowed: a finite number",
                refusal("gamma = nan", |f| f.f64("gamma").map(drop)),
            ),
            (
                "negative count",
                "schedule.n: -1 is not allowed here; allowed: a whole number of at least 0",
                refusal("n = -1", |f| f.u64("n").map(drop)),
            ),
            (
                "too small",
                "schedule.n: 0 is not allowed here; allowed: a whole number of at least 1",
                refusal("n = 0", |f| f.u64_from("n", 1).map(drop)),
            ),
            ("missing", "schedule.n: missing; expected a count", refusal("", |f| f.need_f64("n", "a count").map(drop))),
            (
                "item",
                "schedule.xs[1]: expected a whole number, found 1.5",
                refusal("xs = [1, 1.5]", |f| f.u64s("xs").map(drop)),
            ),
            (
                "choice",
                "schedule.mode: there is no mode `triangel`; did you mean `triangular`? (known: triangular, exp_range)",
                refusal("mode = 'triangel'", |f| f.choice("mode", &[("triangular", 1), ("exp_range", 2)]).map(drop)),
            ),
        ];
        for (name, expected, found) in cases {
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn errors_nest() {
        let error = ConfigError::missing("t_max", "a duration").within("schedules[1]").within("schedule");
        assert_eq!(error.path, "schedule.schedules[1].t_max");
    }

    #[test]
    fn an_integer_is_a_number() {
        let table: Table = "x = 3".parse().expect("a table");
        assert_eq!(Fields::open_any(&table, "").f64("x"), Ok(Some(3.0)));
    }
}
