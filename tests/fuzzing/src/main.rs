//! Writes the valid inputs of every target to `corpus/`, beside what fuzzing has found.

use offst_fuzzing::{INPUT_BYTES_MAX, TARGETS};
use std::path::Path;

fn main() -> std::io::Result<()> {
    for target in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
        std::fs::create_dir_all(&folder)?;
        let seeds = (target.seeds)().into_iter().filter(|seed| seed.len() <= INPUT_BYTES_MAX);
        for (number, seed) in seeds.enumerate() {
            std::fs::write(folder.join(format!("valid-{number:02}")), seed)?;
        }
    }
    Ok(())
}
