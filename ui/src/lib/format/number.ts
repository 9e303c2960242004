// Numbers and sizes as the person's language writes them.

import { m } from '../paraglide/messages';
import { getLocale } from '../paraglide/runtime';

const formats = new Map<string, Intl.NumberFormat>();

function format(digits: number): Intl.NumberFormat {
  const key = `${getLocale()}${digits}`;
  let found = formats.get(key);
  if (!found)
    formats.set(key, (found = new Intl.NumberFormat(getLocale(), { maximumFractionDigits: digits })));
  return found;
}

export function number(value: number, digits = 0): string {
  return format(digits).format(value);
}

/** A size in the binary units that the dialogs use. */
export function bytes(value: number): string {
  const units = [m.bytes_b, m.bytes_kib, m.bytes_mib, m.bytes_gib];
  let size = value;
  let unit = 0;
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || size >= 100 ? 0 : 1;
  return (units[unit] ?? m.bytes_b)({ n: number(size, digits) });
}
