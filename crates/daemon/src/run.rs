//! From the command line to the master's loop.

use std::ffi::{CString, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::rc::Rc;

use base::errno::describe;
use base::log::Level;
use net::listener::{Listeners, Purpose};
use sys::title::Title;

use crate::application::{Application, LoadError, LoadMode};
use crate::cli::{Options, parse};
use crate::console::{Console, print, print_message};
use crate::guard::guarded;
use crate::identity::Program;
use crate::master::Master;
use crate::upgrade::NGINX;
use crate::worker::Inherited;
use crate::{pidfile, single, upgrade};

/// Does what the command line says: prints, tests, signals, or serves until told to stop. `arguments` starts with the
/// program's name. Returns the exit code. The process must have one thread.
pub fn run<A: Application>(app: &mut A, program: &Program, arguments: Vec<OsString>) -> i32 {
    base::clock::set_offset(sys::time::local_offset);
    let given = arguments.get(1..).unwrap_or_default();
    if let Some((name, rest)) = given.split_first()
        && let Some((_, command)) = program.subcommands.iter().find(|(known, _)| name == known)
    {
        return command(rest);
    }
    let options = match parse(given) {
        Ok(options) => options,
        Err(error) => {
            print_message(&error.to_string());
            return 1;
        }
    };
    if options.version {
        print(&program.identity.version_line());
        if options.help {
            print(&program.identity.usage());
        }
        if options.configure {
            print(&program.identity.configure_lines());
        }
        if !options.test {
            return 0;
        }
    }
    let console = Console { log: app.early_log(&options), terminal: true, keep_stderr: false };
    if options.test {
        return test(app, &options, console);
    }
    if let Some(control) = options.control {
        return match guarded(|| app.load(&options, None, LoadMode::Signal)) {
            Ok(generation) => pidfile::control(&app.settings(&generation).pid, control, &console),
            Err(error) => {
                console.refuse(&error);
                1
            }
        };
    }
    serve(app, program, options, arguments, console)
}

fn test<A: Application>(app: &mut A, options: &Options, console: Console) -> i32 {
    if options.json {
        return crate::checked::test(app, options, console);
    }
    let file = app.conf_file(options);
    let Some(generation) = try_configuration(app, options, console) else {
        print_message(&format!("configuration file {file} test failed"));
        return 1;
    };
    if options.advise {
        for problem in app.advice(options) {
            print_message(&format!("[{}] {}", problem.level.name(), problem.message));
        }
    }
    if !options.quiet {
        print_message(&format!("configuration file {file} test is successful"));
    }
    if options.dump {
        let mut out = std::io::stdout().lock();
        if app.dump(&generation, &mut out).and_then(|()| out.flush()).is_err() {
            return 1;
        }
    }
    0
}

fn try_configuration<A: Application>(app: &mut A, options: &Options, mut console: Console) -> Option<A::Generation> {
    let mode = if options.dump { LoadMode::Dump } else { LoadMode::Test };
    let refuse = |console: &Console, error: LoadError| console.refuse(&error);
    let mut generation = console.load(app, options, None, mode).map_err(|error| refuse(&console, error)).ok()?;
    if !options.quiet {
        print_message(&format!("the configuration file {} syntax is ok", app.conf_file(options)));
    }
    if !pidfile::probe(&app.settings(&generation).pid, &console) {
        return None;
    }
    guarded(|| app.open(&mut generation, None, mode)).map_err(|error| refuse(&console, error)).ok()?;
    let settings = app.settings(&generation);
    console.log = settings.error_log.clone();
    let mut report = |level: Level, message: &str| console.report(level, message);
    Listeners::new().open(&settings.listeners, settings.worker_processes, Purpose::Test, &mut report).ok()?;
    Some(generation)
}

fn serve<A: Application>(app: &mut A, program: &Program, options: Options, arguments: Vec<OsString>, mut console: Console) -> i32 {
    let environment: Vec<_> = std::env::vars_os().collect();
    let mut parent = sys::process::parent_id();
    sys::arguments::publish(&arguments);
    // Without a title `ps` shows the command line, which is no reason not to start.
    let title = Title::take_over().ok().map(Rc::new);
    let mut listeners = match std::env::var(NGINX) {
        Ok(variable) => Listeners::inherit(&variable, &mut |level, message| console.report(level, message)),
        Err(_) => Listeners::new(),
    };
    app.inherit(upgrade::legacy());
    let loaded = console.load(app, &options, None, LoadMode::Run).and_then(|mut generation| {
        guarded(|| app.open(&mut generation, None, LoadMode::Run))?;
        Ok(generation)
    });
    let generation = match loaded {
        Ok(generation) => generation,
        Err(error) => {
            console.refuse(&error);
            return 1;
        }
    };
    let settings = app.settings(&generation).clone();
    console.log = settings.error_log.clone();
    let count = settings.worker_count();
    let opened = listeners.open(&settings.listeners, count, Purpose::Serve, &mut |level, message| console.report(level, message));
    if opened.is_err() {
        return 1;
    }
    console.report(Level::Notice, &format!("{}/{}", program.identity.product, program.identity.version));
    if let Err(error) = block_signals(settings.master_process) {
        console.report(Level::Emerg, &format!("sigprocmask() failed {}", describe(&error)));
        return 1;
    }
    let mut daemon = listeners.inherited();
    let mut foreground = None;
    if settings.daemon && !daemon {
        parent = sys::process::id();
        match sys::process::daemonize() {
            Ok(waiting) => foreground = Some(waiting),
            Err((call, error)) => {
                console.report(Level::Emerg, &format!("{call} failed {}", describe(&error)));
                return 1;
            }
        }
        daemon = true;
    }
    if !pidfile::write(&settings.pid, &console) {
        return 1;
    }
    console.keep_stderr = settings.keep_stderr;
    console.redirect_stderr();
    console.terminal = false;
    if let Some(waiting) = foreground {
        waiting.release();
    }
    let inherited = Inherited { title, environment, daemon };
    if !settings.master_process {
        return single::cycle(app, generation, listeners, &inherited, &console);
    }
    let arguments = arguments.into_iter().filter_map(|argument| CString::new(argument.into_vec()).ok()).collect();
    Master::new(app, options, arguments, inherited, parent, console, generation, listeners).cycle()
}

fn block_signals(master: bool) -> std::io::Result<()> {
    sys::signal::ignore(sys::signal::SIGPIPE)?;
    sys::signal::ignore(sys::signal::SIGSYS)?;
    // Kept pending from here on, so that nothing that arrives during the start is lost.
    sys::signal::block(if master { &crate::master::SIGNALS } else { &crate::commands::SIGNALS })
}
