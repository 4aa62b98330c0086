//! One pass over JSON text (RFC 8259, strictly) that fills the tape of a [`Document`](super::Document).
//!
//! It keeps its own stack instead of recursing, and reads each byte once: the text comes from servers that
//! may be hostile.

use super::SanitizeError;
use super::json::{Kind, MAX_BYTES, MAX_DEPTH, Node};

/// What may come next at the current position.
enum Expect {
    /// A value.
    Value,
    /// A value, or the end of the array that was just opened.
    FirstElement,
    /// A key.
    Key,
    /// A key, or the end of the object that was just opened.
    FirstKey,
    /// A comma, or the end of the innermost object or array.
    Separator,
}

/// The tape of `json`: every node in the order of the text, a container before what it holds.
pub(super) fn parse(json: &str) -> Result<Vec<Node>, SanitizeError> {
    if json.len() > MAX_BYTES {
        return Err(SanitizeError::TooLarge { limit: MAX_BYTES });
    }
    // Objects of Kubernetes have a node every ten bytes or so.
    let nodes = Vec::with_capacity(json.len() / 10 + 1);
    let mut parser = Parser { bytes: json.as_bytes(), at: 0, nodes, open: Vec::with_capacity(16) };
    parser.skip_blank();
    match parser.peek() {
        Some(b'{') => {}
        Some(b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => return Err(SanitizeError::NotAnObject),
        _ => return Err(parser.error()),
    }
    parser.object()?;
    Ok(parser.nodes)
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    /// Indices of the containers that are not closed yet, the innermost last.
    open: Vec<usize>,
}

impl Parser<'_> {
    fn object(&mut self) -> Result<(), SanitizeError> {
        let mut expect = Expect::Value;
        loop {
            self.skip_blank();
            let Some(byte) = self.peek() else { return Err(self.error()) };
            expect = match (expect, byte) {
                (Expect::Value | Expect::FirstElement, b'{') => self.open(Kind::Object)?,
                (Expect::Value | Expect::FirstElement, b'[') => self.open(Kind::Array)?,
                (Expect::FirstElement, b']') | (Expect::FirstKey, b'}') => self.close(byte)?,
                (Expect::Value | Expect::FirstElement, _) => self.scalar(byte)?,
                (Expect::Key | Expect::FirstKey, b'"') => self.key()?,
                (Expect::Separator, b',') => self.comma(),
                (Expect::Separator, b'}' | b']') => self.close(byte)?,
                _ => return Err(self.error()),
            };
            if self.open.is_empty() {
                self.skip_blank();
                return if self.at == self.bytes.len() { Ok(()) } else { Err(self.error()) };
            }
        }
    }

    fn open(&mut self, kind: Kind) -> Result<Expect, SanitizeError> {
        if self.open.len() == MAX_DEPTH {
            return Err(SanitizeError::TooDeep { limit: MAX_DEPTH });
        }
        self.open.push(self.nodes.len());
        self.at += 1;
        self.push(kind, self.at - 1, false);
        Ok(if kind == Kind::Object { Expect::FirstKey } else { Expect::FirstElement })
    }

    fn close(&mut self, byte: u8) -> Result<Expect, SanitizeError> {
        let opened_by = if byte == b'}' { Kind::Object } else { Kind::Array };
        let next = self.nodes.len();
        match self.open.last().copied() {
            Some(index) if self.nodes[index].kind == opened_by => {
                self.at += 1;
                self.open.pop();
                self.nodes[index].close(self.at, next);
                Ok(Expect::Separator)
            }
            _ => Err(self.error()),
        }
    }

    fn comma(&mut self) -> Expect {
        self.at += 1;
        match self.open.last() {
            Some(&index) if self.nodes[index].kind == Kind::Object => Expect::Key,
            _ => Expect::Value,
        }
    }

    fn key(&mut self) -> Result<Expect, SanitizeError> {
        self.string(Kind::Key)?;
        self.skip_blank();
        self.take(b":")?;
        Ok(Expect::Value)
    }

    fn scalar(&mut self, byte: u8) -> Result<Expect, SanitizeError> {
        let start = self.at;
        let kind = match byte {
            b'"' => {
                self.string(Kind::String)?;
                return Ok(Expect::Separator);
            }
            b't' => self.take(b"true").map(|()| Kind::Bool)?,
            b'f' => self.take(b"false").map(|()| Kind::Bool)?,
            b'n' => self.take(b"null").map(|()| Kind::Null)?,
            _ => self.number().map(|()| Kind::Number)?,
        };
        self.push(kind, start, false);
        Ok(Expect::Separator)
    }

    /// A string; its node spans what is between the quotes.
    fn string(&mut self, kind: Kind) -> Result<(), SanitizeError> {
        self.at += 1;
        let start = self.at;
        let mut escaped = false;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                None | Some(..0x20) => return Err(self.error()),
                Some(_) => self.at += 1,
            }
        }
        self.push(kind, start, escaped);
        self.at += 1;
        Ok(())
    }

    fn escape(&mut self) -> Result<(), SanitizeError> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.peek().is_some_and(|digit| digit.is_ascii_hexdigit()) {
                        return Err(self.error());
                    }
                    self.at += 1;
                }
            }
            _ => return Err(self.error()),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), SanitizeError> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    /// One digit or more.
    fn digits(&mut self) -> Result<(), SanitizeError> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err(self.error()) } else { Ok(()) }
    }

    fn take(&mut self, text: &[u8]) -> Result<(), SanitizeError> {
        for &byte in text {
            if self.peek() != Some(byte) {
                return Err(self.error());
            }
            self.at += 1;
        }
        Ok(())
    }

    fn push(&mut self, kind: Kind, start: usize, escaped: bool) {
        let next = self.nodes.len() + 1;
        self.nodes.push(Node::new(kind, start, self.at, next, escaped));
    }

    fn skip_blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn error(&self) -> SanitizeError {
        SanitizeError::NotJson { offset: self.at }
    }
}
