//! Who may do what on Windows, as text: SDDL, the language of its security descriptors.

use sha1::{Digest, Sha1};

/// On a folder, what Windows calls *Modify*: read, write, remove, but not change who may.
const MODIFY: &str = "0x1301bf";
/// On a service: query it and what depends on it, start, stop, interrogate.
const CONTROL: &str = "CCLCSWRPWPLORC";
/// The system and administrators: everything, here and below.
const OWNERS: &str = "(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)";

/// The SID of the account `NT SERVICE\name`. Windows makes it of the name: the SHA-1 of its capitals in
/// UTF-16, as five numbers.
pub(crate) fn service_sid(name: &str) -> String {
    let mut hash = Sha1::new();
    for unit in name.to_uppercase().encode_utf16() {
        hash.update(unit.to_le_bytes());
    }
    let parts = hash.finalize();
    let numbers = parts.chunks_exact(4).map(|part| u32::from_le_bytes([part[0], part[1], part[2], part[3]]));
    numbers.fold(String::from("S-1-5-80"), |sid, number| format!("{sid}-{number}"))
}

/// The rights on a data dir that is closed to everybody but the system, administrators and the services that
/// were let in; `current` is who may now. Otherwise a folder under `ProgramData` can be read by every user of
/// the machine, and a store's key with it.
pub(crate) fn only_for(current: &str, sid: &str) -> String {
    let flags = current.strip_prefix("D:").and_then(|rest| rest.split('(').next()).unwrap_or_default();
    let closed = if flags.contains('P') { current.to_owned() } else { format!("D:PAI{OWNERS}") };
    with_modify(&closed, sid)
}

/// `current`, and the account may change what is in the folder.
pub(crate) fn with_modify(current: &str, sid: &str) -> String {
    with(current, &format!("(A;OICI;{MODIFY};;;{sid})"))
}

/// `current`, and the account may start and stop the service.
pub(crate) fn with_control(current: &str, sid: &str) -> String {
    with(current, &format!("(A;;{CONTROL};;;{sid})"))
}

/// `current` without what names the account.
pub(crate) fn without(current: &str, sid: &str) -> String {
    let (head, entries) = split(current);
    let others = entries.into_iter().filter(|entry| !entry.ends_with(&format!(";{sid})")));
    others.fold(head.to_owned(), |text, entry| text + entry)
}

fn with(current: &str, entry: &str) -> String {
    let sid = entry.rsplit(';').next().unwrap_or_default().trim_end_matches(')');
    let (head, mut entries) = split(current);
    let inherited = |entry: &str| entry.split(';').nth(1).is_some_and(|flags| flags.ends_with("ID"));
    entries.retain(|entry| !entry.ends_with(&format!(";{sid})")) || inherited(entry));
    // Windows wants what denies first, then what allows, then what is inherited.
    let at = entries.iter().position(|entry| !entry.starts_with("(D;")).unwrap_or(entries.len());
    entries.insert(at, entry);
    entries.into_iter().fold(head.to_owned(), |text, entry| text + entry)
}

/// What stands before the entries, and the entries with their parentheses.
fn split(text: &str) -> (&str, Vec<&str>) {
    let start = text.find('(').unwrap_or(text.len());
    (&text[..start], text[start..].split_inclusive(')').collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SID: &str = "S-1-5-80-1-2-3-4-5";

    #[test]
    fn the_sid_of_a_service_is_that_of_windows() {
        // Every Windows has this one, and `sc showsid` prints it.
        assert_eq!(
            service_sid("TrustedInstaller"),
            "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"
        );
        assert_eq!(service_sid("tillwatch-POS"), service_sid("TILLWATCH-pos"));
    }

    #[test]
    fn a_data_dir_is_closed_and_lets_in_each_service_once() {
        let open = "D:AI(A;OICIID;FA;;;SY)(A;OICIID;0x1200a9;;;BU)";
        let closed = only_for(open, SID);
        assert_eq!(closed, format!("D:PAI(A;OICI;{MODIFY};;;{SID}){OWNERS}"));
        assert_eq!(only_for(&closed, SID), closed);
        let both = only_for(&closed, "S-1-5-80-9");
        assert!(both.contains(SID) && both.contains("S-1-5-80-9)") && !both.contains("BU"), "{both}");
        assert_eq!(without(&both, "S-1-5-80-9"), closed);
    }

    #[test]
    fn what_is_denied_stays_denied_and_inherited_entries_stay_last() {
        let current = "D:AI(D;;FA;;;BG)(A;;FA;;;BA)(A;ID;FA;;;SY)";
        assert_eq!(
            with_modify(current, SID),
            format!("D:AI(D;;FA;;;BG)(A;OICI;{MODIFY};;;{SID})(A;;FA;;;BA)(A;ID;FA;;;SY)")
        );
        let service = "D:(A;;CCLCSWRPWPDTLOCRRC;;;SY)";
        let granted = with_control(service, SID);
        assert_eq!(granted, format!("D:(A;;{CONTROL};;;{SID})(A;;CCLCSWRPWPDTLOCRRC;;;SY)"));
        assert_eq!(with_control(&granted, SID), granted);
        assert_eq!(without(&granted, SID), service);
    }
}
