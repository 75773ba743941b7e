//! Generates Rust from the committed output of the schema compiler, so that a build needs no `capnp` program.

use std::{env, fs::File, io::BufReader, path::PathBuf};

const SCHEMA: &str = "../../capnp/schema.bin";

fn main() {
    println!("cargo::rerun-if-changed={SCHEMA}");
    let output = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let schema = File::open(SCHEMA).expect("capnp/schema.bin is in the repository");
    capnpc::codegen::CodeGenerationCommand::new()
        .output_directory(&output)
        .default_parent_module(vec!["wire".into()])
        .run(BufReader::new(schema))
        .expect("capnp/schema.bin is the output of capnp/compile");
}
