//! A formula as a tree, and its value.

/// A value that a formula depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Variable {
    /// `t`: the tick.
    Tick,
    /// `epoch`: whole epochs.
    Epoch,
    /// `step`: optimizer steps.
    Step,
    /// `total`: the ticks of the run.
    Total,
    /// `lr`: the base rate.
    Lr,
    /// `x`: of a `scale_fn`.
    X,
}

/// The values of a formula's variables.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Variables {
    /// `t`
    pub(crate) tick: f64,
    /// `epoch`
    pub(crate) epoch: f64,
    /// `step`
    pub(crate) step: f64,
    /// `total`
    pub(crate) total: f64,
    /// `lr`
    pub(crate) lr: f64,
    /// `x`
    pub(crate) x: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unary {
    Negate,
    Not,
    Abs,
    Floor,
    Ceil,
    Round,
    Sqrt,
    Exp,
    Ln,
    Log10,
    Sin,
    Cos,
    Tan,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Binary {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Power,
    Min,
    Max,
}

#[derive(Debug, Clone)]
pub(super) enum Node {
    Number(f64),
    Variable(Variable),
    Unary(Unary, Box<Node>),
    Binary(Binary, Box<(Node, Node)>),
    If(Box<[Node; 3]>),
}

impl Node {
    /// The operation, done at once where the operand is known.
    pub(super) fn unary(operator: Unary, operand: Self) -> Self {
        match operand {
            Self::Number(number) => Self::Number(operator.of(number)),
            operand => Self::Unary(operator, Box::new(operand)),
        }
    }

    /// The operation, done at once where both operands are known.
    pub(super) fn binary(operator: Binary, left: Self, right: Self) -> Self {
        match (left, right) {
            (Self::Number(a), Self::Number(b)) => Self::Number(operator.of(a, b)),
            operands => Self::Binary(operator, Box::new(operands)),
        }
    }

    pub(super) fn uses(&self, variable: Variable) -> bool {
        match self {
            Self::Number(_) => false,
            Self::Variable(own) => *own == variable,
            Self::Unary(_, operand) => operand.uses(variable),
            Self::Binary(_, operands) => operands.0.uses(variable) || operands.1.uses(variable),
            Self::If(parts) => parts.iter().any(|part| part.uses(variable)),
        }
    }

    pub(super) fn eval(&self, variables: &Variables) -> f64 {
        match self {
            Self::Number(number) => *number,
            Self::Variable(variable) => match variable {
                Variable::Tick => variables.tick,
                Variable::Epoch => variables.epoch,
                Variable::Step => variables.step,
                Variable::Total => variables.total,
                Variable::Lr => variables.lr,
                Variable::X => variables.x,
            },
            Self::Unary(operator, operand) => operator.of(operand.eval(variables)),
            Self::Binary(operator, operands) => operator.of(operands.0.eval(variables), operands.1.eval(variables)),
            Self::If(parts) => {
                let [condition, then, otherwise] = parts.as_ref();
                if condition.eval(variables) == 0.0 { otherwise.eval(variables) } else { then.eval(variables) }
            }
        }
    }
}

impl Unary {
    fn of(self, x: f64) -> f64 {
        match self {
            Self::Negate => -x,
            Self::Not => truth(x == 0.0),
            Self::Abs => x.abs(),
            Self::Floor => x.floor(),
            Self::Ceil => x.ceil(),
            Self::Round => x.round(),
            Self::Sqrt => x.sqrt(),
            Self::Exp => x.exp(),
            Self::Ln => x.ln(),
            Self::Log10 => x.log10(),
            Self::Sin => x.sin(),
            Self::Cos => x.cos(),
            Self::Tan => x.tan(),
        }
    }
}

impl Binary {
    fn of(self, a: f64, b: f64) -> f64 {
        match self {
            Self::Or => truth(a != 0.0 || b != 0.0),
            Self::And => truth(a != 0.0 && b != 0.0),
            Self::Equal => truth(a == b),
            Self::NotEqual => truth(a != b),
            Self::Less => truth(a < b),
            Self::LessEqual => truth(a <= b),
            Self::Greater => truth(a > b),
            Self::GreaterEqual => truth(a >= b),
            Self::Add => a + b,
            Self::Subtract => a - b,
            Self::Multiply => a * b,
            Self::Divide => a / b,
            Self::Remainder => a % b,
            Self::Power => a.powf(b),
            Self::Min => a.min(b),
            Self::Max => a.max(b),
        }
    }
}

fn truth(holds: bool) -> f64 {
    if holds { 1.0 } else { 0.0 }
}
