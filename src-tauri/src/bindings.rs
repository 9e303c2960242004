//! Keeps `ui/src/lib/bindings.ts` equal to the commands and types here.

use std::path::Path;

use specta_typescript::Typescript;

const BINDINGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../ui/src/lib/bindings.ts");
const HEADER: &str = "// Generated from src-tauri by `UPDATE_BINDINGS=1 cargo test -p tillwatch bindings`; not to be edited.\n/* eslint-disable */\n";

#[test]
fn the_bindings_are_those_of_the_commands() {
    let directory = tempfile::tempdir().unwrap();
    let fresh = directory.path().join("bindings.ts");
    let export = |path: &Path| {
        crate::commands::list().export(Typescript::default().header(HEADER), path).unwrap();
    };
    if std::env::var_os("UPDATE_BINDINGS").is_some() {
        std::fs::create_dir_all(Path::new(BINDINGS).parent().unwrap()).unwrap();
        export(Path::new(BINDINGS));
    }
    export(&fresh);
    let checked_in = std::fs::read_to_string(BINDINGS).unwrap_or_default().replace("\r\n", "\n");
    assert!(
        checked_in == std::fs::read_to_string(fresh).unwrap(),
        "ui/src/lib/bindings.ts is stale: UPDATE_BINDINGS=1 cargo test -p tillwatch bindings"
    );
}
