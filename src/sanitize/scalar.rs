//! How a string is written in YAML so that every reader gets the same string back.
//!
//! A style is allowed only where YAML 1.1 and 1.2 agree on it. Plain scalars are chosen from a short list of
//! what is known to be safe, not excluded from a list of what is not: quotes that were not needed cost
//! nothing, a missing pair changes the object. No rule depends on Unicode tables that grow with each
//! release, because the same string must have the same bytes for ever.

/// Columns by which content is indented below the line that it belongs to.
pub(super) const STEP: usize = 2;

/// How a string can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// As it is.
    Plain,
    /// In single quotes: nothing but the quote itself needs doubling.
    Single,
    /// In double quotes, on one line, with escapes.
    Double,
    /// As a block of lines below a `|`.
    Literal {
        /// Whether its first line is indented itself, so that the header must tell where content starts.
        indicator: bool,
    },
}

/// The style of `text` as a value.
pub(super) fn style(text: &str) -> Style {
    let (mut lines, mut tabs, mut quotes, mut ascii) = (false, false, false, true);
    for byte in text.bytes() {
        match byte {
            b'\n' => lines = true,
            b'\t' => tabs = true,
            b'"' | b'\\' => quotes = true,
            b' '..=b'~' => {}
            0x80.. => ascii = false,
            _ => return Style::Double,
        }
    }
    if !ascii && text.chars().any(must_escape) {
        return Style::Double;
    }
    match (lines, tabs) {
        (true, _) => literal(text),
        (false, true) => Style::Double,
        _ if is_plain(text) => Style::Plain,
        _ if quotes => Style::Single,
        _ => Style::Double,
    }
}

/// The style of `text` as a key, which cannot have lines.
pub(super) fn key_style(text: &str) -> Style {
    match style(text) {
        Style::Literal { .. } => Style::Double,
        other => other,
    }
}

/// Appends `text` as a key.
pub(super) fn write_key(out: &mut String, text: &str) {
    write_inline(out, text, key_style(text));
}

/// Appends `text` in a style of one line; a literal's place is taken by double quotes.
pub(super) fn write_inline(out: &mut String, text: &str, style: Style) {
    match style {
        Style::Plain => out.push_str(text),
        Style::Single => write_single(out, text),
        Style::Double | Style::Literal { .. } => write_double(out, text),
    }
}

fn write_single(out: &mut String, text: &str) {
    out.push('\'');
    for (index, part) in text.split('\'').enumerate() {
        out.push_str(if index == 0 { "" } else { "''" });
        out.push_str(part);
    }
    out.push('\'');
}

/// Only with escapes that mean the same in JSON and both versions of YAML, but for characters beyond U+FFFF.
fn write_double(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if must_escape(character) => {
                let code = u32::from(character);
                out.push_str(&if code > 0xFFFF { format!("\\U{code:08X}") } else { format!("\\u{code:04X}") });
            }
            _ => out.push(character),
        }
    }
    out.push('"');
}

/// Appends the header and the lines of `text`, without the last line break, below a line at `indent`.
pub(super) fn write_literal(out: &mut String, text: &str, indicator: bool, indent: usize) {
    out.push('|');
    if indicator {
        out.push(char::from(b'0' + STEP as u8));
    }
    let (body, chomping) = match text.strip_suffix('\n') {
        None => (text, "-"),
        Some(body) if body.ends_with('\n') => (body, "+"),
        Some(body) => (body, ""),
    };
    out.push_str(chomping);
    for line in body.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            indentation(out, indent + STEP);
            out.push_str(line);
        }
    }
}

