// Times: relative in the grid, absolute in both zones on hover; a zone is always named.

import { m } from '../paraglide/messages';
import { getLocale } from '../paraglide/runtime';

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;

export const viewerZone = new Intl.DateTimeFormat().resolvedOptions().timeZone;

const relatives = new Map<string, Intl.RelativeTimeFormat>();
const absolutes = new Map<string, Intl.DateTimeFormat>();
const durations = new Map<string, Intl.NumberFormat>();

/** Making a format takes ten times as long as using it. */
function kept<Format>(formats: Map<string, Format>, key: string, make: () => Format): Format {
  let found = formats.get(key);
  if (!found) formats.set(key, (found = make()));
  return found;
}

function relativeFormat(): Intl.RelativeTimeFormat {
  const locale = getLocale();
  return kept(
    relatives,
    locale,
    () => new Intl.RelativeTimeFormat(locale, { style: 'short', numeric: 'always' }),
  );
}

function absoluteFormat(
  name: string,
  zone: string,
  options: Intl.DateTimeFormatOptions,
): Intl.DateTimeFormat {
  return kept(absolutes, `${getLocale()} ${name} ${zone}`, () => {
    // English stays with days before months and 24 hours: the chains are European.
    const locale = getLocale() === 'en' ? 'en-GB' : getLocale();
    return new Intl.DateTimeFormat(locale, { timeZone: zone, ...options });
  });
}

function durationFormat(unit: string): Intl.NumberFormat {
  const options = { style: 'unit', unit, unitDisplay: 'short', maximumFractionDigits: 0 } as const;
  return kept(durations, `${getLocale()} ${unit}`, () => new Intl.NumberFormat(getLocale(), options));
}

/** "3 min ago", "5 h ago", "2 Nov": the shorter, the further away. */
export function relative(at: string | null, now: number, zone = viewerZone): string {
  if (at === null) return '';
  const ago = now - Date.parse(at);
  if (Math.abs(ago) < minute) return m.just_now();
  const unit = Math.abs(ago) < hour ? 'minute' : Math.abs(ago) < day ? 'hour' : 'day';
  const size = unit === 'minute' ? minute : unit === 'hour' ? hour : day;
  if (Math.abs(ago) >= 14 * day) return date(at, now, zone);
  return relativeFormat()
    .format(-Math.trunc(ago / size), unit)
    .replace('.', '');
}

/** A day, with its year when it is another. */
export function date(at: string | null, now: number, zone = viewerZone): string {
  if (at === null) return '';
  const time = Date.parse(at);
  const year = absoluteFormat('year', zone, { year: 'numeric' });
  const same = year.format(time) === year.format(now);
  return same
    ? absoluteFormat('day', zone, { day: 'numeric', month: 'short' }).format(time)
    : absoluteFormat('dayyear', zone, { day: 'numeric', month: 'short', year: 'numeric' }).format(time);
}

/** Date and time to the minute. */
export function absolute(at: string, zone = viewerZone): string {
  return absoluteFormat('full', zone, { dateStyle: 'medium', timeStyle: 'short' }).format(Date.parse(at));
}

/** Hours and minutes; with the day when it is not today. */
export function clock(at: string, now = Date.now(), zone = viewerZone): string {
  const day = absoluteFormat('plainday', zone, { dateStyle: 'short' });
  if (day.format(Date.parse(at)) !== day.format(now)) return absolute(at, zone);
  return absoluteFormat('clock', zone, { timeStyle: 'short' }).format(Date.parse(at));
}

/** To the millisecond, for logs: "21 Nov 10:03:11.123". */
export function precise(at: string, zone: string): string {
  const time = Date.parse(at);
  const day = absoluteFormat('day', zone, { day: 'numeric', month: 'short' }).format(time);
  const clock = absoluteFormat('precise', zone, {
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    fractionalSecondDigits: 3,
  }).format(time);
  return `${day} ${clock}`;
}

/** Short, for lists: "10:03" today, else "27 Nov 10:03". */
export function moment(at: string, now: number, zone: string): string {
  const day = absoluteFormat('plainday', zone, { dateStyle: 'short' });
  const time = absoluteFormat('clock', zone, { timeStyle: 'short' }).format(Date.parse(at));
  return day.format(Date.parse(at)) === day.format(now) ? time : `${date(at, now, zone)} ${time}`;
}

/** A day on an axis: with room "Mon 16", else "16 Nov". */
export function axisDay(at: number, zone: string, weekday: boolean): string {
  return weekday
    ? absoluteFormat('axisweek', zone, { weekday: 'short', day: 'numeric' }).format(at)
    : absoluteFormat('day', zone, { day: 'numeric', month: 'short' }).format(at);
}

/** For the hover: the moment in the viewer's zone, and in the outlet's when that is another. */
export function bothZones(at: string | null, outletZone: string): string | undefined {
  if (at === null) return undefined;
  const viewer = m.time_viewer({ time: absolute(at, viewerZone), zone: viewerZone });
  if (outletZone === viewerZone) return viewer;
  return `${viewer}\n${m.time_outlet({ time: absolute(at, outletZone), zone: outletZone })}`;
}

/** How long something has been, in one unit: "5 min", "3 d". */
export function duration(milliseconds: number): string {
  const [value, unit] =
    milliseconds < hour
      ? [milliseconds / minute, 'minute']
      : milliseconds < day
        ? [milliseconds / hour, 'hour']
        : [milliseconds / day, 'day'];
  return durationFormat(unit as string)
    .format(Math.max(0, Math.trunc(value as number)))
    .replace('.', '');
}
