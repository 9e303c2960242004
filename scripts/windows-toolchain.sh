#!/bin/sh
# What builds and runs programs for Windows on Debian, in the folder that is given: a sysroot for Debian's own Rust
# compiler, which has no standard library for Windows, and a home for wine. Does nothing that is done already.
#   scripts/windows-toolchain.sh OUT
# Then OUT/cargo builds and tests, as `cargo` does.
set -eu
unset RUSTUP_TOOLCHAIN RUSTC RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER RUSTFLAGS CARGO_TARGET_DIR CARGO_ENCODED_RUSTFLAGS

out=$(mkdir -p "$1" && cd "$1" && pwd)
target=x86_64-pc-windows-gnu
sysroot=$out/sysroot
prefix=$out/wine
export WINEARCH=win64 WINEDEBUG=-all WINEDLLOVERRIDES="mscoree,mshtml=" WINEPREFIX="$prefix"

# The standard library, with the tests' and with unwinding: a sysroot that aborts has no tests.
version=$(/usr/bin/rustc --version --verbose)
if [ "$version" != "$(cat "$out/sysroot.version" 2>/dev/null)" ]; then
    rm -rf "$sysroot" "$out/std"
    mkdir -p "$out/std/src" "$sysroot/lib/rustlib/$target/lib"
    printf '[package]\nname = "empty"\nedition = "2024"\n[workspace]\n' >"$out/std/Cargo.toml"
    : >"$out/std/src/lib.rs"
    (
        cd "$out/std"
        RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 /usr/bin/cargo build --quiet --release --target "$target" \
            -Zbuild-std=std,panic_abort,panic_unwind,test,proc_macro
    )
    cp "$out/std/target/$target/release/deps/"*.rlib "$sysroot/lib/rustlib/$target/lib/"
    rm -f "$sysroot/lib/rustlib/$target/lib/"libempty-*
    ln -s /usr/lib/rustlib/x86_64-unknown-linux-gnu "$sysroot/lib/rustlib/"
    rm -rf "$out/std"
    printf '%s' "$version" >"$out/sysroot.version"
fi

# Wine 8 lacks the DLL that Rust's programs take their random numbers from.
if [ ! -e "$prefix/ready" ]; then
    rm -rf "$prefix"
    wineboot -i >/dev/null 2>&1
    wine winecfg -v win10 >/dev/null 2>&1
    wineserver -w
    cat >"$out/bcryptprimitives.c" <<'END'
#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID buffer, ULONG length);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T length)
{
    return SystemFunction036(data, (ULONG)length);
}
END
    x86_64-w64-mingw32-gcc -shared -O1 -o "$prefix/drive_c/windows/system32/bcryptprimitives.dll" \
        "$out/bcryptprimitives.c" -ladvapi32
    : >"$prefix/ready"
fi

cat >"$out/cargo" <<END
#!/bin/sh
unset RUSTUP_TOOLCHAIN RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER RUSTFLAGS CARGO_ENCODED_RUSTFLAGS
export RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc CARGO_BUILD_TARGET=$target CARGO_TARGET_DIR='$out/target'
export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER=x86_64-w64-mingw32-gcc
export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUSTFLAGS='--sysroot $sysroot'
export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER=wine
export WINEARCH=$WINEARCH WINEDEBUG=$WINEDEBUG WINEDLLOVERRIDES="$WINEDLLOVERRIDES" WINEPREFIX='$prefix'
exec /usr/bin/cargo "\$@"
END
chmod +x "$out/cargo"
