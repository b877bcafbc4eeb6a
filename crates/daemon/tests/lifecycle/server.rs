//! The server under test: answers each line with a configured word and the worker's process id.

use std::cell::Cell;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;

use base::log::{ErrorLog, Level, LogFile, Sink, Target};
use daemon::{Application, Command, Identity, LoadError, LoadMode, Options, Program, Settings, WorkerSetup};
use net::accept::Acceptor;
use net::address::SocketAddress;
use net::listener::ListenSpec;
use net::stream::{Stream, Transport};

pub(crate) struct Generation {
    settings: Settings,
    answer: String,
    text: String,
    file: Option<Rc<LogFile>>,
    /// Workers die before they take connections.
    crash: bool,
}

#[derive(Default)]
struct Echo {
    prefix: PathBuf,
}

pub(crate) fn main(arguments: Vec<OsString>) -> i32 {
    let identity = Identity {
        product: "lunette",
        version: "1.31.3",
        built_with: "nothing".into(),
        configure_arguments: "--with-tests".into(),
        prefix: "/".into(),
        conf_path: "nginx.conf".into(),
        error_log_path: "error.log".into(),
    };
    let program = Program { identity, subcommands: &[("count", |rest| i32::try_from(rest.len()).unwrap_or(99))] };
    daemon::run(&mut Echo::default(), &program, arguments)
}

impl Echo {
    fn file(&self, options: &Options, name: &str) -> PathBuf {
        PathBuf::from(options.prefix.clone().unwrap_or_default()).join(name)
    }
}

impl Application for Echo {
    type Generation = Generation;

    fn conf_file(&self, options: &Options) -> String {
        self.file(options, "nginx.conf").display().to_string()
    }

    fn early_log(&self, options: &Options) -> ErrorLog {
        let file = LogFile::open(&self.file(options, "error.log")).ok();
        ErrorLog::new(file.map(|file| Target { sink: Sink::File(file), level: Level::Notice }).into_iter().collect())
    }

    fn load(&mut self, options: &Options, _: Option<&Generation>, _: LoadMode) -> Result<Generation, LoadError> {
        self.prefix = self.file(options, "");
        let conf = self.conf_file(options);
        let text = std::fs::read_to_string(&conf).map_err(|error| LoadError::new(error.to_string()))?;
        let mut settings = Settings::new(self.file(options, "nginx.pid"), ErrorLog::new(Vec::new()));
        let (mut answer, mut crash) = (String::new(), false);
        for (number, line) in text.lines().enumerate() {
            match line.split_once(' ').unwrap_or((line, "")) {
                ("listen", address) => {
                    settings.listeners.push(ListenSpec::new(SocketAddress::Internet(address.parse().unwrap())));
                }
                ("answer", word) => answer = word.to_owned(),
                ("workers", count) => settings.worker_processes = count.parse().unwrap(),
                ("timeout", ms) => {
                    settings.worker_shutdown_timeout = Some(std::time::Duration::from_millis(ms.parse().unwrap()));
                }
                ("panic", message) => panic!("{message}"),
                ("crash", at) => crash = at == "start",
                ("daemon", value) => settings.daemon = value == "on",
                ("master", value) => settings.master_process = value == "on",
                (word, _) => return Err(LoadError::new(format!("unknown directive \"{word}\" in {conf}:{}", number + 1))),
            }
        }
        Ok(Generation { settings, answer, text, file: None, crash })
    }

    fn open(&mut self, generation: &mut Generation, _: Option<&Generation>, _: LoadMode) -> Result<(), LoadError> {
        let file = LogFile::open(&self.prefix.join("error.log")).map_err(|error| LoadError::new(error.to_string()))?;
        generation.settings.error_log = ErrorLog::new(vec![Target { sink: Sink::File(file.clone()), level: Level::Notice }]);
        generation.file = Some(file);
        Ok(())
    }

    fn settings<'a>(&self, generation: &'a Generation) -> &'a Settings {
        &generation.settings
    }

    fn dump(&self, generation: &Generation, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(generation.text.as_bytes())
    }

    fn reopen(&mut self, generation: &Generation) {
        generation.file.as_ref().unwrap().reopen().unwrap();
    }

    fn child_died(&mut self, _: &Generation, _: i32) {}

    fn run_worker(&mut self, generation: Generation, seat: WorkerSetup) -> i32 {
        if generation.crash {
            sys::process::exit_now(3);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, serve(generation, seat))
    }
}

async fn serve(generation: Generation, seat: WorkerSetup) -> i32 {
    let mut commands = seat.commands.start(generation.settings.error_log.clone()).unwrap();
    let (_, listener) = seat.listeners.into_iter().next().unwrap();
    let mut acceptor = Some(Acceptor::new(listener, !seat.single).unwrap());
    let answer: Rc<str> = generation.answer.as_str().into();
    let open = Rc::new(Cell::new(0_u32));
    let closed = Rc::new(tokio::sync::Notify::new());
    commands.ready();
    let take = |connection: OwnedFd| {
        let stream = Stream::from_fd(connection, Transport::Tcp);
        open.set(open.get() + 1);
        let (answer, open, closed) = (answer.clone(), open.clone(), closed.clone());
        tokio::task::spawn_local(async move {
            // A client that leaves early is no fault of the server.
            let _ = converse(stream, &answer).await;
            open.set(open.get() - 1);
            closed.notify_one();
        });
    };
    loop {
        if acceptor.is_none() && open.get() == 0 {
            return 0;
        }
        let connection = async {
            match &mut acceptor {
                Some(acceptor) => acceptor.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            accepted = connection => take(accepted.unwrap().0),
            command = commands.next() => match command.unwrap() {
                Command::Quit => {
                    // The kernel wakes one worker for a connection: what this one was woken for nobody else takes.
                    let leaving = acceptor.take();
                    leaving.iter().for_each(Acceptor::retire);
                    leaving.iter().flat_map(|acceptor| std::iter::from_fn(|| acceptor.take_waiting())).for_each(|(connection, _)| take(connection));
                    commands.stopped();
                }
                Command::Terminate | Command::ShutdownTimeout => return 0,
                Command::Begin => generation.settings.error_log.write(Level::Notice, 0, b"begins"),
                Command::Reopen => generation.file.as_ref().unwrap().reopen().unwrap(),
            },
            () = closed.notified() => (),
        }
    }
}

async fn converse(mut stream: Stream, answer: &str) -> io::Result<()> {
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        if stream.read(&mut line).await? == 0 {
            return Ok(());
        }
    }
    if line == b"fatal\n" {
        sys::process::exit_now(2);
    }
    stream.write_all(format!("{answer} {}\n", sys::process::id()).as_bytes()).await
}
