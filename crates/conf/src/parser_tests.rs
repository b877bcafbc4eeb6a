//! Trees, and nginx's errors for input without one.

use std::collections::BTreeMap;

use super::*;
use crate::diagnostic::log_line;
use crate::include::OpenError;

struct Map(BTreeMap<Vec<u8>, Vec<u8>>);

impl Loader for Map {
    fn read(&mut self, path: &[u8]) -> Result<Vec<u8>, OpenError> {
        let missing = || OpenError { code: 2, text: "No such file or directory".into() };
        self.0.get(path).cloned().ok_or_else(missing)
    }

    fn glob(&mut self, pattern: &[u8]) -> Result<Vec<Vec<u8>>, OpenError> {
        let lead = pattern.strip_suffix(b"*").unwrap_or(pattern);
        Ok(self.0.keys().filter(|key| key.starts_with(lead)).cloned().collect())
    }
}

fn parser(files: &[(&str, &str)]) -> Parser<Map> {
    let entry = |(name, text): &(&str, &str)| (name.as_bytes().to_vec(), text.as_bytes().to_vec());
    Parser::new(Map(files.iter().map(entry).collect()), "/c")
}

fn show(block: &Block) -> String {
    let one = |d: &Directive| {
        let words: Vec<_> = std::iter::once(&d.name).chain(&d.args).map(|w| w.text()).collect();
        let body = d.body.as_ref().map_or(String::from(";"), |body| format!("{{{}}}", show(body)));
        words.join(" ") + &body
    };
    block.directives.iter().map(one).collect()
}

fn go(files: &[(&str, &str)]) -> Result<String, String> {
    let mut parser = parser(files);
    match parser.parse_file(b"/c/n").into_result() {
        Ok(block) => Ok(show(&block)),
        Err(error) => Err(log_line(&error, parser.files())),
    }
}

fn main(text: &str) -> Result<String, String> {
    go(&[("/c/n", text)])
}

fn ok(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

fn fails(text: &str) -> Result<String, String> {
    Err(text.to_owned())
}

#[test]
fn trees() {
    assert_eq!(main("a b; c { d; e { f g; } } h;"), ok("a b;c{d;e{f g;}}h;"));
    assert_eq!(main("types { text/html html htm; }"), ok("types{text/html html htm;}"));
    assert_eq!(main(""), ok(""));
}

#[test]
fn lua_blocks_are_raw() {
    assert_eq!(main("set_by_lua_block $r { return {'}'} }\na;"), ok("set_by_lua_block $r  return {'}'} ;a;"));
    let mut parser = parser(&[("/c/n", "l {\n  content_by_lua_block {\n x()\n }\n a;\n}")]);
    let block = parser.parse_file(b"/c/n").into_result().unwrap();
    let inner = &block.directives[0].body.as_ref().unwrap().directives;
    let code = &inner[0].args[0];
    assert_eq!((code.span.line, code.span.column, inner[0].line, inner[0].lua), (2, 25, 4, true));
    assert_eq!((inner[1].span.line, inner[1].span.column), (5, 2));
    assert_eq!(block.directives[0].body.as_ref().unwrap().end.line, 6);
}

#[test]
fn errors() {
    assert_eq!(main("a;\n}"), fails("unexpected \"}\" in /c/n:2"));
    assert_eq!(main("a {\nb;\n"), fails("unexpected end of file, expecting \"}\" in /c/n:3"));
    assert_eq!(main("a\nb"), fails("unexpected end of file, expecting \";\" or \"}\" in /c/n:2"));
    assert_eq!(main("include { }"), fails("directive \"include\" is not terminated by \";\" in /c/n:1"));
    assert_eq!(main("include a b;"), fails("invalid number of arguments in \"include\" directive in /c/n:1"));
    assert_eq!(
        main("x_by_lua_block {\n s = [=[ }\n"),
        fails(
            "Lua code block missing the closing long bracket \"]=]\", the inlined Lua code may be \
            too long in /c/n:2"
        )
    );
    assert_eq!(
        main("x_by_lua_block {\n f {\n }\n"),
        fails("unexpected end of file, expecting terminating characters for lua code block in /c/n:2")
    );
    assert_eq!(main(&"a {".repeat(200)), fails("blocks are nested too deeply in /c/n:1"));
    assert_eq!(go(&[]), fails("open() \"/c/n\" failed (2: No such file or directory)"));
}

#[test]
fn includes() {
    let files = [
        ("/c/n", "a; types { include m; } include d/*; include /x/y; z;"),
        ("/c/m", "t u;"),
        ("/c/d/1", "one;"),
        ("/c/d/2", "two { include m; }"),
        ("/x/y", "y;"),
    ];
    assert_eq!(go(&files), ok("a;types{t u;}one;two{t u;}y;z;"));
    assert_eq!(main("include none/*;"), ok(""));
    assert_eq!(main("a;\ninclude\nno;"), fails("open() \"/c/no\" failed (2: No such file or directory) in /c/n:3"));
    assert_eq!(go(&[("/c/n", "x { include m; }"), ("/c/m", "\n}")]), fails("unexpected \"}\" in /c/m:2"));
    assert_eq!(go(&[("/c/n", "include m;"), ("/c/m", "include n;")]), fails("include cycle: \"/c/n\" includes itself in /c/m:1"));
}

#[test]
fn what_stands_before_an_error_is_kept() {
    let mut parser = parser(&[("/c/n", "a { root { b; include m; } }"), ("/c/m", "c; d { e; }\n}")]);
    let parsed = parser.parse_file(b"/c/n");
    assert_eq!(show(&parsed.block), "a{root{b;c;d{e;}}}");
    assert_eq!(parsed.error.map(|e| e.message).as_deref(), Some("unexpected \"}\""));
}

#[test]
fn include_depth_is_bounded() {
    let names: Vec<_> = (0..40).map(|i| (format!("/c/{i}"), format!("include {};", i + 1))).collect();
    let mut files: Vec<_> = names.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    files.push(("/c/n", "include 0;"));
    assert_eq!(go(&files), fails("too many nested includes at \"/c/31\" in /c/30:1"));
}

#[test]
fn the_command_line() {
    let mut parser = parser(&[]);
    assert_eq!(parser.parse_command_line(b"daemon off; pid 'a b';").into_result().map(|b| show(&b)).as_deref(), Ok("daemon off;pid a b;"));
    for (text, message) in [
        ("a {}", "block directives are not supported in -g option in command line"),
        ("daemon off", "unexpected end of parameter, expecting \";\" in command line"),
        ("}", "unexpected \"}\" in command line"),
    ] {
        let error = parser.parse_command_line(text.as_bytes()).into_result().unwrap_err();
        assert_eq!(log_line(&error, parser.files()), message);
    }
}

#[test]
fn a_file_that_may_not_include_has_a_directive_of_that_name() {
    let text = "include other; include *; a { include other { b; } }";
    let mut parser = Parser::without_includes(Map([(b"/f".to_vec(), text.as_bytes().to_vec())].into()));
    let block = parser.parse_file(b"/f").into_result().unwrap();
    assert_eq!(show(&block), "include other;include *;a{include other{b;}}");
    assert_eq!(parser.files().iter().len(), 1);
}
