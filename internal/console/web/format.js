// Numbers, sizes and times, as people read them.

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });

export const count = (n) => whole.format(n);

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

// size tells octets in three digits or so.
export function size(octets) {
  let n = Number(octets) || 0;
  let unit = 0;
  while (Math.abs(n) >= 1000 && unit < units.length - 1) {
    n /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || n >= 100 ? 0 : n >= 10 ? 1 : 2;
  return `${n.toFixed(digits)} ${units[unit]}`;
}

// rate tells a number for a second.
export function rate(n) {
  if (n === 0) return '0';
  if (n >= 100) return whole.format(n);
  return n >= 10 ? n.toFixed(1) : n.toFixed(2);
}

export const percent = (part, all) => (all > 0 ? `${((100 * part) / all).toFixed(part / all < 0.1 ? 1 : 0)} %` : '–');

// span tells a number of seconds.
export function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 48 * 3600) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d`;
}

export const ago = (time) => {
  const seconds = (Date.now() - Date.parse(time)) / 1000;
  return seconds < 2 ? 'now' : `${span(seconds)} ago`;
};

const two = (n) => String(n).padStart(2, '0');

// moment tells a time in the reader's zone: the time of today, else the date.
export function moment(time, always = false) {
  const t = new Date(time);
  if (Number.isNaN(t.getTime())) return '';
  const day = `${t.getFullYear()}-${two(t.getMonth() + 1)}-${two(t.getDate())}`;
  const clock = `${two(t.getHours())}:${two(t.getMinutes())}`;
  if (always) return `${day} ${clock}`;
  return t.toDateString() === new Date().toDateString() ? clock : day;
}

export const clock = (time) => {
  const t = new Date(time);
  return `${two(t.getHours())}:${two(t.getMinutes())}:${two(t.getSeconds())}`;
};
