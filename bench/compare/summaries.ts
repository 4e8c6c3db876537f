/** The summaries of all settings that have results in a folder. */
import {UsageError} from '../../src/cli/usage_error';
import {chosenRate} from './plan';
import {fileOf, readResults, type CellRecord} from './records';
import {settingOf, settings, type Setting, type Tuned} from './settings';
import {summaryOf, type SettingSummary} from './summary';

/** @throws UsageError if a file cannot be read, or rates that a setting takes of another one are not known. */
export function summariesIn(folder: string): SettingSummary[] {
  return settings.flatMap((setting) => {
    const results = readResults(fileOf(folder, setting.name));
    return results ? [summaryOf(withRates(setting, folder), results)] : [];
  });
}

/** A setting with the rates that were chosen in another one, if it has no search of its own. */
export function withRates(setting: Setting, results: string): Setting {
  if (setting.ratesOf === undefined) return setting;
  const other = settingOf(setting.ratesOf, false);
  const cells = readResults(fileOf(results, other.name))?.cells ?? new Map<string, CellRecord>();
  const rates = Object.keys(other.rates).flatMap((tuned) => {
    const rate = chosenRate(other, tuned as Tuned, cells);
    return rate === null ? [] : [[tuned, [rate]] as const];
  });
  const missing =
    setting.methods?.filter((method) => !rates.some(([known]) => known === method)) ?? [];
  if (missing.length > 0) {
    throw new UsageError(
      `--setting ${setting.name} has the rates of ${other.name}, where those of ${missing.join(', ')} are not chosen yet; run ` +
        `--setting ${other.name} --only rates first, with the same --results`,
    );
  }
  return {...setting, rates: Object.fromEntries(rates), isSearched: false};
}
