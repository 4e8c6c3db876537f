/** What the page does, as the part of its address after the `#`, which no server sees. */
import {readSetting, settingNames, type Settings} from './settings';
import {nameText} from './words';

const MOST_NAMES = 5; // that are said

export interface Address {
  /** The name of a model on the Hub or its URL; undefined: the built-in one, or files, which no address can name. */
  model?: string;
  /** The name of a built-in text; undefined: the first one, or data of one's own. */
  text?: string;
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

/** What a text says of it; what it does not know, or what no setting takes, is left out. */
export function readAddress(text: string): Address {
  const query = new URLSearchParams(text.replace(/^#/, ''));
  const settings: Settings = {};
  for (const name of settingNames) {
    const value = query.has(name) ? readSetting(name, query.get(name)!) : null;
    if (value !== null) settings[name] = value;
  }
  return {
    ...(query.has('model') && {model: query.get('model')!.slice(0, 300)}),
    ...(query.has('text') && {text: query.get('text')!}),
    settings,
  };
}

/** Says what of a text is left out, by the names alone; null if all of it is known. */
export function leftOutText(text: string): string | null {
  const {settings} = readAddress(text);
  const names = [...new Set(new URLSearchParams(text.replace(/^#/, '')).keys())].filter(
    (name) => !['model', 'text'].includes(name) && !Object.hasOwn(settings, name),
  );
  if (names.length === 0) return null;
  const more = names.length - MOST_NAMES;
  const shown = names.slice(0, MOST_NAMES).map((name) => `“${nameText(name)}”`);
  return `The address has settings that this page does not take, and leaves out: ${shown.join(', ')}${more > 0 ? ` and ${more} more` : ''}.`;
}
