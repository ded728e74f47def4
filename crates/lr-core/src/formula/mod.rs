//! Formulas in configs: read once, with errors that point at the column, then evaluated without allocation.
//!
//! The grammar, from the loosest binding to the tightest:
//!
//! | | |
//! |---|---|
//! | `a \|\| b` | or |
//! | `a && b` | and |
//! | `== != < <= > >=` | comparisons; they do not chain |
//! | `+ -` | |
//! | `* / %` | `%` is the remainder with the sign of its left side |
//! | `-a`, `!a` | negation, not |
//! | `a ^ b` | power, right-associative, tighter than the sign: `-2^2` is -4 |
//! | `( )`, numbers, names, calls | |
//!
//! Everything is an `f64`; a truth is 1, a falsehood 0, and anything but 0 counts as true. Functions: `if(c, a, b)`,
//! `min` and `max` of two or more, `abs floor ceil round sqrt exp ln log10 sin cos tan` of one. Constants: `pi`, `e`.

mod clock;
mod lexer;
mod parser;
mod tree;

use std::fmt;
use std::sync::Arc;

use serde::{Deserializer, Serialize, Serializer};
use strict_config::{ConfigError, Problem, by_value};

pub(crate) use clock::FormulaClock;
pub(crate) use tree::Variables;
use tree::{Node, Variable};

/// The names a formula of time may use.
const OF_TIME: [(&str, Variable); 5] = [
    ("t", Variable::Tick),
    ("epoch", Variable::Epoch),
    ("step", Variable::Step),
    ("total", Variable::Total),
    ("lr", Variable::Lr),
];

/// The names a `scale_fn` may use.
const OF_X: [(&str, Variable); 1] = [("x", Variable::X)];

/// The longest formula, in bytes: far beyond any use, and short enough that its tree fits the stack.
const LONGEST: usize = 2_000;

/// A formula, read and checked.
///
/// ```
/// use lr_core::Formula;
/// let formula = Formula::of_time("if(t < 5, (t + 1) / 5, 1)", "schedule.expression")?;
/// assert_eq!(formula.text(), "if(t < 5, (t + 1) / 5, 1)");
/// let error = Formula::of_time("1 + sqr(t)", "schedule.expression").unwrap_err();
/// assert!(error.to_string().starts_with("schedule.expression: line 1, column 5: there is no function `sqr`"));
/// # Ok::<(), lr_core::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Formula {
    text: Arc<str>,
    root: Arc<Node>,
}

impl Formula {
    /// A formula in `t`, `epoch`, `step`, `total` and `lr`; `path` is the field's place, for errors.
    pub fn of_time(text: &str, path: &str) -> Result<Self, ConfigError> {
        Self::parse(text, path, &OF_TIME)
    }

    /// A formula in `x`.
    pub fn of_x(text: &str, path: &str) -> Result<Self, ConfigError> {
        Self::parse(text, path, &OF_X)
    }

