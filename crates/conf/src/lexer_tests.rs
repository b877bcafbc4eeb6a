//! Words as nginx splits them.

use super::*;

fn words(text: &str) -> Result<(Vec<String>, End), String> {
    let mut lexer = Lexer::new(text.as_bytes(), 0, false);
    let mut words = Vec::new();
    let end = lexer.next(&mut words).map_err(|e| format!("{}:{}", e.message, e.line))?;
    Ok((words.iter().map(|w| w.text().into_owned()).collect(), end))
}

fn ok(list: &[&str], end: End) -> Result<(Vec<String>, End), String> {
    Ok((list.iter().map(ToString::to_string).collect(), end))
}

#[test]
fn cutting() {
    assert_eq!(words("a b;"), ok(&["a", "b"], End::Semicolon));
    assert_eq!(words("a{"), ok(&["a"], End::Open));
    assert_eq!(words(" # x ; {\n }"), ok(&[], End::Close));
    assert_eq!(words("  \n"), ok(&[], End::Eof));
    assert_eq!(words("a b}c#d \"e;f\" 'g\"';"), ok(&["a", "b}c#d", "e;f", "g\""], End::Semicolon));
    assert_eq!(words("a b\"c'd;"), ok(&["a", "b\"c'd"], End::Semicolon));
    assert_eq!(words("a ${b}c {"), ok(&["a", "${b}c"], End::Open));
    assert_eq!(words("a x${b}c;"), ok(&["a", "x${b}c"], End::Semicolon));
    assert_eq!(words("a x$b{"), ok(&["a", "x$b"], End::Open));
    assert_eq!(words("if ($a = \"b\") {"), ok(&["if", "($a", "=", "b", ")"], End::Open));
    assert_eq!(words("a \"\";"), ok(&["a", ""], End::Semicolon));
    assert_eq!(words("a # b;\n c;"), ok(&["a", "c"], End::Semicolon));
}

#[test]
fn escapes() {
    assert_eq!(words(r#"a "b\"c" d\ e f\;g \.php$ \t\n\\;"#), ok(&["a", "b\"c", "d\\ e", "f\\;g", "\\.php$", "\t\n\\"], End::Semicolon));
}

#[test]
fn errors() {
    let e = |text: &str| words(text).unwrap_err();
    assert_eq!(e(";"), "unexpected \";\":1");
    assert_eq!(e("\n {"), "unexpected \"{\":2");
    assert_eq!(e("a }"), "unexpected \"}\":1");
    assert_eq!(e("a \"b\"c;"), "unexpected \"c\":1");
    assert_eq!(e("a b\n\n"), "unexpected end of file, expecting \";\" or \"}\":3");
    assert_eq!(e("a \"b;\n}\n"), "unexpected end of file, expecting \";\" or \"}\":3");
    assert_eq!(e(&format!("\na {};", "x".repeat(4096))), "too long parameter \"xxxxxxxxxx...\" started:2");
    assert_eq!(e(&format!("a \"b\n{};", "x".repeat(4096))), "too long parameter, probably missing terminating \"\"\" character:1");
    assert!(words(&format!("a {};", "x".repeat(4095))).is_ok());
}

#[test]
fn the_command_line() {
    let mut lexer = Lexer::new(b"daemon off", 0, true);
    let error = lexer.next(&mut Vec::new()).unwrap_err();
    assert_eq!(error.message, "unexpected end of parameter, expecting \";\"");
}

#[test]
fn places() {
    let mut lexer = Lexer::new(b"a\n  bc \"d\";", 7, false);
    let mut words = Vec::new();
    lexer.next(&mut words).unwrap();
    let places: Vec<_> = words.iter().map(|w| (w.span.line, w.span.column, w.quoted)).collect();
    assert_eq!(places, [(1, 1, false), (2, 3, false), (2, 6, true)]);
    assert_eq!(lexer.place(), Span { file: 7, line: 2, column: 10 });
}
