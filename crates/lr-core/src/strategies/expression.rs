//! A formula as a schedule: torch's `LambdaLR`, in a config.

use serde::{Deserialize, Serialize};
use strict_config::ConfigError;

use crate::formula::{self, Formula, FormulaClock};
use crate::math::scaled;
use crate::{Clock, Schedule, Strategy};

/// A factor on the base rate, given by a [formula](Formula): `lr(t) = base * f(t)`.
///
/// torch's `LambdaLR`; also known as `lambda`. Where the formula is negative or undefined the factor is 0, where it
/// overflows the rate is the largest `f64`; a formula that is already so at tick 0 is refused.
///
/// ```
/// use lr_core::{Clock, Expression, Strategy};
/// let s = Expression::new("if(t < 4, (t + 1) / 4, 2 ^ -(t - 3))")?.build(&Clock::unknown())?;
/// assert_eq!([0, 3, 4, 5].map(|t| s.lr(0.8, t)), [0.2, 0.8, 0.4, 0.2]);
/// # Ok::<(), lr_core::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expression {
    /// The factor.
    #[serde(deserialize_with = "formula::of_time")]
    pub expression: Formula,
}

impl Expression {
    /// The formula `text`.
    ///
    /// # Errors
    /// A formula that cannot be read, with the column.
    pub fn new(text: &str) -> Result<Self, ConfigError> {
        Ok(Self { expression: Formula::of_time(text, "expression")? })
    }
}

impl Strategy for Expression {
    const NAME: &'static str = "expression";
    const SUMMARY: &'static str = "a factor on the base rate, given by a formula (torch LambdaLR)";
    const EXAMPLE: &'static str = "type = 'expression'\nexpression = 'if(t < 5, (t + 1) / 5, 0.95 ^ (t - 5))'";
    const ALIASES: &'static [&'static str] = &["lambda"];

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let formula = FormulaClock::new(&self.expression, "expression", clock)?;
        formula.check_at("expression", 0)?;
        Ok(Box::new(Factor { formula }))
    }
}

#[derive(Debug, Clone)]
struct Factor {
    formula: FormulaClock,
}

impl Schedule for Factor {
    fn lr(&self, base_lr: f64, tick: u64) -> f64 {
        scaled(base_lr, self.formula.factor(base_lr, tick))
    }
}
