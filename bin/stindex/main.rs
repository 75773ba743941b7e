//! The index server. See `offst::stindex`.

fn main() -> std::process::ExitCode {
    offst::stindex::main()
}
