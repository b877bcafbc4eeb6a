//! The command line of nginx: single-letter options that may be joined, with values attached or apart.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// What `-s` asks of the running server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Stop at once.
    Stop,
    /// Stop when the open requests are done.
    Quit,
    /// Open the log files again.
    Reopen,
    /// Load the configuration again.
    Reload,
}

impl Control {
    /// The signal that carries the wish to the master.
    #[must_use]
    pub fn signal(self) -> i32 {
        match self {
            Control::Stop => sys::signal::SIGTERM,
            Control::Quit => sys::signal::SIGQUIT,
            Control::Reopen => sys::signal::SIGUSR1,
            Control::Reload => sys::signal::SIGHUP,
        }
    }
}

/// The options of the command line (`-c`, `-p`, `-g`, `-t`, `-s` and the like).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// `-?`, `-h`: print the usage text.
    pub help: bool,
    /// `-v` (and `-h`, `-V`): print the version.
    pub version: bool,
    /// `-V`: print how the binary was built.
    pub configure: bool,
    /// `-t` (and `-T`): check the configuration only.
    pub test: bool,
    /// `-T`: and print it.
    pub dump: bool,
    /// `-w`: check it, and warn of what is dangerous in it.
    pub advise: bool,
    /// `--format=json`: what a check finds is printed for programs.
    pub json: bool,
    /// `-q`: no messages when a check succeeds.
    pub quiet: bool,
    /// `-s`.
    pub control: Option<Control>,
    /// `-p`, as given.
    pub prefix: Option<OsString>,
    /// `-e`, as given; `stderr` means standard error.
    pub error_log: Option<OsString>,
    /// `-c`, as given.
    pub conf: Option<OsString>,
    /// `-g`, as given.
    pub directives: Option<OsString>,
}

base::message_error! {
    /// Why a command line is refused, in nginx's words without its `nginx: `.
    pub struct UsageError;
}

/// Parses the arguments after the program's name.
///
/// # Errors
/// nginx's message, without its `nginx: ` in front.
pub fn parse(arguments: &[OsString]) -> Result<Options, UsageError> {
    let mut options = Options::default();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if argument == "--format=json" {
            options.json = true;
            continue;
        }
        let Some(letters) = argument.as_bytes().strip_prefix(b"-") else {
            return Err(format!("invalid option: \"{}\"", argument.to_string_lossy()).into());
        };
        let mut letters = letters.iter();
        while let Some(&letter) = letters.next() {
            match letter {
                b'?' | b'h' => (options.version, options.help) = (true, true),
                b'v' => options.version = true,
                b'V' => (options.version, options.configure) = (true, true),
                b't' => options.test = true,
                b'T' => (options.test, options.dump) = (true, true),
                b'w' => (options.test, options.advise) = (true, true),
                b'q' => options.quiet = true,
                b'p' | b'e' | b'c' | b'g' | b's' => {
                    let attached = letters.as_slice();
                    let value = match attached {
                        [] => rest.next().cloned(),
                        bytes => Some(OsString::from_vec(bytes.to_vec())),
                    };
                    store(&mut options, letter, value.ok_or_else(|| missing(letter))?)?;
                    break;
                }
                other => return Err(format!("invalid option: \"{}\"", OsStr::from_bytes(&[other]).to_string_lossy()).into()),
            }
        }
    }
    if options.json && !options.test {
        return Err("option \"--format=json\" goes with \"-t\" or \"-w\"".into());
    }
    Ok(options)
}

fn missing(letter: u8) -> String {
    let what = match letter {
        b'p' => "directory name",
        b'e' | b'c' => "file name",
        _ => "parameter",
    };
    format!("option \"-{}\" requires {what}", char::from(letter))
}

fn store(options: &mut Options, letter: u8, value: OsString) -> Result<(), UsageError> {
    match letter {
        b'p' => options.prefix = Some(value),
        b'e' => options.error_log = Some(value),
        b'c' => options.conf = Some(value),
        b'g' => options.directives = Some(value),
        _ => {
            options.control = Some(match value.as_bytes() {
                b"stop" => Control::Stop,
                b"quit" => Control::Quit,
                b"reopen" => Control::Reopen,
                b"reload" => Control::Reload,
                _ => return Err(format!("invalid option: \"-s {}\"", value.to_string_lossy()).into()),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Options, String> {
        let arguments: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        parse(&arguments).map_err(String::from)
    }

    #[test]
    fn flags_combine_and_values_attach() {
        let options = parsed("-tq -c/etc/a.conf -p /srv -gdaemon; -estderr").unwrap();
        assert!(options.test && options.quiet && !options.dump);
        assert_eq!(options.conf.as_deref(), Some(OsStr::new("/etc/a.conf")));
        assert_eq!(options.prefix.as_deref(), Some(OsStr::new("/srv")));
        assert_eq!(options.directives.as_deref(), Some(OsStr::new("daemon;")));
        assert_eq!(options.error_log.as_deref(), Some(OsStr::new("stderr")));
        let options = parsed("-w --format=json").unwrap();
        assert!(options.test && options.advise && options.json);
        assert!(parsed("--format=json").is_err() && parsed("--format=xml").is_err());
        assert_eq!(parsed("-tc x").unwrap().conf.as_deref(), Some(OsStr::new("x")));
        assert_eq!(parsed("-sreload").unwrap().control, Some(Control::Reload));
        assert!(parsed("-h").unwrap().version);
        assert_eq!(parsed("").unwrap(), Options::default());
        assert_eq!(parsed("-").unwrap(), Options::default());
    }

    #[test]
    fn errors_are_nginxs() {
        let table = [
            ("x", "invalid option: \"x\""),
            ("-x", "invalid option: \"x\""),
            ("-tx", "invalid option: \"x\""),
            ("--help", "invalid option: \"-\""),
            ("-c", "option \"-c\" requires file name"),
            ("-te", "option \"-e\" requires file name"),
            ("-p", "option \"-p\" requires directory name"),
            ("-g", "option \"-g\" requires parameter"),
            ("-s", "option \"-s\" requires parameter"),
            ("-s foo", "invalid option: \"-s foo\""),
        ];
        for (line, message) in table {
            assert_eq!(parsed(line), Err(message.to_owned()), "{line}");
        }
    }
}
