//! Name and version of the program.

use std::ffi::OsString;

/// Name, version and how it was built, for `-v`, `-V`, the usage text and the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Product name before the slash.
    pub product: &'static str,
    /// Version after the slash.
    pub version: &'static str,
    /// The rest of the line `built with …` of `-V`: libraries and their versions.
    pub built_with: String,
    /// The rest of the line `configure arguments: …` of `-V`; scripts search it for `--with-…`.
    pub configure_arguments: String,
    /// Default prefix, as shown in the usage text.
    pub prefix: String,
    /// Default configuration file, relative to the prefix.
    pub conf_path: String,
    /// Default error log, relative to the prefix.
    pub error_log_path: String,
}

/// A second command in the same binary: its name and what it does with the arguments after the name. The result is the
/// exit code.
pub type Subcommand = (&'static str, fn(&[OsString]) -> i32);

/// What the binary tells the process model about itself.
#[derive(Debug)]
pub struct Program {
    /// Name and version.
    pub identity: Identity,
    /// Commands that are chosen by a plain word as first argument.
    pub subcommands: &'static [Subcommand],
}

impl Identity {
    /// The line of `-v`.
    #[must_use]
    pub(crate) fn version_line(&self) -> String {
        format!("nginx version: {}/{}\n", self.product, self.version)
    }

    /// The further lines of `-V`.
    #[must_use]
    pub(crate) fn configure_lines(&self) -> String {
        format!("built with {}\nconfigure arguments: {}\n", self.built_with, self.configure_arguments)
    }

    /// The text of `-h` after the version line.
    #[must_use]
    pub fn usage(&self) -> String {
        format!(
            "Usage: nginx [-?hvVtTq] [-s signal] [-p prefix]\n\
             \x20            [-e filename] [-c filename] [-g directives]\n\n\
             Options:\n\
             \x20 -?,-h         : show this text\n\
             \x20 -v            : show the version\n\
             \x20 -V            : show the version and the build options\n\
             \x20 -t            : check the configuration\n\
             \x20 -T            : check the configuration and print all of it\n\
             \x20 -w            : check the configuration and warn of what is dangerous in it\n\
             \x20 -q            : with -t or -T, print errors only\n\
             \x20 --format=json : with -t or -w, print what is wrong as JSON\n\
             \x20 -s signal     : tell the running server to stop, quit, reopen or reload\n\
             \x20 -p prefix     : directory that relative paths start from (default: {})\n\
             \x20 -e filename   : error log until the configuration names one (default: {})\n\
             \x20 -c filename   : configuration file (default: {})\n\
             \x20 -g directives : directives for the main level, beside the file\n\n",
            self.prefix, self.error_log_path, self.conf_path
        )
    }
}