    fn parse(text: &str, path: &str, variables: &[(&'static str, Variable)]) -> Result<Self, ConfigError> {
        if text.len() > LONGEST {
            return Err(ConfigError::not_allowed(path, format!("{} bytes", text.len()), format!("at most {LONGEST}")));
        }
        let tokens = lexer::tokens(text);
        let root = tokens.and_then(|tokens| parser::parse(&tokens, text.len(), variables));
        match root {
            Ok(root) => Ok(Self { text: text.into(), root: Arc::new(root) }),
            Err(wrong) => Err(ConfigError::new(path, wrong.locate(text))),
        }
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it depends on the base rate.
    pub(crate) fn uses_lr(&self) -> bool {
        self.root.uses(Variable::Lr)
    }

    /// Its value.
    pub(crate) fn eval(&self, variables: &Variables) -> f64 {
        self.root.eval(variables)
    }
}

impl fmt::Debug for Formula {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Formula").field(&self.text).finish()
    }
}

impl PartialEq for Formula {
    /// By the text: the same formula written otherwise is another one.
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Serialize for Formula {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

/// Reads a formula of time; for serde's `deserialize_with`.
pub(crate) fn of_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Formula, D::Error> {
    read(deserializer, &OF_TIME)
}

/// Reads a formula in `x`; for serde's `deserialize_with`.
pub(crate) fn of_x<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Formula>, D::Error> {
    read(deserializer, &OF_X).map(Some)
}

fn read<'de, D: Deserializer<'de>>(
    deserializer: D,
    variables: &'static [(&'static str, Variable)],
) -> Result<Formula, D::Error> {
    by_value(deserializer, "a formula, such as \"0.95 ^ t\"", |value| {
        Some(Formula::parse(value.as_str()?, "", variables))
    })
}

/// What is wrong, and at which byte.
#[derive(Debug)]
struct Wrong {
    at: usize,
    message: String,
}

impl Wrong {
    fn new(at: usize, message: impl Into<String>) -> Self {
        Self { at, message: message.into() }
    }

    fn locate(self, text: &str) -> Problem {
        let before = &text[..self.at.min(text.len())];
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        let line = before.matches('\n').count() + 1;
        Problem::Syntax { message: self.message, line: Some(line), column: Some(column) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eval(text: &str) -> f64 {
        let variables = Variables { tick: 7.0, epoch: 3.0, step: 700.0, total: 100.0, lr: 0.5, x: 0.0 };
        Formula::of_time(text, "f").unwrap_or_else(|error| panic!("{text}: {error}")).eval(&variables)
    }

    #[test]
    fn the_grammar_by_example() {
        let cases: [(&str, f64); 40] = [
            ("1 + 2 * 3", 7.0),
            ("(1 + 2) * 3", 9.0),
            ("10 - 4 - 3", 3.0),
            ("64 / 4 / 2", 8.0),
            ("7 % 4", 3.0),
            ("-7 % 4", -3.0),
            ("2 ^ 3 ^ 2", 512.0),
            ("-2 ^ 2", -4.0),
            ("2 ^ -1", 0.5),
            ("2 ^ --1", 2.0),
            ("--2", 2.0),
            ("2*-3", -6.0),
            (".5 + 1. + 1.5e1", 16.5),
            ("1e-3 * 1E+3", 1.0),
            ("1 < 2", 1.0),
            ("2 <= 1", 0.0),
            ("1 == 1 && 2 != 3", 1.0),
            ("0 || 0 && 1", 0.0),
            ("1 || 0 && 0", 1.0),
            ("!0 + !3", 1.0),
            ("! t == 7", 0.0),
            ("1 + 1 > 1", 1.0),
            ("if(t < 10, 1, 2)", 1.0),
            ("if(0, 1 / 0, 3)", 3.0),
            ("min(3, 1, 2)", 1.0),
            ("max(3, 1, 2)", 3.0),
            ("abs(-2)", 2.0),
            ("floor(-1.5) + ceil(1.2)", 0.0),
            ("round(2.5)", 3.0),
            ("sqrt(16)", 4.0),
            ("exp(0) + ln(e)", 2.0),
            ("log10(1000)", 3.0),
            ("cos(pi)", -1.0),
            ("sin(0) + tan(0)", 0.0),
            ("t", 7.0),
            ("epoch + step", 703.0),
            ("t / total", 0.07),
            ("lr * 2", 1.0),
            (" \t1\n+ 1 ", 2.0),
            ("e", std::f64::consts::E),
        ];
        for (text, expected) in cases {
            assert!((eval(text) - expected).abs() < 1e-12, "{text}: {} is not {expected}", eval(text));
        }
    }

    #[test]
    fn an_error_says_where_and_what() {
        let cases: [(&str, &str); 16] = [
            ("1 + ", "line 1, column 5: the formula ends where a value is expected"),
            ("", "line 1, column 1: the formula ends where a value is expected"),
            ("1 2", "line 1, column 3: `2` where an operator is expected"),
            ("2e", "line 1, column 2: `e` where an operator is expected"),
            ("(1 + 2", "line 1, column 7: the formula ends where `)` is expected"),
            ("1 + 2)", "line 1, column 6: `)` where an operator is expected"),
            ("* 2", "line 1, column 1: `*` where a value is expected"),
            ("1 $ 2", "line 1, column 3: `$` has no meaning here"),
            (
                "tt + 1",
                "line 1, column 1: there is no variable `tt`; did you mean `t`? (known: t, epoch, step, total, lr, pi, e)",
            ),
            (
                "1 + sqr(4)",
                "line 1, column 5: there is no function `sqr`; did you mean `sqrt`? (known: if, min, max, abs, floor, ceil, round, sqrt, exp, ln, log10, sin, cos, tan)",
            ),
            ("if(1, 2)", "line 1, column 1: `if` takes 3 arguments, not 2"),
            ("min(1)", "line 1, column 1: `min` takes at least 2 arguments, not 1"),
            ("sqrt(1, 2)", "line 1, column 1: `sqrt` takes 1 argument, not 2"),
            ("1 < 2 < 3", "line 1, column 7: comparisons do not chain; join two with `&&`"),
            ("1 +\n 2 + zz", "line 2, column 6: there is no variable `zz`; (known: t, epoch, step, total, lr, pi, e)"),
            ("sqrt + 1", "line 1, column 1: `sqrt` is a function; write `sqrt(...)`"),
        ];
        for (text, expected) in cases {
            let error = Formula::of_time(text, "f").expect_err(text).to_string();
            let expected = expected.replace("; (known", " (known");
            assert_eq!(error, format!("f: {expected}"), "{text}");
        }
    }

    #[test]
    fn deep_and_long_formulas_are_refused_rather_than_overflowing_the_stack() {
        let deep = format!("{}1{}", "(".repeat(200), ")".repeat(200));
        assert!(Formula::of_time(&deep, "f").expect_err("deep").to_string().contains("nests too deep"));
        assert!(Formula::of_time(&"1+".repeat(5_000), "f").is_err());
        for text in
            [format!("{}1", "-".repeat(1_999)), format!("{}1", "!".repeat(1_999)), format!("1{}", "^1".repeat(999))]
        {
            if let Ok(formula) = Formula::of_time(&text, "f") {
                formula.eval(&Variables::default());
            }
        }
    }
}
