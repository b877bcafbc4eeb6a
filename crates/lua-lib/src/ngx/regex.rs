//! `ngx.re`: regular expressions of Lua code (`resty/core/regex.lua`, `ngx_http_lua_regex.c`).
//!
//! Lua keeps the cache and makes the results; here expressions are compiled, run, and freed.

mod engine;
mod template;

use crate::ANYWHERE;
use crate::host::{host, log_context};
use base::log::Level;
use base::saturated::Saturated;
use engine::Compiled;
use lua::{CallContext, Group, PhaseSet, Raise, Row, Stack};
use sys::regex::{Malformed, NO_MATCH, Regex, Syntax};
use template::Template;

/// `lua_regex_cache_max_entries` unless it is set.
const CACHE_ENTRIES: u64 = 1024;
/// Longer error texts are cut off, in bytes.
const MAX_ERROR: usize = 255;

/// The part's rows and glue.
#[must_use]
pub fn group() -> Group {
    Group {
        name: "ngx.re",
        rows: vec![
            Row::fast::<ANYWHERE, _, _>("regex_search", search),
            Row::fast::<ANYWHERE, _, _>("regex_substitute", substitute),
            Row::fast::<ANYWHERE, _, _>("regex_free", free),
            Row::fast::<ANYWHERE, _, _>("regex_captures", captures),
            Row::fast::<ANYWHERE, _, _>("regex_cache_entries", cache_entries),
            Row::fast::<ANYWHERE, _, _>("regex_jit_stack", jit_stack),
            Row::calls("regex_compile", PhaseSet::EVERYWHERE, compile),
            Row::constant("NO_MATCH", NO_MATCH),
        ],
        glue: concat!(include_str!("regex.lua"), include_str!("regex/split.lua")),
    }
}

/// The flags of an expression.
#[derive(Default)]
struct Flags {
    syntax: Syntax,
    cache: bool,
    jit: bool,
    dfa: bool,
}

impl Flags {
    fn parse(text: &[u8]) -> Result<Flags, Raise> {
        let mut flags = Flags::default();
        let syntax = &mut flags.syntax;
        for &letter in text {
            match letter {
                b'a' => syntax.anchored = true,
                b'd' => flags.dfa = true,
                b'D' => syntax.duplicate_names = true,
                b'i' => syntax.caseless = true,
                b'j' => flags.jit = true,
                b'J' => syntax.javascript = true,
                b'm' => syntax.multiline = true,
                b'o' => flags.cache = true,
                b's' => syntax.dotall = true,
                b'u' => syntax.utf = true,
                b'U' => (syntax.utf, syntax.lenient) = (true, true),
                b'x' => syntax.extended = true,
                _ => {
                    let message = [b"unknown flag \"".as_slice(), &[letter], b"\" (flags \"", text, b"\")"].concat();
                    // Blames the line that called the public function, which lies behind two of the glue's.
                    return Err(Raise::new(message).at_level(3));
                }
            }
        }
        // The DFA matcher has no mode for malformed text.
        syntax.lenient &= !flags.dfa;
        Ok(flags)
    }
}

fn log(cx: &CallContext, level: Level, message: impl FnOnce() -> Vec<u8>) {
    if let Some(host) = host(cx).filter(|host| host.log_enabled(level)) {
        host.log(level, &message(), log_context(cx));
    }
}

fn explain(pattern: &[u8], error: &Malformed) -> Vec<u8> {
    let mut text = format!("pcre2_compile() failed: {} in \"", error.message).into_bytes();
    text.extend_from_slice(pattern);
    text.push(b'"');
    if let Some(rest) = pattern.get(error.offset..).filter(|rest| !rest.is_empty()) {
        text.extend_from_slice(b" at \"");
        text.extend_from_slice(rest);
        text.push(b'"');
    }
    text.truncate(MAX_ERROR);
    text
}

/// The expression, or the error that the function returns.
fn build(cx: &CallContext, pattern: &[u8], flags: &Flags, replacement: Option<&[u8]>) -> Result<Compiled, Vec<u8>> {
    let mut regex = Regex::new(pattern, flags.syntax).map_err(|error| explain(pattern, &error))?;
    log(cx, Level::Debug, || {
        let mut line = [b"pcre2_compile: pattern[".as_slice(), pattern, b"]"].concat();
        line.extend_from_slice(format!(", options 0x{:08X}, ncaptures {}", flags.syntax.bits(), regex.groups()).as_bytes());
        line
    });
    if flags.jit {
        match regex.jit() {
            Ok(()) => log(cx, Level::Debug, || b"pcre2 JIT compiled successfully".to_vec()),
            Err(code) => {
                log(cx, Level::Info, || [format!("pcre2_jit_compile() failed: {code} in \"").as_bytes(), pattern, b"\", ignored"].concat())
            }
        }
    }
    let template = Template::parse(replacement.unwrap_or_default()).map_err(|line| {
        log(cx, Level::Error, || line);
        b"failed to compile the replacement template".to_vec()
    })?;
    Ok(Compiled { regex, dfa: flags.dfa, template })
}

