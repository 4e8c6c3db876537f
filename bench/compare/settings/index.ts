/** The settings of the comparison by their names. To add one, add a file here and a line in this table. */
import {UsageError} from '../../../src/cli/usage_error';
import {commonsense} from './commonsense';
import {demo, quickDemo} from './demo';
import type {Setting} from './setting';
import {smollm2} from './smollm2';

export type {ComparedScore, Given, Setting, SettingData, Tuned} from './setting';

/** The larger ones first, as the page shows them. */
export const settings: readonly Setting[] = [smollm2, commonsense, demo, quickDemo];

/** @throws UsageError if there is no such setting, or no quick mode of it. */
export function settingOf(name: string, quick: boolean): Setting {
  const wanted = quick ? `${name}-quick` : name;
  const found = settings.find((setting) => setting.name === wanted);
  if (found) return found;
  const names = settings.map((setting) => setting.name);
  if (quick && names.includes(name))
    throw new UsageError(`--quick: ${name} has no quick mode; demo has one`);
  throw new UsageError(`--setting must be one of ${names.join(', ')}; got ${name}`);
}
