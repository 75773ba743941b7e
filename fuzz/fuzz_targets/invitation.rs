#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    (offst_fuzzing::target("invitation").expect("it is listed").drive)(bytes);
});
