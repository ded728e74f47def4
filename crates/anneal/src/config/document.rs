//! The text of a configuration: reading it, overriding it from the command line, and finding a field's line again.

use std::{
    collections::BTreeMap,
    fmt,
    io::Read,
    path::{Path, PathBuf},
};

use strict_config::{ConfigError, Problem};
use toml::{Spanned, Table, Value, de::DeTable, de::DeValue};

/// A configuration as written: its tables, and where they came from.
#[derive(Debug, Clone)]
pub struct Document {
    origin: Origin,
    text: String,
    /// The tables, overrides applied.
    pub table: Table,
    overrides: Vec<String>,
    /// The tables that a changed `type` has emptied: what they lack is due to the command line.
    emptied: Vec<String>,
    /// The flags of the command line that have set fields, by field.
    flags: BTreeMap<String, String>,
}

/// The most bytes of a configuration that are read: far more than any has, and less than a device without an end.
const LARGEST: u64 = 16 << 20;

/// The most parts of a key. A configuration is a few tables deep, and each level takes some stack.
const DEEPEST: usize = 32;

/// The longest list of anything but numbers.
const LONGEST_LIST: usize = 1000;

/// Fields of `[train]` of which a run has one: setting one takes the place of the other that the file has.
const LENGTHS: [&str; 2] = ["epochs", "steps"];

/// Where a configuration came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A file.
    File(PathBuf),
    /// Text of the program, with a name for messages.
    BuiltIn(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::BuiltIn(name) => write!(f, "{name}"),
        }
    }
}

/// A refused setting, with its file and line.
#[derive(Debug, Clone, thiserror::Error)]
pub struct ConfigFileError {
    /// The file, or where the text is from.
    pub origin: Origin,
    /// Line, from 1, of the field or of the table it is missing from; `None` for the file as a whole and for fields set
    /// on the command line.
    pub line: Option<usize>,
    /// The field was set on the command line: by `--set`, or by the flag that the error's path begins with.
    pub from_command_line: bool,
    /// What is wrong.
    pub error: Box<ConfigError>,
}

impl fmt::Display for ConfigFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.from_command_line, self.line) {
            (true, _) if self.error.path.starts_with("--") => write!(f, "{}", self.error),
            (true, _) => write!(f, "--set {}", self.error),
            (false, Some(line)) => write!(f, "{}:{line}: {}", self.origin, self.error),
            (false, None) => write!(f, "{}: {}", self.origin, self.error),
        }
    }
}

impl Document {
    /// Reads and parses a file.
    pub fn read(path: &Path) -> Result<Self, ConfigFileError> {
        let origin = Origin::File(path.to_owned());
        let text = read_text(path).map_err(|problem| ConfigFileError {
            origin: origin.clone(),
            line: None,
            from_command_line: false,
            error: ConfigError::conflict("", problem).into(),
        })?;
        Self::parse(origin, text)
    }

    /// Parses text.
    pub fn parse(origin: Origin, text: impl Into<String>) -> Result<Self, ConfigFileError> {
        let text = text.into();
        match text.parse::<Table>() {
            Ok(table) => {
                let document =
                    Self { origin, text, table, overrides: Vec::new(), emptied: Vec::new(), flags: BTreeMap::new() };
                let long = document.table.iter().try_for_each(|(field, value)| check_lists(field, value));
                long.map_err(|error| document.locate(error))?;
                Ok(document)
            }
            Err(error) => {
                let error = ConfigError::syntax(&text, &error);
                // The message itself tells line and column.
                Err(ConfigFileError { origin, line: None, from_command_line: false, error: error.into() })
            }
        }
    }

    /// Applies `key.path=value` settings, in order.
    ///
    /// The value is read as TOML, and as a plain string where that fails. A changed `type` drops the rest of its table, so that
    /// one word swaps a strategy: of the old type's fields only the optimizer's `lr` stays, and a warning names those that
    /// go.
    pub fn set(&mut self, settings: &[String]) -> Result<(), ConfigFileError> {
        // Types first: `--set schedule.step_size=3 --set schedule.type=step` means the same in either order.
        let sets_type = |setting: &&String| setting.split('=').next().is_some_and(is_type);
        let ordered = settings.iter().filter(sets_type).chain(settings.iter().filter(|setting| !sets_type(setting)));
        for setting in ordered {
            self.set_one(setting).map_err(|error| ConfigFileError {
                origin: self.origin.clone(),
                line: None,
                from_command_line: true,
                error: error.into(),
            })?;
        }
        Ok(())
    }

