//! The control program. See `offst::stctrl`.

fn main() -> std::process::ExitCode {
    offst::stctrl::main()
}
