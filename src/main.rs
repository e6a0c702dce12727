//! The program `tamis`.

fn main() {}
