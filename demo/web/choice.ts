/** Which model, which text, which settings: what a run is made of. */
import type {FineTuneOptions} from './library';
import {asOptions, builtInDefaults, tabDefaults, type Settings} from './settings';
import {texts, type TextName} from './texts';
import {nameText} from './words';

export type ModelChoice =
  | {kind: 'built-in'}
  | {kind: 'hub'; name: string; token: string}
  | {kind: 'files'; files: Record<string, File>};

export type DataChoice =
  | {kind: 'built-in'; text: TextName}
  | {kind: 'pasted'; text: string | Blob}
  | {kind: 'files'; files: Record<string, File>};

/** Where the built-in model is. */
export const builtInModel = new URL('model', document.baseURI).href;

export interface Choice {
  model: ModelChoice;
  data: DataChoice;
  settings: Settings;
}

/** The defaults of this page for a model; what is in neither has the library's. */
export function defaultsFor({model, data}: Choice): Settings {
  if (model.kind !== 'built-in') return tabDefaults;
  const {prompts, ...others} = builtInDefaults;
  // its texts are read in rows without gaps, and begin with no question
  return data.kind === 'built-in' ? {...others, prompts, packing: 'true'} : others;
}

/** The method of a choice. */
export function methodOf({settings: {method}}: Choice): string {
  return String(method ?? 'owlore');
}

/** What is still missing, in words; null if nothing is. */
export function missing({model, data}: Choice): string | null {
  if (model.kind === 'hub' && model.name === '') return 'Name a model of the Hugging Face Hub.';
  if (model.kind === 'files' && Object.keys(model.files).length === 0) {
    return 'Drop the files of a model.';
  }
  const noModel = model.kind === 'files' ? noModelText(Object.keys(model.files)) : null;
  if (noModel !== null) return noModel;
  if (data.kind === 'pasted' && typeof data.text === 'string' && data.text.trim() === '')
    return 'Paste some examples.';
  if (data.kind === 'files' && Object.keys(data.files).length === 0) {
    return 'Drop a file of examples.';
  }
  return null;
}

/** Why files of these names are no model; null if they may be one. */
function noModelText(names: readonly string[]): string | null {
  if (names.some((name) => /(^|[/])config[.]json$|[.]gguf$/.test(name))) return null;
  const archive = names.find((name) => /[.](zip|tar|t?gz)$/i.test(name));
  if (archive !== undefined)
    return `${nameText(archive)} is an archive: unpack it, and drop the folder or the files that are in it.`;
  if (names.some((name) => name.endsWith('adapter_config.json')))
    return 'These are the files of an adapter; drop those of a model, which have a config.json, or a GGUF file.';
  return `A model is a folder with a config.json, or a GGUF file; ${names.length === 1 ? nameText(names[0]!) : 'these files'} can be none.`;
}

/** What the built-in model is called. */
export const BUILT_IN = 'the built-in model';

/** The model and the data in words. */
export function modelTitle({model}: Choice): string {
  if (model.kind === 'built-in') return BUILT_IN;
  if (model.kind === 'hub') return model.name || 'a model of the Hub';
  return filesTitle(Object.keys(model.files));
}

/** A model's files in words, by their names. */
export function filesTitle(names: readonly string[]): string {
  return names.length === 1 ? nameText(names[0]!) : 'your model';
}

export function dataTitle({data}: Choice): string {
  if (data.kind === 'built-in') return texts[data.text];
  if (data.kind === 'pasted') return 'pasted examples';
  const [first, ...others] = Object.keys(data.files);
  return first === undefined
    ? 'your data'
    : nameText(first) + (others.length > 0 ? ' and more' : '');
}

/** Bytes of the text that one gave, before it is read; 0 for a built-in one. */
export function givenBytes({data}: Choice): number {
  if (data.kind === 'built-in') return 0;
  if (data.kind === 'files')
    return Object.values(data.files).reduce((sum, {size}) => sum + size, 0);
  return typeof data.text === 'string' ? data.text.length : data.text.size;
}

/** The options of the library. */
export async function optionsOf(choice: Choice): Promise<FineTuneOptions> {
  const {model, data} = choice;
  const isBuiltIn = model.kind === 'built-in';
  return {
    ...asOptions({...defaultsFor(choice), ...choice.settings}),
    model: isBuiltIn ? builtInModel : model.kind === 'hub' ? model.name : model.files,
    data: await filesOf(data),
    ...(model.kind === 'hub' && model.token !== '' && {token: model.token}),
  };
}

async function filesOf(data: DataChoice): Promise<Record<string, Blob>> {
  if (data.kind === 'files') return data.files;
  if (data.kind === 'pasted') return {pasted: new Blob([data.text])};
  const name = `${data.text}.txt`;
  let response: Response;
  try {
    response = await fetch(new URL(`texts/${name}`, document.baseURI));
  } catch (cause) {
    throw Object.assign(new Error(`${texts[data.text]} cannot be loaded`, {cause}), {
      code: 'offline',
    });
  }
  if (!response.ok) throw new Error(`${name}: the server answers ${response.status}`);
  return {[name]: await response.blob()};
}
