//! A formula as a schedule: torch's `LambdaLR`, in a config.

use strict_config::{ConfigError, Fields};
use toml::{Table, Value};

use crate::formula::{Formula, FormulaClock};
use crate::math::scaled;
use crate::strategy::table;
use crate::{Clock, Entry, Interval, Schedule, Scope, Strategy};

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
#[derive(Debug, Clone, PartialEq)]
pub struct Expression {
    /// The factor.
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

    pub(crate) fn entry() -> Entry {
        Entry::new(
            "expression",
            "a factor on the base rate, given by a formula (torch LambdaLR)",
            Interval::Epoch,
            &["expression"],
            "type = 'expression'\nexpression = 'if(t < 5, (t + 1) / 5, 0.95 ^ (t - 5))'",
            Self::read,
        )
        .with_aliases(&["lambda"])
    }

    fn read(fields: &Fields<'_>, _: &Scope<'_>) -> Result<Self, ConfigError> {
        let text = fields.need_str("expression", "a formula, such as \"0.95 ^ t\"")?;
        Ok(Self { expression: Formula::of_time(text, &fields.path_of("expression"))? })
    }
}

impl Strategy for Expression {
    fn type_name(&self) -> &'static str {
        "expression"
    }

    fn fields(&self) -> Table {
        table([("expression", Value::String(self.expression.text().to_owned()))])
    }

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
