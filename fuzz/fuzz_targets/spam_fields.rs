#![no_main]
libfuzzer_sys::fuzz_target!(|octets: &[u8]| tamis::fuzzing::spam_fields(octets));
