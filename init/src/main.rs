//! PID 1 of a confidential VM. See the library's documentation.

fn main() {
    init::run()
}
