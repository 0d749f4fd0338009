//! Books as a service: the open API that partners call, and the console that people work in.

pub mod console;
pub mod problem;
pub mod registry;
