//! A formula's text as tokens.

use winnow::LocatingSlice;
use winnow::ascii::{digit0, digit1, multispace0};
use winnow::combinator::{alt, fail, opt, preceded, repeat, terminated};
use winnow::prelude::*;
use winnow::stream::Location;
use winnow::token::{one_of, take_while};

use super::Wrong;

type Input<'a> = LocatingSlice<&'a str>;

/// An operator or punctuation mark, by its text.
pub(super) type Symbol = &'static str;

/// The longer ones first, so that `<=` is not read as `<`.
const SYMBOLS: [Symbol; 18] =
    ["||", "&&", "==", "!=", "<=", ">=", "<", ">", "+", "-", "*", "/", "%", "^", "!", "(", ")", ","];

/// A token's kind and content.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Number(f64),
    Name(String),
    Symbol(Symbol),
}

/// A token and where it begins.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) at: usize,
    pub(super) kind: Kind,
}

impl Token {
    /// As the formula writes it (numbers in their shortest form).
    pub(super) fn text(&self) -> String {
        match &self.kind {
            Kind::Number(number) => number.to_string(),
            Kind::Name(name) => name.clone(),
            Kind::Symbol(symbol) => (*symbol).to_owned(),
        }
    }
}

/// The tokens of `text`, or the first character that begins none.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Wrong> {
    let mut input = LocatingSlice::new(text);
    let read: ModalResult<Vec<Token>> =
        preceded(multispace0, repeat(0.., terminated(token, multispace0))).parse_next(&mut input);
    let at = input.current_token_start();
    match (read, text[at..].chars().next()) {
        (Ok(tokens), None) => Ok(tokens),
        (_, Some(character)) => Err(Wrong::new(at, format!("`{character}` has no meaning here"))),
        (Err(_), None) => Err(Wrong::new(at, "this is no formula")),
    }
}

fn token(input: &mut Input<'_>) -> ModalResult<Token> {
    let kind = alt((number.map(Kind::Number), name.map(Kind::Name), symbol.map(Kind::Symbol)));
    kind.with_span().map(|(kind, span)| Token { at: span.start, kind }).parse_next(input)
}

fn number(input: &mut Input<'_>) -> ModalResult<f64> {
    let digits = alt(((digit1, opt(('.', digit0))).void(), ('.', digit1).void()));
    let exponent = (one_of(['e', 'E']), opt(one_of(['+', '-'])), digit1);
    (digits, opt(exponent)).take().verify_map(|text: &str| text.parse().ok()).parse_next(input)
}

fn name(input: &mut Input<'_>) -> ModalResult<String> {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    let more = move |c: char| letter(c) || c.is_ascii_digit();
    (one_of(letter), take_while(0.., more)).take().map(str::to_owned).parse_next(input)
}

fn symbol(input: &mut Input<'_>) -> ModalResult<Symbol> {
    match SYMBOLS.into_iter().find(|symbol| input.starts_with(symbol)) {
        Some(symbol) => symbol.value(symbol).parse_next(input),
        None => fail.parse_next(input),
    }
}
