//! `lunette top`: shows what a running server does, in a terminal, from its `metrics` location.

mod configuration;
mod sample;
mod target;
mod view;

use self::sample::Sample;
use self::target::Target;
use crate::command_error::CommandError;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

const USAGE: &str = "Usage: lunette top [-i SECONDS] [-n COUNT] [-p PREFIX] [-c FILE] [URL]
  URL         where the server's metrics are, such as http://localhost:8080/metrics or
              http://unix:/run/lunette.sock:/metrics; without it the configuration is searched for
              a location with \"metrics\"
  -i SECONDS  time between two looks (default: 1)
  -n COUNT    ends after so many views (default: 1 where the output is no terminal)
  -p, -c      prefix and configuration file, as for a start
";

struct Options {
    target: Target,
    interval: Duration,
    /// Views; `None`: until interrupted.
    count: Option<u64>,
}

/// Runs the command; the result is its exit code.
pub(crate) fn run(arguments: &[OsString]) -> i32 {
    let words: Vec<_> = arguments.iter().map(|argument| argument.to_string_lossy().into_owned()).collect();
    if words.iter().any(|word| matches!(&**word, "-h" | "-?" | "--help")) {
        print!("{USAGE}");
        return 0;
    }
    match parse(&words).and_then(|options| watch(&options)) {
        Ok(()) => 0,
        Err(message) => {
            eprintln!("lunette top: {message}");
            1
        }
    }
}

fn parse(words: &[String]) -> Result<Options, CommandError> {
    let (mut url, mut interval, mut count) = (None, Duration::from_secs(1), None);
    let mut places = daemon::Options::default();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        let mut value = || rest.next().ok_or(format!("option \"{word}\" requires a value"));
        match &**word {
            "-i" => {
                let seconds = value()?.parse::<f64>().ok().filter(|seconds| (0.01..=86400.0).contains(seconds));
                interval = Duration::from_secs_f64(seconds.ok_or("-i: a number of seconds from 0.01 to 86400 is needed")?);
            }
            "-n" => count = Some(value()?.parse::<u64>().ok().filter(|count| *count > 0).ok_or("-n: a number from 1 on is needed")?),
            "-p" => places.prefix = Some(value()?.into()),
            "-c" => places.conf = Some(value()?.into()),
            option if option.starts_with('-') => return Err(format!("invalid option: \"{option}\"\n{}", USAGE.trim_end()).into()),
            other if url.is_none() => url = Some(other),
            _ => return Err(USAGE.trim_end().into()),
        }
    }
    let target = match url {
        Some(url) => Target::parse(url)?,
        None => configuration::find(&places)?,
    };
    Ok(Options { target, interval, count })
}

/// Shows one view after the other: what happened between two looks.
fn watch(options: &Options) -> Result<(), CommandError> {
    let is_terminal = io::stdout().is_terminal();
    let mut left = options.count.or((!is_terminal).then_some(1));
    let (mut before, mut looked) = (fetch(&options.target)?, Instant::now());
    while left != Some(0) {
        std::thread::sleep(options.interval);
        let (now, at) = (fetch(&options.target)?, Instant::now());
        let text = view::render(&before, &now, at.duration_since(looked).as_secs_f64(), &options.target.to_string());
        let shown = if is_terminal { view::on_a_screen(&text) } else { text };
        match io::stdout().lock().write_all(shown.as_bytes()) {
            Ok(()) => {}
            // A reader that has seen enough, such as `head`, is no error.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(error.to_string().into()),
        }
        (before, looked) = (now, at);
        left = left.map(|left| left - 1);
    }
    Ok(())
}

fn fetch(target: &Target) -> Result<Sample, CommandError> {
    let text = target.get().map_err(|error| format!("{target}: {error}"))?;
    Sample::parse(&text)
        .ok_or_else(|| format!("{target}: these are no metrics of Lunette in the text format (\"metrics;\" in a location)").into())
}
