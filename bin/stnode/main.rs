//! The node. See `offst::stnode`.

fn main() -> std::process::ExitCode {
    offst::stnode::main()
}
