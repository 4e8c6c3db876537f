/** What the page does, as the part of its address after the `#`, which no server sees. */
import {readSetting, settingNames, type Settings} from './settings';
import {isTextName, type TextName} from './texts';
import {nameText} from './words';

const MOST_NAMES = 5; // that are said

export interface Address {
  /** The name of a model on the Hub or its URL; undefined: the built-in one, or files, which no address can name. */
  model?: string;
  /** The name of a built-in text; undefined: the first one, or data of one's own. */
  text?: TextName;
  settings: Settings;
}

/** The text of an address, without `#`; the same for the same settings, and empty for none. */
export function writeAddress({model, text, settings}: Address): string {
  const query = new URLSearchParams();
  if (model !== undefined) query.set('model', model);
  if (text !== undefined) query.set('text', text);
  for (const name of settingNames) {
    if (settings[name] !== undefined) query.set(name, String(settings[name]));
  }
  return query.toString().replaceAll('%2F', '/').replaceAll('%40', '@');
}

/** What an address says; what this page does not know, or what no setting takes, is left out. */
export function readAddress(address: string): Address {
  const query = new URLSearchParams(address.replace(/^#/, ''));
  const settings: Settings = {};
  for (const name of settingNames) {
    const value = query.has(name) ? readSetting(name, query.get(name)!) : null;
    if (value !== null) settings[name] = value;
  }
  const text = query.get('text');
  return {
    ...(query.has('model') && {model: query.get('model')!.slice(0, 300)}),
    ...(text !== null && isTextName(text) && {text}),
    settings,
  };
}

/** Says what of an address is left out, by the names alone; null if all of it is known. */
export function leftOutText(address: string): string | null {
  const {settings, ...others} = readAddress(address);
  const taken = {...settings, ...others};
  const given = new Set(new URLSearchParams(address.replace(/^#/, '')).keys());
  const names = [...given].filter((name) => !Object.hasOwn(taken, name));
  if (names.length === 0) return null;
  const more = names.length - MOST_NAMES;
  const shown = names.slice(0, MOST_NAMES).map((name) => `“${nameText(name)}”`);
  return `The address has settings that this page does not take, and leaves out: ${shown.join(', ')}${more > 0 ? ` and ${more} more` : ''}.`;
}