/// Appends the white space that a line at `indent` starts with.
pub(super) fn indentation(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

/// Whether a reader must keep all trailing line breaks of `text`, of which it has more than one.
pub(super) fn keeps_line_breaks(text: &str) -> bool {
    text.ends_with("\n\n")
}

/// A literal where every reader finds the same lines, else double quotes.
///
/// White space inside and at the end of lines is content for all of them. Where a text starts or ends with a
/// line of nothing else, or starts with a tab, readers disagree on what is indentation.
fn literal(text: &str) -> Style {
    let blank = |line: &str| line.bytes().all(|byte| matches!(byte, b' ' | b'\t'));
    let body = text.trim_matches('\n');
    let first = body.split('\n').next().unwrap_or_default();
    let last = body.rsplit('\n').next().unwrap_or_default();
    if blank(first) || blank(last) || first.starts_with('\t') {
        return Style::Double;
    }
    Style::Literal { indicator: first.starts_with(' ') }
}

/// Whether a character must be escaped: readers reject it, take it for a line break, or show nothing of it.
fn must_escape(character: char) -> bool {
    match character {
        '\n' | '\t' | ' '..='~' => false,
        // Controls, next line.
        '\0'..='\u{9f}' => true,
        // Soft hyphen, marks of direction, zero width space, line and paragraph separator, invisible operators.
        '\u{ad}'
        | '\u{61c}'
        | '\u{200b}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' => true,
        // Byte order mark, annotation anchors, what is no character.
        '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' => true,
        // Tags.
        '\u{e0000}'..='\u{e0fff}' => true,
        _ => false,
    }
}

/// Spaces other than the ASCII one, which some readers trim.
fn is_wide_space(character: char) -> bool {
    matches!(character, '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}')
}

/// Whether `text`, of which no character must be escaped, is the same string for every reader without quotes.
fn is_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    let starts_well = match bytes.first() {
        Some(b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'/' | b'.' | b'$' | b'(' | b'+') => true,
        Some(b'-') => !matches!(bytes.get(1), None | Some(b' ')),
        // Beyond the symbols and spaces of U+0080 to U+00BF.
        Some(first) => *first >= 0xC3,
        None => false,
    };
    let opens_a_document = text.starts_with("---") || text.starts_with("...");
    let ends_a_key = |pair: &[u8]| matches!(pair, b": " | b" #");
    starts_well
        && !opens_a_document
        && !text.ends_with([' ', ':'])
        && !bytes.array_windows::<2>().any(|pair| ends_a_key(pair))
        && (text.is_ascii() || !text.contains(is_wide_space))
        && !is_word(text)
        && !looks_numeric(bytes)
}

/// Whether some reader takes `text` for a boolean, for null or for no number, in any mixture of cases.
fn is_word(text: &str) -> bool {
    const WORDS: [&str; 13] =
        ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf", "infinity", "none"];
    // With a sign and a dot before it.
    if text.len() > "infinity".len() + 2 {
        return false;
    }
    let word = text.trim_start_matches(['+', '-']);
    let word = word.strip_prefix('.').unwrap_or(word);
    WORDS.iter().any(|known| known.eq_ignore_ascii_case(word))
}

