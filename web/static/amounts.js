// Amounts in the page's language: sizes, speeds, times.

const language = document.documentElement.lang;
const SIZES = [["terabyte", 1e12], ["gigabyte", 1e9], ["megabyte", 1e6], ["kilobyte", 1e3], ["byte", 1]];
const TIMES = [["hour", 3600], ["minute", 60], ["second", 1]];

function written(value, units, suffix = "") {
  const [unit, size] = units.find(([, least]) => value >= least) ?? units.at(-1);
  const amount = value / size;
  const form = { style: "unit", unit: unit + suffix, unitDisplay: "short", maximumFractionDigits: amount < 10 && size > 1 ? 1 : 0 };
  return new Intl.NumberFormat(language, form).format(amount).replaceAll(" ", "\u00a0"); // an amount stays on one line
}

export const bytes = (value) => written(value, SIZES);
export const bytesPerSecond = (value) => written(value, SIZES, "-per-second");
export const seconds = (value) => written(Math.max(1, Math.round(value)), TIMES);
