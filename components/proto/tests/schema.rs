//! The schemas, their compiled form and their hash belong together: a change of a schema needs capnp/compile.

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

/// The version of the compiler that wrote a compiled form.
fn compiler(compiled: &[u8]) -> (u16, u8, u8) {
    let message = capnp::serialize::read_message(compiled, capnp::message::ReaderOptions::new()).unwrap();
    let request = message.get_root::<capnp::schema_capnp::code_generator_request::Reader<'_>>().unwrap();
    let version = request.get_capnp_version().unwrap();
    (version.get_major(), version.get_minor(), version.get_micro())
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
    // Another compiler may order the same content differently.
    if compiler(&committed) != compiler(&output.stdout) {
        println!("not compared: the installed capnp has another version");
        return;
    }
    assert!(
        committed == output.stdout,
        "capnp/schema.bin is not what the compiler makes of the schemas: run capnp/compile"
    );
}