    /// Sets a field by its own flag; an error of that field names the flag. The value is read as that of [`set`](Self::set).
    pub(crate) fn set_by_flag(&mut self, flag: &str, key: &str, value: &str) -> Result<(), ConfigFileError> {
        self.set(&[format!("{key}={value}")])?;
        self.flags.insert(key.to_owned(), flag.to_owned());
        Ok(())
    }

    fn set_one(&mut self, setting: &str) -> Result<(), ConfigError> {
        let Some((key, value)) = setting.split_once('=') else {
            return Err(ConfigError::conflict(setting, "expected key.path=value, as in schedule.gamma=0.5"));
        };
        let key = key.trim();
        let value = parse_value(value.trim());
        check_lists(key, &value)?;
        let mut keys: Vec<&str> = key.split('.').map(str::trim).collect();
        let Some(last) = keys.pop().filter(|last| !last.is_empty() && keys.iter().all(|key| !key.is_empty())) else {
            let shown = if key.is_empty() { setting } else { key };
            return Err(ConfigError::conflict(shown, "a part of the key is empty"));
        };
        if keys.len() >= DEEPEST {
            let found = format!("a key of {} parts", keys.len() + 1);
            return Err(ConfigError::not_allowed(key, found, format!("at most {DEEPEST} parts")));
        }
        let mut table = &mut self.table;
        for (depth, part) in keys.iter().enumerate() {
            let entry = table.entry((*part).to_owned()).or_insert_with(|| Value::Table(Table::new()));
            table = match entry {
                Value::Table(table) => table,
                Value::Array(_) => {
                    let message = "is a list, whose items cannot be set one by one: set all of it, or change the file";
                    return Err(ConfigError::conflict(keys[..=depth].join("."), message));
                }
                other => {
                    let found = strict_config::show(other);
                    let path = keys[..=depth].join(".");
                    return Err(ConfigError::new(path, Problem::WrongType { expected: "a table".to_owned(), found }));
                }
            };
        }
        if let Some(old) = table.get(TYPE).filter(|old| last == TYPE && **old != value).cloned() {
            let stays = |field: &str| keys == ["optimizer"] && field == "lr";
            let goes: Vec<&str> =
                table.keys().map(String::as_str).filter(|field| *field != TYPE && !stays(field)).collect();
            if !goes.is_empty() {
                let (old, goes) = (strict_config::show(&old), goes.join(", "));
                tracing::warn!("{key} = {} drops {goes}, which belonged to {old}", strict_config::show(&value));
            }
            table.retain(|field, _| stays(field));
            self.emptied.push(keys.join("."));
        }
        if keys == ["train"] && LENGTHS.contains(&last) {
            let is_set = |field: &str| self.overrides.iter().any(|key| key.strip_prefix("train.") == Some(field));
            table.retain(|field, _| field == last || !LENGTHS.contains(&field) || is_set(field));
        }
        table.insert(last.to_owned(), value);
        self.overrides.push(key.to_owned());
        Ok(())
    }

    /// Gives an error its file and line.
    pub fn locate(&self, mut error: ConfigError) -> ConfigFileError {
        let is_within = |path: &str, table: &str| {
            path == table || path.strip_prefix(table).is_some_and(|rest| rest.starts_with(['.', '[']))
        };
        let from_command_line = self.overrides.iter().any(|key| {
            // `--set optimiser.lr=1` makes the table that is refused.
            is_within(&error.path, key) || (is_within(key, &error.path) && !self.is_written(&error.path))
        }) || self.emptied.iter().any(|table| is_within(&error.path, table));
        if let Some((key, flag)) = self.flags.iter().find(|(key, _)| is_within(&error.path, key)) {
            error.path = format!("{flag}{}", &error.path[key.len()..]);
        }
        let line = if from_command_line { None } else { self.line_of(&error.path) };
        ConfigFileError { origin: self.origin.clone(), line, from_command_line, error: error.into() }
    }

    /// Whether the file has this field.
    fn is_written(&self, path: &str) -> bool {
        let table: Table = self.text.parse().unwrap_or_default();
        let mut parts = path.split('.');
        let first = parts.next().and_then(|part| table.get(part));
        parts.fold(first, |at, part| at.and_then(|value| value.get(part))).is_some()
    }

    /// The text as it was read, without what was set since.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The fields that were set, in order.
    pub(crate) fn overrides(&self) -> &[String] {
        &self.overrides
    }

