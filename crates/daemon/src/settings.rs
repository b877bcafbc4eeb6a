//! The settings of the process model, as plain data.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use base::log::ErrorLog;
use net::listener::ListenSpec;
use sys::identity::Account;

/// One `env` directive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvEntry {
    /// The variable.
    pub name: OsString,
    /// Its value; `None` keeps the one that the server was started with, if any.
    pub value: Option<OsString>,
}

/// The CPUs that `worker_cpu_affinity` assigns to each worker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Affinity {
    /// One set of processor numbers per worker; the last stands for all further workers. Empty: no binding.
    pub masks: Vec<Vec<usize>>,
    /// `auto`: each worker gets one processor of the first set (of all, when there is no set) in turn.
    pub auto: bool,
}

impl Affinity {
    /// The processors for worker `number`; `None` leaves it free.
    #[must_use]
    pub fn of(&self, number: usize) -> Option<Vec<usize>> {
        if !self.auto {
            return self.masks.get(number).or(self.masks.last()).cloned();
        }
        let all: Vec<usize> = (0..sys::limits::processors()).collect();
        let allowed = self.masks.first().unwrap_or(&all);
        let place = number.checked_rem(allowed.len())?;
        allowed.get(place).map(|processor| vec![*processor])
    }
}

/// The directives of the main level that concern processes. The application fills them from its configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `daemon`.
    pub daemon: bool,
    /// `master_process`.
    pub master_process: bool,
    /// `worker_processes`; the application resolves `auto` with [`sys::limits::processors`].
    pub worker_processes: usize,
    /// `user`: whom workers run as when the master is root, with the group resolved.
    pub user: Option<Account>,
    /// Workers bind sockets to addresses of other machines (`proxy_bind … transparent`).
    pub transparent: bool,
    /// `pid`, absolute.
    pub pid: PathBuf,
    /// `working_directory`.
    pub working_directory: Option<PathBuf>,
    /// `worker_rlimit_nofile`.
    pub worker_rlimit_nofile: Option<u64>,
    /// `worker_rlimit_core`, in bytes.
    pub worker_rlimit_core: Option<u64>,
    /// `worker_cpu_affinity`.
    pub worker_cpu_affinity: Affinity,
    /// `worker_priority`, a nice value.
    pub worker_priority: i32,
    /// `worker_shutdown_timeout`: how long a graceful shutdown may take.
    pub worker_shutdown_timeout: Option<Duration>,
    /// `env`. `TZ` is kept without being named.
    pub env: Vec<EnvEntry>,
    /// All listening addresses of the configuration.
    pub listeners: Vec<ListenSpec>,
    /// The main level's error log.
    pub error_log: ErrorLog,
    /// Whether there is a process with the master's user in addition to the workers.
    pub privileged_agent: bool,
    /// Some log of the configuration is standard error, which therefore is not turned into the main log's file.
    pub keep_stderr: bool,
}

impl Settings {
    /// nginx's defaults, with the two values that have none.
    #[must_use]
    pub fn new(pid: PathBuf, error_log: ErrorLog) -> Self {
        Self {
            daemon: true,
            master_process: true,
            worker_processes: 1,
            user: None,
            transparent: false,
            pid,
            working_directory: None,
            worker_rlimit_nofile: None,
            worker_rlimit_core: None,
            worker_cpu_affinity: Affinity::default(),
            worker_priority: 0,
            worker_shutdown_timeout: None,
            env: Vec::new(),
            listeners: Vec::new(),
            error_log,
            privileged_agent: false,
            keep_stderr: false,
        }
    }

    /// The environment of workers and of a new binary, made of the one that the server was started with.
    #[must_use]
    pub fn environment(&self, original: &[(OsString, OsString)]) -> Vec<(OsString, OsString)> {
        let named_tz = self.env.iter().any(|entry| entry.name == "TZ");
        let tz = (!named_tz).then(|| EnvEntry { name: "TZ".into(), value: None });
        let from_start = |name: &OsString| original.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone());
        self.env
            .iter()
            .chain(&tz)
            .filter_map(|entry| Some((entry.name.clone(), entry.value.clone().or_else(|| from_start(&entry.name))?)))
            .collect()
    }

    /// How many processes of one generation take connections.
    pub(crate) fn worker_count(&self) -> usize {
        if self.master_process { self.worker_processes.max(1) } else { 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::log::Level;

    #[test]
    fn env_keeps_tz_and_what_is_named() {
        let mut settings = Settings::new(PathBuf::new(), ErrorLog::stderr(Level::Error));
        settings.env.push(EnvEntry { name: "A".into(), value: None });
        settings.env.push(EnvEntry { name: "B".into(), value: Some("new".into()) });
        settings.env.push(EnvEntry { name: "GONE".into(), value: None });
        let start = [("A", "1"), ("B", "old"), ("TZ", "UTC"), ("C", "3")].map(|(n, v)| (OsString::from(n), OsString::from(v)));
        let expected = [("A", "1"), ("B", "new"), ("TZ", "UTC")].map(|(n, v)| (OsString::from(n), OsString::from(v)));
        assert_eq!(settings.environment(&start), expected);
    }

    #[test]
    fn affinity_repeats_the_last_mask_and_auto_goes_round() {
        let masks = Affinity { masks: vec![vec![0], vec![1, 2]], auto: false };
        assert_eq!((masks.of(0), masks.of(5)), (Some(vec![0]), Some(vec![1, 2])));
        let auto = Affinity { masks: vec![vec![3, 5]], auto: true };
        assert_eq!((auto.of(1), auto.of(2)), (Some(vec![5]), Some(vec![3])));
        assert_eq!(Affinity::default().of(0), None);
    }
}
