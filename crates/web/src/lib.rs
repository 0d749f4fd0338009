//! Books as a service: the open API that partners call, and the console that people work in.

pub mod chart;
pub mod console;
pub mod desk;
pub mod problem;
pub mod read;
pub mod registry;
