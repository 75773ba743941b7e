//! The schemas, their compiled form and their hash belong together: whoever changes a schema runs capnp/compile.

use std::path::{Path, PathBuf};
use std::process::Command;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../capnp")
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap_or_else(|error| panic!("capnp/{name}: {error}"))
}

/// The schemas in the order in which capnp/compile gives them to the compiler.
fn schemas() -> Vec<String> {
    let script = String::from_utf8(read("compile")).unwrap();
    let line = script.lines().find(|line| line.starts_with("capnp compile")).expect("capnp/compile calls the compiler");
    line.split_whitespace().filter(|word| word.ends_with(".capnp")).map(str::to_owned).collect()
}

#[test]
fn every_schema_is_compiled() {
    let entries = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut found: Vec<_> = entries.filter(|name| name.ends_with(".capnp")).collect();
    found.sort();
    let mut compiled = schemas();
    compiled.sort();
    assert_eq!(compiled, found);
}

#[test]
fn the_hash_is_that_of_the_schemas() {
    let sources: Vec<_> = schemas().iter().map(|name| read(name)).collect();
    let hash = offst_crypto::sha256(&sources.concat());
    let hex: String = hash.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let noted = String::from_utf8(read("schema.sha256")).unwrap();
    assert_eq!(noted.trim_end(), hex, "a schema was changed: run capnp/compile");
}

/// Says nothing about machines without the compiler: building needs none, and the hash is compared everywhere.
#[test]
fn the_compiled_form_is_that_of_the_schemas() {
    let output = Command::new("capnp").args(["compile", "-o-"]).args(schemas()).current_dir(folder()).output();
    let output = match output {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("not compared: the program capnp is not installed");
            return;
        }
        Err(error) => panic!("capnp: {error}"),
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let committed = read("schema.bin");
    // Another version of the compiler writes its number into its output, and may order it differently.
    if version_in(&committed) != version_in(&output.stdout) {
        println!("not compared: another version of capnp is installed");
        return;
    }
    assert!(committed == output.stdout, "capnp/schema.bin is not what the compiler makes of the schemas: run capnp/compile");
}
