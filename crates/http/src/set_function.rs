//! The functions behind directives that assign a function of a value to a variable (`set_md5 $sum $name`), by the directive's name:
//! what `array_map_op` and `ndk.set_var` call (ngx_devel_kit's README, `ndk_set_var_value`).

use conf::configs::ConfMap;
use conf::scope::Config;

base::message_error! {
    /// Why a function has no value, as the error log says it.
    pub struct CallError;
}

/// Appends the function's value for a text, by the values of the location that it is called in.
///
/// # Errors
/// What the error log says; a directive then ends its request with status 500.
pub type Call = fn(&ConfMap, &[u8], &mut Vec<u8>) -> Result<(), CallError>;

/// A function with its name.
#[derive(Clone, Copy, Debug)]
pub struct SetFunction {
    /// The directive that assigns it.
    pub name: &'static str,
    /// One line for the manual.
    pub doc: &'static str,
    /// The function.
    pub call: Call,
}

/// All of them, at the main level. Modules add theirs when `http { }` has been read.
#[derive(Clone, Debug, Default)]
pub struct SetFunctions(Vec<SetFunction>);

impl Config for SetFunctions {
    fn inherit(&mut self, _: &Self) {}
}

impl SetFunctions {
    /// Adds the functions of a module.
    pub fn add(&mut self, functions: &[SetFunction]) {
        self.0.extend_from_slice(functions);
    }

    /// The function of a directive.
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Option<&SetFunction> {
        self.0.iter().find(|function| function.name.as_bytes() == name)
    }
}
