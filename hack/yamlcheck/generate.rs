//! Writes manifests of generated objects next to the objects, for hack/yamlcheck/main.go to compare.
//!
//! `cargo run --example yamlcheck -- <cases> [<seed>]`: at least that many keys and values, half of them
//! strings that are known to confuse a YAML reader, or made of the pieces of such strings. The same seed gives
//! the same cases.

use anyhow::Context as _;
use fastrand::Rng;
use gitops_reverser::resource::ResourceType;
use gitops_reverser::sanitize::{self, Document};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::io::{BufWriter, Write as _};

/// Keys and values in one object.
const CASES_PER_OBJECT: usize = 100;

/// Whole strings.
#[rustfmt::skip]
const TORTURE: &[&str] = &[
    "", " ", "  ", "y", "Y", "n", "N", "yes", "Yes", "YES", "no", "on", "On", "ON", "off", "OFF", "true", "True",
    "TRUE", "false", "tRuE", "null", "Null", "NULL", "~", "none", "nan", ".nan", ".NaN", ".NAN", "inf", ".inf", ".Inf",
    "-.inf", "+.INF", "0", "-0", "+0", "00", "01", "1", "-1", "+1", "1_000", "_1", "1_", "1,000", "0b11", "-0b11",
    "0B1", "0x1F", "-0x1f", "0X1", "0o7", "0O7", "017", "08", "09", "0x", "0b", "12:30:45", "12:30", "190:20:30.15",
    "1:60", "2001-01-01", "2001-1-1", "2001-12-14t21:59:43.10-05:00", "2001-12-14 21:59:43.10 -5",
    "2001-01-01T00:00:00Z", "1e3", "1E3", "1e+3", "1.5e-3", "e3", ".e3", "1.", ".1", ".", "..", "...", "+.1", "-.1",
    "1.2.3", "10.0.0.1", "1..2", "=", "<<", "-", "--", "---", "--- a", "---a", "... a", "- a", "-a", "-c", "?", "? a",
    "?a", ":", ": a", ":a", "a:", "a: b", "a :b", "a:b", "a #b", "a#b", "#a", "# a", "@a", "`a`", "%a", "%YAML 1.1",
    "!a", "!!str a", "!", "&a", "& a", "*a", "* a", "|", "|-", "|\n", ">", ">-", "> a", "'", "''", "'a'", "\"", "\"a\"",
    "\"a", "a\"", "[", "]", "[]", "[a]", "{", "}", "{}", "{a}", "{a: b}", ",", ",a", "a,b", "a, b", "\\", "\\n", "a\\b",
    "\t", "\ta", "a\t", "a\tb", "\t\n", "\ta\n", " a", "a ", " a ", "a  b", "\n", "\n\n", "a\n", "a\n\n", "a\n\n\n",
    "\na", "\n\na\n\n", "a\nb", "a\n b\n", " a\nb", "  a\n b\n\n", "a\n\tb\n", "a \nb", "a\t\nb\t\n", "a\n \nb",
    "a\n  \n", "a\n\t", " \na", "\t\na", "\n a", "\n\ta", "#\na", "a\n#b\n", "---\na", "a\n---\nb\n", "a\n...\n",
    "- a\n- b\n", "a: b\nc: d\n", "|\n a", "\r", "a\r", "a\r\nb\r\n", "\r\n", "\u{85}", "a\u{85}b", "a\u{2028}b",
    "a\u{2029}\nb", "\u{feff}", "\u{feff}a", "a\u{feff}", "\0", "a\0b", "\u{1}", "\u{1b}[0m", "\u{7f}", "\u{80}",
    "\u{9f}", "\u{a0}", "a\u{a0}", "\u{a0}a", "\u{a0}\na", "\u{3000}", "\u{200b}", "\u{202e}a", "\u{fffd}", "\u{fffe}",
    "\u{ffff}", "\u{d7ff}", "\u{e000}", "\u{10000}", "\u{1fffe}", "\u{10ffff}", "\u{e0041}", "ü", "ÿ", "İ", "ß\n",
    "日本語", "日本\n語\n", "😀", "😀\n", "👩‍💻", "e\u{301}", "\u{301}", "\u{5d0}", "٣", "１２", "Ⅷ", "¿", "«a»",
    "{\"apiVersion\":1}", "#!/bin/sh\nset -e\n\nexec \"$@\"\n", "a:\n  b: |\n    c\n\n", "server {\n\tlisten 80; \n}\n",
    "tag:yaml.org,2002:str",
];

