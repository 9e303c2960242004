//! Reads and writes who may do what with a folder or a service.

use std::iter::once;
use std::os::windows::ffi::OsStrExt;
use std::path::Path;
use std::ptr::{null, null_mut};
use std::{io, slice};

use windows_sys::Win32::Foundation::{ERROR_SUCCESS, LocalFree};
use windows_sys::Win32::Security::Authorization::{
    ConvertSecurityDescriptorToStringSecurityDescriptorW,
    ConvertStringSecurityDescriptorToSecurityDescriptorW, GetNamedSecurityInfoW, SDDL_REVISION_1,
    SE_FILE_OBJECT, SE_OBJECT_TYPE, SE_SERVICE, SetNamedSecurityInfoW,
};
use windows_sys::Win32::Security::{
    ACL, DACL_SECURITY_INFORMATION, GetSecurityDescriptorDacl, PROTECTED_DACL_SECURITY_INFORMATION,
    PSECURITY_DESCRIPTOR, UNPROTECTED_DACL_SECURITY_INFORMATION,
};

use crate::definition::ServiceError;

/// What has rights.
#[derive(Clone, Copy)]
pub(super) enum Object<'a> {
    /// A folder with all below it.
    Folder(&'a Path),
    /// A service.
    Service(&'a str),
}

impl Object<'_> {
    /// Changes who may what, given and answered as the DACL in SDDL.
    pub(super) fn change(self, change: impl FnOnce(&str) -> String) -> Result<(), ServiceError> {
        let (name, kind) = self.named();
        let changed = read(&name, kind).and_then(|current| {
            let wanted = change(&current);
            if wanted == current { Ok(()) } else { write(&name, kind, &wanted) }
        });
        changed.map_err(|error| {
            let doing = match self {
                Self::Folder(path) => format!("change who may use {}", path.display()),
                Self::Service(name) => format!("change who may start and stop the service {name}"),
            };
            ServiceError::System { doing, reason: error.to_string() }
        })
    }

    fn named(self) -> (Vec<u16>, SE_OBJECT_TYPE) {
        match self {
            Self::Folder(path) => (path.as_os_str().encode_wide().chain(once(0)).collect(), SE_FILE_OBJECT),
            Self::Service(name) => (wide(name), SE_SERVICE),
        }
    }
}

fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain(once(0)).collect()
}

/// The DACL of the object with this zero-ended name.
#[expect(unsafe_code, reason = "Windows offers its security descriptors to C only")]
fn read(name: &[u16], kind: SE_OBJECT_TYPE) -> io::Result<String> {
    let mut descriptor: PSECURITY_DESCRIPTOR = null_mut();
    // SAFETY: `name` ends with a zero, the descriptor is written by the call, what is not asked for is null.
    let answer = unsafe {
        GetNamedSecurityInfoW(
            name.as_ptr(),
            kind,
            DACL_SECURITY_INFORMATION,
            null_mut(),
            null_mut(),
            null_mut(),
            null_mut(),
            &raw mut descriptor,
        )
    };
    if answer != ERROR_SUCCESS {
        return Err(io::Error::from_raw_os_error(answer as i32));
    }
    let (mut text, mut units) = (null_mut(), 0);
    // SAFETY: the descriptor is the one that the call above made; both are freed once, after the last use,
    // and the text is read for as many units as the call says it has.
    unsafe {
        let done = ConvertSecurityDescriptorToStringSecurityDescriptorW(
            descriptor,
            SDDL_REVISION_1,
            DACL_SECURITY_INFORMATION,
            &raw mut text,
            &raw mut units,
        );
        let result = if done == 0 {
            Err(io::Error::last_os_error())
        } else {
            let units = slice::from_raw_parts(text, units as usize);
            let end = units.iter().position(|&unit| unit == 0).unwrap_or(units.len());
            Ok(String::from_utf16_lossy(&units[..end]))
        };
        LocalFree(text.cast());
        LocalFree(descriptor);
        result
    }
}

/// Gives the object with this zero-ended name another DACL; a folder hands it down.
#[expect(unsafe_code, reason = "Windows offers its security descriptors to C only")]
fn write(name: &[u16], kind: SE_OBJECT_TYPE, dacl: &str) -> io::Result<()> {
    let text = wide(dacl);
    let mut descriptor: PSECURITY_DESCRIPTOR = null_mut();
    // SAFETY: `text` and `name` end with a zero; the list is part of the descriptor, which is freed once,
    // after the last use.
    unsafe {
        let made = ConvertStringSecurityDescriptorToSecurityDescriptorW(
            text.as_ptr(),
            SDDL_REVISION_1,
            &raw mut descriptor,
            null_mut(),
        );
        if made == 0 {
            return Err(io::Error::last_os_error());
        }
        let mut list: *mut ACL = null_mut();
        let (mut present, mut defaulted) = (0, 0);
        let found =
            GetSecurityDescriptorDacl(descriptor, &raw mut present, &raw mut list, &raw mut defaulted);
        let result = if found == 0 {
            Err(io::Error::last_os_error())
        } else {
            let inheritance = match (kind, dacl.split('(').next().unwrap_or_default().contains('P')) {
                (SE_FILE_OBJECT, true) => PROTECTED_DACL_SECURITY_INFORMATION,
                (SE_FILE_OBJECT, false) => UNPROTECTED_DACL_SECURITY_INFORMATION,
                _ => 0,
            };
            let answer = SetNamedSecurityInfoW(
                name.as_ptr(),
                kind,
                DACL_SECURITY_INFORMATION | inheritance,
                null_mut(),
                null_mut(),
                list,
                null(),
            );
            match answer {
                ERROR_SUCCESS => Ok(()),
                code => Err(io::Error::from_raw_os_error(code as i32)),
            }
        };
        LocalFree(descriptor);
        result
    }
}
