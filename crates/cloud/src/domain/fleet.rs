//! Reading a fleet import.
