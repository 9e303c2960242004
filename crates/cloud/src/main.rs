//! `tillwatch-cloud`: the command line of the cloud.
fn main() {}
