//! Many simulated stores in one process: real connectors, each with a POS server that is made up.

pub mod enrollments;
pub mod scenario;

pub mod log;
pub mod pos;
