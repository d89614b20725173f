//! The `ravelin` program; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    host::cli::main()
}
