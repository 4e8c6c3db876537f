/** The adapter that a command is given beside a model or in its place, and the model that it is for. */
import {dirname, join} from 'node:path';
import {hubNameText, parseHubName} from '../files/hub_name';
import {isUrl} from '../files/file_url';
import {show} from '../files/json';
import {openNamedSource, type SourceOptions} from '../llama/files/named_source';
import {readOtherFiles} from '../llama/files/origin';
import {
  ADAPTER_CONFIG,
  readAdapterConfig,
  readAdapters,
  type AdapterFiles,
} from '../lora/adapter_files';
import type {Context} from './command';
import {isHubName, isThere} from './options';
import {NAMES} from './run_files';
import {UsageError} from './usage_error';
import {quoted} from './words';

/** A model, and the adapter that belongs into it. */
export interface LocatedModel {
  /** As `loadLlama` takes it. */
  source: string;
  adapter: FoundAdapter | null;
}

/** An adapter that was read. */
export interface FoundAdapter extends AdapterFiles {
  /** Its folder, or its name on the Hub with its commit. */
  source: string;
  /** What messages about it start with. */
  called: string;
  /** The tokenizer that came with it, and what belongs to that; none if it has that of its model. */
  files: ReadonlyMap<string, Uint8Array>;
}

interface Settings {
  model: string;
  adapter?: string | undefined;
}

/** Whether a path is that of an adapter's folder, as peft and transformers tell it from a model's. */
export function isAdapterFolder(path: string): boolean {
  return isThere('file', join(path, ADAPTER_CONFIG));
}

/**
 * Finds out what a command is to load: a model, with an adapter if one is given, or if what is given as the model is an adapter. In that
 * case a line says which model it brings.
 *
 * @throws UsageError if one is given where the other should be, or if an adapter names no model that can be taken.
 */
export async function locateModel(
  {model, adapter}: Settings,
  {given, console}: Pick<Context, 'given' | 'console'>,
  options: SourceOptions = {},
): Promise<LocatedModel> {
  checkNoRun(given.get('model')!, model);
  if (adapter !== undefined) {
    if (isAdapterFolder(model)) {
      throw new UsageError(
        `${given.get('model')!}: '${model}' is an adapter; with --adapter it must be the model itself`,
      );
    }
    const found = await readAdapter(given.get('adapter')!, adapter, options);
    const named = typeof found.base.model === 'string' ? parseHubName(found.base.model) : null;
    const name = isHubName(model) ? parseHubName(model) : null;
    if (named && name && named.id !== name.id)
      console.note(`${adapter}: its ${ADAPTER_CONFIG} names another model, ${named.id}`);
    return {source: model, adapter: found};
  }
  const called = given.get('model')!;
  if (isUrl(model) || isThere('file', model)) return {source: model, adapter: null};
  const files = await openNamedSource(called, model, options);
  if (!(await readAdapterConfig(called, files))) return {source: model, adapter: null};
  const found = await readAdapter(called, model, options);
  const source = baseOf(found);
  console.note(`${model} is an adapter of ${source}`);
  return {source, adapter: found};
}

/** @throws UsageError if a path is that of a run, or of what it has not written yet, which would be taken for a name on the Hub. */
function checkNoRun(called: string, path: string): void {
  const isRun = (folder: string): boolean => isThere('file', join(folder, NAMES.list));
  if (isUrl(path) || isThere('file', path)) return;
  const isFolder = isThere('folder', path);
  const run = isFolder ? path : dirname(path);
  if (!isRun(run)) return;
  const inner = join(run, NAMES.model);
  if (isThere('folder', inner)) {
    const what = isFolder ? `'${path}' is the folder of a run` : `there is no '${path}'`;
    throw new UsageError(`${called}: ${what}; the model of that run is '${inner}'`);
  }
  const adapter = join(run, NAMES.adapter);
  const way = isAdapterFolder(adapter)
    ? `it has the adapter '${adapter}'`
    : `finetune --resume ${quoted(run)} goes on with it`;
  throw new UsageError(`${called}: the run in '${run}' has no model; ${way}`);
}

async function readAdapter(
  called: string,
  source: string,
  options: SourceOptions,
): Promise<FoundAdapter> {
  if (isThere('folder', source) && !isAdapterFolder(source)) {
    const inner = join(source, 'adapter');
    const way = isAdapterFolder(inner)
      ? `; that of this run is '${inner}'`
      : isThere('file', join(source, 'config.json'))
        ? '; give a model as --model'
        : '';
    throw new UsageError(
      `${called}: '${source}' has no ${ADAPTER_CONFIG}, so it is no adapter of peft${way}`,
    );
  }
  const files = await openNamedSource(called, source, options);
  const adapter = await readAdapters(called, files);
  const others = await readOtherFiles(called, files);
  const name = await files.hub?.();
  return {
    ...adapter,
    ...{source: name ? hubNameText(name) : source, called},
    files: others.has('tokenizer.json') ? others : new Map(),
  };
}

/** What is no path of a model: a URL, another machine, a device, or what a terminal would obey. */
// eslint-disable-next-line no-control-regex -- they are what it finds
const NO_PATH = /^[a-z][a-z\d+.-]+:|^[\\/]{2}|^\/(dev|net|proc|sys)(\/|$)|[\u0000-\u001f\u007f]/i;

/**
 * The model that an adapter names, which a stranger may have written: a folder of a model that is there, from the working directory as in peft or
 * from the adapter's own, or a name on the Hub. Nothing else is looked at or asked.
 */
function baseOf({called, source, base: {model, revision}}: FoundAdapter): string {
  const fail = (what: string): never => {
    throw new UsageError(
      `${called}: '${source}' is an adapter, and its ${ADAPTER_CONFIG} names ${what}; ` +
        `give the model that it is for: --model MODEL --adapter ${source}`,
    );
  };
  if (typeof model !== 'string' || model === '') return fail('no model');
  if (NO_PATH.test(model))
    return fail(`${show(model)}, which is neither a name on the Hub nor the path of a folder`);
  const folder = [model, join(source, model)].find((path) => isThere('folder', path));
  if (folder !== undefined) {
    if (isAdapterFolder(folder)) return fail(`${show(model)}, which is an adapter, too`);
    if (isThere('file', join(folder, 'config.json'))) return folder;
    return fail(`${show(model)}, a folder without a config.json`);
  }
  const isPinned = typeof revision === 'string' && revision !== '' && !model.includes('@');
  const name = parseHubName(isPinned ? `${model}@${revision}` : model);
  return name
    ? hubNameText(name)
    : fail(`${show(model)}, which is neither a folder here nor a name on the Hub`);
}

/**
 * The bytes that an adapter takes until it is in its model: A and B, of one matrix at a time the product, that times the scale and the sum,
 * and what the matrices take that are float32 from then on.
 *
 * @param saved By how much the model is smaller, because matrices are kept at 16 bits.
 */
export function mergingBytes({tensors}: AdapterFiles, saved: number): number {
  const pairs = [...tensors.values()];
  const sum = (numbers: readonly number[]): number => numbers.reduce((all, each) => all + each, 0);
  const own = sum(pairs.map(({A, B}) => A.values.length + B.values.length));
  const sizes = pairs.map(({A, B}) => A.shape[0]! * B.shape[1]!);
  return 4 * (own + 3 * Math.max(...sizes)) + Math.min(saved, 2 * sum(sizes));
}