    /// Where the configuration came from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The line of a field, or of the innermost table on the way to it.
    fn line_of(&self, path: &str) -> Option<usize> {
        let root = DeTable::parse(&self.text).ok()?;
        let mut at: Option<usize> = None;
        let mut table = Some(root.get_ref());
        let mut array = None;
        for part in path.split(['.', '[']).map(|part| part.trim_end_matches(']')).filter(|part| !part.is_empty()) {
            let (start, value): (usize, &Spanned<DeValue<'_>>) = match (table, array.take()) {
                (_, Some(items)) => {
                    let items: &toml::de::DeArray<'_> = items;
                    let Some(item) = part.parse::<usize>().ok().and_then(|i| items.get(i)) else { break };
                    (item.span().start, item)
                }
                (Some(fields), None) => {
                    let Some((key, value)) = fields.iter().find(|(key, _)| key.get_ref() == part) else { break };
                    (key.span().start, value)
                }
                (None, None) => break,
            };
            at = Some(start);
            table = value.get_ref().as_table();
            array = value.get_ref().as_array();
        }
        at.map(|start| self.text[..start.min(self.text.len())].matches('\n').count() + 1)
    }
}

/// Refuses a list that is longer than any configuration needs, where each item is more than a number or some numbers: rules,
/// groups, patterns and schedules, each of which is held against each parameter of a model, or each tick of a run.
fn check_lists(path: &str, value: &Value) -> Result<(), ConfigError> {
    let is_number = |value: &Value| matches!(value, Value::Integer(_) | Value::Float(_));
    let is_plain = |value: &Value| match value {
        Value::Array(items) => items.iter().all(is_number),
        other => is_number(other),
    };
    match value {
        Value::Table(table) => {
            table.iter().try_for_each(|(field, value)| check_lists(&format!("{path}.{field}"), value))
        }
        Value::Array(items) if items.len() > LONGEST_LIST && !items.iter().all(is_plain) => {
            let found = format!("a list of {}", items.len());
            Err(ConfigError::not_allowed(path, found, format!("at most {LONGEST_LIST}")))
        }
        Value::Array(items) => {
            items.iter().enumerate().try_for_each(|(at, value)| check_lists(&format!("{path}[{at}]"), value))
        }
        _ => Ok(()),
    }
}

/// The text of a file, which is UTF-8 as TOML has it.
fn read_text(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let file = report::open_regular(path).map_err(|error| format!("cannot be read: {error}"))?;
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > LARGEST {
        return Err(format!("is longer than {LARGEST} bytes: not a configuration"));
    }
    if let Some(encoding) = other_unicode(&bytes) {
        return Err(format!("is {encoding} text; TOML is UTF-8: save it as UTF-8"));
    }
    match String::from_utf8(bytes) {
        // Windows' editors begin a UTF-8 file with this mark.
        Ok(text) => Ok(match text.strip_prefix('\u{feff}') {
            Some(rest) => rest.to_owned(),
            None => text,
        }),
        Err(error) => Err(format!("is not UTF-8 text, as TOML is: byte {}", error.utf8_error().valid_up_to() + 1)),
    }
}

/// The name of the encoding of a text that is in Unicode and not in UTF-8: by its byte order mark, or, where it has none, by
/// the zero bytes of its first characters, which a configuration begins with in ASCII.
fn other_unicode(bytes: &[u8]) -> Option<&'static str> {
    match *bytes {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => Some("UTF-32"),
        [0, 0, 0, c, ..] | [c, 0, 0, 0, ..] if c != 0 => Some("UTF-32"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("UTF-16"),
        [0, c, ..] | [c, 0, ..] if c != 0 => Some("UTF-16"),
        _ => None,
    }
}

/// The field that names what a table is.
const TYPE: &str = "type";

/// Whether a key ends in that field.
fn is_type(key: &str) -> bool {
    key.rsplit('.').next().is_some_and(|last| last.trim() == TYPE)
}

