//! A [`Rule`] as a list of operations: what a kernel for a GPU is made from.
//!
//! The formula of an optimizer is written once, over an abstract [`Value`]. Here the values are places on a tape, so
//! that running the formula writes down what it does. The list is the same for every step of an optimizer; the numbers
//! that change from step to step (rates, bias corrections) are kept apart, as the kernel's arguments.

use std::cell::RefCell;
use std::ops::{Add, Div, Mul, Sub};
use std::rc::Rc;

use super::{Rule, Value};

/// One operation on the values so far, by their places; `Scale` and its like also take a number, by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Op {
    Add(usize, usize),
    Sub(usize, usize),
    Mul(usize, usize),
    Div(usize, usize),
    Scale(usize, usize),
    Over(usize, usize),
    Under(usize, usize),
    Offset(usize, usize),
    Root(usize),
    Magnitude(usize),
    Larger(usize, usize),
}

/// Operations on a parameter (place 0), its gradient (1) and the states (2 and on); each adds a value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Program {
    pub(super) ops: Vec<Op>,
    /// Where the new parameter and the new states are.
    pub(super) results: Vec<usize>,
}

#[cfg(all(test, feature = "wgpu"))]
impl Program {
    /// How many kernels the same formula starts as tensor operations.
    pub(super) fn launches(&self) -> usize {
        let launches = |op: &Op| match op {
            Op::Under(..) => 2,
            Op::Larger(..) => 4,
            _ => 1,
        };
        self.ops.iter().map(launches).sum()
    }
}

/// What `rule` does, and the numbers it does it with.
pub(super) fn of<R: Rule<N>, const N: usize>(rule: R) -> (Program, Vec<f32>) {
    let tape = Rc::new(RefCell::new(Tape { values: 2 + N, ops: Vec::new(), numbers: Vec::new() }));
    let input = |place| Traced { tape: Rc::clone(&tape), place };
    let (param, states) = rule.update(input(0), input(1), std::array::from_fn(|i| input(2 + i)));
    let results = std::iter::once(param.place).chain(states.iter().map(|state| state.place)).collect();
    let tape = tape.borrow();
    (Program { ops: tape.ops.clone(), results }, tape.numbers.clone())
}

struct Tape {
    values: usize,
    ops: Vec<Op>,
    numbers: Vec<f32>,
}

/// A value that remembers where it came from.
#[derive(Clone)]
struct Traced {
    tape: Rc<RefCell<Tape>>,
    place: usize,
}

impl Traced {
    fn then(&self, op: Op) -> Self {
        let mut tape = self.tape.borrow_mut();
        let place = tape.values;
        tape.values += 1;
        tape.ops.push(op);
        Self { tape: Rc::clone(&self.tape), place }
    }

    /// Numbers are rounded to single precision where they meet the element type, as on the CPU.
    fn with(&self, op: fn(usize, usize) -> Op, number: f64) -> Self {
        let at = {
            let mut tape = self.tape.borrow_mut();
            tape.numbers.push(number as f32);
            tape.numbers.len() - 1
        };
        self.then(op(self.place, at))
    }
}

macro_rules! binary {
    ($trait:ident::$method:ident) => {
        impl $trait for Traced {
            type Output = Self;
            fn $method(self, other: Self) -> Self {
                self.then(Op::$trait(self.place, other.place))
            }
        }
    };
}

binary!(Add::add);
binary!(Sub::sub);
binary!(Mul::mul);
binary!(Div::div);

impl Value for Traced {
    fn scale(self, factor: f64) -> Self {
        self.with(Op::Scale, factor)
    }

    fn over(self, divisor: f64) -> Self {
        self.with(Op::Over, divisor)
    }

    fn under(self, dividend: f64) -> Self {
        self.with(Op::Under, dividend)
    }

    fn offset(self, term: f64) -> Self {
        self.with(Op::Offset, term)
    }

    fn root(self) -> Self {
        self.then(Op::Root(self.place))
    }

    fn magnitude(self) -> Self {
        self.then(Op::Magnitude(self.place))
    }

    fn larger(self, other: Self) -> Self {
        self.then(Op::Larger(self.place, other.place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Momentum, and a parameter that moves against it.
    #[derive(Clone, Copy)]
    struct Toy {
        lr: f64,
    }

    impl Rule<1> for Toy {
        fn update<V: Value>(self, param: V, grad: V, [buffer]: [V; 1]) -> (V, [V; 1]) {
            let buffer = buffer.scale(0.9) + grad;
            (param - buffer.clone().scale(self.lr), [buffer])
        }
    }

    #[test]
    fn a_formula_is_written_down_with_its_numbers_apart() {
        let (program, numbers) = of(Toy { lr: 0.1 });
        assert_eq!(program.ops, [Op::Scale(2, 0), Op::Add(3, 1), Op::Scale(4, 1), Op::Sub(0, 5)]);
        assert_eq!(program.results, [6, 4]);
        assert_eq!(numbers, [0.9, 0.1]);
        // Another rate is another number and the same program: one kernel for all steps.
        let (next, other) = of(Toy { lr: 0.05 });
        assert_eq!((next, other[1]), (program, 0.05));
    }
}
