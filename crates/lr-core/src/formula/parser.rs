//! Tokens as a tree, by precedence climbing.

use super::Wrong;
use super::lexer::{Kind, Symbol, Token};
use super::tree::{Binary, Node, Unary, Variable};

/// How deep parentheses and calls may nest.
const DEEPEST: usize = 64;

const FUNCTIONS: [(&str, Unary); 11] = [
    ("abs", Unary::Abs),
    ("floor", Unary::Floor),
    ("ceil", Unary::Ceil),
    ("round", Unary::Round),
    ("sqrt", Unary::Sqrt),
    ("exp", Unary::Exp),
    ("ln", Unary::Ln),
    ("log10", Unary::Log10),
    ("sin", Unary::Sin),
    ("cos", Unary::Cos),
    ("tan", Unary::Tan),
];

/// The functions of several arguments.
const OTHERS: [&str; 3] = ["if", "min", "max"];

/// Binary operators with how tightly they bind; `^` is apart, since it is right-associative and tighter than signs.
fn binary(symbol: Symbol) -> Option<(Binary, u8)> {
    Some(match symbol {
        "||" => (Binary::Or, 1),
        "&&" => (Binary::And, 2),
        "==" => (Binary::Equal, COMPARISON),
        "!=" => (Binary::NotEqual, COMPARISON),
        "<" => (Binary::Less, COMPARISON),
        "<=" => (Binary::LessEqual, COMPARISON),
        ">" => (Binary::Greater, COMPARISON),
        ">=" => (Binary::GreaterEqual, COMPARISON),
        "+" => (Binary::Add, 4),
        "-" => (Binary::Subtract, 4),
        "*" => (Binary::Multiply, 5),
        "/" => (Binary::Divide, 5),
        "%" => (Binary::Remainder, 5),
        _ => return None,
    })
}

const COMPARISON: u8 = 3;

