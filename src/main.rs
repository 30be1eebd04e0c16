//! The `stillpoint` program. Everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    // A guard is this same binary started anew. It is told apart before anything else is read, parsed or logged.
    if std::env::args_os().nth(1).is_some_and(|first| first == stillpoint::guard::ARGUMENT) {
        return stillpoint::guard::main();
    }
    if stillpoint::guard::init::is_first() {
        return stillpoint::guard::init::main();
    }
    stillpoint::cli::main()
}
