//! A position in the source: spaces and comments, identifiers, literals, and errors with a place.

use crate::error::{Error, Result, err};

/// Characters of the source that an error quotes.
const QUOTED: usize = 24;

/// The source and how far it has been read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    source: &'a str,
    at: usize,
}

/// A literal; numbers stay text until their type is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Literal<'a> {
    /// Digits, perhaps with a sign.
    Int(&'a str),
    /// A number with a point or an exponent, `inf` or `nan`.
    Float(&'a str),
    /// A string without its quotes and escapes.
    Text(Vec<u8>),
}

impl<'a> Cursor<'a> {
    pub(super) fn new(source: &'a str) -> Self {
        Self { source, at: 0 }
    }

    fn rest(&self) -> &'a str {
        self.source.get(self.at..).unwrap_or_default()
    }

    /// Takes the longest prefix whose characters `accept`.
    fn run(&mut self, accept: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c| !accept(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn skip(&mut self) {
        loop {
            self.run(|c| c.is_ascii_whitespace() || c == '\x0b');
            if !self.rest().starts_with('#') {
                return;
            }
            self.run(|c| c != '\n');
        }
    }

    /// The next character after spaces and comments.
    pub(super) fn peek(&mut self) -> Option<char> {
        self.skip();
        self.rest().chars().next()
    }

    /// True when nothing but spaces and comments is left.
    pub(super) fn at_end(&mut self) -> bool {
        self.peek().is_none()
    }

    /// Takes `wanted` when it comes next.
    pub(super) fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    /// Takes `wanted`, or says what stands there instead.
    pub(super) fn expect(&mut self, wanted: char) -> Result<()> {
        if self.eat(wanted) { Ok(()) } else { Err(self.expected(format_args!("`{wanted}`"))) }
    }

    /// True when `...` comes next: what printing left out.
    pub(super) fn elided(mut self) -> bool {
        self.skip();
        self.rest().starts_with("...")
    }

    /// Takes the arrow between inputs and outputs.
    pub(super) fn arrow(&mut self) -> Result<()> {
        self.skip();
        if !self.rest().starts_with("=>") {
            return Err(self.expected("`=>` and the outputs"));
        }
        self.at += 2;
        Ok(())
    }

    /// Takes an identifier: a letter or `_`, then letters, digits and `_`.
    pub(super) fn identifier(&mut self) -> Option<&'a str> {
        match self.peek() {
            Some(c) if c.is_ascii_alphabetic() || c == '_' => {
                Some(self.run(|c| c.is_ascii_alphanumeric() || c == '_'))
            }
            _ => None,
        }
    }

    /// The identifier that comes next, without taking it.
    pub(super) fn peek_identifier(&mut self) -> Option<&'a str> {
        let mut ahead = *self;
        ahead.identifier()
    }

    /// Takes an identifier or a quoted name.
    pub(super) fn optional_name(&mut self) -> Result<Option<String>> {
        match self.peek() {
            Some('"') => self.string().map(Some),
            _ => Ok(self.identifier().map(str::to_owned)),
        }
    }

    /// As [`Cursor::optional_name`], for places that cannot do without: `what` is named.
    pub(super) fn name(&mut self, what: &str) -> Result<String> {
        self.optional_name()?.ok_or_else(|| self.expected(what))
    }

    /// Takes a quoted string that must be UTF-8.
    pub(super) fn string(&mut self) -> Result<String> {
        let start = *self;
        String::from_utf8(self.quoted()?)
            .map_err(|_| start.error("expected UTF-8 text, found other bytes"))
    }

    /// Takes a quoted string. A backslash stands before `"` and `\`; `\xHH` is a byte, for strings
    /// that are not UTF-8.
    pub(super) fn quoted(&mut self) -> Result<Vec<u8>> {
        if self.peek() != Some('"') {
            return Err(self.expected("a string in double quotes"));
        }
        let source = self.rest().as_bytes();
        let mut text = Vec::new();
        let mut i = 1;
        while let Some(&byte) = source.get(i) {
            i += 1;
            match byte {
                b'"' => {
                    self.at += i;
                    return Ok(text);
                }
                b'\\' => match (hex_byte(source.get(i..i + 3)), source.get(i)) {
                    (Some(escaped), _) => {
                        text.push(escaped);
                        i += 3;
                    }
                    (None, Some(&next)) => {
                        text.push(next);
                        i += 1;
                    }
                    (None, None) => {}
                },
                _ => text.push(byte),
            }
        }
        Err(self.error("this string has no closing `\"`"))
    }

    /// Takes a number or a string.
    pub(super) fn literal(&mut self) -> Result<Literal<'a>> {
        if self.peek() == Some('"') {
            return Ok(Literal::Text(self.quoted()?));
        }
        let start = *self;
        self.eat('-');
        let unsigned = *self;
        let digits = self.run(|c| c.is_ascii_digit());
        if digits.is_empty() {
            *self = unsigned;
            if self.identifier().is_some_and(is_float_word) {
                return Ok(Literal::Float(start.until(self)));
            }
            *self = start;
            return Err(self.expected("a number or a string"));
        }
        let mut float = self.rest().starts_with('.');
        if float {
            self.at += 1;
            self.run(|c| c.is_ascii_digit());
        }
        if self.rest().starts_with(['e', 'E']) {
            float = true;
            self.at += 1;
            self.at += usize::from(self.rest().starts_with(['+', '-']));
            if self.run(|c| c.is_ascii_digit()).is_empty() {
                return Err(self.expected("the digits of an exponent"));
            }
        }
        let text = start.until(self);
        Ok(if float { Literal::Float(text) } else { Literal::Int(text) })
    }

    /// Takes an integer.
    pub(super) fn int(&mut self, what: &str) -> Result<i64> {
        let start = *self;
        match self.literal() {
            Ok(Literal::Int(text)) => text
                .parse()
                .map_err(|_| start.error(format_args!("expected {what}, found {text}: too large"))),
            _ => Err(start.expected(what)),
        }
    }

    /// The source from here to `end`.
    fn until(&self, end: &Self) -> &'a str {
        self.source.get(self.at..end.at).unwrap_or_default()
    }

    /// An error here that says what was expected, and quotes what stands there.
    pub(super) fn expected(&self, what: impl std::fmt::Display) -> Error {
        let mut here = *self;
        here.skip();
        let mut ahead = here;
        let word = ahead.run(|c| c.is_ascii_alphanumeric() || "_.-+".contains(c));
        let found = match here.rest().chars().next() {
            None => "the end of the text".to_owned(),
            Some('"') => "a string".to_owned(),
            Some(c) if word.is_empty() => format!("`{}`", c.escape_debug()),
            Some(_) => format!("`{}`", word.chars().take(QUOTED).collect::<String>()),
        };
        here.error(format_args!("expected {what}, found {found}"))
    }

    /// An error here.
    pub(super) fn error(&self, message: impl std::fmt::Display) -> Error {
        let mut here = *self;
        here.skip();
        let before = self.source.get(..here.at).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        err!(Format, "{message}").at(format_args!("line {line}, column {column}"))
    }
}

/// `inf`, `infinity` or `nan` in any case.
pub(super) fn is_float_word(word: &str) -> bool {
    ["inf", "infinity", "nan"].iter().any(|known| word.eq_ignore_ascii_case(known))
}

/// The value of a float literal; `None` for one that is malformed or overflows `T`.
pub(super) fn real<T: std::str::FromStr + Copy + Into<f64>>(text: &str) -> Option<T> {
    let value: T = text.parse().ok()?;
    let word = text.trim_start_matches('-').starts_with(|c: char| c.is_ascii_alphabetic());
    (word || value.into().is_finite()).then_some(value)
}

/// The byte of `xHH`.
fn hex_byte(text: Option<&[u8]>) -> Option<u8> {
    let [b'x', digits @ ..] = text? else { return None };
    let value = |digit: u8| char::from(digit).to_digit(16);
    match digits {
        [high, low] => u8::try_from(value(*high)? * 16 + value(*low)?).ok(),
        _ => None,
    }
}