/// `regex_compile(pattern, flags, replacement?)`: number, number of groups, whether to keep it, whether it works on UTF-8,
/// whether names are lists, names with their numbers; or nil and an error.
fn compile(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let flags = Flags::parse(stack.bytes(2).unwrap_or_default())?;
    let built = build(cx, stack.bytes(1).unwrap_or_default(), &flags, stack.bytes(3));
    let limit = host(cx).and_then(|host| host.runtime().regex_match_limit.get()).unwrap_or(0);
    let kept = built.and_then(|compiled| {
        let regex = &compiled.regex;
        // The DFA matcher sets no groups, so none have names.
        let (groups, names) = if flags.dfa { (0, Vec::new()) } else { (regex.groups(), regex.names()) };
        let utf = regex.is_utf();
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        engine::with(|engine| engine.insert(compiled, limit))
            .flatten()
            .map(|id| (id, groups, names, utf))
            .ok_or_else(|| b"no memory".to_vec())
    });
    match kept {
        Err(text) => {
            stack.push_nil();
            stack.push_bytes(&text);
            Ok(2)
        }
        Ok((id, groups, names, utf)) => {
            stack.push_number(id as f64);
            stack.push_number(groups as f64);
            stack.push_bool(flags.cache);
            stack.push_bool(utf);
            stack.push_bool(flags.syntax.duplicate_names);
            if names.is_empty() {
                stack.push_nil();
                return Ok(6);
            }
            stack.push_table(names.len() * 2, 0);
            let table = stack.top();
            for (index, (number, name)) in names.iter().enumerate() {
                stack.push_number(*number as f64);
                stack.set_item(table, index * 2 + 1);
                stack.push_bytes(name);
                stack.set_item(table, index * 2 + 2);
            }
            Ok(6)
        }
    }
}

fn search(_: &CallContext, id: i32, subject: &[u8], start: i32) -> i32 {
    engine::with(|engine| engine.search(id, subject, start)).unwrap_or(i32::MIN)
}

fn substitute(cx: &CallContext, id: i32, subject: &[u8], all: i32) -> i32 {
    let mut count = i32::MIN;
    cx.fill(|out| count = engine::with(|engine| engine.substitute(id, subject, all != 0, out)).unwrap_or(i32::MIN));
    count
}

fn free(_: &CallContext, id: i32) {
    engine::with(|engine| engine.free(id));
}

fn captures(_: &CallContext) -> i64 {
    engine::with(|engine| engine.captures().expose_provenance() as i64).unwrap_or(0)
}

fn cache_entries(cx: &CallContext) -> f64 {
    host(cx).and_then(|host| host.runtime().regex_cache_entries.get()).unwrap_or(CACHE_ENTRIES) as f64
}

fn jit_stack(_: &CallContext, size: f64) -> bool {
    engine::with(|engine| engine.set_jit_stack(usize::saturated(size))).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use crate::ngx::tests::evaluate;

    #[test]
    fn results() {
        let m = "(function() local m = ngx.re.match('hello, 1234', '(?<a>[a-z]+)|(x)', 'jo') return m[0], m[1], m[2], m.a, #m end)()";
        assert_eq!(evaluate(m), "hello hello false hello 2");
        assert_eq!(evaluate("ngx.re.find('hello, 1234', '([0-9])([0-9]+)', 'jo', nil, 2)"), "9 11");
        assert_eq!(evaluate("ngx.re.find('a', 'b')"), "nil");
        assert_eq!(evaluate("ngx.re.find('a', 'a', 'o', nil, 1)"), "nil nil nth out of bound");
        assert_eq!(evaluate("ngx.re.gsub('abc', '[ac]', '<$0>')"), "<a>b<c> 2");
        assert_eq!(evaluate("ngx.re.gsub('äb', 'x*', '-', 'u')"), "-ä-b- 3");
        assert_eq!(evaluate("ngx.re.sub('abc', '(b)', function(m) return m[1] .. 1 end)"), "ab1c 1");
        assert_eq!(evaluate("ngx.re.gsub('äb', 'x*', function(m) return '-' end, 'uo')"), "-ä-b- 3");
        assert_eq!(evaluate("ngx.re.gsub('abc', 'x', 'y', 'jo')"), "abc 0");
    }

    #[test]
    fn failures() {
        assert_eq!(evaluate("ngx.re.match('a', '(abc')"), "nil pcre2_compile() failed: missing closing parenthesis in \"(abc\"");
        assert_eq!(evaluate("ngx.re.sub('a', 'a', '$')"), "nil nil failed to compile the replacement template");
        assert_eq!(evaluate("ngx.re.match('a', 'a', '', { pos = 3 })"), "nil pcre_exec() failed: -33");
        let flag = evaluate("select(2, pcall(ngx.re.match, 'a', 'a', 'oH'))");
        assert!(flag.ends_with("unknown flag \"H\" (flags \"oH\")"), "{flag}");
    }

    #[test]
    fn more_expressions_than_the_cache_holds() {
        let loop_ = "(function() local n = 0 for i = 1, 5000 do \
             if ngx.re.find('x' .. i, 'x' .. i, 'o') then n = n + 1 end \
             n = n + select(2, ngx.re.sub('y' .. i, 'y' .. i, '', 'o')) end return n end)()";
        assert_eq!(evaluate(loop_), "10000");
    }

    #[test]
    fn splitting() {
        let split = |arguments: &str| evaluate(&format!("table.concat(require 'ngx.re'.split({arguments}), '|')"));
        assert_eq!(split("'a,b,,c,', ','"), "a|b||c");
        assert_eq!(split("'a,b,,c,', ',', 'o', nil, 3"), "a|b|,c,");
        assert_eq!(split("'a,b,', ',', nil, nil, 5"), "a|b|");
        assert_eq!(split("'abcd', ''"), "a|b|c|d");
        assert_eq!(split("'a,b', '(,)'"), "a|,|b");
        assert_eq!(split("'äöü', '', 'u'"), "ä|ö|ü");
        assert_eq!(split("'a,b', ',*'"), "a|b");
        assert_eq!(split("'a,b,c', ',', 'jo', { pos = 3 }"), "b|c");
    }
}