/// The tree of a whole formula whose text ends at byte `end`.
pub(super) fn parse(tokens: &[Token], end: usize, variables: &[(&'static str, Variable)]) -> Result<Node, Wrong> {
    let mut parser = Parser { tokens, next: 0, end, variables, depth: 0 };
    let root = parser.expression(0)?;
    match parser.peek() {
        None => Ok(root),
        Some(token) => Err(Wrong::new(token.at, format!("`{}` where an operator is expected", token.text()))),
    }
}

struct Parser<'a> {
    tokens: &'a [Token],
    next: usize,
    end: usize,
    variables: &'a [(&'static str, Variable)],
    depth: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.next)
    }

    fn symbol(&self) -> Option<Symbol> {
        match self.peek()?.kind {
            Kind::Symbol(symbol) => Some(symbol),
            _ => None,
        }
    }

    fn take(&mut self, symbol: Symbol) -> bool {
        let found = self.symbol() == Some(symbol);
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, symbol: Symbol) -> Result<(), Wrong> {
        if self.take(symbol) { Ok(()) } else { Err(self.unexpected(&format!("`{symbol}`"))) }
    }

    fn unexpected(&self, expected: &str) -> Wrong {
        match self.peek() {
            Some(token) => Wrong::new(token.at, format!("`{}` where {expected} is expected", token.text())),
            None => Wrong::new(self.end, format!("the formula ends where {expected} is expected")),
        }
    }

    /// Operands joined by operators that bind at least as tightly as `least`.
    fn expression(&mut self, least: u8) -> Result<Node, Wrong> {
        let mut left = self.signed()?;
        while let Some((operator, tightness)) = self.symbol().and_then(binary) {
            if tightness < least {
                break;
            }
            self.next += 1;
            let right = self.expression(tightness + 1)?;
            left = Node::binary(operator, left, right);
            if tightness == COMPARISON && matches!(self.symbol().and_then(binary), Some((_, COMPARISON))) {
                let at = self.peek().map_or(self.end, |token| token.at);
                return Err(Wrong::new(at, "comparisons do not chain; join two with `&&`"));
            }
        }
        Ok(left)
    }

    /// A power behind any number of signs, which are read in a loop: a chain of them needs no stack.
    fn signed(&mut self) -> Result<Node, Wrong> {
        let mut signs = Vec::new();
        loop {
            if self.take("-") {
                signs.push(Unary::Negate);
            } else if self.take("!") {
                signs.push(Unary::Not);
            } else if !self.take("+") {
                break;
            }
        }
        let value = self.power()?;
        Ok(signs.into_iter().rev().fold(value, |node, sign| Node::unary(sign, node)))
    }

    fn power(&mut self) -> Result<Node, Wrong> {
        let base = self.value()?;
        if !self.take("^") {
            return Ok(base);
        }
        self.deeper()?;
        let exponent = self.signed()?;
        self.depth -= 1;
        Ok(Node::binary(Binary::Power, base, exponent))
    }

    fn value(&mut self) -> Result<Node, Wrong> {
        let Some(token) = self.peek() else { return Err(self.unexpected("a value")) };
        match &token.kind {
            Kind::Number(number) => {
                self.next += 1;
                Ok(Node::Number(*number))
            }
            Kind::Name(name) => {
                self.next += 1;
                if self.take("(") { self.call(token.at, name) } else { self.variable(token.at, name) }
            }
            Kind::Symbol("(") => {
                self.next += 1;
                self.deeper()?;
                let inner = self.expression(0)?;
                self.depth -= 1;
                self.expect(")")?;
                Ok(inner)
            }
            Kind::Symbol(_) => Err(self.unexpected("a value")),
        }
    }

    fn variable(&self, at: usize, name: &str) -> Result<Node, Wrong> {
        match name {
            "pi" => return Ok(Node::Number(std::f64::consts::PI)),
            "e" => return Ok(Node::Number(std::f64::consts::E)),
            _ => {}
        }
        if let Some((_, variable)) = self.variables.iter().find(|(known, _)| *known == name) {
            return Ok(Node::Variable(*variable));
        }
        if function_names().any(|known| known == name) {
            return Err(Wrong::new(at, format!("`{name}` is a function; write `{name}(...)`")));
        }
        let known: Vec<&str> = self.variables.iter().map(|(name, _)| *name).chain(["pi", "e"]).collect();
        Err(unknown(at, "variable", name, &known))
    }

    /// The call of `name`, behind its opening parenthesis.
    fn call(&mut self, at: usize, name: &str) -> Result<Node, Wrong> {
        let known: Vec<&str> = function_names().collect();
        if !known.contains(&name) {
            return Err(unknown(at, "function", name, &known));
        }
        self.deeper()?;
        let mut arguments = vec![self.expression(0)?];
        while self.take(",") {
            arguments.push(self.expression(0)?);
        }
        self.expect(")")?;
        self.depth -= 1;
        let count = arguments.len();
        let wrong_count = |takes: &str| Wrong::new(at, format!("`{name}` takes {takes}, not {count}"));
        match name {
            "if" => match <[Node; 3]>::try_from(arguments) {
                Ok(parts) => Ok(Node::If(Box::new(parts))),
                Err(_) => Err(wrong_count("3 arguments")),
            },
            "min" | "max" => {
                let operator = if name == "min" { Binary::Min } else { Binary::Max };
                let joined = arguments.into_iter().reduce(|a, b| Node::binary(operator, a, b));
                joined.filter(|_| count >= 2).ok_or_else(|| wrong_count("at least 2 arguments"))
            }
            _ => {
                let function = FUNCTIONS.iter().find(|(known, _)| *known == name).map(|(_, function)| *function);
                match (function, <[Node; 1]>::try_from(arguments)) {
                    (Some(function), Ok([argument])) => Ok(Node::unary(function, argument)),
                    _ => Err(wrong_count("1 argument")),
                }
            }
        }
    }

    fn deeper(&mut self) -> Result<(), Wrong> {
        self.depth += 1;
        if self.depth > DEEPEST {
            let at = self.peek().map_or(self.end, |token| token.at);
            return Err(Wrong::new(at, format!("this nests too deep: at most {DEEPEST}")));
        }
        Ok(())
    }
}

fn function_names() -> impl Iterator<Item = &'static str> {
    OTHERS.into_iter().chain(FUNCTIONS.iter().map(|(name, _)| *name))
}

fn unknown(at: usize, kind: &str, name: &str, known: &[&str]) -> Wrong {
    let hint = strict_config::did_you_mean(strict_config::nearest(name, known.iter().copied()));
    Wrong::new(at, format!("there is no {kind} `{name}`{hint} (known: {})", known.join(", ")))
}
