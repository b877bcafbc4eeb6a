//! Why a command of the program (`resty`, `top`, `caches`) fails.

base::message_error! {
    /// What is printed, without the program's name.
    pub(crate) struct CommandError;
}
