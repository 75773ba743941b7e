//! Every target over the inputs in `corpus/`, and over seeded changes of them.

use offst_fuzzing::{INPUT_BYTES_MAX, TARGETS, Target, changed, target};
use offst_simulator::keys::Dice;
use std::path::Path;
use std::time::{Duration, Instant};

fn inputs(target: &Target) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
    let mut paths: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        assert!(path.metadata().unwrap().len() <= INPUT_BYTES_MAX as u64, "{} is too large", path.display());
        std::fs::read(path).unwrap()
    };
    paths.iter().map(read).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Runs an input; a panic names it.
fn drive(target: &Target, input: &[u8]) -> bool {
    std::panic::catch_unwind(|| (target.drive)(input))
        .unwrap_or_else(|_| panic!("the target {} panics for the input {}", target.name, hex(input)))
}

/// How long changed inputs are tried.
const TIME: Duration = Duration::from_secs(10);

/// One in so many changed inputs is tried however long that takes: a test that passes has tried something on every machine.
const ALWAYS_ONE_IN: usize = 10;

/// The inputs of a target, and `count` changed ones; most of these only for as long as there is time.
fn run(name: &str, count: usize) {
    let target = target(name).unwrap();
    let began = Instant::now();
    let mut inputs = inputs(target);
    inputs.extend((target.seeds)());
    assert!(!inputs.is_empty(), "{name} has no inputs");
    for input in &inputs {
        drive(target, input);
    }
    let mut dice = Dice::new(7);
    for done in 0..count {
        if done >= count.div_ceil(ALWAYS_ONE_IN) && began.elapsed() > TIME {
            println!("{name}: {done} of {count} changed inputs");
            return;
        }
        let [one, other] = [dice.below(inputs.len()), dice.below(inputs.len())];
        drive(target, &changed(&inputs[one], &inputs[other], &mut dice));
    }
}

macro_rules! targets {
    ($($name:ident, $count:literal;)*) => {
        $(
            #[test]
            fn $name() {
                run(stringify!($name), $count);
            }
        )*

        #[test]
        fn every_target_is_run() {
            let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(names, [$(stringify!($name)),*]);
        }
    };
}

targets! {
    frames, 2000;
    friend, 2000;
    relay, 2000;
    index, 2000;
    federation, 1000;
    app, 2000;
    statement, 1000;
    opening, 1000;
    invoice, 1000;
    update, 1000;
    peer_backup, 1000;
    invoice_text, 1000;
    invitation, 1000;
    ticket, 1000;
    receipt, 1000;
    friend_statement, 1000;
    words, 2000;
    row, 3000;
    account, 1000;
    evidence, 500;
    node, 150;
}

/// Otherwise changed inputs would only try how garbage is refused.
#[test]
fn valid_inputs_are_taken() {
    for target in TARGETS {
        for (number, seed) in (target.seeds)().iter().enumerate() {
            let is_empty = seed.is_empty();
            assert!(drive(target, seed) || is_empty, "{} {number}: {}", target.name, hex(seed));
        }
    }
}

/// What is a target here is one for libFuzzer too.
#[test]
fn every_target_is_fuzzed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
    for target in TARGETS {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{}.rs\"", target.name)), "{}", target.name);
        let source = std::fs::read_to_string(folder.join(format!("fuzz_targets/{}.rs", target.name))).unwrap();
        assert!(source.contains(&format!("target(\"{}\")", target.name)), "{}", target.name);
    }
}
