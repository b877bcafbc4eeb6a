//! `lunette help`: the manual in the terminal, and as HTML.

mod html;
mod markup;
mod page;
mod search;
mod terminal;

use self::page::Page;
use flate2::read::DeflateDecoder;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;

/// The pages and plots, as `build.rs` packs them.
const PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/manual.deflate"));

const USAGE: &str = "Usage: lunette help [WORD]       the section of the manual about a directive, a variable, a function or a library
       lunette help PAGE         what a page is about and what it explains: lunette help http/proxy
       lunette help --html DIR   writes the manual as HTML
       lunette help --names      all names that the manual explains, one a line
";

/// Runs the command; the result is its exit code.
pub(crate) fn run(arguments: &[OsString]) -> i32 {
    let arguments: Vec<_> = arguments.iter().map(|argument| argument.to_string_lossy()).collect();
    let words: Vec<&str> = arguments.iter().map(|argument| &**argument).collect();
    let packed = match unpacked() {
        Ok(packed) => packed,
        Err(error) => return print_error(&format!("the manual cannot be read: {error}")),
    };
    let pages = page::pages(&packed);
    match words.as_slice() {
        [] => print(&terminal::overview(&pages, USAGE)),
        ["--help" | "-h" | "-?"] => print(USAGE),
        ["--names"] => print(&search::names(&pages).into_iter().map(|name| format!("{name}\n")).collect::<String>()),
        ["--html", directory] => match html::write(&pages, page::plots(&packed), Path::new(directory)) {
            Ok(()) => 0,
            Err(error) => print_error(&format!("{directory}: {error}")),
        },
        [option, ..] if option.starts_with("--") => print_error(USAGE.trim_end()),
        [word] => explain(&pages, word),
        _ => print_error(USAGE.trim_end()),
    }
}

fn explain(pages: &[Page], word: &str) -> i32 {
    let found = search::find(pages, word);
    if !found.is_empty() {
        return print(&terminal::rendered(&found, io::stdout().is_terminal()));
    }
    if engine::directives::unsupported::names().any(|name| name == word) {
        return print_error(&format!("\"{word}\" directive is not supported yet, see {}", engine::directives::unsupported::PAGE));
    }
    let near = search::near(pages, word);
    let hint = if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(", ")) };
    print_error(&format!("the manual has no section about \"{word}\"{hint}"))
}

fn unpacked() -> io::Result<String> {
    let mut text = String::new();
    DeflateDecoder::new(PACKED).read_to_string(&mut text)?;
    Ok(text)
}

/// Prints; a reader that has seen enough, such as `head`, is no error.
fn print(text: &str) -> i32 {
    let written = io::stdout().lock().write_all(text.as_bytes());
    i32::from(written.is_err_and(|error| error.kind() != io::ErrorKind::BrokenPipe))
}

fn print_error(message: &str) -> i32 {
    eprintln!("lunette help: {message}");
    1
}
