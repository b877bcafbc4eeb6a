//! The options of `resty`.

use crate::command_error::CommandError;
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// The text of `-h`.
pub(super) const USAGE: &str = "\
resty [options] [lua-file [args]]

The file \"-\", or no file and no -e, is code on standard input.

Options:
    -c NUM                Number of connections (64 by default).
    -e PROG               Runs this code; may be given several times.
    --errlog-level LEVEL  Level of the error log, which is standard error (warn by default).
    -h, --help            This text.
    --http-conf CONF      Text to put into the http block.
    --http-include PATH   File to include in the http block.
    -I DIR                Adds a directory in which modules are found.
    -l LIB                Requires this module before the code runs.
    --main-conf CONF      Text to put at the top level of the configuration.
    --main-include PATH   File to include at the top level of the configuration.
    --nginx PATH          The server's binary (this one by default).
    --ns IP               A name server (those of /etc/resolv.conf by default); may be given several times.
    --resolve-ipv6        Names have IPv6 addresses too.
    --shdict 'NAME SIZE'  Declares a shared dictionary; may be given several times.
    -v, -V                Version, and how the server was built.

Words of one letter may be joined with their values; `--option=value` is understood.
";

/// What is to be run, and how.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) connections: Option<u32>,
    pub(super) inline: Vec<Vec<u8>>,
    pub(super) level: Option<String>,
    pub(super) http_conf: Vec<String>,
    pub(super) http_include: Vec<String>,
    pub(super) main_conf: Vec<String>,
    pub(super) main_include: Vec<String>,
    pub(super) directories: Vec<String>,
    pub(super) modules: Vec<String>,
    pub(super) name_servers: Vec<String>,
    pub(super) ipv6: bool,
    pub(super) dictionaries: Vec<String>,
    pub(super) program: Option<OsString>,
    pub(super) file: Option<OsString>,
    /// Code read from standard input.
    pub(super) source: Option<Vec<u8>>,
    pub(super) arguments: Vec<OsString>,
}

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Help,
    /// `-v` or `-V`.
    Version(&'static str),
    Run(Box<Options>),
}

const LEVELS: [&str; 8] = ["debug", "info", "notice", "warn", "error", "crit", "alert", "emerg"];

/// Reads the words after the command's name.
pub(super) fn parse(words: &[OsString]) -> Result<Mode, CommandError> {
    let mut options = Options::default();
    let mut rest: VecDeque<OsString> = words.iter().cloned().collect();
    while let Some(word) = rest.pop_front() {
        let bytes = word.as_bytes();
        if !bytes.starts_with(b"-") || bytes == b"-" {
            options.file = Some(word);
            break;
        }
        if bytes == b"--" {
            options.file = rest.pop_front();
            break;
        }
        match bytes {
            b"-h" | b"--help" => return Ok(Mode::Help),
            b"-v" => return Ok(Mode::Version("-v")),
            b"-V" => return Ok(Mode::Version("-V")),
            b"--resolve-ipv6" => options.ipv6 = true,
            _ => {
                let (name, value) = split(bytes);
                let known = ["-c", "-e", "-I", "-l"].contains(&&*name) || LONG.contains(&&*name);
                if !known {
                    return Err(format!("unknown option {name}; see resty -h.").into());
                }
                let value = value.or_else(|| rest.pop_front()).ok_or_else(|| format!("option {name} takes an argument but found none."))?;
                store(&mut options, &name, value)?;
            }
        }
    }
    options.arguments = rest.into();
    Ok(Mode::Run(Box::new(options)))
}

const LONG: [&str; 8] = ["--errlog-level", "--http-conf", "--http-include", "--main-conf", "--main-include", "--nginx", "--ns", "--shdict"];

/// An option's name, and its value if it is attached.
fn split(word: &[u8]) -> (String, Option<OsString>) {
    let at = if word.starts_with(b"--") { word.iter().position(|byte| *byte == b'=') } else { (word.len() > 2).then_some(2) };
    match at {
        Some(at) => {
            let (name, value) = word.split_at(at);
            let value = if name.starts_with(b"--") { value.get(1..).unwrap_or_default() } else { value };
            (String::from_utf8_lossy(name).into_owned(), Some(OsStr::from_bytes(value).to_owned()))
        }
        None => (String::from_utf8_lossy(word).into_owned(), None),
    }
}

fn store(options: &mut Options, name: &str, value: OsString) -> Result<(), CommandError> {
    if name == "-e" {
        options.inline.push(value.into_vec());
        return Ok(());
    }
    if name == "--nginx" {
        options.program = Some(value);
        return Ok(());
    }
    let text = value.into_string().map_err(|_| format!("the argument of {name} is not UTF-8."))?;
    match name {
        "-c" => options.connections = Some(text.parse().map_err(|_| format!("invalid number of connections: {text}"))?),
        "--errlog-level" if LEVELS.contains(&&*text) => options.level = Some(text),
        "--errlog-level" => return Err(format!("invalid error log level: {text}; must be one of {}.", LEVELS.join(", ")).into()),
        "--http-conf" => options.http_conf.push(text),
        "--http-include" => options.http_include.push(text),
        "--main-conf" => options.main_conf.push(text),
        "--main-include" => options.main_include.push(text),
        "--ns" => options.name_servers.push(text),
        "--shdict" => options.dictionaries.push(text),
        "-I" => options.directories.push(text),
        _ => options.modules.push(text),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Mode, String> {
        parse(&words.iter().map(OsString::from).collect::<Vec<_>>()).map_err(String::from)
    }

    #[test]
    fn options_end_at_the_file() {
        let words = ["-c", "9", "-Ilib", "--shdict=a 1m", "--shdict", "b 2m", "-e", "x()", "--errlog-level", "info", "run.lua", "-e", "--"];
        let Mode::Run(options) = parsed(&words).unwrap() else { panic!("must run") };
        assert_eq!((options.connections, options.directories, options.inline), (Some(9), vec!["lib".into()], vec![b"x()".to_vec()]));
        assert_eq!(options.dictionaries, ["a 1m", "b 2m"]);
        assert_eq!(options.level.as_deref(), Some("info"));
        assert_eq!((options.file, options.arguments), (Some("run.lua".into()), vec!["-e".into(), "--".into()]));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (words, message) in [
            (&["-e"][..], "option -e takes an argument but found none."),
            (&["--gdb", "x"], "unknown option --gdb; see resty -h."),
            (&["-c", "many", "x"], "invalid number of connections: many"),
        ] {
            assert_eq!(parsed(words), Err(message.to_owned()));
        }
        assert_eq!(parsed(&["-V"]), Ok(Mode::Version("-V")));
        assert_eq!(parsed(&["--help"]), Ok(Mode::Help));
    }
}