/// What other strings are put together from.
#[rustfmt::skip]
const PIECES: &[&str] = &[
    "a", "b", "yes", "n", "0", "1", "9", "_", ".", "-", "+", "e", "E", "x", "o", "b", "T", "Z", ":", ",", " ", "  ",
    "\n", "\n\n", "\t", "\r", "#", "\"", "'", "\\", "[", "]", "{", "}", "|", ">", "&", "*", "!", "%", "@", "`", "?",
    "=", "<<", "~", "---", "...", "null", "ü", "日", "😀", "\u{a0}", "\u{85}", "\u{2028}", "\u{feff}", "\u{1}", "\u{7f}",
    "\u{202e}", "/", "$", "(", ")", ";", "word", "two words", "key: value", " # no comment", "- item",
];

/// Numbers in spellings that the API server's encoder does not use, but a server might.
#[rustfmt::skip]
const NUMBERS: &[&str] = &[
    "0", "-0", "-0.0", "0.0", "1.0", "1.50", "1e3", "1E3", "1E+3", "1.5e-3", "0e5", "1e+21", "1e-7",
    "100000000000000000000", "9223372036854775807", "-9223372036854775808", "9223372036854775808",
    "18446744073709551615", "18446744073709551616", "123456789012345678901234567890", "1e308", "5e-324", "0.1", "-0.5",
    "1.7976931348623157e+308",
];

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let cases: usize = arguments.next().context("say how many cases: yamlcheck <cases> [<seed>]")?.parse()?;
    let mut rng = Rng::with_seed(arguments.next().map_or(Ok(1), |seed| seed.parse())?);
    let kind = ResourceType {
        group: "example.com".into(),
        version: "v1".into(),
        resource: "cases".into(),
        kind: "Case".into(),
        namespaced: true,
    };
    let mut out = BufWriter::new(std::io::stdout().lock());
    write_pair(&mut out, &torture(), &kind)?;
    for _ in 0..cases.div_ceil(CASES_PER_OBJECT) {
        let mut budget = CASES_PER_OBJECT;
        let mut spec = Vec::new();
        while budget > 0 {
            spec.push(value(&mut rng, 4, &mut budget));
        }
        write_pair(&mut out, &format!("[{}]", spec.join(",")), &kind)?;
    }
    out.flush()?;
    Ok(())
}

