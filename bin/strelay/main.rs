//! The relay. See `offst::strelay`.

fn main() -> std::process::ExitCode {
    offst::strelay::main()
}
