//! What fuzz targets have in common. Each file in `targets/` is one; what it is fed with first lies in `corpus/`.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What can be read can be written, and is then read as the same.
pub fn is_read_again<T: DeserializeOwned + Serialize + PartialEq + Debug>(bytes: &[u8]) {
    let Ok(read) = serde_json::from_slice::<T>(bytes) else { return };
    let written = serde_json::to_string(&read).expect("what was read can be written");
    let again = serde_json::from_str::<T>(&written).expect("what was written can be read");
    assert_eq!(read, again, "{written}");
}