/// Writes the object with this `spec`, and its manifest.
fn write_pair(out: &mut impl std::io::Write, spec: &str, kind: &ResourceType) -> anyhow::Result<()> {
    let object = format!(r#"{{"spec":{spec},"kind":"Case","metadata":{{"name":"x"}},"apiVersion":"example.com/v1"}}"#);
    let mut document = Document::parse(&object)?;
    let manifest = sanitize::manifest(&mut document, kind)?;
    let pair = BTreeMap::from([
        ("object", RawValue::from_string(object.clone())?),
        ("yaml", serde_json::value::to_raw_value(std::str::from_utf8(manifest.bytes())?)?),
    ]);
    serde_json::to_writer(&mut *out, &pair)?;
    out.write_all(b"\n")?;
    Ok(())
}

/// Every string of the corpus as an element, as a value, as a key, and last of all; every number.
fn torture() -> String {
    let mut parts = Vec::new();
    for text in TORTURE {
        let text = quoted(text);
        parts.push(format!("{text},[{text},[{text}]],{{{text}:{text}}},{{\"a\":[{text}],\"b\":{{{text}:[{{{text}:{text}}}]}},\"c\":{text}}}"));
    }
    parts.extend(NUMBERS.iter().map(|number| format!("{number},{{\"a\":{number}}}")));
    for length in [127, 128, 129, 999, 1000, 1001, 1023, 1024, 1025, 5000] {
        for text in ["k", "日", "\"", "\u{1}"].map(|character| quoted(&character.repeat(length))) {
            parts.push(format!("{{{text}:{text}}},[{{{text}:{{{text}:[{{{text}:[1]}}]}}}}],{{{text}:[]}}"));
        }
    }
    format!("[{}]", parts.join(","))
}

/// A value of at most `depth` levels, as JSON; each key, scalar and empty container costs one of `budget`.
fn value(rng: &mut Rng, depth: usize, budget: &mut usize) -> String {
    *budget = budget.saturating_sub(1);
    let count = rng.usize(..6);
    match rng.u8(..20) {
        0..=2 if depth > 0 => {
            let list: Vec<_> = (0..count).map(|_| value(rng, depth - 1, budget)).collect();
            format!("[{}]", list.join(","))
        }
        3..=7 if depth > 0 => {
            let map: BTreeMap<String, String> =
                (0..count).map(|_| (text(rng), value(rng, depth - 1, budget))).collect();
            *budget = budget.saturating_sub(map.len());
            let mut members: Vec<_> = map.iter().map(|(key, value)| format!("{}:{value}", quoted(key))).collect();
            rng.shuffle(&mut members);
            format!("{{{}}}", members.join(","))
        }
        8 => number(rng),
        9 => ["true", "false", "null"][rng.usize(..3)].to_owned(),
        _ => quoted(&text(rng)),
    }
}

fn text(rng: &mut Rng) -> String {
    let pieces = 1 + rng.usize(..6);
    match rng.u8(..16) {
        0 | 1 => TORTURE[rng.usize(..TORTURE.len())].to_owned(),
        // One of the corpus that something has been done to.
        2 | 3 => {
            let mut text = TORTURE[rng.usize(..TORTURE.len())].to_owned();
            let places: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            text.insert_str(places[rng.usize(..places.len())], PIECES[rng.usize(..PIECES.len())]);
            text
        }
        4..=8 => (0..pieces).map(|_| PIECES[rng.usize(..PIECES.len())]).collect(),
        // Lines of pieces.
        9..=11 => {
            (0..pieces * 3).map(|_| if rng.u8(..3) == 0 { "\n" } else { PIECES[rng.usize(..PIECES.len())] }).collect()
        }
        // What numbers and dates are made of.
        12 | 13 => (0..pieces * 2).map(|_| char::from(b"0123456789abefxoXOTZ_.,:+- "[rng.usize(..27)])).collect(),
        14 => (0..pieces * 2).map(|_| rng.char(' '..='~')).collect(),
        _ => (0..pieces * 2).map(|_| rng.char(..)).collect(),
    }
}

/// Mostly what Go's encoder writes: integers, and floats with an exponent only where they need one.
fn number(rng: &mut Rng) -> String {
    match rng.u8(..6) {
        0 => NUMBERS[rng.usize(..NUMBERS.len())].to_owned(),
        1 => rng.i64(..).to_string(),
        2 => rng.i32(-70_000..70_000).to_string(),
        3 => (f64::from(rng.i32(-100_000..100_000)) / 1000.0).to_string(),
        _ => {
            let float = f64::from_bits(rng.u64(..));
            if !float.is_finite() {
                return "0".to_owned();
            }
            if (1e-6..1e21).contains(&float.abs()) {
                return float.to_string();
            }
            let text = format!("{float:e}");
            if text.contains("e-") { text } else { text.replace('e', "e+") }
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