/// Whether some reader may take `text` for a number, a date or a time: it starts like one, and has nothing
/// but what decimal, octal, hexadecimal, binary and sexagesimal numbers, dates and times are made of.
fn looks_numeric(text: &[u8]) -> bool {
    matches!(text.first(), Some(b'0'..=b'9' | b'+' | b'-' | b'.'))
        && text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F' | b'x' | b'X' | b'o' | b'O'
            | b't' | b'T' | b'z' | b'Z' | b'_' | b'.' | b',' | b':' | b'+' | b'-' | b' '))
        // Without a digit and with a letter it is an option, such as `-c`.
        && (text.iter().any(u8::is_ascii_digit) || !text.iter().any(u8::is_ascii_alphabetic))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> String {
        let mut out = String::new();
        match style(text) {
            Style::Literal { indicator } => write_literal(&mut out, text, indicator, 0),
            inline => write_inline(&mut out, text, inline),
        }
        out
    }

    #[test]
    fn plain_where_every_reader_agrees() {
        #[rustfmt::skip]
        let table = [
            "a", "nginx:1.25", "web-1", "app.kubernetes.io/name", "/bin/sh", "-c", "--flag=x", "100m", "1Gi", "5m0s",
            "10.0.0.0/8", "http://a:80/?b=c#d", "a b  c", "a,b", "a[0]", "a{b}", "it's", "say \"x\"", "a&b", "a*",
            "50%", "x|y", "a>b", "a\\b", "$(VAR)", "(x)", "_x", "+x", ".hidden", "./a", "yes!", "yesterday", "nullable",
            "Größe", "日本", "a:b", "a#b", "a ~", "v1", "1.2.3-rc.1", "-foo", "sha256:abc", "😀", "É",
        ];
        for text in table {
            assert_eq!(written(text), text);
        }
    }

    #[test]
    fn quoted_where_some_reader_disagrees() {
        #[rustfmt::skip]
        let table = [
            "", " ", "  a", "a ", "y", "Y", "n", "N", "yes", "Yes", "YES", "no", "NO", "on", "On", "off", "OFF", "true",
            "True", "tRUE", "false", "null", "Null", "NULL", "nUll", "~", "~x", "none", "1", "0", "-1", "+1", "1_000",
            "1,000", "0b11", "-0b11", "0x1F", "0o7", "012", "09", "12:30:45", "1:2", "2001-01-01",
            "2001-01-01T00:00:00Z", "2001-12-14t21:59:43.10-05:00", "2001-12-14 21:59:43.10 -5", ".inf", "-.INF",
            "+.Inf", ".nan", ".NaN", "NaN", "inf", "-Infinity", "1e3", "1E3", "1e", "1.5", "1.", ".5", "-.5", "+.5e+3",
            "1.5e-3", ".", "..", "...", "...a", "=", "=x", "<<", "<x", "-", "--", "---", "---a", "- a", "+", "?", "? a",
            "?a", ":", ":a", "a:", "a: b", "a #b", "#a", "@a", "`a`", "%a", "!a", "!!str a", "&a", "*a", "|", ">",
            "> a", "'a'", "[a]", "{a}", "]", "}", ",a", "10.0.0.1", "1.2.3", "3e7a", "0x", "a\u{a0}b", "\u{a0}a",
            "a\u{3000}", "¿a", "^a", ";a", "1 2", "123e456", "٣:", "__: x", "1__0", "-_1", "0.", "+0", "-0", "0_",
            "12e03",
        ];
        for text in table {
            let quoted = written(text);
            assert!(
                quoted == format!("\"{text}\"") || quoted == format!("'{}'", text.replace('\'', "''")),
                "{text:?} as {quoted}"
            );
        }
    }

    #[test]
    fn exact_spellings() {
        for (text, expected) in [
            ("'a'", "\"'a'\""),
            ("{\"a\":\"b\"}", "'{\"a\":\"b\"}'"),
            ("\"it's\"", "'\"it''s\"'"),
            ("\ta", "\"\\ta\""),
            ("a\tb", "\"a\\tb\""),
            ("a\rb", "\"a\\rb\""),
            ("a\r\nb\r\n", "\"a\\r\\nb\\r\\n\""),
            ("\0\u{7}\u{1b}\u{7f}\u{85}\u{9f}", "\"\\u0000\\u0007\\u001B\\u007F\\u0085\\u009F\""),
            ("a\u{2028}b\u{2029}", "\"a\\u2028b\\u2029\""),
            ("\u{feff}a\u{fffe}\u{ffff}", "\"\\uFEFFa\\uFFFE\\uFFFF\""),
            ("a\u{202e}b\u{200b}", "\"a\\u202Eb\\u200B\""),
            ("\u{e0041}", "\"\\U000E0041\""),
            ("\"\\\u{1}", "\"\\\"\\\\\\u0001\""),
            ("a\u{1}\nb\n", "\"a\\u0001\\nb\\n\""),
            ("\u{fffd}", "\u{fffd}"),
        ] {
            assert_eq!(written(text), expected);
        }
    }

    #[test]
    fn lines_stand_in_a_literal_unless_their_indentation_is_doubtful() {
        for (text, expected) in [
            ("a\n", "|\n  a"),
            ("a\nb", "|-\n  a\n  b"),
            ("a\n\nb\n", "|\n  a\n\n  b"),
            ("a\n\n", "|+\n  a\n"),
            ("a\n\n\n", "|+\n  a\n\n"),
            ("\n\na\n", "|\n\n\n  a"),
            ("\n a", "|2-\n\n   a"),
            ("  a\nb\n\n", "|2+\n    a\n  b\n"),
            ("#a\n---\nb: c", "|-\n  #a\n  ---\n  b: c"),
            ("all:\n\tmake\t\n", "|\n  all:\n  \tmake\t"),
            ("a \n  \nb  \n", "|\n  a \n    \n  b  "),
            ("größe\n😀\u{a0}x", "|-\n  größe\n  😀\u{a0}x"),
            ("\n", "\"\\n\""),
            ("\n\n", "\"\\n\\n\""),
            ("\ta\nb", "\"\\ta\\nb\""),
            ("\n\ta", "\"\\n\\ta\""),
            (" \na", "\" \\na\""),
            ("a\n ", "\"a\\n \""),
            ("a\n\t\n", "\"a\\n\\t\\n\""),
        ] {
            assert_eq!(written(text), expected);
        }
    }
}
