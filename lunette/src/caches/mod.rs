//! `lunette cache`: lists the content of a cache's directory from the command line, whether or not a server is running.

mod files;
mod running;

use self::files::{StoredResponse, answers, find};
use cache::{Purge, PurgeTarget};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

const USAGE: &str =
    "Usage: lunette cache ls DIR [--prefix TEXT] [--tag TAG]              lists answers: bytes, age, seconds left, hits, status, key
       lunette cache get DIR KEY [--body]                           writes an answer, its head and its body, or its body alone
       lunette cache purge DIR KEY | --prefix TEXT | --tag TAG [--soft]   removes answers, also from servers that run
";

/// The words of a command line.
#[derive(Default)]
struct Arguments<'a> {
    plain: Vec<&'a str>,
    prefix: Option<&'a str>,
    tag: Option<&'a str>,
    soft: bool,
    body: bool,
}

/// Runs the command; the result is its exit code.
pub(crate) fn run(arguments: &[OsString]) -> i32 {
    let arguments: Vec<_> = arguments.iter().map(|argument| argument.to_string_lossy()).collect();
    let Some(words) = read(arguments.iter().map(|argument| &**argument)) else { return print_error(USAGE.trim_end()) };
    let [action, directory, rest @ ..] = words.plain.as_slice() else {
        return if arguments.iter().any(|word| word == "--help" || word == "-h") { print(USAGE) } else { print_error(USAGE.trim_end()) };
    };
    let root = Path::new(directory);
    if let Err(error) = std::fs::read_dir(root) {
        return print_error(&format!("\"{directory}\" cannot be read: {error}"));
    }
    let done = match (*action, rest) {
        ("ls", []) => list(root, &words),
        ("get", [key]) => get(root, key.as_bytes(), words.body),
        ("purge", rest) => match target(&words, rest) {
            Some(target) => purge(root, &Purge { target, soft: words.soft }),
            None => return print_error("purge needs one of KEY, --prefix and --tag"),
        },
        _ => return print_error(USAGE.trim_end()),
    };
    match done {
        Ok(code) => code,
        // A reader that has seen enough, such as `head`, is no error.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
        Err(error) => print_error(&format!("\"{directory}\": {error}")),
    }
}

/// `None`: an option that is none, or one without its word.
fn read<'a>(mut arguments: impl Iterator<Item = &'a str>) -> Option<Arguments<'a>> {
    let mut words = Arguments::default();
    while let Some(word) = arguments.next() {
        match word {
            "--prefix" => words.prefix = Some(arguments.next()?),
            "--tag" => words.tag = Some(arguments.next()?),
            "--soft" => words.soft = true,
            "--body" => words.body = true,
            "--help" | "-h" => {}
            "--" => words.plain.extend(arguments.by_ref()),
            option if option.starts_with("--") => return None,
            plain => words.plain.push(plain),
        }
    }
    Some(words)
}

fn target<'a>(words: &Arguments<'a>, keys: &[&'a str]) -> Option<PurgeTarget<'a>> {
    match (keys, words.prefix, words.tag) {
        ([key], None, None) => Some(PurgeTarget::Key(key.as_bytes())),
        ([], Some(prefix), None) => Some(PurgeTarget::Prefix(prefix.as_bytes())),
        ([], None, Some(tag)) => Some(PurgeTarget::Tag(tag.as_bytes())),
        _ => None,
    }
}

fn list(root: &Path, words: &Arguments<'_>) -> io::Result<i32> {
    let known = running::keys(root);
    if let Err(reason) = &known {
        eprintln!("lunette cache: hits are not known: {reason}");
    }
    let now = base::clock::now().sec;
    let mut out = BufWriter::new(io::stdout().lock());
    for StoredResponse { digest, head, size, .. } in answers(root) {
        let tagged = || {
            let mut found = words.tag.is_none();
            cache::tags::each_of_head(&head.text, &mut |tag| found |= words.tag.is_some_and(|wanted| tag == wanted.as_bytes()));
            found
        };
        if !words.prefix.is_none_or(|prefix| head.key.starts_with(prefix.as_bytes())) || !tagged() {
            continue;
        }
        let hits = known.as_ref().ok().and_then(|known| known.get(&digest)).map_or("-".to_owned(), |known| known.hits.to_string());
        let (age, left) = (cache::rfc9111::current_age(&head, now), head.valid.saturating_sub(now));
        write!(out, "{size}\t{age}\t{left}\t{hits}\t{}\t", head.status)?;
        out.write_all(&head.key)?;
        out.write_all(b"\n")?;
    }
    out.flush()?;
    Ok(0)
}

fn get(root: &Path, key: &[u8], body_only: bool) -> io::Result<i32> {
    let Some(StoredResponse { head, path, .. }) = find(root, key) else {
        return Ok(print_error(&format!("nothing is kept under \"{}\"", String::from_utf8_lossy(key))));
    };
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(head.body_start() as u64))?;
    let mut out = BufWriter::new(io::stdout().lock());
    if !body_only {
        out.write_all(b"HTTP/1.1 ")?;
        out.write_all(&head.text)?;
        out.write_all(b"\r\n")?;
    }
    io::copy(&mut file.take(head.length), &mut out)?;
    out.flush()?;
    Ok(0)
}

/// Writes the purge down, which running servers notice within a second, and removes what is there of one key.
fn purge(root: &Path, purge: &Purge<'_>) -> io::Result<i32> {
    let found = match purge.target {
        PurgeTarget::Key(key) => match find(root, key) {
            Some(stored) => Some(stored),
            None => return Ok(print_error(&format!("nothing is kept under \"{}\"", String::from_utf8_lossy(key)))),
        },
        PurgeTarget::Prefix(_) | PurgeTarget::Tag(_) => None,
    };
    cache::purges::add(root, i64::try_from(base::clock::epoch_ms()).unwrap_or(i64::MAX), purge)?;
    if let Some(stored) = found.filter(|_| !purge.soft) {
        std::fs::remove_file(stored.path)?;
    }
    Ok(0)
}

fn print(text: &str) -> i32 {
    let written = io::stdout().lock().write_all(text.as_bytes());
    i32::from(written.is_err_and(|error| error.kind() != io::ErrorKind::BrokenPipe))
}

fn print_error(message: &str) -> i32 {
    eprintln!("lunette cache: {message}");
    1
}
