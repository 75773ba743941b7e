#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    (offst_fuzzing::target("friend_statement").expect("it is listed").drive)(bytes);
});