fn parse_value(text: &str) -> Value {
    let parsed: Result<Table, _> = format!("value = {text}").parse();
    match parsed.map(|mut table| table.remove("value")) {
        Ok(Some(value)) => value,
        _ => Value::String(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const TEXT: &str = "[run]\nseed = 1\n\n[schedule]\ntype = 'cosine_annealing'\nt_max = 10\nwarmup = { duration = 2 }\n\
        [[groups]]\nparams = 'a'\n[[groups]]\nparams = 'b'\n";

    fn document() -> Document {
        Document::parse(Origin::BuiltIn("test"), TEXT).expect("good text")
    }

    #[test]
    fn fields_are_found_again() {
        let cases = [
            ("run.seed", Some(2)),
            ("schedule.t_max", Some(6)),
            ("schedule.warmup.duration", Some(7)),
            ("groups[1].params", Some(11)),
            ("groups[1].lr_scale", Some(10)),
            ("schedule.gamma", Some(4)),
            ("train.epochs", None),
        ];
        for (path, line) in cases {
            assert_eq!(document().line_of(path), line, "{path}");
        }
    }

    #[test]
    fn a_changed_type_resets_the_table() {
        let mut document = document();
        document
            .set(&["schedule.step_size=3".into(), "schedule.type=step".into(), "run.name=my run".into()])
            .expect("good settings");
        let schedule = document.table["schedule"].as_table().expect("a table");
        let fields: Vec<&str> = schedule.keys().map(String::as_str).collect();
        assert_eq!(fields, ["type", "step_size"]);
        assert_eq!(schedule["step_size"], Value::Integer(3));
        assert_eq!(document.table["run"]["name"].as_str(), Some("my run"));
    }

    /// Whatever the table, and in whatever order it is written; a field that only ends like `type` is not a type.
    #[test]
    fn only_the_optimizers_rate_outlives_its_type() {
        let text = "optimizer = { type = 'adam', lr = 0.1, eps = 1e-6 }\nmodel = { type = 'mlp', hidden = [8], lr = 1 }\n\
            schedule = { type = 'step', interval = 'step', step_size = 3, warmup = 2, kind_type = 1 }";
        let fields_of = |settings: &[&str], section: &str| {
            let mut document = Document::parse(Origin::BuiltIn("test"), text).expect("good text");
            document.set(&settings.iter().map(ToString::to_string).collect::<Vec<_>>()).expect("good settings");
            let mut fields: Vec<String> =
                document.table[section].as_table().expect("a table").keys().cloned().collect();
            fields.sort();
            fields.join(" ")
        };
        assert_eq!(fields_of(&["optimizer.type=sgd"], "optimizer"), "lr type");
        assert_eq!(fields_of(&["optimizer.type=adam"], "optimizer"), "eps lr type");
        assert_eq!(fields_of(&["model.type=convnet"], "model"), "type");
        assert_eq!(fields_of(&["schedule.type=fixed"], "schedule"), "type");
        assert_eq!(fields_of(&["schedule.warmup=5", "schedule.type=fixed"], "schedule"), "type warmup");
        assert_eq!(fields_of(&["schedule.kind_type=2"], "schedule"), "interval kind_type step_size type warmup");
        assert_eq!(fields_of(&["schedule.new.type=a", "schedule.new.x=1"], "schedule").split(' ').count(), 6);
    }

    #[test]
    fn what_is_wrong_with_a_setting_is_said() {
        let cases = [
            ("seed", "--set seed: expected key.path=value, as in schedule.gamma=0.5"),
            ("run..seed=1", "--set run..seed: a part of the key is empty"),
            ("=3", "--set =3: a part of the key is empty"),
            ("run.seed.x=1", "--set run.seed: expected a table, found 1"),
            (
                "groups.0.params=x",
                "--set groups: is a list, whose items cannot be set one by one: set all of it, or change the file",
            ),
        ];
        for (setting, message) in cases {
            let error = document().set(&[setting.to_owned()]).expect_err("a refusal");
            assert_eq!(error.to_string(), message);
        }
    }

    #[test]
    fn who_is_to_blame() {
        let cases = [
            ("optimiser.lr=1", "optimiser", true),
            ("schedule.gama=1", "schedule.gama", true),
            ("schedule.gama=1", "schedule.t_max", false),
            ("run.seed=1", "run", false),
            ("schedule.type=step", "schedule.step_size", true),
        ];
        for (setting, path, blamed) in cases {
            let mut document = document();
            document.set(&[setting.to_owned()]).expect("a good setting");
            let error = document.locate(ConfigError::conflict(path, "wrong"));
            assert_eq!(error.from_command_line, blamed, "{setting}, {path}");
        }
    }

    #[test]
    fn one_length_of_a_run_takes_the_place_of_the_other() {
        let text = "[train]\nepochs = 3\n";
        let lengths = |settings: &[&str]| {
            let mut document = Document::parse(Origin::BuiltIn("test"), text).expect("good text");
            document.set(&settings.iter().map(ToString::to_string).collect::<Vec<_>>()).expect("good settings");
            document.table["train"].to_string()
        };
        assert_eq!(lengths(&["train.steps=30"]), "{ steps = 30 }");
        assert_eq!(lengths(&["train.epochs=4"]), "{ epochs = 4 }");
        // Setting both is refused with a message that says so.
        assert_eq!(lengths(&["train.steps=30", "train.epochs=4"]), "{ steps = 30, epochs = 4 }");
    }

    #[test]
    fn a_key_is_a_few_parts_deep() {
        let setting = format!("x{}=1", ".a".repeat(20_000));
        let error = document().set(&[setting]).expect_err("a refusal").to_string();
        assert!(error.ends_with("a key of 20001 parts is not allowed here; allowed: at most 32 parts"), "{error}");
        assert!(error.len() < 400, "{error}");
    }

    #[test]
    fn a_list_is_as_long_as_somebody_may_write() {
        let list = |item: &str, count: usize| format!("[{}]", vec![item; count].join(","));
        let cases = [
            ("[model]\npretrained = { path = 'a', remap = LIST }", "['a', 'b']", "model.pretrained.remap"),
            ("[train]\nfreeze = LIST", "{ params = 'a' }", "train.freeze"),
            ("[schedule]\ntype = 'chained'\nschedules = LIST", "{ type = 'fixed' }", "schedule.schedules"),
            ("groups = LIST", "{ params = 'a' }", "groups"),
            ("groups = [{ layer_decay = 0.9, layers = LIST }]", "'a'", "groups[0].layers"),
        ];
        for (text, item, path) in cases {
            let read = |count| Document::parse(Origin::BuiltIn("test"), text.replace("LIST", &list(item, count)));
            assert!(read(1000).is_ok(), "{path}");
            let error = read(100_000).expect_err(path).to_string();
            let line = text.matches('\n').count() + 1;
            let expected = format!("test:{line}: {path}: a list of 100000 is not allowed here; allowed: at most 1000");
            assert_eq!(error, expected);
        }
        let setting = format!("train.freeze={}", list("'a'", 1001));
        assert!(document().set(&[setting]).expect_err("a refusal").to_string().starts_with("--set train.freeze: "));
        // The points of a measured curve.
        for item in ["0.5", "[1, 0.5]"] {
            let text = format!("[schedule]\nvalues = {}", list(item, 20_000));
            assert!(Document::parse(Origin::BuiltIn("test"), text).is_ok(), "{item}");
        }
    }

    #[test]
    fn a_file_that_is_no_utf_8_is_named_as_what_it_is() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a.toml");
        let utf_16 = |text: &str, bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
        let utf_32 = |bytes: fn(u32) -> [u8; 4]| "[run]".chars().flat_map(|c| bytes(c.into())).collect::<Vec<u8>>();
        for bytes in [u16::to_le_bytes, u16::to_be_bytes] {
            for text in ["\u{feff}[run]", "[run]", "# caf\u{e9}\n"] {
                fs::write(&path, utf_16(text, bytes)).expect("written");
                let error = Document::read(&path).expect_err("a refusal").to_string();
                assert!(error.ends_with("is UTF-16 text; TOML is UTF-8: save it as UTF-8"), "{text:?}: {error}");
            }
        }
        for bytes in [u32::to_le_bytes, u32::to_be_bytes] {
            fs::write(&path, utf_32(bytes)).expect("written");
            let error = Document::read(&path).expect_err("a refusal").to_string();
            assert!(error.ends_with("is UTF-32 text; TOML is UTF-8: save it as UTF-8"), "{error}");
        }
        fs::write(&path, b"[run]\nname = '\xe9'").expect("written");
        let error = Document::read(&path).expect_err("a refusal").to_string();
        assert!(error.ends_with("is not UTF-8 text, as TOML is: byte 15"), "{error}");
        fs::write(&path, "\u{feff}[run]\nseed = 1\n").expect("written");
        assert_eq!(Document::read(&path).expect("a mark is no fault").table["run"]["seed"].as_integer(), Some(1));
        if cfg!(target_os = "linux") {
            let error = Document::read(Path::new("/dev/zero")).expect_err("it has no end").to_string();
            assert!(
                error.ends_with("/dev/zero: cannot be read: it is a device or a socket, not a regular file"),
                "{error}"
            );
        }
    }

    #[test]
    fn values_are_toml_or_plain_words() {
        let cases = [
            ("3", Value::Integer(3)),
            ("1e-3", Value::Float(1e-3)),
            ("true", Value::Boolean(true)),
            ("step", Value::String("step".to_owned())),
            ("'step'", Value::String("step".to_owned())),
            ("[1, 2]", Value::Array(vec![Value::Integer(1), Value::Integer(2)])),
        ];
        for (text, value) in cases {
            assert_eq!(parse_value(text), value, "{text}");
        }
    }
}
